package mbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// half makes a mailbox in which a delivery was killed after some bytes of its
// message: the file and the mark are as that delivery leaves them.
func half(t *testing.T, old, written string, length int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "box")
	if err := os.WriteFile(path, []byte(old+written), 0o600); err != nil {
		t.Fatal(err)
	}
	line := separator("a@b", plain.Now())
	m := fmt.Sprintf("%d %d %s clean", len(old), length, separatorSum([]byte(line)))
	if err := unix.Setxattr(path, markName, []byte(m), 0); err != nil {
		t.Skipf("SKIPPED: no extended attributes here: %v", err)
	}
	return path
}

func TestHalfMessage(t *testing.T) {
	const sep = "From a@b  Thu Jan  1 00:00:00 1970\n"
	const other = "From c@d  Fri Jan  2 00:00:00 1970\n"
	const first = other + "Subject: 0\n\nold\n\n"
	tests := []struct {
		name, old, written string
		length             int64 // of the mark; -1: the message was not complete
		keep               string
	}{
		{"nothing written", first, "", -1, first},
		{"half a separator", first, "From a@", -1, first},
		{"half a message", first, sep + "Subject: 1\n\nha", -1, first},
		{"half, up to an empty line", first, sep + "Subject: 1\n\n", -1, first},
		{"in an empty mailbox", "", sep + "Subject: 1\n\nha", -1, ""},
		{"complete but not reported", first, sep + "Subject: 1\n\nhalf\n\n", 53, first + sep + "Subject: 1\n\nhalf\n\n"},
		{"complete, then cut by the file system", first, sep + "Subject: 1\n\nha", 53, first},
		{"complete, with blocks that were not written", first, sep + "Subject: 1\n\n\x00\x00\x00\x00\n\n", 53, first},
		{"the same to the end", first, sep + "Subject: 1\n\x00\x00\x00\x00\x00\x00\x00", 53, first},
		{"with blocks that were not written, somebody else's behind it", first, sep + "Subject: 1\n\n\x00\x00\x00\x00\n\n" + other + "x\n\n", 53,
			first + sep + "Subject: 1\n\n\x00\x00\x00\x00\n\n" + other + "x\n\n"},
		{"complete, then made shorter by a reader", first, sep + "Subject: 1\n\nh\n\n", 53, first + sep + "Subject: 1\n\nh\n\n"},
		{"somebody else's behind it", first, sep + "Subject: 1\n\nha" + other + "x\n\n", -1, first + sep + "Subject: 1\n\nha" + other + "x\n\n"},
		{"somebody else's there", first, other + "x\n\n", -1, first + other + "x\n\n"},
		{"no newline, somebody else's there", first, other + "x", -1, first + other + "x\n\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := half(t, test.old, test.written, test.length)
			for n := range 2 {
				if err := deliver(t, path, fmt.Sprintf("new %d\n", n), plain); err != nil {
					t.Fatal(err)
				}
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if want := test.keep + sep + "new 0\n\n" + sep + "new 1\n\n"; string(got) != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestMark: the attribute is there while a message is written and synced, says
// then whether the message has zeros of its own, and is gone after.
func TestMark(t *testing.T) {
	for text, clean := range map[string]bool{"ab\n": true, "a\x00b\n": false} {
		path := half(t, "", "", -1)
		unix.Removexattr(path, markName)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		marked := false
		var done mark
		fs := &safefile.FS{Fault: func(safefile.Op, string) error {
			done, _ = readMark(f)
			return nil
		}}
		err = appendTo(fs, f, "a@b", plain, func(w io.Writer) error {
			_, marked = readMark(f)
			_, err := io.WriteString(w, text)
			return err
		})
		if err != nil || !marked || done.length <= 0 || done.clean != clean {
			t.Errorf("%q: error %v, marked %v, at the sync %+v", text, err, marked, done)
		}
		if _, ok := readMark(f); ok {
			t.Errorf("%q: the mark is still there", text)
		}
	}
}

// TestAbandonedDotlock: the lock of a process that is gone holds nobody up.
func TestAbandonedDotlock(t *testing.T) {
	if Identity() == "" {
		t.Fatal("no identity")
	}
	child := exec.Command("/bin/true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	dead := child.Process.Pid
	before := strings.Fields(Identity())
	before[1] = "other-boot"
	tests := []struct {
		name, content string
		free          bool
	}{
		{"from before the last start", fmt.Sprintf("%d %s\n", os.Getppid(), strings.Join(before, " ")), before[0] != anyMachine},
		{"gone", fmt.Sprintf("%d%s\n", dead, Identity()), true},
		{"running", fmt.Sprintf("%d%s\n", os.Getppid(), Identity()), false},
		{"from elsewhere", fmt.Sprintf("%d other-machine other-boot pid:[1]\n", dead), false},
		{"number only", fmt.Sprint(dead), false},
		{"not complete", fmt.Sprintf("%d%s", dead, Identity()), false},
		{"empty", "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "box")
			if err := os.WriteFile(path+".lock", []byte(test.content), 0o644); err != nil {
				t.Fatal(err)
			}
			err := deliver(t, path, "x\n", plain)
			if test.free && err != nil || !test.free && !errors.Is(err, ErrLocked) {
				t.Errorf("error %v", err)
			}
			text, _ := os.ReadFile(path + ".lock")
			if !test.free && !strings.HasPrefix(string(text), test.content) {
				t.Errorf("the lock was replaced by %q", text)
			}
		})
	}
}

// TestDotlockWithoutContent: a power cut leaves a lock without its content,
// but with its attribute.
func TestDotlockWithoutContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	name := path + ".lock"
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	child := exec.Command("/bin/true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	if err := deliver(t, path, "x\n", plain); !errors.Is(err, ErrLocked) {
		t.Errorf("no attribute: error %v", err)
	}
	id := fmt.Sprintf("%d%s\n", child.Process.Pid, Identity())
	if err := unix.Setxattr(name, lockName, []byte(id), 0); err != nil {
		t.Skipf("SKIPPED: no extended attributes here: %v", err)
	}
	if err := deliver(t, path, "x\n", plain); err != nil {
		t.Error(err)
	}
}

// TestDotlockSigned: a lock tells whose it is from its first moment.
func TestDotlockSigned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	unlock, err := dotlock(t.Context(), new(safefile.FS), path, plain)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d%s\n", os.Getpid(), Identity())
	if text, err := os.ReadFile(path + ".lock"); err != nil || string(text) != want {
		t.Errorf("lock %q, %v", text, err)
	}
	if _, err := dotlock(t.Context(), new(safefile.FS), path, plain); !errors.Is(err, ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	unlock()
	if left, _ := filepath.Glob(path + "*"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
