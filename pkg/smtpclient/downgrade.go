package smtpclient

import (
	"bytes"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
)

// downgrade turns 8-bit content into 7-bit content for a server without
// 8BITMIME (RFC 6152 section 3): a part that is declared as 8bit or binary
// becomes quoted-printable, and what contains parts is declared as 7bit. Text
// that does not say what it is stays as it is, as in Postfix.
type downgrade struct {
	next smtpwire.ContentFunc

	header  []byte // the logical header that is being collected
	inField bool   // header is in use
	pass    bool   // the header is too long to look at; it was let through
	inLine  bool   // in the middle of a line

	state    partState
	encoding string // value of Content-Transfer-Encoding
	rawCTE   []byte // that header as it was
	ctype    string
	boundary string
	stack    []string // boundaries of the enclosing multiparts
	hold     []byte   // quoted-printable: white space that may end the line
	line     []byte   // quoted-printable: the line so far
}

type partState int

const (
	inHeader partState = iota
	inPlain            // body that goes through
	inQuoted           // body that becomes quoted-printable
)

// Limits for what is looked at.
const (
	maxHeaderField = 64 << 10
	maxNesting     = 100
)

func newDowngrade(next smtpwire.ContentFunc) *downgrade { return &downgrade{next: next} }

// part is a [smtpwire.ContentFunc].
func (d *downgrade) part(b []byte, eol bool) error {
	start := !d.inLine
	d.inLine = !eol
	if start && d.state != inHeader && len(d.stack) > 0 && d.delimiter(b) {
		d.startPart()
		return d.next(b, eol)
	}
	switch d.state {
	case inHeader:
		return d.headerPart(b, start, eol)
	case inQuoted:
		return d.quote(b, eol)
	}
	return d.next(b, eol)
}

// delimiter reports whether a line is a boundary of an enclosing multipart,
// and leaves the parts that it ends.
func (d *downgrade) delimiter(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("--")) {
		return false
	}
	for i := len(d.stack) - 1; i >= 0; i-- {
		rest, ok := bytes.CutPrefix(line[2:], []byte(d.stack[i]))
		if !ok {
			continue
		}
		d.stack = d.stack[:i+1]
		if bytes.HasPrefix(rest, []byte("--")) {
			d.stack = d.stack[:i]
		}
		return true
	}
	return false
}

// startPart begins the header of a part, or after the last delimiter the text
// that follows it.
func (d *downgrade) startPart() {
	d.state = inHeader
	d.resetPart()
}

func (d *downgrade) resetPart() {
	d.encoding, d.ctype, d.boundary, d.rawCTE = "", "", "", nil
	d.header, d.inField, d.pass = d.header[:0], false, false
	d.hold, d.line = d.hold[:0], d.line[:0]
}

// headerPart collects logical headers.
func (d *downgrade) headerPart(b []byte, start, eol bool) error {
	if start && !(len(b) > 0 && (b[0] == ' ' || b[0] == '\t')) {
		if err := d.endField(); err != nil {
			return err
		}
		if len(b) == 0 && eol {
			return d.endHeader()
		}
		if !isField(b) && !bytes.HasPrefix(b, []byte("From ")) {
			// The body begins without an empty line. It goes through.
			d.state = inPlain
			if err := d.flushCTE(); err != nil {
				return err
			}
			if len(d.stack) > 0 && d.delimiter(b) {
				d.startPart()
			}
			return d.next(b, eol)
		}
		d.inField = true
	}
	if !d.pass && len(d.header)+len(b) > maxHeaderField {
		d.pass = true
		if err := d.emitHeader(false); err != nil {
			return err
		}
	}
	if d.pass {
		return d.next(b, eol)
	}
	d.header = append(d.header, b...)
	if eol {
		d.header = append(d.header, '\n')
	}
	return nil
}

func isField(b []byte) bool {
	i := bytes.IndexByte(b, ':')
	return i > 0 && bytes.IndexAny(bytes.TrimRight(b[:i], " \t"), " \t") < 0
}

// endField looks at a header that is complete.
func (d *downgrade) endField() error {
	if !d.inField || d.pass {
		d.inField, d.pass = false, false
		d.header = d.header[:0]
		return nil
	}
	d.inField = false
	name, value, _ := strings.Cut(string(d.header), ":")
	value = strings.ReplaceAll(value, "\n", " ")
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "content-transfer-encoding":
		if d.rawCTE == nil {
			d.encoding = strings.ToLower(token(value))
			d.rawCTE = append([]byte(nil), d.header...)
			d.header = d.header[:0]
			return nil
		}
	case "content-type":
		d.ctype = strings.ToLower(token(value))
		d.boundary = parameter(value, "boundary")
	}
	return d.emitHeader(true)
}

