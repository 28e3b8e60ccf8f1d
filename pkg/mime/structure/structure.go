// Package structure finds the parts of a mail message in one pass: where each
// begins and ends, how many lines it has, and what its header says about it.
// The message is read as a stream of bytes with CRLF line ends, as IMAP counts
// it; nothing is decoded. From what was found it makes ENVELOPE, BODY and
// BODYSTRUCTURE in the form in which IMAP sends them (RFC 9051 7.5.2).
package structure

import (
	"bytes"
	"errors"
	"io"
)

// Limits of what is looked at; what is beyond is body.
const (
	MaxNesting = 100
	MaxParts   = 10000
	maxHeader  = 256 << 10 // of one header that is kept for parsing
	maxDepth   = 1000      // bytes of a boundary
	readSize   = 32 << 10
)

// Part is a message, or a part of one. Offsets are those of the message.
type Part struct {
	Start  int64 // of the header
	Body   int64 // of the body: behind the empty line
	End    int64 // of the body
	Lines  int64 // line ends in the body
	Header Fields
	// Children are the parts of a multipart, or the message in a
	// message/rfc822.
	Children []*Part
}

// Size is the size of the body.
func (p *Part) Size() int64 { return p.End - p.Body }

// IsMultipart reports whether the children are parts.
func (p *Part) IsMultipart() bool { return p.Header.Type.Major == "multipart" && !p.Header.Type.broken }

// IsMessage reports whether the part is a message (RFC 2046 5.2.1).
func (p *Part) IsMessage() bool {
	return len(p.Children) == 1 && !p.IsMultipart()
}

// Find returns the part with a number as IMAP counts them (RFC 9051
// 6.4.5.1): nil if there is none.
func (p *Part) Find(path []uint32) *Part {
	for i, n := range path {
		msg := p
		if i > 0 && p.IsMessage() {
			// A number goes through the message in a part.
			msg = p.Children[0]
		}
		if msg.IsMultipart() && len(msg.Children) > 0 {
			if n < 1 || int64(n) > int64(len(msg.Children)) {
				return nil
			}
			p = msg.Children[n-1]
			continue
		}
		// A message that is no multipart has its body as part 1, and
		// nothing is in other parts.
		if n != 1 || i > 0 && msg == p {
			return nil
		}
		p = msg
	}
	return p
}

// scanner is one pass over a message.
type scanner struct {
	root  *Part
	stack []level
	parts int
	off   int64 // of the line
	state int
	head  []byte
	lines int64 // line ends so far
	mem   *Scratch
}

// Scratch is memory for messages that are parsed one after another.
type Scratch struct {
	parts  []*[partsAtOnce]Part
	used   int
	levels []level
	head   []byte
}

const partsAtOnce = 4

// maxScratch is how many parts stay for the next message.
const maxScratch = 64

// part returns a part that is empty.
func (m *Scratch) part() *Part {
	if m.used == len(m.parts)*partsAtOnce {
		m.parts = append(m.parts, new([partsAtOnce]Part))
	}
	p := &m.parts[m.used/partsAtOnce][m.used%partsAtOnce]
	m.used++
	*p = Part{Children: p.Children[:0]}
	return p
}

// reset makes all free again.
func (m *Scratch) reset() {
	m.used = 0
	if len(m.parts) > maxScratch/partsAtOnce {
		m.parts = nil
	}
}

// level is a part that is not at its end.
type level struct {
	part     *Part
	boundary string // of a multipart that is looked into
	digest   bool
	lines    int64 // line ends before its body
}

const (
	inHeader = iota
	inBody
)

// Parse reads a message to its end.
func Parse(r io.Reader) (*Part, error) {
	return ParseBuffer(r, make([]byte, readSize))
}

