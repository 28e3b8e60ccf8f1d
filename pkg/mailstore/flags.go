package mailstore

import (
	"errors"
	"os"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
)

// errNotThere is what a rename of a file says that others renamed or removed.
var errNotThere = os.ErrNotExist

// FlagOp is what a STORE does with the flags that it has.
type FlagOp int

// The operations of RFC 9051 6.4.6.
const (
	SetFlags FlagOp = iota
	AddFlags
	RemoveFlags
)

// StoreRequest changes the flags of messages.
type StoreRequest struct {
	UIDs     []uint32 // ascending
	Op       FlagOp
	Flags    Flags // of System and Forwarded
	Keywords []string
	// Conditional leaves messages alone that changed after UnchangedSince
	// (RFC 7162 3.1.3).
	Conditional    bool
	UnchangedSince uint64
}

// StoreResult tells what became of it.
type StoreResult struct {
	Modified []uint32 // left alone, as they changed meanwhile
	Missing  []uint32 // expunged
	ModSeq   uint64   // of the change
}

// batch is how many messages are changed with the lock held once.
const batch = 500

// Store changes flags. The view shows them after the next Sync, which tells
// of them like of changes by others.
func (m *Mailbox) Store(req StoreRequest) (StoreResult, error) {
	var res StoreResult
	if m.readOnly {
		return res, ErrReadOnly
	}
	if err := m.mayStore(&req); err != nil {
		return res, err
	}
	for uids := req.UIDs; len(uids) > 0; {
		n := min(len(uids), batch)
		part := req
		part.UIDs, uids = uids[:n], uids[n:]
		var q quotaDelta
		err := m.f.change(func(c *change) error { return c.store(&part, &res, &q) })
		m.store.quotaChange(m.f, q.bytes, q.messages)
		if err != nil {
			return res, err
		}
	}
	if m.store.o.SyncChanges {
		return res, m.SyncChanges()
	}
	return res, nil
}

// SyncChanges returns when the flags and removals of before are on disk, which
// are in the names of files; keywords without a letter are in the list.
func (m *Mailbox) SyncChanges() error {
	errs := make(chan error, 3)
	for _, sub := range []string{"cur", "new"} {
		go func() { errs <- m.f.sh.fs.SyncDir(m.f.path(sub)) }()
	}
	go func() { errs <- m.f.syncList() }()
	var err error
	for range cap(errs) {
		if serr := <-errs; err == nil {
			err = serr
		}
	}
	return temporary(err)
}

// quotaDelta is what a change of flags does to the quota.
type quotaDelta struct{ bytes, messages int64 }

// note counts a message whose flags become f.
func (q *quotaDelta) note(r *index.Record, f Flags) {
	switch {
	case r.Flags&Deleted == 0 && f&Deleted != 0:
		q.bytes, q.messages = q.bytes-quotaSize(r), q.messages-1
	case r.Flags&Deleted != 0 && f&Deleted == 0:
		q.bytes, q.messages = q.bytes+quotaSize(r), q.messages+1
	}
}

func (c *change) store(req *StoreRequest, res *StoreResult, q *quotaDelta) error {
	flags, mask, err := c.keywordBits(req)
	if err == nil {
		err = c.commitWords()
	}
	if err != nil {
		return err
	}
	res.ModSeq = c.modseq
	for _, uid := range req.UIDs {
		r, ok, err := c.get(uid)
		if err != nil {
			return err
		}
		if !ok {
			res.Missing = append(res.Missing, uid)
			continue
		}
		if req.Conditional && r.ModSeq > req.UnchangedSince {
			res.Modified = append(res.Modified, uid)
			continue
		}
		f, k := r.Flags&index.Kept, r.Keywords
		switch req.Op {
		case SetFlags:
			f, k = flags, mask
		case AddFlags:
			f, k = f|flags, k|mask
		case RemoveFlags:
			f, k = f&^flags, k&^mask
		}
		if f == r.Flags&index.Kept && k == r.Keywords {
			continue
		}
		if err := c.updateFile(r, f, k); errors.Is(err, ErrExpunged) {
			res.Missing = append(res.Missing, uid)
		} else if err != nil {
			return err
		} else {
			q.note(&r, f)
		}
	}
	return nil
}

