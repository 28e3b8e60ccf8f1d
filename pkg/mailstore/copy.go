package mailstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/maildir"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Copied pairs the UIDs of messages with those of their copies (RFC 4315 3).
type Copied struct {
	UIDValidity uint32 // of the destination
	From, To    []uint32
}

// Copy copies messages to another folder: all that are still there, on disk,
// or none. A copy shares the file with the original where it can.
func (m *Mailbox) Copy(uids []uint32, name string) (Copied, error) {
	var res Copied
	a, err := m.store.Begin(name)
	if err != nil {
		return res, err
	}
	defer a.Abort()
	for _, uid := range uids {
		i, ok, err := m.view.Search(uid)
		if err != nil {
			m.fail(err)
			return res, temporary(err)
		}
		if !ok {
			continue
		}
		r, err := m.view.At(i)
		if err != nil {
			m.fail(err)
			return res, temporary(err)
		}
		err = a.addCopy(m, &r)
		if errors.Is(err, ErrExpunged) {
			continue
		}
		if err != nil {
			return res, err
		}
		res.From = append(res.From, uid)
	}
	if len(res.From) == 0 {
		if len(uids) > 0 {
			return res, ErrExpunged
		}
		return res, nil
	}
	done, err := a.Commit()
	if err != nil {
		return Copied{}, err
	}
	for _, d := range done {
		res.UIDValidity = d.UIDValidity
		res.To = append(res.To, d.UID)
	}
	return res, nil
}

// Move is Copy after which the messages that were copied are removed here. The
// copies are on disk before anything is removed.
func (m *Mailbox) Move(uids []uint32, name string) (Copied, error) {
	if m.readOnly {
		return Copied{}, ErrReadOnly
	}
	if !m.rights.Has(RightDelete | RightExpunge) {
		return Copied{}, ErrNoPermission
	}
	res, err := m.Copy(uids, name)
	if err != nil {
		return res, err
	}
	_, err = m.expunge(res.From, true)
	return res, err
}

// addCopy puts a message of another folder into the folder's tmp.
func (a *Appending) addCopy(from *Mailbox, r *index.Record) error {
	src, err := from.f.openMessage(r)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return temporary(err)
	}
	size, wire := maildir.Sizes(r.Base)
	facts, err := from.Facts(r)
	if err != nil {
		return err
	}
	if wire < 0 {
		wire = facts.Size
	}
	if size < 0 {
		size = info.Size()
	}
	tmp := filepath.Join(a.p.dir, "tmp", fmt.Sprintf("%d.P%dC%d.%s", a.f.now().UnixNano(), os.Getpid(), len(a.msgs), maildir.HostPart(a.s.o.Host)))
	m := &incoming{tmp: tmp, bytes: size}
	if err := a.linkOrCopy(m, src, info); err != nil {
		m.discard(a.s.fs)
		return err
	}
	now := a.f.now()
	dev, ino, err := safefile.Inode(src)
	if err != nil {
		return temporary(err)
	}
	// The same file may be copied into a folder more than once.
	base := maildir.BaseName(now.Unix(), now.Nanosecond()/1000, dev, ino, fmt.Sprintf("%d.%s", len(a.msgs), a.s.o.Host), size, wire)
	flags, keywords := a.allowed(r.Flags, from.KeywordNames(nil, r))
	m.keywords = keywords
	m.record = index.Record{Flags: flags, Size: wire, Internal: info.ModTime().Unix(), Base: base, GUID: r.GUID}
	a.msgs = append(a.msgs, m)
	return nil
}

// linkOrCopy makes m.tmp a second name of the message, or a copy on another
// file system. A linked file is synced too: its content may be newer than the
// last sync of its own folder.
func (a *Appending) linkOrCopy(m *incoming, src *os.File, info os.FileInfo) error {
	err := a.s.fs.Link(src.Name(), m.tmp)
	if err == nil {
		m.file, err = reopen(a.s.fs, m.tmp)
		return temporary(err)
	}
	if !errors.Is(err, unix.EXDEV) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EMLINK) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EACCES) {
		return temporary(err)
	}
	file, err := a.s.fs.Create(m.tmp, maildir.Mode)
	if err != nil {
		return temporary(err)
	}
	m.file = file
	if _, err := io.CopyBuffer(&fileWriter{fs: a.s.fs, f: file}, io.NewSectionReader(src, 0, info.Size()), make([]byte, 256<<10)); err != nil {
		return temporary(err)
	}
	return temporary(a.s.fs.SetTimes(m.tmp, info.ModTime()))
}

func reopen(fs *safefile.FS, path string) (*os.File, error) {
	f, _, err := fs.Open(path, os.O_RDONLY, safefile.Check{Owner: safefile.AnyOwner, Links: true})
	return f, err
}
