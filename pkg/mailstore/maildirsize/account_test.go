package maildirsize

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// TestAccount: what other programs do to the file between the steps of an
// account is seen, and what the account adds is not lost by it.
func TestAccount(t *testing.T) {
	const quota = "5000S"
	for name, tc := range map[string]struct {
		change func(t *testing.T, file string)
		seen   int64 // bytes, after Refresh
		line   string
		after  int64 // bytes in the file, after Add of 7
	}{
		"nothing": {func(*testing.T, string) {}, 100, quota, 107},
		"appended": {func(t *testing.T, file string) {
			if err := (&Dir{FS: new(safefile.FS), Root: filepath.Dir(file)}).Add(Usage{30, 1}); err != nil {
				t.Fatal(err)
			}
		}, 130, quota, 137},
		"replaced by one of its size": {func(t *testing.T, file string) {
			write(t, file+".new", quota+"\n         200            2\n")
			if err := os.Rename(file+".new", file); err != nil {
				t.Fatal(err)
			}
		}, 200, quota, 207},
		"written over": {func(t *testing.T, file string) {
			write(t, file, quota+"\n         300            3\n")
			if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
		}, 300, quota, 307},
		"another quota": {func(t *testing.T, file string) {
			write(t, file+".new", "9000S\n         400            4\n")
			if err := os.Rename(file+".new", file); err != nil {
				t.Fatal(err)
			}
		}, 400, "9000S", 407},
		"removed": {func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}, 0, "", -1},
	} {
		for _, refresh := range []bool{true, false} {
			root := tree(t)
			file := filepath.Join(root, Name)
			write(t, file, quota+"\n         100            1\n")
			a, err := (&Dir{FS: new(safefile.FS), Root: root}).Open()
			if err != nil || a.Line() != quota || a.content.usage.Bytes != 100 {
				t.Fatalf("%s: %v, %+v", name, err, a.content)
			}
			tc.change(t, file)
			if refresh {
				if err := a.Refresh(); err != nil || a.Line() != tc.line || a.content.usage.Bytes != tc.seen {
					t.Errorf("%s: %v, %+v", name, err, a.content)
				}
			}
			if err := a.Add(Usage{7, 1}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			a.Close()
			data, err := os.ReadFile(file)
			if tc.after < 0 {
				if !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s: the file is there: %v", name, err)
				}
				continue
			}
			if c, ok := parse(string(data)); !ok || c.usage.Bytes != tc.after {
				t.Errorf("%s, refresh %v: the file has %q", name, refresh, data)
			}
		}
	}
}

// TestAccountKnows: what an account added or counted anew it need not read.
func TestAccountKnows(t *testing.T) {
	root := tree(t, "new/1.a.h 100", "new/2.a.h 50")
	a, err := (&Dir{FS: new(safefile.FS), Root: root}).Open()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if u, err := a.Usage("5000S"); err != nil || u != (Usage{150, 2}) {
		t.Fatalf("%+v, %v", u, err)
	}
	if err := a.Add(Usage{70, 1}); err != nil {
		t.Fatal(err)
	}
	if u, err := a.Usage("5000S"); err != nil || u != (Usage{220, 3}) {
		t.Errorf("%+v, %v", u, err)
	}
	if ok, u, err := a.Allow("5000S", Quota{Bytes: 200}, Usage{10, 1}); err != nil || !ok || u != (Usage{150, 2}) {
		t.Errorf("the message that is not there counts: %v, %+v, %v", ok, u, err)
	}
}

// TestAccountReadOnly: a file that may only be read is one to ask; whoever
// would add to it is told.
func TestAccountReadOnly(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("SKIPPED for root, who may write it: the append")
	}
	root := tree(t)
	file := filepath.Join(root, Name)
	write(t, file, "5000S\n         100            1\n")
	if err := os.Chmod(file, 0o400); err != nil {
		t.Fatal(err)
	}
	a, err := (&Dir{FS: new(safefile.FS), Root: root}).Open()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if u, err := a.Usage("5000S"); err != nil || u.Bytes != 100 {
		t.Errorf("%+v, %v", u, err)
	}
	if err := a.Add(Usage{1, 1}); os.Geteuid() != 0 && !errors.Is(err, os.ErrPermission) {
		t.Errorf("append: %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
