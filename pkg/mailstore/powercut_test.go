package mailstore

import (
	"bufio"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// disk is an ext4 file system in a file, whose power can be cut.
type disk struct{ file, at string }

func newDisk(t *testing.T) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: a power cut needs root, for loop devices and mounts")
	}
	for _, path := range []string{"/dev/loop-control", "/sbin/mkfs.ext4"} {
		if _, err := os.Stat(path); err != nil {
			t.Skipf("SKIPPED: no file system to cut the power of: %v", err)
		}
	}
	dir := t.TempDir()
	d := &disk{file: filepath.Join(dir, "image"), at: filepath.Join(dir, "mail")}
	if err := os.WriteFile(d.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.file, 64<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("/sbin/mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.file).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	if err := os.Mkdir(d.at, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "ext4", "-o", "loop", d.file, d.at).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: cannot mount an image: %v: %s", err, out)
	}
	t.Cleanup(func() { d.unmount(t) })
	return d
}

func (d *disk) unmount(t *testing.T) {
	t.Helper()
	var err error
	for range 1000 {
		if err = unix.Unmount(d.at, 0); err == nil || err == unix.EINVAL {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("umount %s: %v", d.at, err)
}

// cut stops the file system: what is not on disk by now is gone.
func (d *disk) cut(t *testing.T) {
	t.Helper()
	f, err := os.Open(d.at)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const goingDown, noFlush = 0x8004587d, 2 // XFS_IOC_GOINGDOWN, which ext4 knows too
	flag := uint32(noFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), goingDown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		t.Fatalf("shutdown ioctl: %v", errno)
	}
}

// back mounts the disk again, as after a start.
func (d *disk) back(t *testing.T) {
	t.Helper()
	d.unmount(t)
	if out, err := exec.Command("mount", "-t", "ext4", "-o", "loop", d.file, d.at).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
}

var wholeBody = regexp.MustCompile(`^r\d+p\d+-\d+$`)

// TestPowerCut cuts the power while processes use a store. What they
// acknowledged is there, whole, and no UID comes to stand for another message.
func TestPowerCut(t *testing.T) {
	d := newDisk(t)
	root := filepath.Join(d.at, "Maildir")
	tr := newTruth()
	r := rand.New(rand.NewPCG(9, 9))
	boot := func(n int) string { return fmt.Sprintf("%08d-0000-0000-0000-000000000000", n) }
	for round := range 8 {
		enough := make(chan bool, 1)
		outs := make(chan []string, 2)
		want := 1 + r.IntN(60)
		var cmds []*exec.Cmd
		for p := range cap(outs) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "POSTHOUSE_TEST_STORE="+root, fmt.Sprintf("POSTHOUSE_TEST_ID=r%dp%d", round, p), "POSTHOUSE_TEST_BOOT="+boot(round))
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			cmds = append(cmds, cmd)
			go func() {
				var lines []string
				for in := bufio.NewScanner(pipe); in.Scan(); {
					if lines = append(lines, in.Text()); len(lines) == want {
						select {
						case enough <- true:
						default:
						}
					}
				}
				_ = cmd.Wait()
				outs <- lines
			}()
		}
		select {
		case <-enough:
		case <-time.After(time.Minute):
			t.Error("the processes do nothing")
		}
		d.cut(t)
		for _, cmd := range cmds {
			_ = cmd.Process.Kill()
		}
		for range cap(outs) {
			for _, line := range <-outs {
				note(t, tr, line)
			}
		}
		d.back(t)
		sh := NewShared(new(safefile.FS), slog.New(slog.NewTextHandler(testLog{t}, nil)))
		sh.boot = boot(round + 1)
		s := openWith(t, root, Options{Shared: sh})
		verify(t, s, tr)
		for key, body := range tr.content {
			if !wholeBody.MatchString(body) {
				t.Errorf("%s has the body %q", key, body)
			}
		}
		for _, f := range sh.folders {
			f.close()
			if f.index != nil {
				f.index.Close()
			}
		}
		// Index files that were replaced are closed by the collector.
		runtime.GC()
		runtime.GC()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d messages acknowledged", len(tr.made))
}
