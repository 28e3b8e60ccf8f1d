package mailstore

import (
	"errors"
	"fmt"
	"sync"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/changelog"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
)

// Flags are the system flags of a message.
type Flags = index.Flags

// The flags that clients set. Forwarded is the keyword $Forwarded, which is a
// flag in Maildirs: [Mailbox.KeywordNames] and [Mailbox.Store] know that.
const (
	Answered  = index.Answered
	Flagged   = index.Flagged
	Deleted   = index.Deleted
	Seen      = index.Seen
	Draft     = index.Draft
	Forwarded = index.Forwarded
	System    = index.System
	Gone      = index.Gone
)

const forwarded = "$Forwarded"

// Unknown is the size or date of a message that was not looked up.
const Unknown = index.Unknown

// Message is one message of a view.
type Message = index.Record

// Summary counts over a view.
type Summary = index.Summary

// Mailbox is what one session sees of a folder. Its methods are called by one
// goroutine at a time, apart from those that only look: Message, Find, Range,
// Facts, Open, Cached and PutCache may run side by side, as in a search that
// uses all cores.
type Mailbox struct {
	store    *Store
	f        *folder
	name     string
	readOnly bool
	rights   Rights

	st     *state       // at the last sync
	view   *index.Table // what the client knows
	recent []uidRange

	mu     sync.Mutex
	found  map[uint32]Facts // not written so far
	failed error

	once sync.Once
}

type uidRange struct{ from, to uint32 } // to is not in it

