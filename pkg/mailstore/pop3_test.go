package mailstore

import (
	"errors"
	"testing"
	"time"
)

func TestLockPOP3(t *testing.T) {
	root := t.TempDir() + "/Maildir"
	now := time.Now()
	open := func() *Store {
		s, err := Open(Options{Root: root, User: "me"})
		if err != nil {
			t.Fatal(err)
		}
		s.sh.now = func() time.Time { return now }
		return s
	}
	a, b := open(), open()
	release, err := a.LockPOP3(true, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.LockPOP3(true, 0); !errors.Is(err, ErrInUse) {
		t.Errorf("second lock: %v", err)
	}
	if r, err := b.LockPOP3(false, 0); err != nil {
		t.Errorf("without exclusion: %v", err)
	} else {
		r()
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.LockPOP3(true, time.Minute); !errors.Is(err, ErrTooSoon) {
		t.Errorf("too soon: %v", err)
	}
	now = now.Add(61 * time.Second)
	if release, err = b.LockPOP3(true, time.Minute); err != nil {
		t.Fatal(err)
	}
	release()
}
