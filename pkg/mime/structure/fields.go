package structure

import (
	"bytes"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
)

// Fields is what a header says that IMAP tells (RFC 9051 7.5.2). Values are
// unfolded and otherwise as they are.
type Fields struct {
	Type        Type
	Encoding    string // in lower case
	ID          string
	Description string
	MD5         string
	Disposition Value
	Language    []string
	Location    string
	Envelope    Envelope
}

// Envelope has the fields of ENVELOPE. Where a field stands twice the first
// counts, but the addresses of all.
type Envelope struct {
	Date, Subject, InReplyTo, MessageID  string
	From, Sender, ReplyTo, To, Cc, Bcc   string
	hasDate, hasSubject, hasReply, hasID bool
	joined                               int
}

// maxJoined bounds the further fields of addresses that are put behind others
// of their name, of which there should be none (RFC 5322 3.6): each copies
// those before it.
const maxJoined = 200

// Param is a parameter of a Content field.
type Param struct{ Name, Value string }

// Value is a word with parameters.
type Value struct {
	Word   string
	Params []Param
}

// Type is a media type, in lower case; Raw are the words as they were written.
type Type struct {
	Major, Minor string
	Params       []Param
	missing      bool // there was no field
	broken       bool // a multipart that cannot be taken apart
}

// Param returns a parameter.
func (t *Type) Param(name string) string {
	for _, p := range t.Params {
		if strings.EqualFold(p.Name, name) {
			return p.Value
		}
	}
	return ""
}

// Each calls f for each field of a header: its name, and its value with what
// folds it, without the line end.
func Each(header []byte, f func(name, value []byte)) {
	EachRaw(header, func(_, name, value []byte) { f(name, value) })
}

// EachRaw is Each with all bytes of the field, line ends included.
func EachRaw(header []byte, f func(field, name, value []byte)) {
	for len(header) > 0 {
		end := fieldEnd(header)
		field := header[:end]
		header = header[end:]
		colon := bytes.IndexByte(field, ':')
		if colon <= 0 {
			continue
		}
		name := bytes.TrimRight(field[:colon], " \t")
		if len(name) == 0 || bytes.ContainsAny(name, " \t\r\n") {
			continue
		}
		f(field, name, bytes.TrimRight(field[colon+1:], "\r\n"))
	}
}

// fieldEnd returns where the field at the start of a header ends: behind the
// line that no folded one follows (RFC 5322 2.2.3).
func fieldEnd(header []byte) int {
	end := 0
	for {
		i := bytes.IndexByte(header[end:], '\n')
		if i < 0 {
			return len(header)
		}
		end += i + 1
		if end == len(header) || header[end] != ' ' && header[end] != '\t' {
			return end
		}
	}
}