// Mailbox opens a folder. The caller closes it.
func (s *Store) Mailbox(name string, readOnly bool) (*Mailbox, error) {
	p, err := s.place(name)
	if err != nil {
		return nil, err
	}
	if !p.rights.Has(RightRead) {
		return nil, p.denied()
	}
	if !p.exists() {
		return nil, ErrNoMailbox
	}
	m := &Mailbox{store: s, name: p.name, readOnly: readOnly, rights: p.rights, f: s.sh.acquire(p.root, p.dir)}
	if m.rights&(RightSeen|RightWrite|RightInsert|RightDelete|RightExpunge) == 0 {
		m.readOnly = true
	}
	m.view = index.New(nil)
	if _, err := m.Sync(SyncOptions{}); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Close ends the session.
func (m *Mailbox) Close() error {
	m.once.Do(func() {
		m.FlushCache()
		if err := m.flushFacts(); err != nil && !errors.Is(err, ErrReplaced) {
			m.store.sh.log.Warn("sizes are not kept", "folder", m.f.dir, "reason", err)
		}
		m.unwatch()
		m.store.sh.release(m.f)
	})
	return nil
}

// Name is the name by which the folder was opened.
func (m *Mailbox) Name() string { return m.name }

// ReadOnly reports whether the session may not change the folder.
func (m *Mailbox) ReadOnly() bool { return m.readOnly }

// UIDValidity, UIDNext, HighestModSeq and MailboxID are as of the last Sync.
func (m *Mailbox) UIDValidity() uint32 { return m.st.validity }

// UIDNext is the UID that the next message will have at least.
func (m *Mailbox) UIDNext() uint32 { return m.st.next }

// HighestModSeq is the modification sequence of the view.
func (m *Mailbox) HighestModSeq() uint64 { return m.st.modseq }

// MailboxID names the folder for ever (RFC 8474 4.1).
func (m *Mailbox) MailboxID() string { return fmt.Sprintf("F%x", m.st.id) }

// EmailID names the content of a message (RFC 8474 5.1).
func EmailID(msg *Message) string { return fmt.Sprintf("M%x", msg.GUID) }

// Keywords are the keywords of the folder by number; "" for none.
func (m *Mailbox) Keywords() []string { return m.st.keywords }

// KeywordNames appends the keywords of a message.
func (m *Mailbox) KeywordNames(to []string, msg *Message) []string {
	if msg.Flags&Forwarded != 0 {
		to = append(to, forwarded)
	}
	if msg.Keywords == 0 {
		return to
	}
	for i, name := range m.st.keywords {
		if msg.Keywords&(1<<i) != 0 && name != "" && (msg.Flags&Forwarded == 0 || name != forwarded) {
			to = append(to, name)
		}
	}
	return to
}

// NewKeywords reports whether a client can make keywords (\* of PERMANENTFLAGS).
func (m *Mailbox) NewKeywords() bool {
	return !m.readOnly && m.rights.Has(RightWrite) && len(m.st.keywords) < maxKeywords
}

// Len is the number of messages in the view.
func (m *Mailbox) Len() int { return m.view.Len() }

// Counts summarizes the view.
func (m *Mailbox) Counts() Summary { return m.view.Summary() }

// Message returns the message with sequence number seq, from 1. ok is false
// if there is none.
func (m *Mailbox) Message(seq int) (msg Message, ok bool) {
	if seq < 1 || seq > m.view.Len() {
		return msg, false
	}
	msg, err := m.view.At(seq - 1)
	return msg, m.note(err)
}

// Find returns the sequence number of the first message with this UID or a
// greater one, and whether it is exactly that. After the last it is Len()+1.
func (m *Mailbox) Find(uid uint32) (seq int, exact bool) {
	i, ok, err := m.view.Search(uid)
	if !m.note(err) {
		return m.view.Len() + 1, false
	}
	return i + 1, ok
}

// Range calls f for the messages with sequence numbers from to to, both
// included, until it returns false. f must not change or keep msg.
func (m *Mailbox) Range(from, to int, f func(seq int, msg *Message) bool) error {
	return m.RangeIf(from, to, nil, f)
}

// RangeIf is Range that leaves out runs of messages for whose counts want is
// false: without unseen ones, say, or without a ModSeq high enough.
func (m *Mailbox) RangeIf(from, to int, want func(*Summary) bool, f func(seq int, msg *Message) bool) error {
	err := m.view.RangeIf(max(from, 1)-1, to, want, func(i int, r *index.Record) bool { return f(i+1, r) })
	if !m.note(err) {
		return temporary(err)
	}
	return nil
}

// note keeps an error of the index for the next Sync.
func (m *Mailbox) note(err error) bool {
	if err != nil {
		m.fail(err)
	}
	return err == nil
}

func (m *Mailbox) fail(err error) {
	m.mu.Lock()
	m.failed = err
	m.mu.Unlock()
}

// FirstUnseen returns the sequence number of the first message without \Seen,
// or 0.
func (m *Mailbox) FirstUnseen() int {
	first := 0
	err := m.RangeIf(1, m.Len(), func(s *Summary) bool { return s.Unseen > 0 }, func(seq int, msg *Message) bool {
		if msg.Flags&Seen != 0 {
			return true
		}
		first = seq
		return false
	})
	if err != nil {
		return 0
	}
	return first
}

// Recent reports whether a message is \Recent in this session.
func (m *Mailbox) Recent(uid uint32) bool {
	for _, r := range m.recent {
		if uid >= r.from && uid < r.to {
			return true
		}
	}
	return false
}

// RecentCount is how many messages are \Recent in this session.
func (m *Mailbox) RecentCount() int {
	n := 0
	for _, r := range m.recent {
		i, _ := m.Find(r.from)
		j, _ := m.Find(r.to)
		n += j - i
	}
	return n
}

// SyncOptions say what a Sync may do.
type SyncOptions struct {
	// KeepExpunged leaves messages that are gone in the view, with the flag
	// Gone, as sequence numbers must not change now (RFC 9051 7.5.1).
	KeepExpunged bool
}

// Changes are what a Sync has done to the view.
type Changes struct {
	// Expunged are the sequence numbers as EXPUNGE responses have them:
	// each counts after those before it. ExpungedUIDs are the same messages.
	Expunged     []int
	ExpungedUIDs []uint32
	// New is the number of messages added at the end of the view.
	New int
	// Changed are the sequence numbers, in the new view, of messages with
	// other flags, keywords or ModSeq.
	Changed []int
	// Keywords tells that there are more keywords than before.
	Keywords bool
}

// Any reports whether anything changed.
func (c *Changes) Any() bool {
	return len(c.Expunged) > 0 || c.New > 0 || len(c.Changed) > 0 || c.Keywords
}

// Sync brings the view up to date and tells what changed. ErrReplaced means
// that the mailbox is not the one any more that the client knows.
func (m *Mailbox) Sync(o SyncOptions) (Changes, error) {
	var c Changes
	m.mu.Lock()
	failed := m.failed
	m.failed = nil
	m.mu.Unlock()
	if failed != nil {
		// The index could not be read: the folder makes a new one.
		m.f.mu.Lock()
		m.f.drop()
		m.f.mu.Unlock()
	}
	st, err := m.f.refresh()
	if err == nil && !m.readOnly {
		st, err = m.claim(st)
	}
	if err != nil {
		return c, err
	}
	if m.st != nil && (m.st.validity != st.validity || m.st.id != st.id) {
		return c, ErrReplaced
	}
	c.Keywords = m.st != nil && len(st.keywords) != len(m.st.keywords)
	if m.st == nil {
		m.st, m.view = st, st.table
		c.New = m.view.Len()
		return c, nil
	}
	if m.view != st.table {
		view, err := m.merge(&c, st.table, o.KeepExpunged)
		if err != nil {
			// What the client knows cannot be found out any more, or the
			// new index is damaged too. The session has to begin anew.
			m.fail(err)
			return Changes{}, fmt.Errorf("%w: %w", ErrReplaced, err)
		}
		m.view = view
	}
	m.st = st
	return c, nil
}

// merge finds the changes between the view and table and returns the new view.
func (m *Mailbox) merge(c *Changes, table *index.Table, keep bool) (*index.Table, error) {
	var changed []uint32
	var gone []index.Record
	var fresh []index.Record
	last := m.view.Summary().Last
	err := index.Diff(m.view, table, func(a, b *index.Record) {
		switch {
		case b == nil:
			gone = append(gone, *a)
		case a == nil && b.UID > last:
			fresh = append(fresh, *b)
		case a != nil && (a.Flags&index.Kept != b.Flags&index.Kept || a.Keywords != b.Keywords || a.ModSeq != b.ModSeq):
			changed = append(changed, b.UID)
		}
	})
	if err != nil {
		return nil, err
	}
	view := table
	if keep && len(gone) > 0 {
		if view, err = m.keepGone(table, gone, changed, fresh); err != nil {
			return nil, err
		}
	} else {
		for _, r := range gone {
			i, _, err := m.view.Search(r.UID)
			if err != nil {
				return nil, err
			}
			c.Expunged = append(c.Expunged, i+1-len(c.Expunged))
			c.ExpungedUIDs = append(c.ExpungedUIDs, r.UID)
		}
	}
	c.New = len(fresh)
	for _, uid := range changed {
		i, ok, err := view.Search(uid)
		if err != nil {
			return nil, err
		}
		if ok {
			c.Changed = append(c.Changed, i+1)
		}
	}
	return view, nil
}

// keepGone returns the old view with what changed and is new, and with the
// messages that are gone marked so.
func (m *Mailbox) keepGone(table *index.Table, gone []index.Record, changed []uint32, fresh []index.Record) (*index.Table, error) {
	edit := m.view.Edit()
	for i := range gone {
		if gone[i].Flags&Gone == 0 {
			edit.Record(gone[i].UID).Flags |= Gone
		}
	}
	for _, uid := range changed {
		i, ok, err := table.Search(uid)
		if err != nil {
			return nil, err
		}
		if r, err := table.At(i); err == nil && ok {
			*edit.Record(uid) = r
		}
	}
	for _, r := range fresh {
		edit.Append(r)
	}
	return edit.Done()
}

// claim moves new messages to cur, as who opens a Maildir for writing does, and
// makes those that nobody claimed before recent in this session.
func (m *Mailbox) claim(st *state) (*state, error) {
	sum := st.table.Summary()
	if sum.InNew == 0 && (st.recent >= st.next || sum.Last < st.recent) {
		return st, nil
	}
	var from, to uint32
	err := m.f.change(func(c *change) error {
		var fresh []index.Record
		err := c.st.table.RangeIf(0, c.st.table.Len(), func(s *Summary) bool { return s.InNew > 0 }, func(_ int, r *index.Record) bool {
			if r.Flags&index.InNew != 0 {
				fresh = append(fresh, *r)
			}
			return true
		})
		if err != nil {
			return err
		}
		for _, r := range fresh {
			err := c.updateFile(r, r.Flags&index.Kept, r.Keywords)
			if err != nil && !errors.Is(err, ErrExpunged) {
				return err
			}
		}
		if c.st.recent < c.st.next {
			from, to = c.st.recent, c.st.next
			c.ops = append(c.ops, changelog.Op{Kind: changelog.Recent, Record: index.Record{UID: to}})
		}
		return nil
	})
	if isFull(err) {
		return m.f.refresh() // they can stay in new
	}
	if err != nil {
		return nil, err
	}
	if to > from {
		m.recent = append(m.recent, uidRange{from, to})
	}
	return m.f.refresh()
}
