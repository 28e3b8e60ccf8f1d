// Package mime scans mail messages without changing a byte: logical header
// lines, the parts of a multipart message and the messages inside. It takes
// what the Internet sends, in linear time and bounded memory, and never fails:
// a message that breaks the rules has fewer parts, and the same bytes.
package mime

import "bytes"

// Class says where a header stands.
type Class int

// The classes, as header_checks, mime_header_checks and nested_header_checks
// tell them apart.
const (
	Primary Class = iota + 1 // header of the message
	Part                     // a header that describes a MIME part
	Nested                   // header of a message inside the message
)

// Limits bound what a scanner keeps. Zero values mean the defaults.
type Limits struct {
	Header   int  // bytes in a logical header; what is over is dropped
	Nesting  int  // multipart and message levels; deeper ones are body
	Boundary int  // bytes of a boundary that count
	Plain    bool // do not look into the body (disable_mime_input_processing)
}

// Default limits: header_size_limit, mime_nesting_limit and
// mime_boundary_length_limit.
const (
	DefaultHeader   = 102400
	DefaultNesting  = 100
	DefaultBoundary = 2048
)

// Handler gets what a [Scanner] finds. The slices are valid during the call.
type Handler interface {
	// Header gets a logical header line, its folded lines joined by '\n',
	// without line end.
	Header(class Class, text []byte) error
	// HeaderEnd is called once, at the end of the primary header.
	HeaderEnd() error
	// Body gets a line or, where eol is false, a part of one. The empty
	// line after a header is one of them.
	Body(line []byte, eol bool) error
}

type state int

const (
	inPrimary state = iota
	inPart
	inNested
	inBody
)

// Scanner is fed lines and tells a [Handler] what they are.
type Scanner struct {
	h       Handler
	lim     Limits
	state   state
	header  []byte
	pending bool // header has text
	atBound bool // the body line being reported is a boundary
	partial bool // the line before had no end
	content contentType
	stack   []string // boundaries, innermost last
	nested  int      // message/rfc822 levels
}

// contentType is what the header of the current part says about its body.
type contentType struct {
	multipart bool
	digest    bool // parts are messages unless they say otherwise
	message   bool // message/rfc822 or similar
	boundary  string
	given     bool
}

// NewScanner returns a scanner that reports to h.
func NewScanner(h Handler, lim Limits) *Scanner {
	s := &Scanner{}
	s.Reset(h, lim)
	return s
}

// Reset makes a used scanner new, and keeps its memory.
func (s *Scanner) Reset(h Handler, lim Limits) {
	if lim.Header <= 0 {
		lim.Header = DefaultHeader
	}
	if lim.Nesting <= 0 {
		lim.Nesting = DefaultNesting
	}
	if lim.Boundary <= 0 {
		lim.Boundary = DefaultBoundary
	}
	*s = Scanner{h: h, lim: lim, header: s.header[:0], stack: s.stack[:0]}
}

// InBody reports whether lines go to Body as they are from now on, because
// there is nothing in the body to look for.
func (s *Scanner) InBody() bool {
	return s.state == inBody && len(s.stack) == 0 && !s.pending
}

// Line feeds one line without its end, or where eol is false a part of one.
func (s *Scanner) Line(line []byte, eol bool) error {
	continued := s.partial
	s.partial = !eol
	if s.state == inBody {
		if continued || !s.boundary(line) {
			return s.h.Body(line, eol)
		}
		return s.startPart(line, eol)
	}
	if continued {
		if s.pending {
			s.append(line)
			return nil
		}
		return s.h.Body(line, eol)
	}
	return s.headerLine(line, eol)
}

// headerLine handles the start of a line in a header section.
func (s *Scanner) headerLine(line []byte, eol bool) error {
	if s.pending && len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
		if len(s.header) < s.lim.Header {
			s.header = append(s.header, '\n')
		}
		s.append(line)
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	if HeaderName(line) > 0 {
		s.pending = true
		s.append(line)
		return nil
	}
	wasPrimary := s.state == inPrimary
	if err := s.endHeader(); err != nil {
		return err
	}
	if len(line) == 0 && eol {
		return s.h.Body(line, eol)
	}
	// A header that ends without an empty line gets one, except at a
	// boundary, which needs none.
	if !wasPrimary && s.state == inBody && s.boundary(line) {
		return s.startPart(line, eol)
	}
	if wasPrimary {
		if err := s.h.Body(nil, true); err != nil {
			return err
		}
	}
	if s.state == inNested {
		s.state = inBody
		s.content = contentType{}
	}
	if s.boundary(line) {
		return s.startPart(line, eol)
	}
	return s.h.Body(line, eol)
}

