package mailstore

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// TestCreateFails: a folder that could not be made, whichever call failed, is
// not half there, and can be made later.
func TestCreateFails(t *testing.T) {
	for n := 0; ; n++ {
		root := newRoot(t)
		calls, armed := 0, false
		fs := &safefile.FS{Fault: func(op safefile.Op, path string) error {
			if !armed || op == safefile.OpRemove || !strings.Contains(path, "New") && op != safefile.OpWrite {
				return nil
			}
			if calls++; calls == n+1 {
				return unix.ENOSPC
			}
			return nil
		}}
		s := openWith(t, root, Options{Shared: NewShared(fs, slog.New(slog.DiscardHandler)), User: "me"})
		if err := s.SetACL("INBOX", "peer", 0, RightLookup|RightRead); err != nil {
			t.Fatal(err)
		}
		armed = true
		err := s.Create("New", "Archive")
		armed = false
		if calls <= n {
			if n < 4 || err != nil {
				t.Errorf("only %d calls; %v", calls, err)
			}
			return
		}
		if _, serr := os.Lstat(filepath.Join(root, ".New")); err == nil || !errors.Is(serr, os.ErrNotExist) {
			t.Errorf("call %d: %v, and the folder: %v", n+1, err, serr)
		}
		if err := s.Create("New", "Archive"); err != nil {
			t.Errorf("call %d, later: %v", n+1, err)
		}
		selectBox(t, s, "New")
	}
}

// TestAppendFailsHalfway: of several messages none stays when the keyword of a
// later one cannot be written.
func TestAppendFailsHalfway(t *testing.T) {
	for _, errno := range []error{unix.ENOSPC, unix.EIO} {
		armed := false
		fs := &safefile.FS{Fault: func(op safefile.Op, path string) error {
			if armed && op == safefile.OpWrite && strings.HasSuffix(path, fileList) {
				return errno
			}
			return nil
		}}
		root := newRoot(t)
		s := openWith(t, root, Options{Shared: NewShared(fs, slog.New(slog.DiscardHandler))})
		appendTo(t, s, "INBOX", 1, 0)
		armed = true
		_, err := s.Append("INBOX", []Incoming{{Content: strings.NewReader(message(2))}, {Content: strings.NewReader(message(3)), Keywords: []string{"new"}}})
		if !errors.Is(err, ErrTemporary) || !errors.Is(err, errno) {
			t.Errorf("append: %v", err)
		}
		for _, sub := range []string{"cur", "new", "tmp"} {
			names, _ := os.ReadDir(filepath.Join(root, sub))
			if want := map[string]int{"cur": 1}[sub]; len(names) != want {
				t.Errorf("%v: %d files in %s, want %d", errno, len(names), sub, want)
			}
		}
		armed = false
		if m := selectBox(t, s, "INBOX"); m.Len() != 1 {
			t.Errorf("%v: %d messages", errno, m.Len())
		}
	}
}
