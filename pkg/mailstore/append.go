package mailstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/maildir"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/crlf"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/uidlist"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Incoming is a message on its way into a folder.
type Incoming struct {
	Content  io.Reader // read to its end; CRLF or LF line ends
	Flags    Flags
	Keywords []string
	Internal time.Time // zero for now
	Limit    int64     // how many bytes it may have; 0: any
}

// Appended is a message that is on disk.
type Appended struct {
	UIDValidity uint32
	UID         uint32
	Size        int64 // with CRLF line ends
	GUID        [16]byte
}

// Appending is an append of one or more messages that is under way. Nobody
// sees them before Commit. It ends with Commit or Abort.
type Appending struct {
	s    *Store
	p    place
	f    *folder
	msgs []*incoming
	done bool
	free bool // no quota
}

// incoming is a message that is in tmp.
type incoming struct {
	file     *os.File
	tmp      string
	record   index.Record
	keywords []string
	bytes    int64 // of the file
	path     string
}

// Begin starts an append to a folder.
func (s *Store) Begin(name string) (*Appending, error) {
	p, err := s.place(name)
	if err != nil {
		return nil, err
	}
	if !p.exists() {
		return nil, p.missing()
	}
	if !p.rights.Has(RightInsert) {
		return nil, p.denied()
	}
	return &Appending{s: s, p: p, f: s.sh.acquire(p.root, p.dir)}, nil
}

// Append adds messages: all of them, on disk, or none.
func (s *Store) Append(name string, msgs []Incoming) ([]Appended, error) {
	a, err := s.Begin(name)
	if err != nil {
		return nil, err
	}
	defer a.Abort()
	for i := range msgs {
		if err := a.Add(&msgs[i]); err != nil {
			return nil, err
		}
	}
	return a.Commit()
}

// Add reads a message into the folder's tmp. An error of Content is returned
// as it is, and leaves the append as it was.
func (a *Appending) Add(in *Incoming) error {
	tmp := filepath.Join(a.p.dir, "tmp", fmt.Sprintf("%d.P%dQ%d.%s", a.f.now().UnixNano(), os.Getpid(), len(a.msgs), maildir.HostPart(a.s.o.Host)))
	file, err := a.s.fs.Create(tmp, maildir.Mode)
	if err != nil {
		return temporary(err)
	}
	m := &incoming{file: file, tmp: tmp}
	if err := a.fill(m, in); err != nil {
		m.discard(a.s.fs)
		return err
	}
	m.record.Flags, m.keywords = a.allowed(in.Flags, in.Keywords)
	a.msgs = append(a.msgs, m)
	return nil
}

func (m *incoming) discard(fs *safefile.FS) {
	if m.file != nil {
		_ = fs.Close(m.file)
		m.file = nil
	}
	if m.tmp != "" {
		_ = fs.Remove(m.tmp)
	}
}

// fill writes the content and finds the name that the file will have.
func (a *Appending) fill(m *incoming, in *Incoming) error {
	out := &fileWriter{fs: a.s.fs, f: m.file}
	w := crlf.NewWriter(out)
	src := in.Content
	if in.Limit > 0 {
		src = io.LimitReader(src, in.Limit+1)
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, src, make([]byte, 64<<10))
	if err == nil {
		err = w.Close()
	}
	if out.err != nil {
		return temporary(out.err)
	}
	if err != nil {
		return err
	}
	if in.Limit > 0 && n > in.Limit {
		return ErrTooBig
	}
	safefile.WriteBack(m.file)
	now := a.f.now()
	at := in.Internal
	if at.IsZero() {
		at = now
	} else if err := a.s.fs.SetTimes(m.tmp, at); err != nil {
		return temporary(err)
	}
	dev, ino, err := safefile.Inode(m.file)
	if err != nil {
		return temporary(err)
	}
	base := maildir.BaseName(now.Unix(), now.Nanosecond()/1000, dev, ino, a.s.o.Host, w.File, w.Wire)
	m.bytes = w.File
	m.record = index.Record{Size: w.Wire, Internal: at.Unix(), Base: base, GUID: uidlist.GUID(base)}
	return nil
}

// allowed takes out flags that the user has no right to set (RFC 4314 4).
func (a *Appending) allowed(flags Flags, keywords []string) (Flags, []string) {
	flags &= index.Kept
	if !a.p.rights.Has(RightWrite) {
		flags &= Seen | Deleted
		keywords = nil
	}
	if !a.p.rights.Has(RightSeen) {
		flags &^= Seen
	}
	if !a.p.rights.Has(RightDelete) {
		flags &^= Deleted
	}
	return flags, keywords
}

// fileWriter writes behind what it wrote before.
type fileWriter struct {
	fs  *safefile.FS
	f   *os.File
	off int64
	err error // its own, not the source's
}