// ParseBuffer is Parse with a buffer that can be used again.
func ParseBuffer(r io.Reader, buf []byte) (*Part, error) {
	s := newScanner(new(Scratch))
	br := &lineReader{r: r, buf: buf}
	whole := true // the line begins here
	for {
		line, eol, err := br.next()
		if len(line) > 0 {
			s.line(line, whole, eol)
			s.off += int64(len(line))
			whole = eol
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			s.end()
			return s.root, err
		}
	}
}

// lineReader gives lines with their ends, long ones in pieces.
type lineReader struct {
	r        io.Reader
	buf      []byte
	from, to int
	err      error
}

func (l *lineReader) next() (line []byte, eol bool, err error) {
	searched := 0
	for {
		if i := bytes.IndexByte(l.buf[l.from+searched:l.to], '\n'); i >= 0 {
			line = l.buf[l.from : l.from+searched+i+1]
			l.from += len(line)
			return line, true, nil
		}
		searched = l.to - l.from
		if l.err != nil || searched == len(l.buf) {
			line = l.buf[l.from:l.to]
			l.from = l.to
			if searched == len(l.buf) {
				return line, false, nil
			}
			return line, false, l.err
		}
		if l.from > 0 {
			copy(l.buf, l.buf[l.from:l.to])
			l.to -= l.from
			l.from = 0
		}
		var n int
		n, l.err = l.r.Read(l.buf[l.to:])
		l.to += n
	}
}

func (s *scanner) push(l level) {
	s.stack = append(s.stack, l)
	s.parts++
	s.state, s.head = inHeader, s.head[:0]
}

func (s *scanner) top() *level { return &s.stack[len(s.stack)-1] }

// line takes a line, or where it does not begin here or has no end, a piece.
func (s *scanner) line(line []byte, whole, eol bool) {
	s.take(line, whole)
	if eol {
		s.lines++
	}
}

func (s *scanner) take(line []byte, whole bool) {
	if whole && len(line) > 2 && line[0] == '-' && line[1] == '-' {
		if i, last := s.boundary(line); i >= 0 {
			s.atBoundary(i, last, int64(len(line)))
			return
		}
	}
	if s.state != inHeader {
		return
	}
	if whole && isEmpty(line) {
		s.endHeader(s.off+int64(len(line)), 1)
		return
	}
	if len(s.head)+len(line) <= maxHeader {
		s.head = append(s.head, line...)
	}
}