// Unfold makes one line of a field's value.
func Unfold(value []byte) string {
	value = bytes.TrimSpace(value)
	if bytes.IndexByte(value, '\n') < 0 && bytes.IndexByte(value, '\r') < 0 && bytes.IndexByte(value, 0) < 0 {
		return string(value)
	}
	out := make([]byte, 0, len(value))
	for _, c := range value {
		switch c {
		case '\r', '\n':
		case 0:
			out = append(out, ' ')
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// ParseFields reads a header.
func ParseFields(header []byte) Fields {
	var h Fields
	Each(header, func(name, value []byte) {
		if len(name) < 2 || len(name) > 25 {
			return
		}
		var lower [25]byte
		for i, c := range name {
			if c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			lower[i] = c
		}
		key := lower[:len(name)]
		if len(key) > 8 && string(key[:8]) == "content-" {
			h.content(string(key[8:]), value)
			return
		}
		h.Envelope.field(string(key), value)
	})
	return h
}

func (h *Fields) content(key string, value []byte) {
	switch key {
	case "type":
		if h.Type.Major == "" {
			h.Type = parseType(Unfold(value))
		}
	case "transfer-encoding":
		if h.Encoding == "" {
			t := tokenizer{s: Unfold(value)}
			word, _ := t.next()
			h.Encoding = strings.ToLower(word)
		}
	case "id":
		first(&h.ID, value)
	case "description":
		first(&h.Description, value)
	case "md5":
		first(&h.MD5, value)
	case "location":
		first(&h.Location, value)
	case "disposition":
		if h.Disposition.Word == "" {
			t := tokenizer{s: Unfold(value)}
			word, kind := t.next()
			if kind == 'a' || kind == 'q' {
				h.Disposition = Value{Word: word, Params: parseParams(&t)}
			}
		}
	case "language":
		h.languages(Unfold(value))
	}
}

func first(dst *string, value []byte) {
	if *dst == "" {
		*dst = Unfold(value)
	}
}

func (h *Fields) languages(value string) {
	t := tokenizer{s: value}
	for len(h.Language) < 100 {
		word, kind := t.next()
		if kind == 0 {
			return
		}
		if kind == 'a' || kind == 'q' {
			h.Language = append(h.Language, word)
		}
	}
}

func (e *Envelope) field(key string, value []byte) {
	switch key {
	case "date":
		once(&e.Date, &e.hasDate, value)
	case "subject":
		once(&e.Subject, &e.hasSubject, value)
	case "in-reply-to":
		once(&e.InReplyTo, &e.hasReply, value)
	case "message-id":
		once(&e.MessageID, &e.hasID, value)
	case "from":
		e.more(&e.From, value)
	case "sender":
		e.more(&e.Sender, value)
	case "reply-to":
		e.more(&e.ReplyTo, value)
	case "to":
		e.more(&e.To, value)
	case "cc":
		e.more(&e.Cc, value)
	case "bcc":
		e.more(&e.Bcc, value)
	}
}

func once(dst *string, has *bool, value []byte) {
	if !*has {
		*dst, *has = Unfold(value), true
	}
}

func (e *Envelope) more(dst *string, value []byte) {
	switch {
	case *dst == "":
		*dst = Unfold(value)
	case e.joined < maxJoined:
		e.joined++
		*dst += ", " + Unfold(value)
	}
}

// parseType reads the value of a Content-Type field (RFC 2045 5.1).
func parseType(value string) Type {
	t := tokenizer{s: value}
	var ty Type
	word, kind := t.next()
	if kind != 'a' {
		return ty
	}
	ty.Major = strings.ToLower(word)
	if slash, _ := t.next(); slash == "/" {
		if word, kind = t.next(); kind == 'a' {
			ty.Minor = strings.ToLower(word)
		}
	}
	if ty.Minor == "" {
		// RFC 2045 5.2: what cannot be understood is text/plain; a bare
		// "text" is seen, other words are not.
		ty.Minor = "plain"
		if ty.Major != "text" {
			return Type{}
		}
	}
	ty.Params = parseParams(&t)
	return ty
}

// maxParams bounds the parameters of one field.
const maxParams = 100

func parseParams(t *tokenizer) []Param {
	var params []Param
	for len(params) < maxParams {
		name, kind := t.next()
		if kind == 0 {
			break
		}
		if kind != 'a' {
			continue
		}
		mark := *t
		if eq, _ := t.next(); eq != "=" {
			*t = mark
			continue
		}
		value, kind := t.next()
		switch kind {
		case 'a', 'q':
			if kind == 'a' {
				value += t.more()
			}
			params = append(params, Param{name, value})
		}
	}
	return params
}

// tokenizer reads words, quoted strings and specials; comments and white space
// are dropped.
type tokenizer struct {
	s string
	i int
}

// more takes what stands directly behind an unquoted value up to the next ';'
// or blank: many programs do not quote what they should.
func (t *tokenizer) more() string {
	start := t.i
	for t.i < len(t.s) && t.s[t.i] != ';' && t.s[t.i] > ' ' && t.s[t.i] != '"' && t.s[t.i] != '(' {
		t.i++
	}
	return t.s[start:t.i]
}

func (t *tokenizer) next() (text string, kind byte) {
	for t.i < len(t.s) {
		c := t.s[t.i]
		switch {
		case c <= ' ':
			t.i++
		case c == '(':
			t.i = address.EndComment(t.s, t.i)
		case c == '"':
			text, t.i = quoted(t.s, t.i)
			return text, 'q'
		case strings.IndexByte(tspecials, c) >= 0:
			t.i++
			return t.s[t.i-1 : t.i], 's'
		default:
			start := t.i
			for t.i < len(t.s) && t.s[t.i] > ' ' && strings.IndexByte(tspecials, t.s[t.i]) < 0 && t.s[t.i] != '(' && t.s[t.i] != '"' {
				t.i++
			}
			return t.s[start:t.i], 'a'
		}
	}
	return "", 0
}

const tspecials = ")<>@,;:\\/[]?="

// quoted returns the content of the quoted string at i, and what is behind it.
func quoted(s string, i int) (string, int) {
	start := i + 1
	end := start
	for end < len(s) && s[end] != '"' && s[end] != '\\' {
		end++
	}
	if end < len(s) && s[end] == '"' {
		return s[start:end], end + 1
	}
	var b strings.Builder
	b.WriteString(s[start:end])
	for i = end; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return b.String(), i + 1
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), len(s)
}
