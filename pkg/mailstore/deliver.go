package mailstore

import (
	"context"
	"errors"
	"io"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/maildir"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/maildirsize"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Delivery is a message that comes by mail.
type Delivery struct {
	// Fill writes the message, with LF or CRLF line ends. It may be called
	// again.
	Fill func(io.Writer) error
	// Folder is where it goes; "" is INBOX. One that is not there is made
	// with Create, and subscribed to with Subscribe; else the message goes to
	// INBOX.
	Folder            string
	Create, Subscribe bool
	Flags             Flags
	Keywords          []string
	NoQuota           bool // also when it does not fit
	quiet             bool // is itself a warning: none of it
}

// Delivered tells where a message is.
type Delivered struct {
	Folder string
	Path   string // of the file
	UID    uint32 // 0 if it got none yet
	Size   int64  // of the file
}

// Deliver puts a message into the store and returns when it is on disk there.
// One without flags goes to new, for which no index and no lock is needed:
// whoever reads the folder next gives it a UID.
func (s *Store) Deliver(ctx context.Context, d Delivery) (Delivered, error) {
	if err := ctx.Err(); err != nil {
		return Delivered{}, temporary(err)
	}
	p, err := s.deliveryPlace(d)
	if err != nil {
		return Delivered{}, err
	}
	if d.Flags == 0 && len(d.Keywords) == 0 {
		return s.deliverNew(p, d)
	}
	return s.deliverFlagged(p, d)
}

// deliveryPlace finds the folder, and makes it if that is asked for.
func (s *Store) deliveryPlace(d Delivery) (place, error) {
	in, err := s.place(inbox)
	if err != nil || d.Folder == "" {
		return in, err
	}
	p, err := s.place(d.Folder)
	if err != nil {
		return in, nil // what cannot be a folder name
	}
	if !p.exists() {
		if !d.Create {
			return in, nil
		}
		if err := s.Create(p.name); err != nil && !errors.Is(err, ErrExists) {
			if errors.Is(err, ErrNoPermission) || errors.Is(err, ErrBadName) || errors.Is(err, ErrNoMailbox) {
				return in, nil
			}
			return in, err
		}
		if d.Subscribe {
			if err := s.Subscribe(p.name); err != nil {
				return in, err
			}
		}
	}
	if !p.rights.Has(RightInsert) && !p.rights.Has(RightPost) {
		return in, nil
	}
	return p, nil
}

func (s *Store) deliverNew(p place, d Delivery) (Delivered, error) {
	f := &folder{dir: p.dir, root: p.root}
	dl := &maildir.Deliverer{FS: s.fs, Host: s.o.Host, Now: s.sh.now}
	if d.NoQuota {
		name, err := dl.Deliver(p.dir, d.Fill)
		if err != nil {
			return Delivered{}, temporary(err)
		}
		size, _ := maildir.Sizes(name)
		s.quotaCount(f, size, 1, !d.quiet)
		return Delivered{Folder: p.name, Path: filepath.Join(p.dir, name), Size: size}, nil
	}
	a, err := s.account(p.root)
	if err != nil {
		return Delivered{}, err
	}
	defer a.close()
	// A full mailbox takes nothing, so that need not be written first.
	if err := a.check(p, 1, 1); err != nil {
		return Delivered{}, err
	}
	counted := int64(0)
	dl.Admit = func(size int64) (func(bool), error) {
		release, err := a.admit(p, size, 1)
		return func(there bool) {
			if there && a.add(f, size, 1) {
				counted = size
			}
			release()
		}, err
	}
	name, err := dl.Deliver(p.dir, d.Fill)
	if err != nil {
		if counted > 0 && a.add(f, -counted, -1) {
			a.tell(-counted, -1)
		}
		return Delivered{}, temporary(err)
	}
	if counted > 0 {
		a.tell(counted, 1)
	}
	size, _ := maildir.Sizes(name)
	return Delivered{Folder: p.name, Path: filepath.Join(p.dir, name), Size: size}, nil
}

func (s *Store) deliverFlagged(p place, d Delivery) (Delivered, error) {
	a := &Appending{s: s, p: p, f: s.sh.acquire(p.root, p.dir), free: d.NoQuota}
	defer a.Abort()
	r, w := io.Pipe()
	go func() { w.CloseWithError(d.Fill(w)) }()
	defer r.Close()
	if err := a.Add(&Incoming{Content: r, Flags: d.Flags, Keywords: d.Keywords}); err != nil {
		return Delivered{}, temporary(err)
	}
	size, m := a.Size(), a.msgs[0]
	done, err := a.Commit()
	if err != nil {
		return Delivered{}, err
	}
	return Delivered{Folder: p.name, Path: m.path, UID: done[0].UID, Size: size}, nil
}

// DeliverTo puts a message into the Maildir at dir, whoever's it is, and
// returns its name in there: what virtual(8) and local(8) deliver. It needs
// no store and makes no file of one. A quota that the Maildir keeps itself is
// counted, and not enforced: who has one that refuses mail delivers by LMTP.
func DeliverTo(fs *safefile.FS, dir, host string, fill func(io.Writer) error) (string, error) {
	d := maildir.Deliverer{FS: fs, Host: host}
	name, err := d.Deliver(dir, fill)
	if err != nil {
		return "", err
	}
	root := filepath.Clean(dir)
	var st unix.Stat_t
	if err := unix.Lstat(root+"/maildirfolder", &st); err == nil {
		if filepath.Base(root) == ".Trash" {
			return name, nil
		}
		root = filepath.Dir(root)
	}
	size, _ := maildir.Sizes(name)
	// A count that is wrong is mended by the next recount.
	_ = (&maildirsize.Dir{FS: fs, Root: root}).Add(maildirsize.Usage{Bytes: size, Messages: 1})
	return name, nil
}
