package mailstore

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// newDisk returns a file system whose power can be cut.
func newDisk(t *testing.T) *testkit.Image {
	t.Helper()
	if err := testkit.CanMount(); err != nil {
		t.Skipf("SKIPPED: no file system to cut the power of: %v", err)
	}
	return testkit.NewImage(t, filepath.Join(t.TempDir(), "mail"), 64)
}

var wholeBody = regexp.MustCompile(`^r\d+p\d+-\d+$`)

// TestPowerCut cuts the power while processes use a store. What they
// acknowledged is there, whole, and no UID comes to stand for another message.
func TestPowerCut(t *testing.T) {
	d := newDisk(t)
	root := filepath.Join(d.At, "Maildir")
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
		testkit.Cut(t, d)
		for _, cmd := range cmds {
			_ = cmd.Process.Kill()
		}
		for range cap(outs) {
			for _, line := range <-outs {
				note(t, tr, line)
			}
		}
		d.Unmount(t)
		d.Mount(t)
		sh := NewShared(new(safefile.FS), slog.New(slog.NewTextHandler(testLog{t}, nil)))
		sh.boot = boot(round + 1)
		s := openWith(t, root, Options{Shared: sh})
		verify(t, s, tr)
		for key, body := range tr.content {
			if !wholeBody.MatchString(body) {
				t.Errorf("%s has the body %q", key, body)
			}
		}
		letGo(sh)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d messages acknowledged", len(tr.made))
}

// letGo closes all files, so that the file system can be unmounted.
func letGo(sh *Shared) {
	for _, f := range sh.folders {
		f.close()
		if f.index != nil {
			f.index.Close()
		}
	}
	// Index files that were replaced are closed by the collector.
	runtime.GC()
	runtime.GC()
}

// TestPowerCutAfterASession: the UIDs that a session has seen of messages which
// were delivered are still theirs after a power cut.
func TestPowerCutAfterASession(t *testing.T) {
	d := newDisk(t)
	root := filepath.Join(d.At, "Maildir")
	seen := map[string]uint32{}
	for round := range 5 {
		sh := NewShared(new(safefile.FS), slog.New(slog.NewTextHandler(testLog{t}, nil)))
		sh.boot = fmt.Sprintf("%08d-0000-0000-0000-000000000000", round)
		s := openWith(t, root, Options{Shared: sh})
		m := selectBox(t, s, "INBOX")
		for n := range 3 {
			_, err := s.Deliver(t.Context(), Delivery{Fill: func(w io.Writer) error { _, err := io.WriteString(w, message(n)); return err }})
			if err == nil {
				_, err = m.Sync(SyncOptions{})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for n := range m.Len() {
			msg, _ := m.Message(n + 1)
			if was, ok := seen[msg.Base]; ok && was != msg.UID {
				t.Errorf("%s has UID %d, had %d", msg.Base, msg.UID, was)
			}
			seen[msg.Base] = msg.UID
		}
		if m.Len() != 3*(round+1) {
			t.Errorf("%d messages after round %d", m.Len(), round)
		}
		testkit.Cut(t, d)
		m.Close()
		letGo(sh)
		d.Unmount(t)
		d.Mount(t)
	}
}
