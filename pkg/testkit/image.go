package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Image is an ext4 file system in a file, mounted by a loop device: tests cut
// its power, and benchmarks have a file system as servers have it.
type Image struct {
	File, At string
	loop     string // the device while it is mounted
}

// CanMount returns why no image can be mounted here, or nil.
func CanMount() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("loop devices and mounts need root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return err
	}
	for _, tool := range []string{"mkfs.ext4", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	return nil
}

// NewImage makes a file system of so many megabytes and mounts it on a
// directory, which is made; options are those of mkfs.ext4. It is unmounted at
// the end of the test.
func NewImage(t testing.TB, at string, megabytes int, options ...string) *Image {
	t.Helper()
	f, err := os.CreateTemp("", "image")
	if err == nil {
		err = f.Truncate(int64(megabytes) << 20)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"}, options...)
	if out, err := exec.Command("mkfs.ext4", append(args, f.Name())...).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	i := &Image{File: f.Name(), At: at}
	i.Mount(t)
	os.Remove(filepath.Join(at, "lost+found"))
	t.Cleanup(func() { i.Unmount(t); os.Remove(i.File) })
	return i
}

// Mount mounts it, as after a start.
func (i *Image) Mount(t testing.TB) {
	t.Helper()
	if out, err := exec.Command("mount", "-t", "ext4", "-o", "loop", i.File, i.At).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	i.loop = loopMounts()[i.At]
}

// loopMounts are the mounts of loop devices in this mount namespace, device by
// directory.
func loopMounts() map[string]string {
	text, _ := os.ReadFile("/proc/self/mounts")
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[0], "/dev/loop") {
			found[f[1]] = f[0]
		}
	}
	return found
}

// LetGoOfImages unmounts, in a mount namespace that is new, the images of
// others, which could not be mounted anew as long as a copy is there.
func LetGoOfImages() {
	for at := range loopMounts() {
		_ = unix.Unmount(at, unix.MNT_DETACH)
	}
}

// Unmount waits until nobody uses it any more, in any mount namespace: what is
// mounted again before that is the same file system, with its power cut.
func (i *Image) Unmount(t testing.TB) {
	t.Helper()
	var err error
	for range 6000 {
		err = unix.Unmount(i.At, 0)
		if (err == nil || err == unix.EINVAL) && !i.inUse() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("umount %s: %v; in use elsewhere: %t", i.At, err, i.inUse())
}

// inUse reports whether the loop device still has the file.
func (i *Image) inUse() bool {
	text, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(i.loop), "loop/backing_file"))
	return err == nil && strings.HasPrefix(strings.TrimSpace(string(text)), i.File)
}

// goingDown is XFS_IOC_GOINGDOWN, which ext4 knows too: with flag 2 the file
// system stops at once, and what is not on disk by then is gone.
const goingDown = 0x8004587d

// Cut takes the power from file systems, all within microseconds.
func Cut(t testing.TB, images ...*Image) {
	t.Helper()
	dirs := make([]*os.File, len(images))
	for n, i := range images {
		d, err := os.Open(i.At)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		dirs[n] = d
	}
	noFlush := uint32(2)
	for _, d := range dirs {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, d.Fd(), goingDown, uintptr(unsafe.Pointer(&noFlush))); errno != 0 {
			t.Fatalf("shutdown ioctl: %v", errno)
		}
	}
}
