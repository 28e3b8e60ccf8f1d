package imapserver

import (
	"bytes"
	"errors"
	"io"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
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
	c   *conn
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
	put     []mailstore.Field // found in the file, for the cache
}

func (c *conn) newMatcher() *matcher {
	return &matcher{c: c, now: time.Now().Unix(), tz: time.Local}
}

// try tries one message. The file is opened only if open is set.
func (m *matcher) try(k *key, seq int, msg *mailstore.Message, open bool) verdict {
	m.seq, m.msg, m.open = seq, msg, open
	m.entry, m.cached, m.header, m.root, m.put = mailstore.Entry{}, false, nil, nil, nil
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
		switch m.match(k.keys[0]) {
		case yes:
			return no
		case no:
			return yes
		}
		return maybe
	case keyHeader:
		return m.inHeader(k)
	case keyBody, keyText:
		return m.inText(k)
	case keyBefore, keySince, keyOn:
		return m.onDate(k)
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
	case keyHeader, keyBody, keyText:
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
		return m.c.mb.Recent(msg.UID) == k.want
	case keyNew:
		return m.c.mb.Recent(msg.UID) && msg.Flags&mailstore.Seen == 0
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
	f, err := m.c.mb.Facts(m.msg)
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
		f, err := m.c.mb.Facts(m.msg)
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
			m.entry, m.cached = m.c.mb.Cached(m.msg.UID), true
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
			m.put = headerFacts(h)
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
	content, err := m.c.mb.Open(m.msg.UID)
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
	plain := true
	for _, c := range value {
		if c >= utf8.RuneSelf || c == '\r' || c == '\n' {
			plain = false
			break
		}
	}
	if plain && !bytes.Contains(value, []byte("=?")) {
		m.scratch = fold(m.scratch[:0], value)
	} else {
		m.scratch = fold(m.scratch[:0], []byte(decodeHeader(structure.Unfold(value))))
	}
	return bytes.Contains(m.scratch, []byte(text))
}

// inText looks for text in the body, and for keyText in the header first.
func (m *matcher) inText(k *key) verdict {
	if !m.open {
		return maybe
	}
	if !m.openContent() {
		return no
	}
	if k.text == "" {
		return yes
	}
	if k.kind == keyText {
		header, _ := m.fields("x-all") // of no kept field: the whole header
		found := false
		structure.EachRaw(header, func(field, _, _ []byte) {
			found = found || m.valueHas(bytes.TrimRight(field, "\r\n"), k.text)
		})
		if found {
			return yes
		}
	}
	if m.root == nil {
		root, err := parseContent(m.content)
		if err != nil {
			m.note(err)
			return no
		}
		m.root = root
	}
	return verdictOf(m.inPart(m.root, k, true))
}

// inPart looks into the texts of a part, and into the headers of messages and
// parts inside.
func (m *matcher) inPart(p *structure.Part, k *key, top bool) bool {
	if !top {
		h := &p.Header
		for _, s := range []string{h.Envelope.Subject, h.Envelope.From, h.Envelope.To, h.Envelope.Cc} {
			if s != "" && strings.Contains(foldString(decodeHeader(s)), k.text) {
				return true
			}
		}
	}
	for _, c := range p.Children {
		if m.inPart(c, k, false) {
			return true
		}
	}
	if len(p.Children) > 0 || p.Header.Type.Major != "text" && p.Header.Type.Major != "message" {
		return false
	}
	return m.inBody(p, k)
}

// inBody looks into one text.
func (m *matcher) inBody(p *structure.Part, k *key) bool {
	if b := m.content.Bytes(); b != nil && plainText(p) {
		m.buf = fold(m.buf[:0], b[p.Body:p.End])
		return bytes.Contains(m.buf, []byte(k.text))
	}
	r := textReader(m.content, p)
	f := finder{text: []byte(k.text), buf: m.buf[:0]}
	defer func() { m.buf = f.buf[:0] }()
	piece := make([]byte, 32<<10)
	have := 0
	for {
		n, err := r.Read(piece[have:])
		n += have
		whole := n
		if err == nil {
			whole = wholeRunes(piece[:n])
		}
		if f.write(piece[:whole]) {
			return true
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return false
			}
			return false
		}
		have = copy(piece, piece[whole:n])
	}
}

// wholeRunes returns the length of b without a character that is cut off.
func wholeRunes(b []byte) int {
	for i := 1; i <= utf8.UTFMax && i <= len(b); i++ {
		c := b[len(b)-i]
		if utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-i:]) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}

// plainText reports a body whose bytes are its text.
func plainText(p *structure.Part) bool {
	switch p.Header.Encoding {
	case "", "7bit", "8bit", "binary":
		return charset(p.Header.Type.Param("charset")) == nil
	}
	return false
}
