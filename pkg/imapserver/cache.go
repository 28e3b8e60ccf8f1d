package imapserver

import (
	"bytes"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// CacheVersion is of the form of what the sessions keep in the store's cache.
// A change of that form, or of how it is found, needs another number.
const CacheVersion = 1

// What is in the cache, by number, in wire form.
const (
	cacheEnvelope      = 1
	cacheBodyStructure = 2
	cacheBody          = 3
	cacheFields        = 4 // header fields that clients ask for, as they are in the message
	cachePreview       = 5
)

// cachedField reports fields that are kept (names in lower case): those that
// lists of messages, threads and searches are made of.
func cachedField(name string) bool {
	switch name {
	case "from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "in-reply-to", "references",
		"newsgroups", "content-type", "content-transfer-encoding", "mime-version", "importance", "priority", "x-priority", "list-id",
		"list-post", "x-spam-flag", "disposition-notification-to", "return-receipt-to", "delivered-to", "resent-from",
		"resent-to", "resent-date", "x-mailer", "user-agent", "auto-submitted", "x-label", "lines", "x-uid", "followup-to":
		return true
	}
	return false
}

// maxCachedField bounds one kept field; a message with a longer one is looked
// up in its file.
const maxCachedField = 8 << 10

// cachedOnly reports whether a section can be answered from the kept fields.
func (s *section) cachedOnly() bool {
	if len(s.path) > 0 || s.what != "HEADER.FIELDS" {
		return false
	}
	for _, f := range s.fields {
		if !cachedField(lower(f)) {
			return false
		}
	}
	return true
}

func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 'A' && s[i] <= 'Z' {
			return string(bytes.ToLower([]byte(s)))
		}
	}
	return s
}

// needs are what a FETCH wants of messages that their files must tell, where
// the cache does not have it.
type needs struct{ body, envelope, fields, preview bool }

func (n needs) any() bool { return n.body || n.envelope || n.fields || n.preview }

// lacking returns what an entry of the cache lacks for the items.
func (r *fetchRequest) lacking(entry mailstore.Entry) (n needs) {
	lacks := func(id uint16) bool {
		_, ok := entry.Get(id)
		return !ok
	}
	for i := range r.items {
		switch it := &r.items[i]; it.kind {
		case itemBodyStructure, itemBody:
			n.body = n.body || lacks(cacheBodyStructure)
		case itemEnvelope:
			n.envelope = n.envelope || lacks(cacheEnvelope)
		case itemPreview:
			n.preview = n.preview || lacks(cachePreview)
		case itemThreadID:
			n.fields = n.fields || lacks(cacheFields)
		case itemSection:
			n.fields = n.fields || it.section.cachedOnly() && lacks(cacheFields)
		}
	}
	return n
}

// fill finds what the items need of a message and the cache does not have.
func (f *fetching) fill(msg *mailstore.Message) error {
	n := f.req.lacking(f.entry)
	if !n.any() {
		return nil
	}
	put := f.ahead[msg.UID].fields
	if put == nil {
		if err := f.open(msg); err != nil {
			return err
		}
		var err error
		if put, err = n.find(f.content, new(finding)); err != nil {
			return err
		}
	}
	f.c.mb.PutCache(msg.UID, put)
	f.found = put
	return nil
}

// Messages of which the cache lacks something are looked at in bunches, on all
// cores, before they are told of.
const (
	aheadBunch = 128
	aheadLeast = 8
)

// lookedAt is what a look ahead found, by UID.
type lookedAt map[uint32]seen

type seen struct {
	fields   []mailstore.Field
	internal int64 // the internal date, if it was seen on the way
}

// lookAhead finds what is lacking of the messages of a bunch. What goes wrong
// is found again, and told, when it is their turn.
func (f *fetching) lookAhead(bunch []numbered) lookedAt {
	if len(bunch) < aheadLeast {
		return nil
	}
	var todo []int
	for i := range bunch {
		if f.req.lacking(f.c.mb.Cached(bunch[i].msg.UID)).any() {
			todo = append(todo, i)
		}
	}
	if len(todo) < aheadLeast {
		return nil
	}
	defer f.c.o.Pace.Hurry()()
	found := make([]seen, len(todo))
	var next atomic.Int32
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 8) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var scratch mailstore.Scratch // nothing that is found lies in it
			w := finding{many: true}
			for n := int(next.Add(1)) - 1; n < len(todo); n = int(next.Add(1)) - 1 {
				msg := &bunch[todo[n]].msg
				content, err := f.c.mb.OpenIn(msg.UID, &scratch)
				if err != nil {
					continue
				}
				fields, _ := f.req.lacking(mailstore.Entry{}).find(content, &w)
				found[n] = seen{fields, scratch.Internal}
				content.Close()
			}
		}()
	}
	wg.Wait()
	ahead := make(lookedAt, len(todo))
	for n, i := range todo {
		if found[n].fields != nil {
			ahead[bunch[i].msg.UID] = found[n]
		}
	}
	return ahead
}

// bunches are the messages of a FETCH that looks ahead: while one bunch is
// told of, the next is looked at.
type bunches struct {
	f       *fetching
	next    []numbered // being gathered
	looking []numbered // being looked at
	found   chan lookedAt
}

// add takes one more message; false ends the command.
func (b *bunches) add(m numbered) bool {
	if b.next = append(b.next, m); len(b.next) < aheadBunch {
		return true
	}
	return b.turn()
}

// turn begins to look at what was gathered, and tells of what was looked at
// before.
func (b *bunches) turn() bool {
	done, old := b.looking, b.found
	b.looking, b.found, b.next = b.next, make(chan lookedAt, 1), done[len(done):]
	go func(bunch []numbered, found chan lookedAt) { found <- b.f.lookAhead(bunch) }(b.looking, b.found)
	if old == nil {
		return true
	}
	b.f.ahead = <-old
	for i := range done {
		b.f.message(done[i].seq, &done[i].msg)
		if b.f.stopped() {
			return false
		}
	}
	b.next = done[:0]
	return b.f.c.ctx.Err() == nil
}

// end tells of all that is left if the command goes on, and returns when
// nobody looks at messages any more.
func (b *bunches) end(goOn bool) {
	for range 2 {
		if goOn && (len(b.next) > 0 || len(b.looking) > 0) {
			goOn = b.turn()
		}
	}
	if b.found != nil {
		<-b.found
	}
}

// get returns what is known of the message.
func (f *fetching) get(id uint16) ([]byte, bool) {
	for _, p := range f.found {
		if p.ID == id {
			return p.Data, true
		}
	}
	return f.entry.Get(id)
}