// keywordBits returns the flags and keyword bits that a request has.
func (c *change) keywordBits(req *StoreRequest) (Flags, uint64, error) {
	flags := req.Flags & index.Kept
	var mask uint64
	for _, name := range req.Keywords {
		st := state{keywords: c.words}
		if strings.EqualFold(name, forwarded) {
			flags |= Forwarded
			// Dovecot may have given it a letter.
			if k := st.keyword(name); k >= 0 {
				mask |= 1 << k
			}
			continue
		}
		if req.Op == RemoveFlags && st.keyword(name) < 0 {
			continue
		}
		k, err := c.keyword(name)
		if err != nil {
			return 0, 0, err
		}
		mask |= 1 << k
	}
	return flags, mask, nil
}

// get returns the record of a message as it is in this change.
func (c *change) get(uid uint32) (index.Record, bool, error) {
	i, ok, err := c.st.table.Search(uid)
	if err != nil || !ok {
		return index.Record{}, false, err
	}
	r, err := c.st.table.At(i)
	return r, err == nil, err
}

// updateFile is update that looks for a file which another program has
// renamed meanwhile.
func (c *change) updateFile(r index.Record, flags Flags, keywords uint64) error {
	for try := 0; ; try++ {
		err := c.update(r, flags, keywords)
		if !errors.Is(err, errNotThere) || try == otherNames {
			return err
		}
		path, there, err := c.f.locate(&r)
		if err != nil {
			return err
		}
		if !there {
			return ErrExpunged
		}
		c.f.odd[r.UID] = c.f.relative(path)
		r.Flags |= index.OddName
	}
}

// Expunge removes those of the messages that have \Deleted, or all of them if
// force is set, which is for MOVE and for POP3. It returns the UIDs of those
// that it removed.
func (m *Mailbox) Expunge(uids []uint32, force bool) ([]uint32, error) {
	if m.readOnly {
		return nil, ErrReadOnly
	}
	if !m.rights.Has(RightExpunge) {
		return nil, ErrNoPermission
	}
	return m.expunge(uids, force)
}

func (m *Mailbox) expunge(uids []uint32, force bool) (done []uint32, err error) {
	for len(uids) > 0 {
		n := min(len(uids), batch)
		part := uids[:n]
		uids = uids[n:]
		var bytes, count int64
		err := m.f.change(func(c *change) error {
			for _, uid := range part {
				r, ok, err := c.get(uid)
				if err != nil {
					return err
				}
				if !ok || r.Flags&Deleted == 0 && !force {
					continue
				}
				if err := c.remove(r); err != nil {
					return err
				}
				done = append(done, uid)
				if quotaCounts(&r) {
					bytes, count = bytes+quotaSize(&r), count+1
				}
			}
			return nil
		})
		m.store.quotaChange(m.f, -bytes, -count)
		if err != nil {
			return done, err
		}
	}
	if m.store.o.SyncChanges && len(done) > 0 {
		return done, m.SyncChanges()
	}
	return done, nil
}

// DeletedUIDs returns the UIDs of the messages in the view with \Deleted.
func (m *Mailbox) DeletedUIDs() ([]uint32, error) {
	var out []uint32
	err := m.RangeIf(1, m.Len(), func(s *Summary) bool { return s.Deleted > 0 }, func(_ int, msg *Message) bool {
		if msg.Flags&(Deleted|Gone) == Deleted {
			out = append(out, msg.UID)
		}
		return true
	})
	return out, err
}

// ExpungedSince returns which UIDs were expunged after modseq, as ranges in
// ascending order (RFC 7162 3.2.6). known, if not nil, says which UIDs the
// client has; others are left out. What is older than what is remembered is
// answered by all UIDs that are not there.
func (m *Mailbox) ExpungedSince(modseq uint64, known func(uid uint32) bool) ([][2]uint32, error) {
	if known == nil {
		known = func(uint32) bool { return true }
	}
	var out [][2]uint32
	add := func(uid uint32) {
		if n := len(out); n > 0 && out[n-1][1] == uid-1 {
			out[n-1][1] = uid
		} else {
			out = append(out, [2]uint32{uid, uid})
		}
	}
	if modseq >= m.st.gone.since {
		for _, uid := range m.st.gone.after(modseq) {
			if known(uid) {
				add(uid)
			}
		}
		return out, nil
	}
	next := uint32(1)
	err := m.view.Range(0, m.view.Len(), func(_ int, r *index.Record) bool {
		for ; next < r.UID; next++ {
			if known(next) {
				add(next)
			}
		}
		next = r.UID + 1
		return true
	})
	for ; err == nil && next < m.st.next; next++ {
		if known(next) {
			add(next)
		}
	}
	return out, err
}
