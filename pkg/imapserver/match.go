package imapserver

import (
	"bytes"
	"errors"
	"net/mail"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/fulltext"
	"github.com/posthouse-mail/posthouse/pkg/mime/structure"
)

// verdict is what is known about a message and a key.
type verdict int

const (
	no verdict = iota
	yes
	maybe // the message's file must be looked at
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// matcher tries messages, one after another. Each goroutine has its own.
type matcher struct {
	mb  *mailstore.Mailbox
	now int64
	tz  *time.Location

	seq     int
	msg     *mailstore.Message
	entry   mailstore.Entry
	cached  bool // entry was asked for
	open    bool // the file may be opened
	content *mailstore.Content
	header  []byte
	root    *structure.Part
	buf     []byte
	scratch []byte
	err     error
	put     []mailstore.Field // found in the file, for the cache, until the next message
	finding finding

	words  *fulltext.Words // for keys with FUZZY
	have   bool            // words are those of the message
	scores struct{ sum, n int }
}

func (c *conn) newMatcher() *matcher {
	return &matcher{mb: c.mb.Mailbox, now: time.Now().Unix(), tz: time.Local}
}

// try tries one message. The file is opened only if open is set.
func (m *matcher) try(k *key, seq int, msg *mailstore.Message, open bool) verdict {
	m.seq, m.msg, m.open = seq, msg, open
	m.entry, m.cached, m.header, m.root, m.put = mailstore.Entry{}, false, nil, nil, nil
	m.have, m.scores.sum, m.scores.n = false, 0, 0
	v := m.match(k)
	if m.content != nil {
		m.content.Close()
		m.content = nil
	}
	return v
}

// match decides about a key.
func (m *matcher) match(k *key) verdict {
	switch k.kind {
	case keyAnd:
		return m.all(k.keys)
	case keyOr:
		a := m.match(k.keys[0])
		if a == yes {
			return yes
		}
		if b := m.match(k.keys[1]); b != no {
			return b
		}
		return a
	case keyNot:
		before := m.scores
		v := m.match(k.keys[0])
		m.scores = before // what must not match has no score
		switch v {
		case yes:
			return no
		case no:
			return yes
		}
		return maybe
	case keyHeader:
		if k.fuzzy != nil {
			return m.inHeaderFuzzy(k)
		}
		return m.inHeader(k)
	case keyBody, keyText:
		if k.fuzzy != nil {
			return m.inTextFuzzy(k)
		}
		return m.inText(k)
	case keyBefore, keySince, keyOn:
		return m.onDate(k)
	case keyThreadID:
		return m.inThread(k)
	}
	return verdictOf(m.simple(k))
}

// all is the conjunction; what is cheap decides before a file is opened.
func (m *matcher) all(keys []*key) verdict {
	v := yes
	for _, k := range keys {
		if !k.needsFile() {
			if m.match(k) == no {
				return no
			}
		}
	}
	for _, k := range keys {
		if k.needsFile() {
			switch m.match(k) {
			case no:
				return no
			case maybe:
				v = maybe
			}
		}
	}
	return v
}

// needsFile reports keys that may have to open the message.
func (k *key) needsFile() bool {
	switch k.kind {
	case keyHeader, keyBody, keyText, keyThreadID:
		return true
	case keyBefore, keySince, keyOn:
		return k.date == 's'
	}
	for _, sub := range k.keys {
		if sub.needsFile() {
			return true
		}
	}
	return false
}

// simple decides keys about what the index knows.
func (m *matcher) simple(k *key) bool {
	msg := m.msg
	switch k.kind {
	case keyAll, keySaveDateSupported:
		return true
	case keySet:
		if k.uid || k.set.Saved {
			return imapwire.Contains(k.ranges, msg.UID)
		}
		return imapwire.Contains(k.ranges, uint32(m.seq))
	case keyFlags:
		return (msg.Flags&k.flags != 0) == k.want
	case keyRecent:
		return m.mb.Recent(msg.UID) == k.want
	case keyNew:
		return m.mb.Recent(msg.UID) && msg.Flags&mailstore.Seen == 0
	case keyKeyword:
		if equalFold(k.word, "$Forwarded") {
			return (msg.Flags&mailstore.Forwarded != 0) == k.want
		}
		return (msg.Keywords&k.bit != 0) == k.want
	case keySize:
		size := m.facts().Size
		if k.want {
			return size > k.n
		}
		return size < k.n
	case keyOlder:
		return m.facts().Internal <= m.now-k.n
	case keyYounger:
		return m.facts().Internal >= m.now-k.n
	case keyModSeq:
		return msg.ModSeq >= uint64(k.n)
	case keyEmailID:
		return mailstore.EmailID(msg) == k.text
	}
	return false
}

func (m *matcher) facts() mailstore.Facts {
	if m.msg.Size != mailstore.Unknown && m.msg.Internal != mailstore.Unknown {
		return mailstore.Facts{Size: m.msg.Size, Internal: m.msg.Internal}
	}
	f, err := m.mb.Facts(m.msg)
	if err != nil {
		m.note(err)
	}
	return f
}

func (m *matcher) note(err error) {
	if m.err == nil && !errors.Is(err, mailstore.ErrExpunged) {
		m.err = err
	}
}

// onDate compares days, without time and zone (RFC 9051 6.4.4).
func (m *matcher) onDate(k *key) verdict {
	var t time.Time
	switch k.date {
	case 's':
		value, v := m.field("date")
		if v == maybe {
			return maybe
		}
		parsed, ok := parseDate(value)
		if !ok {
			return no
		}
		t = parsed
	case 'v':
		f, err := m.mb.Facts(m.msg)
		if err != nil || f.Saved == mailstore.Unknown {
			return no
		}
		t = time.Unix(f.Saved, 0).In(m.tz)
	default:
		t = time.Unix(m.facts().Internal, 0).In(m.tz)
	}
	year, month, day := t.Date()
	d := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	switch k.kind {
	case keyBefore:
		return verdictOf(d.Before(k.day))
	case keySince:
		return verdictOf(!d.Before(k.day))
	}
	return verdictOf(d.Equal(k.day))
}

// parseDate reads a Date field.
func parseDate(s string) (time.Time, bool) {
	t, err := mail.ParseDate(strings.TrimSpace(s))
	return t, err == nil
}

// fields returns header fields: those that are kept, or the whole header if
// need be. false means that the file must be opened.
func (m *matcher) fields(name string) ([]byte, bool) {
	if m.header != nil {
		return m.header, true
	}
	if cachedField(name) {
		if !m.cached {
			m.entry, m.cached = m.mb.Cached(m.msg.UID), true
		}
		if b, ok := m.entry.Get(cacheFields); ok {
			return b, true
		}
	}
	if !m.open {
		return nil, false
	}
	if m.openContent() {
		if h, err := readHeader(m.content); err == nil {
			m.header = h
			m.put = m.finding.headerFacts(h)
			return h, true
		}
	}
	m.header = []byte{}
	return m.header, true
}

func (m *matcher) openContent() bool {
	if m.content != nil {
		return true
	}
	content, err := m.mb.Open(m.msg.UID)
	if err != nil {
		m.note(err)
		return false
	}
	m.content = content
	return true
}

// field returns the first field with a name.
func (m *matcher) field(name string) (string, verdict) {
	header, ok := m.fields(name)
	if !ok {
		return "", maybe
	}
	text, found := "", no
	structure.Each(header, func(n, value []byte) {
		if found == no && len(n) == len(name) && strings.EqualFold(string(n), name) {
			text, found = structure.Unfold(value), yes
		}
	})
	return text, found
}

// inHeader looks for text in fields of a name.
func (m *matcher) inHeader(k *key) verdict {
	header, ok := m.fields(k.word)
	if !ok {
		return maybe
	}
	found := false
	structure.Each(header, func(n, value []byte) {
		if found || len(n) != len(k.word) || !strings.EqualFold(string(n), k.word) {
			return
		}
		found = k.text == "" || m.valueHas(value, k.text)
	})
	return verdictOf(found)
}

// valueHas looks for text in a field's value, decoded.
func (m *matcher) valueHas(value []byte, text string) bool {
	m.scratch = fold(m.scratch[:0], decodedValue(value))
	return bytes.Contains(m.scratch, []byte(text))
}