func (w *fileWriter) Write(p []byte) (int, error) {
	if err := w.fs.Write(w.f, p, w.off); err != nil {
		w.err = err
		return 0, err
	}
	w.off += int64(len(p))
	return len(p), nil
}

// Size is how many bytes the files of the messages have so far.
func (a *Appending) Size() (n int64) {
	for _, m := range a.msgs {
		n += m.bytes
	}
	return n
}

// counted is what the messages add to the quota.
func (a *Appending) counted() (bytes, messages int64) {
	for _, m := range a.msgs {
		if quotaCounts(&m.record) {
			bytes, messages = bytes+m.bytes, messages+1
		}
	}
	return bytes, messages
}

// Abort gives up what was not committed.
func (a *Appending) Abort() {
	if a.done {
		return
	}
	a.done = true
	for _, m := range a.msgs {
		m.discard(a.s.fs)
	}
	a.s.sh.release(a.f)
}

// Commit makes the messages part of the folder, and returns when they are on
// disk.
func (a *Appending) Commit() ([]Appended, error) {
	if a.done {
		return nil, os.ErrClosed
	}
	defer a.Abort()
	quota, err := a.s.account(a.p.root)
	if err != nil && !a.free {
		return nil, err
	}
	defer quota.close()
	validity, counted, err := a.place(quota)
	bytes, messages := a.counted()
	if err == nil {
		err = a.f.makeDurable(a.msgs)
	}
	if err != nil {
		if counted {
			quota.add(a.f, -bytes, -messages)
		}
		a.takeBack()
		return nil, err
	}
	if counted {
		quota.tell(bytes, messages)
	}
	out := make([]Appended, len(a.msgs))
	for i, m := range a.msgs {
		out[i] = Appended{UIDValidity: validity, UID: m.record.UID, Size: m.record.Size, GUID: m.record.GUID}
	}
	a.msgs = nil
	return out, nil
}

// place makes the messages visible and counts them, if the quota has room.
func (a *Appending) place(quota *account) (validity uint32, counted bool, err error) {
	release := func() {}
	if !a.free {
		if release, err = quota.admit(a.p, a.Size(), int64(len(a.msgs))); err != nil {
			return 0, false, err
		}
	}
	defer release()
	err = a.f.change(func(c *change) error {
		validity = c.st.validity
		return c.addFiles(a.msgs)
	})
	if err == nil {
		bytes, messages := a.counted()
		counted = quota.add(a.f, bytes, messages)
	}
	return validity, counted, err
}

// addFiles gives the files their names, and the messages their UIDs.
func (c *change) addFiles(msgs []*incoming) error {
	for _, m := range msgs {
		req := StoreRequest{Op: AddFlags, Keywords: m.keywords}
		flags, bits, err := c.keywordBits(&req)
		if errors.Is(err, ErrKeywordLimit) {
			// A message matters more than a keyword.
			flags, bits, err = 0, 0, nil
		}
		if err == nil {
			err = c.commitWords()
		}
		if err != nil {
			return err
		}
		m.record.Flags |= flags
		m.record.Keywords = bits
		path := c.f.path(m.record.Path())
		c.f.expect(m.record.Path())
		if err := c.f.sh.fs.RenameNew(m.tmp, path); err != nil {
			return err
		}
		m.tmp, m.path = "", path
		if m.record.UID, err = c.add(m.record); err != nil {
			return err
		}
	}
	return nil
}

// makeDurable syncs the files, their names and the UID list, all at the same
// time: the file system commits them together.
func (f *folder) makeDurable(msgs []*incoming) error {
	errs := make(chan error, 2)
	go func() { errs <- f.sh.fs.SyncDir(f.path("cur")) }()
	go func() { errs <- f.syncList() }()
	var err error
	for _, m := range msgs {
		if m.file == nil {
			continue
		}
		if serr := f.sh.fs.SyncClose(m.file); err == nil {
			err = serr
		}
		m.file = nil
	}
	for range cap(errs) {
		if serr := <-errs; err == nil {
			err = serr
		}
	}
	return temporary(err)
}

func (f *folder) syncList() error { return f.sh.fs.SyncPath(f.path(fileList)) }

// takeBack removes what a failed commit has left.
func (a *Appending) takeBack() {
	err := a.f.change(func(c *change) error {
		for _, m := range a.msgs {
			if m.path == "" {
				continue
			}
			if r, ok, err := c.get(m.record.UID); err != nil {
				return err
			} else if ok && m.record.UID != 0 && r.Base == m.record.Base {
				if err := c.remove(r); err != nil {
					return err
				}
			} else if err := c.f.sh.fs.Remove(m.path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return
	}
	// The folder cannot be worked on. Without their files the messages are gone
	// all the same, as if another program had removed them.
	for _, m := range a.msgs {
		if m.path == "" {
			continue
		}
		if rerr := a.s.fs.Remove(m.path); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			a.s.sh.log.Warn("messages of a failed append may stay", "folder", a.f.dir, "reason", err)
		}
	}
}
