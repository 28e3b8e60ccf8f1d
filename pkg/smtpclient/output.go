package smtpclient

import (
	"unicode/utf8"

	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
)

// output writes message content and breaks lines that are longer than the
// protocol allows (RFC 5321 4.5.3.1.6) with CR LF SPACE, as Postfix does:
// a header stays a header so, and text stays readable.
type output struct {
	w      *smtpwire.Writer
	limit  int
	col    int  // bytes in the line so far
	start  bool // at the start of a line
	folded bool
}

// part is a [smtpwire.ContentFunc].
func (o *output) part(b []byte, eol bool) error {
	for o.limit > 0 && o.col+len(b) > o.limit {
		n := cut(b, o.limit-o.col)
		o.w.ContentPart(b[:n], o.start, true)
		o.w.WriteByte(' ')
		b = b[n:]
		o.col, o.start, o.folded = 1, false, true
	}
	if len(b) == 0 && !eol {
		return o.w.Err()
	}
	o.w.ContentPart(b, o.start, eol)
	o.start = eol
	o.col += len(b)
	if eol {
		o.col = 0
	}
	return o.w.Err()
}

// cut returns where to break b at or before n, not inside of a character.
func cut(b []byte, n int) int {
	n = max(n, 0)
	for back := 0; back < utf8.UTFMax-1 && n-back > 0 && n-back < len(b); back++ {
		if utf8.RuneStart(b[n-back]) {
			return n - back
		}
	}
	return n
}
