package mbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

var plain = Options{Fcntl: true, Dotlock: true, Attempts: 2, Delay: 20 * time.Millisecond,
	StrictOwner: os.Getuid(), Now: func() time.Time { return time.Unix(0, 0).UTC() }}

func deliver(t *testing.T, path, text string, o Options) error {
	t.Helper()
	return Append(context.Background(), new(safefile.FS), path, "a@b", o, func(w io.Writer) error {
		_, err := io.Copy(w, iotest.OneByteReader(strings.NewReader(text)))
		return err
	})
}

func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	for _, text := range []string{"Subject: 1\n\nFrom me\nFromage\n>From x\n", "Subject: 2\n\nno newline", "F\nFrom\nFrom \n", "x\nFro"} {
		if err := deliver(t, path, text, plain); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sep := "From a@b  Thu Jan  1 00:00:00 1970\n"
	want := sep + "Subject: 1\n\n>From me\nFromage\n>From x\n\n" +
		sep + "Subject: 2\n\nno newline\n\n" + sep + "F\nFrom\n>From \n\n" + sep + "x\nFro\n\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := os.Stat(path + ".lock"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("dot lock: %v", err)
	}
}

func TestFailureCutsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := Append(context.Background(), new(safefile.FS), path, "", plain, func(w io.Writer) error {
		w.Write(bytes.Repeat([]byte("x\n"), 100000))
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	fs := &safefile.FS{Fault: func(op safefile.Op, _ string) error {
		if op == safefile.OpSync {
			return broken
		}
		return nil
	}}
	err = Append(context.Background(), fs, path, "", plain, func(w io.Writer) error {
		_, err := io.WriteString(w, "y\n")
		return err
	})
	if !errors.Is(err, broken) {
		t.Errorf("error of sync %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "old\n" {
		t.Errorf("left %q", got)
	}
}

func TestSizeLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	o := plain
	o.SizeLimit = 100
	if err := deliver(t, path, strings.Repeat("x", 200), o); !errors.Is(err, ErrTooBig) {
		t.Errorf("error %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Symlink(target, filepath.Join(dir, "symlink"))
	os.WriteFile(filepath.Join(dir, "linked"), nil, 0o600)
	os.Link(filepath.Join(dir, "linked"), filepath.Join(dir, "linked2"))
	os.Mkdir(filepath.Join(dir, "directory"), 0o700)
	other := plain
	other.StrictOwner = os.Getuid() + 1
	for _, tc := range []struct {
		name string
		o    Options
		want error
	}{
		{"symlink", plain, ErrMailbox}, {"linked", plain, ErrMailbox}, {"target", other, ErrMailbox},
	} {
		if err := deliver(t, filepath.Join(dir, tc.name), "x\n", tc.o); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if err := deliver(t, filepath.Join(dir, "directory"), "x\n", plain); err == nil {
		t.Error("delivered to a directory")
	}
	if got, _ := os.ReadFile(target); string(got) != "secret\n" {
		t.Errorf("target is now %q", got)
	}
}

func TestLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	os.WriteFile(path+".lock", nil, 0o644)
	if err := deliver(t, path, "x\n", plain); !errors.Is(err, ErrLocked) {
		t.Errorf("dot lock: %v", err)
	}
	stale := plain
	stale.Now = func() time.Time { return time.Now().Add(time.Hour) }
	stale.Stale = 500 * time.Second
	if err := deliver(t, path, "x\n", stale); err != nil {
		t.Errorf("stale dot lock: %v", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if ok, err := safefile.TryLockOFD(f); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := deliver(t, path, "x\n", plain); !errors.Is(err, ErrLocked) {
		t.Errorf("fcntl lock: %v", err)
	}
}
