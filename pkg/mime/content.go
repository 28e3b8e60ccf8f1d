package mime

import (
	"bytes"
	"strings"
)

// mimeHeader reports names of headers that describe a MIME part (RFC 2045 3, RFC
// 2183 2). Others that begin with Content- are headers of the message, as they
// are for Postfix's mime_header_checks.
func mimeHeader(name []byte) bool {
	for _, known := range [...]string{"content-type", "content-transfer-encoding", "content-disposition", "content-description", "content-id", "mime-version"} {
		if len(name) == len(known) && bytes.EqualFold(name, []byte(known)) {
			return true
		}
	}
	return false
}

// contentHeader notes what a Content-Type header says.
func (s *Scanner) contentHeader(text []byte, name int) {
	if !bytes.EqualFold(text[:name], []byte("content-type")) {
		return
	}
	value := string(text[name:])
	value = value[strings.IndexByte(value, ':')+1:]
	t, params := parseType(value)
	s.content = contentType{given: true}
	major, minor, _ := strings.Cut(t, "/")
	switch major {
	case "multipart":
		s.content.multipart = true
		s.content.digest = minor == "digest"
		b := params
		if len(b) > s.lim.Boundary {
			b = b[:s.lim.Boundary]
		}
		s.content.boundary = b
	case "message":
		s.content.message = minor == "rfc822" || minor == "global"
	}
}

// parseType reads the value of a Content-Type header: the type in lower case,
// and the boundary parameter (RFC 2045 5.1).
func parseType(v string) (typ, boundary string) {
	tokens := tokenizer{s: v}
	var b strings.Builder
	for {
		t, kind := tokens.next()
		if kind == 0 || t == ";" {
			break
		}
		if b.Len() < 256 {
			b.WriteString(strings.ToLower(t))
		}
	}
	for {
		name, kind := tokens.next()
		if kind == 0 {
			return b.String(), ""
		}
		if kind != 'a' || !strings.EqualFold(name, "boundary") {
			continue
		}
		if eq, _ := tokens.next(); eq != "=" {
			continue
		}
		value, kind := tokens.next()
		if kind == 'a' || kind == 'q' {
			return b.String(), strings.TrimRight(value, " \t")
		}
	}
}

// tokenizer reads the tokens of a structured MIME header: words, quoted
// strings and single specials. Comments and white space are dropped.
type tokenizer struct {
	s string
	i int
}

func (t *tokenizer) next() (text string, kind byte) {
	for t.i < len(t.s) {
		c := t.s[t.i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			t.i++
		case c == '(':
			t.comment()
		case c == '"':
			return t.quoted(), 'q'
		case strings.IndexByte("/;=<>@,:\\[]?)", c) >= 0 && !(c == '?' || c == ':'):
			t.i++
			return t.s[t.i-1 : t.i], 's'
		default:
			start := t.i
			for t.i < len(t.s) && t.s[t.i] > ' ' && strings.IndexByte("/;=<>@,\\[])(\"", t.s[t.i]) < 0 {
				t.i++
			}
			if t.i == start {
				t.i++
			}
			return t.s[start:t.i], 'a'
		}
	}
	return "", 0
}

func (t *tokenizer) comment() {
	depth := 0
	for ; t.i < len(t.s); t.i++ {
		switch t.s[t.i] {
		case '\\':
			t.i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				t.i++
				return
			}
		}
	}
	t.i = len(t.s)
}

func (t *tokenizer) quoted() string {
	var b strings.Builder
	for t.i++; t.i < len(t.s); t.i++ {
		switch c := t.s[t.i]; c {
		case '"':
			t.i++
			return b.String()
		case '\\':
			if t.i++; t.i < len(t.s) {
				b.WriteByte(t.s[t.i])
			}
		case '\n':
		default:
			b.WriteByte(c)
		}
	}
	t.i = len(t.s)
	return b.String()
}
