package pop3server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// Access says how sessions use a store.
type Access struct {
	Lock   bool          // pop3_lock_session
	Delay  time.Duration // pop3_login_delay
	Format *Format       // pop3_uidl_format
}

// Open opens the inbox of a store as a maildrop.
func Open(store *mailstore.Store, a Access) (Maildrop, error) {
	release, err := store.LockPOP3(a.Lock, a.Delay)
	switch {
	case errors.Is(err, mailstore.ErrInUse):
		return nil, ErrInUse
	case errors.Is(err, mailstore.ErrTooSoon):
		return nil, ErrTooSoon
	case err != nil:
		return nil, err
	}
	box, err := store.Mailbox("INBOX", false)
	if err != nil {
		release()
		return nil, err
	}
	return &inbox{box: box, release: release, format: a.Format}, nil
}

// inbox is the view of a folder at the beginning of the session, which is not
// brought up to date: message numbers stay.
type inbox struct {
	box     *mailstore.Mailbox
	release func() error
	format  *Format
	uidls   map[uint32]string // of an earlier server
	asked   bool
}

// Len implements Maildrop.
func (b *inbox) Len() int { return b.box.Len() }

func (b *inbox) message(i int) (*mailstore.Message, error) {
	msg, ok := b.box.Message(i + 1)
	if !ok {
		return nil, fmt.Errorf("no record of message %d", i+1)
	}
	return &msg, nil
}

// Size implements Maildrop.
func (b *inbox) Size(i int) (int64, error) {
	msg, err := b.message(i)
	if err != nil {
		return 0, err
	}
	facts, err := b.box.Facts(msg)
	if errors.Is(err, mailstore.ErrExpunged) {
		// Its size will not be missed, and the others' are wanted.
		return 0, nil
	}
	return facts.Size, err
}

// UIDL implements Maildrop.
func (b *inbox) UIDL(i int) (string, error) {
	msg, err := b.message(i)
	if err != nil {
		return "", err
	}
	if !b.asked {
		if b.uidls, err = b.box.UIDLs(); err != nil {
			return "", err
		}
		b.asked = true
	}
	if id := b.uidls[msg.UID]; id != "" {
		return Clean(id), nil
	}
	return b.format.Make(Identity{UID: msg.UID, Validity: b.box.UIDValidity(), Base: msg.Base, GUID: msg.GUID}), nil
}

// Open implements Maildrop.
func (b *inbox) Open(i int) (io.ReadCloser, error) {
	msg, err := b.message(i)
	if err != nil {
		return nil, err
	}
	f, err := b.box.OpenFile(msg)
	if errors.Is(err, mailstore.ErrExpunged) || errors.Is(err, os.ErrNotExist) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Update implements Maildrop. Messages are deleted even if their neighbours
// cannot be marked.
func (b *inbox) Update(seen, deleted []int) error {
	gone, err := b.uids(deleted)
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		if _, err := b.box.Expunge(gone, true); err != nil {
			return err
		}
		// A client that has been told so forgets them, and would get them again.
		if err := b.box.SyncChanges(); err != nil {
			return err
		}
	}
	read, err := b.unseen(seen)
	if err != nil || len(read) == 0 {
		return err
	}
	_, err = b.box.Store(mailstore.StoreRequest{UIDs: read, Op: mailstore.AddFlags, Flags: mailstore.Seen})
	return err
}

func (b *inbox) uids(numbers []int) ([]uint32, error) {
	uids := make([]uint32, 0, len(numbers))
	for _, i := range numbers {
		msg, err := b.message(i)
		if err != nil {
			return nil, err
		}
		uids = append(uids, msg.UID)
	}
	return uids, nil
}

// unseen leaves those out that are marked already.
func (b *inbox) unseen(numbers []int) ([]uint32, error) {
	var uids []uint32
	for _, i := range numbers {
		msg, err := b.message(i)
		if err != nil {
			return nil, err
		}
		if msg.Flags&mailstore.Seen == 0 {
			uids = append(uids, msg.UID)
		}
	}
	return uids, nil
}

// Close implements Maildrop.
func (b *inbox) Close() error {
	err := b.box.Close()
	if rerr := b.release(); err == nil {
		err = rerr
	}
	return err
}