func (s *Scanner) append(line []byte) {
	if room := s.lim.Header - len(s.header); len(line) > room {
		line = line[:max(room, 0)]
	}
	s.header = append(s.header, line...)
}

// flush reports the header that was collected.
func (s *Scanner) flush() error {
	if !s.pending {
		return nil
	}
	s.pending = false
	text := s.header
	s.header = s.header[:0]
	name := HeaderName(text)
	isMIME := mimeHeader(text[:name])
	if isMIME && !s.lim.Plain {
		s.contentHeader(text, name)
	}
	return s.h.Header(s.class(isMIME), text)
}

func (s *Scanner) class(isMIME bool) Class {
	switch {
	case s.state == inPart:
		return Part
	case isMIME:
		return Part
	case s.state == inNested:
		return Nested
	}
	return Primary
}

// endHeader ends a header section and decides what the body is.
func (s *Scanner) endHeader() error {
	if s.state == inPrimary {
		if err := s.h.HeaderEnd(); err != nil {
			return err
		}
	}
	c := s.content
	s.content = contentType{}
	s.state = inBody
	switch {
	case s.lim.Plain:
	case c.multipart && c.boundary != "" && len(s.stack)+s.nested < s.lim.Nesting:
		b := c.boundary
		if c.digest {
			b = "\x01" + b
		} else {
			b = "\x00" + b
		}
		s.stack = append(s.stack, b)
	case c.message && s.nested < s.lim.Nesting:
		s.nested++
		s.state = inNested
	}
	return nil
}

// End ends the message: it reports a header that was left.
func (s *Scanner) End() error {
	if s.state == inBody {
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	if s.state != inPrimary {
		return nil
	}
	return s.endHeader()
}

// boundary reports whether a line is a boundary of an open multipart. The
// innermost is looked at first; one that closes an outer one closes all in it.
func (s *Scanner) boundary(line []byte) bool {
	if len(s.stack) == 0 || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return false
	}
	return s.match(line[2:]) >= 0
}

func (s *Scanner) match(text []byte) int {
	for i := len(s.stack) - 1; i >= 0; i-- {
		b := s.stack[i][1:]
		if len(text) >= len(b) && string(text[:len(b)]) == b {
			return i
		}
	}
	return -1
}

// startPart handles a boundary line.
func (s *Scanner) startPart(line []byte, eol bool) error {
	i := s.match(line[2:])
	digest := s.stack[i][0] == 1
	rest := line[2+len(s.stack[i])-1:]
	if bytes.HasPrefix(rest, []byte("--")) {
		s.stack = s.stack[:i]
	} else {
		s.stack = s.stack[:i+1]
		s.state = inPart
		s.content = contentType{message: digest}
	}
	if len(s.stack) < s.nested {
		s.nested = len(s.stack)
	}
	if s.state == inPart && i+1 > len(s.stack) {
		s.state = inBody
	}
	s.atBound = true
	err := s.h.Body(line, eol)
	s.atBound = false
	return err
}

// HeaderName returns the length of the field name that a header line starts
// with, or 0 if it is not a header line (RFC 5322 2.2). Blanks between name
// and colon are tolerated.
func HeaderName(line []byte) int {
	i := 0
	for i < len(line) && line[i] > ' ' && line[i] < 0x7f && line[i] != ':' {
		i++
	}
	j := i
	for j < len(line) && (line[j] == ' ' || line[j] == '\t') {
		j++
	}
	if i == 0 || j == len(line) || line[j] != ':' {
		return 0
	}
	return i
}

// TrimName removes, in place, blanks between the name of a header and its
// colon. RFC 5322 4.5 has them as obsolete, not all programs accept them, and no
// rule for headers expects them.
func TrimName(text []byte) []byte {
	n := HeaderName(text)
	if n == 0 || text[n] == ':' {
		return text
	}
	colon := n + bytes.IndexByte(text[n:], ':')
	return append(text[:n], text[colon:]...)
}