func isEmpty(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

// boundary returns which open multipart a line delimits, -1 for none.
func (s *scanner) boundary(line []byte) (i int, last bool) {
	text := line[2:]
	for i := len(s.stack) - 1; i >= 0; i-- {
		b := s.stack[i].boundary
		if b == "" || len(text) < len(b) || string(text[:len(b)]) != b {
			continue
		}
		rest := text[len(b):]
		if bytes.HasPrefix(rest, []byte("--")) {
			return i, true
		}
		// RFC 2046 5.1.1: only white space may follow. Something else may be
		// the boundary of another part that begins alike.
		if len(bytes.TrimLeft(rest, " \t\r\n")) == 0 {
			return i, false
		}
	}
	return -1, false
}

// atBoundary ends the parts inside of a multipart, and begins the next one.
func (s *scanner) atBoundary(i int, last bool, length int64) {
	s.closeTo(i+1, true)
	if last {
		// What follows is the epilogue, until an outer boundary.
		s.stack[i].boundary = ""
		s.state = inBody
		return
	}
	if s.parts >= MaxParts {
		s.state = inBody
		return
	}
	m := &s.stack[i]
	p := s.mem.part()
	p.Start, p.Body = s.off+length, s.off+length
	if m.digest {
		p.Header.Type.Major, p.Header.Type.Minor = "message", "rfc822"
	}
	m.part.Children = append(m.part.Children, p)
	s.push(level{part: p, digest: m.digest})
}

// closeTo ends the levels from n on. The line end before a boundary belongs to
// the boundary.
func (s *scanner) closeTo(n int, atBoundary bool) {
	for len(s.stack) > n {
		l := s.top()
		s.stack = s.stack[:len(s.stack)-1]
		if s.state == inHeader {
			// A part without a body, or even without a header.
			s.parse(l)
			l.part.Body, l.part.End = s.off, s.off
			l.lines = s.lines
			s.state = inBody
			continue
		}
		l.part.End = s.off
		l.part.Lines = s.lines - l.lines
		if atBoundary && l.part.End-2 >= l.part.Body {
			l.part.End -= 2
			l.part.Lines--
		}
	}
}

// parse reads the header that was collected.
func (s *scanner) parse(l *level) {
	digest := l.digest
	l.digest = false
	l.part.Header = ParseFields(s.head)
	h := &l.part.Header
	if h.Type.Major == "" {
		h.Type.Major, h.Type.Minor = "text", "plain"
		if digest {
			h.Type.Major, h.Type.Minor = "message", "rfc822"
		}
		h.Type.missing = true
	}
}

// endHeader is at the empty line behind a header; body is where the body
// starts.
func (s *scanner) endHeader(body int64, ends int64) {
	l := s.top()
	s.parse(l)
	p := l.part
	p.Body = body
	l.lines = s.lines + ends
	s.state = inBody
	t := &p.Header.Type
	switch {
	case t.Major == "multipart":
		b := t.Param("boundary")
		if b == "" || len(b) > maxDepth || len(s.stack) >= MaxNesting {
			t.broken = b == "" || len(s.stack) >= MaxNesting
			return
		}
		l.boundary = b
		l.digest = t.Minor == "digest"
	case t.Major == "message" && (t.Minor == "rfc822" || t.Minor == "global") && plainEncoding(p.Header.Encoding):
		if len(s.stack) >= MaxNesting || s.parts >= MaxParts {
			return
		}
		child := s.mem.part()
		child.Start, child.Body = body, body
		p.Children = append(p.Children, child)
		s.push(level{part: child})
	}
}

// plainEncoding reports encodings through which a message can be seen.
func plainEncoding(e string) bool {
	return e == "" || e == "7bit" || e == "8bit" || e == "binary"
}

// end ends all that is open.
func (s *scanner) end() {
	s.closeTo(0, false)
	s.root.clamp(0, s.root.End)
}

// clamp keeps parts within the one that they are in: a part without a body may
// end with the line end that belongs to a boundary further out.
func (p *Part) clamp(from, to int64) {
	p.Start = min(max(p.Start, from), to)
	p.Body = min(max(p.Body, p.Start), to)
	p.End = min(max(p.End, p.Body), to)
	for _, c := range p.Children {
		c.clamp(p.Body, p.End)
	}
}

// ParseBytes is Parse of a message that is in memory.
func ParseBytes(b []byte) *Part { return ParseIn(b, new(Scratch)) }

// ParseIn is ParseBytes with memory of the caller's, until whose next use the
// parts are good.
func ParseIn(b []byte, m *Scratch) *Part {
	s := newScanner(m)
	for len(b) > 0 {
		if s.state == inBody && !bytes.HasPrefix(b, []byte("--")) {
			// Only a line that begins so can be a boundary.
			n := bytes.Index(b, []byte("\n--")) + 1
			if n == 0 {
				n = len(b)
			}
			s.lines += int64(bytes.Count(b[:n], []byte{'\n'}))
			s.off += int64(n)
			b = b[n:]
			continue
		}
		n := bytes.IndexByte(b, '\n') + 1
		eol := n > 0
		if !eol {
			n = len(b)
		}
		s.line(b[:n], true, eol)
		s.off += int64(n)
		b = b[n:]
	}
	s.end()
	m.head, m.levels = s.head[:0], s.stack[:0]
	return s.root
}

func newScanner(m *Scratch) *scanner {
	m.reset()
	if m.head == nil {
		m.head = make([]byte, 0, 1024)
	}
	s := &scanner{root: m.part(), mem: m, head: m.head, stack: m.levels}
	s.push(level{part: s.root})
	return s
}
