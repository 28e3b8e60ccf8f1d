package mailstore

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/uidlist"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// filePOP3 is the lock that one POP3 session at a time holds. Its modification
// time is that of the last login.
const filePOP3 = "posthouse-pop3.lock"

// What LockPOP3 may say.
var (
	ErrInUse   = errors.New("mailbox is in use by another session")
	ErrTooSoon = errors.New("too soon after the last login")
)

// OpenFile opens a message of the view as it is on disk, whatever its line
// ends. ErrExpunged means that it is gone.
func (m *Mailbox) OpenFile(msg *Message) (*os.File, error) { return m.f.openMessage(msg) }

// UIDLs returns the POP3 unique ids of messages that had one before they came
// here, by UID.
func (m *Mailbox) UIDLs() (map[uint32]string, error) {
	list, _, err := m.f.readList()
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, uidlist.ErrNoHeader) {
		return nil, nil
	}
	if err != nil {
		return nil, temporary(err)
	}
	ids := make(map[uint32]string)
	for i := range list.Entries {
		if e := &list.Entries[i]; e.UIDL != "" {
			ids[e.UID] = e.UIDL
		}
	}
	return ids, nil
}

// LockPOP3 notes a POP3 login and, if exclusive is set, keeps others out until
// release is called: RFC 1939 4 asks for one session at a time. Logins that
// follow each other faster than delay are refused.
func (s *Store) LockPOP3(exclusive bool, delay time.Duration) (release func() error, err error) {
	if !exclusive && delay <= 0 {
		return func() error { return nil }, nil
	}
	path := filepath.Join(s.o.Root, filePOP3)
	check := safefile.Check{Owner: safefile.AnyOwner}
	now := s.sh.now()
	file, st, err := s.fs.Open(path, os.O_RDWR, check)
	if errors.Is(err, os.ErrNotExist) {
		if file, err = s.fs.Create(path, 0o600); errors.Is(err, os.ErrExist) {
			file, st, err = s.fs.Open(path, os.O_RDWR, check)
		}
	}
	if err != nil {
		return nil, temporary(err)
	}
	if exclusive {
		if ok, err := safefile.TryLockOFD(file); err != nil || !ok {
			file.Close()
			if err == nil {
				err = ErrInUse
			}
			return nil, err
		}
	}
	if st != nil && delay > 0 {
		last := time.Unix(st.Mtim.Unix())
		if since := now.Sub(last); since >= 0 && since < delay {
			file.Close()
			return nil, ErrTooSoon
		}
	}
	if err := os.Chtimes(path, now, now); err != nil {
		file.Close()
		return nil, temporary(err)
	}
	return file.Close, nil
}