// emitHeader lets out what is collected; done tells that it is the whole.
func (d *downgrade) emitHeader(done bool) error {
	b := d.header
	d.header = d.header[:0]
	return d.emitLines(b, done)
}

func (d *downgrade) emitLines(b []byte, done bool) error {
	for len(b) > 0 {
		line, rest, ended := bytes.Cut(b, []byte("\n"))
		if err := d.next(line, ended || done); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

func (d *downgrade) flushCTE() error {
	b := d.rawCTE
	d.rawCTE = nil
	return d.emitLines(b, true)
}

// endHeader decides what becomes of the body.
func (d *downgrade) endHeader() error {
	eight := d.encoding == "8bit" || d.encoding == "binary"
	multipart := strings.HasPrefix(d.ctype, "multipart/") && d.boundary != ""
	message := strings.HasPrefix(d.ctype, "message/")
	state := inPlain
	switch {
	case eight && (multipart || message):
		d.rawCTE = []byte("Content-Transfer-Encoding: 7bit\n")
	case eight:
		d.rawCTE = []byte("Content-Transfer-Encoding: quoted-printable\n")
		state = inQuoted
	}
	if err := d.flushCTE(); err != nil {
		return err
	}
	if err := d.next(nil, true); err != nil {
		return err
	}
	if multipart && len(d.stack) < maxNesting {
		d.stack = append(d.stack, d.boundary)
	}
	// What is encoded cannot be looked into.
	nested := (d.ctype == "message/rfc822" || d.ctype == "message/global") &&
		d.encoding != "base64" && d.encoding != "quoted-printable"
	d.resetPart()
	if nested && state == inPlain {
		state = inHeader
	}
	d.state = state
	return nil
}

// finish lets out what is held at the end of the message.
func (d *downgrade) finish() error {
	switch d.state {
	case inHeader:
		if err := d.endField(); err != nil {
			return err
		}
		return d.flushCTE()
	case inQuoted:
		d.flushHold(true)
		if len(d.line) > 0 {
			return d.endLine()
		}
	}
	return nil
}

const hexDigits = "0123456789ABCDEF"

// quote encodes a part of a line as quoted-printable (RFC 2045 6.7).
func (d *downgrade) quote(b []byte, eol bool) error {
	for _, c := range b {
		// White space at the end of a line must be encoded, so each one
		// waits for what follows it.
		if err := d.flushHold(false); err != nil {
			return err
		}
		var err error
		switch {
		case c == ' ' || c == '\t':
			d.hold = append(d.hold, c)
		case c > ' ' && c < 0x7f && c != '=':
			err = d.put(c)
		default:
			err = d.put('=', hexDigits[c>>4], hexDigits[c&15])
		}
		if err != nil {
			return err
		}
	}
	if !eol {
		return nil
	}
	if err := d.flushHold(true); err != nil {
		return err
	}
	return d.endLine()
}

// flushHold puts out white space that was kept back.
func (d *downgrade) flushHold(end bool) error {
	if len(d.hold) == 0 {
		return nil
	}
	c := d.hold[0]
	d.hold = d.hold[:0]
	if end {
		return d.put('=', hexDigits[c>>4], hexDigits[c&15])
	}
	return d.put(c)
}

// put adds one encoded character, with a soft line break before it where the
// line would grow beyond 76.
func (d *downgrade) put(b ...byte) error {
	if len(d.line)+len(b) > 75 {
		d.line = append(d.line, '=')
		if err := d.endLine(); err != nil {
			return err
		}
	}
	d.line = append(d.line, b...)
	return nil
}

func (d *downgrade) endLine() error {
	err := d.next(d.line, true)
	d.line = d.line[:0]
	return err
}

// token returns the first word of a structured header value, without
// comments.
func token(s string) string {
	s = strings.TrimSpace(stripComments(s))
	if i := strings.IndexAny(s, "; \t"); i >= 0 {
		s = s[:i]
	}
	return s
}

func stripComments(s string) string {
	if strings.IndexByte(s, '(') < 0 {
		return s
	}
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			if depth == 0 {
				b.WriteByte(c)
				b.WriteByte(s[i+1])
			}
			i++
			continue
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
		case c == ')' && depth > 0:
			depth--
			continue
		}
		if depth == 0 {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// parameter returns the value of a parameter of a structured header.
func parameter(s, name string) string {
	s = stripComments(s)
	for {
		i := strings.IndexByte(s, ';')
		if i < 0 {
			return ""
		}
		s = strings.TrimLeft(s[i+1:], " \t")
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			return ""
		}
		value, after := parameterValue(strings.TrimLeft(rest, " \t"))
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return value
		}
		s = after
	}
}

func parameterValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, "; \t")
		if i < 0 {
			return s, ""
		}
		return s[:i], s[i:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '"':
			return b.String(), s[i+1:]
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}
