package mailstore

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/maildir"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/changelog"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/crlf"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Content is a message with CRLF line ends; see [crlf.Content].
type Content = crlf.Content

// Open opens the content of a message of the view. ErrExpunged means that it
// is gone. The caller closes it.
func (m *Mailbox) Open(uid uint32) (*Content, error) { return m.OpenIn(uid, new(Scratch)) }

// Scratch is memory for contents that are opened one after another.
type Scratch struct {
	file, view []byte
	// Internal is the internal date of the last one, if that was seen on the
	// way, else Unknown.
	Internal int64
}

// OpenIn is Open with memory of the caller's, until whose next use the content
// is good.
func (m *Mailbox) OpenIn(uid uint32, s *Scratch) (*Content, error) {
	s.Internal = Unknown
	r, err := m.record(uid)
	if err != nil {
		return nil, err
	}
	if r.Flags&(index.OddName|Gone) == 0 {
		check := safefile.Check{Owner: safefile.AnyOwner, Links: true}
		data, mtime, err := m.f.sh.fs.ReadSmall(m.f.messagePath(&r), s.file, crlf.Small, check)
		if err == nil && data != nil {
			s.Internal = mtime
			c := crlf.Whole(data, s.view)
			if s.file = data; c.Size() != int64(len(data)) {
				s.view = c.Bytes() // else it is the same memory
			}
			return c, nil
		}
		// It is large, or has another name by now; or the error comes again.
	}
	f, err := m.f.openMessage(&r)
	if err != nil {
		return nil, err
	}
	c, err := crlf.Open(f)
	if err != nil {
		return nil, temporary(err)
	}
	return c, nil
}

// messagePath is path for where the file of a message should be. There are
// many of these.
func (f *folder) messagePath(r *index.Record) string { return f.dir + "/" + r.Path() }

// record returns a message of the view.
func (m *Mailbox) record(uid uint32) (index.Record, error) {
	i, ok, err := m.view.Search(uid)
	if err != nil || !ok {
		return index.Record{}, ErrExpunged
	}
	r, err := m.view.At(i)
	if err != nil {
		m.fail(err)
		return r, temporary(err)
	}
	return r, nil
}

// openMessage opens the file of a message, also one that was renamed since r
// was current.
func (f *folder) openMessage(r *index.Record) (*os.File, error) {
	check := safefile.Check{Owner: safefile.AnyOwner, Links: true}
	path := f.path(r.Path())
	if r.Flags&(index.OddName|Gone) == 0 {
		file, _, err := f.sh.fs.Open(path, os.O_RDONLY, check)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return file, temporary(err)
		}
	}
	// Somebody changed its flags. The newest state knows, or a look does.
	for try := 0; try < 3; try++ {
		st, err := f.refresh()
		if err != nil {
			return nil, err
		}
		i, ok, err := st.table.Search(r.UID)
		if err != nil {
			return nil, temporary(err)
		}
		if !ok {
			return nil, ErrExpunged
		}
		now, err := st.table.At(i)
		if err != nil {
			return nil, temporary(err)
		}
		f.mu.Lock()
		path = f.filePath(&now)
		f.mu.Unlock()
		file, _, err := f.sh.fs.Open(path, os.O_RDONLY, check)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return file, temporary(err)
		}
		if err := f.scanNow(); err != nil {
			return nil, err
		}
	}
	return nil, ErrTemporary
}

// scanNow reads the directories whatever their times say.
func (f *folder) scanNow() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return temporary(f.locked(f.scan))
}

// Facts are what is looked up of a message when first asked.
type Facts struct {
	Size     int64 // with CRLF line ends
	Internal int64 // the internal date, seconds of Unix time
	Saved    int64 // when it came into this folder (RFC 8514)
}

// Facts returns size and dates of a message of the view. What was not known
// is looked up in the file, and kept.
func (m *Mailbox) Facts(msg *Message) (Facts, error) {
	facts := Facts{Size: msg.Size, Internal: msg.Internal, Saved: savedAt(msg)}
	if facts.Size != Unknown && facts.Internal != Unknown {
		return facts, nil
	}
	m.mu.Lock()
	f, ok := m.found[msg.UID]
	m.mu.Unlock()
	if ok {
		return f, nil
	}
	if facts.Size != Unknown {
		// Only the date is missing: no need to open it.
		var st unix.Stat_t
		if unix.Lstat(m.f.path(msg.Path()), &st) == nil {
			facts.Internal = st.Mtim.Sec
			return facts, m.keepFacts(msg.UID, facts)
		}
	}
	file, err := m.f.openMessage(msg)
	if err != nil {
		return facts, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return facts, temporary(err)
	}
	facts.Internal = info.ModTime().Unix()
	c, err := crlf.Open(file)
	if err != nil {
		return facts, temporary(err)
	}
	facts.Size = c.Size()
	c.Close()
	return facts, m.keepFacts(msg.UID, facts)
}

// SeenDate keeps the internal date of a message of the view that was seen when
// it was opened (see [Scratch]), as Facts would.
func (m *Mailbox) SeenDate(msg *Message, internal int64) {
	if msg.Size == Unknown || msg.Internal != Unknown || internal == Unknown {
		return
	}
	msg.Internal = internal
	if err := m.keepFacts(msg.UID, Facts{Size: msg.Size, Internal: internal, Saved: savedAt(msg)}); err != nil {
		m.store.sh.log.Debug("dates are not kept", "folder", m.f.dir, "reason", err)
	}
}

// savedAt is the time in the name of the file, which is when it was delivered.
func savedAt(msg *Message) int64 {
	if t := maildir.Seconds(msg.Base); t > 0 {
		return t
	}
	return Unknown
}

// manyFacts is how many looked-up facts are written at once.
const manyFacts = 1000

// keepFacts remembers facts, for the log when there are many.
func (m *Mailbox) keepFacts(uid uint32, facts Facts) error {
	if facts.Saved == Unknown {
		facts.Saved = facts.Internal
	}
	m.mu.Lock()
	if m.found == nil {
		m.found = make(map[uint32]Facts, manyFacts)
	}
	m.found[uid] = facts
	many := len(m.found) >= manyFacts
	m.mu.Unlock()
	if !many {
		return nil
	}
	return m.flushFacts()
}

// flushFacts writes looked-up facts to the log. Another session that looked
// them up as well does no harm.
func (m *Mailbox) flushFacts() error {
	m.mu.Lock()
	found := m.found
	m.found = nil
	m.mu.Unlock()
	if len(found) == 0 || m.readOnly && !m.rights.Has(RightsAll) {
		return nil
	}
	return m.f.change(func(c *change) error {
		c.ops = slices.Grow(c.ops, len(found)+1)
		for uid, facts := range found {
			r, ok, err := c.get(uid)
			if err != nil {
				return err
			}
			if ok && (r.Size == Unknown || r.Internal == Unknown) {
				c.ops = append(c.ops, changelog.Op{Kind: changelog.Facts, Record: index.Record{UID: uid, Size: facts.Size, Internal: facts.Internal}})
			}
		}
		return nil
	})
}

// quotaSize is what a message counts for the quota: the bytes of its file.
func quotaSize(r *index.Record) int64 {
	if n, _ := maildir.Sizes(r.Base); n >= 0 {
		return n
	}
	return max(r.Size, 0)
}
