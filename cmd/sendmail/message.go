package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/mime"
)

// reader reads the message from standard input in parts of lines.
type reader struct {
	r   *bufio.Reader
	fix string // sendmail_fix_line_endings
	dot bool   // a lone dot ends the message

	started bool // past the "From " lines that mailboxes have on top
	skip    bool // inside of such a line
	first   bool // a line end was seen
	crlf    bool // it was CR LF
	inLine  bool
	done    bool
}

// newReader returns a reader that hands out parts of at most limit bytes. It
// asks for no more input than it needs: a person may be typing.
func newReader(r io.Reader, limit int, fix string, dot bool) *reader {
	large := struct{ io.Reader }{bufio.NewReaderSize(r, 64<<10)}
	return &reader{r: bufio.NewReaderSize(large, limit), fix: fix, dot: dot}
}

// next returns the next part of a line without its end; eol tells that the
// line ends with it. It is valid until the next call.
func (m *reader) next() ([]byte, bool, error) {
	for {
		part, eol, err := m.raw()
		if err != nil {
			return nil, false, err
		}
		if !m.started && !m.skip && !m.inLine {
			m.skip = isFromLine(part)
			m.started = !m.skip
		}
		if m.skip {
			m.skip = !eol
			continue
		}
		if m.dot && !m.inLine && eol && len(part) == 1 && part[0] == '.' {
			m.done = true
			return nil, false, io.EOF
		}
		m.inLine = !eol
		return part, eol, nil
	}
}

// isFromLine recognises the separator of a mailbox file.
func isFromLine(b []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(b, ">"), []byte("From "))
}

// raw reads up to a line end or the limit. CR before LF is part of the line
// end, depending on sendmail_fix_line_endings.
func (m *reader) raw() ([]byte, bool, error) {
	if m.done {
		return nil, false, io.EOF
	}
	b, err := m.r.ReadSlice('\n')
	switch {
	case err == nil:
		line := b[:len(b)-1]
		for m.fixed(line) {
			line = line[:len(line)-1]
		}
		return line, true, nil
	case errors.Is(err, bufio.ErrBufferFull):
		// A CR LF must not be cut in two.
		if n := len(b); n > 1 && b[n-1] == '\r' && m.r.UnreadByte() == nil {
			b = b[:n-1]
		}
		return b, false, nil
	case !errors.Is(err, io.EOF):
		return nil, false, err
	}
	// The last line, without an end.
	m.done = true
	if len(b) == 0 && !m.inLine {
		return nil, false, io.EOF
	}
	return b, true, nil
}

// fixed reports whether a line ends in CR that is to be removed.
func (m *reader) fixed(line []byte) bool {
	cr := len(line) > 0 && line[len(line)-1] == '\r'
	if !m.first {
		m.first, m.crlf = true, cr
	}
	switch m.fix {
	case "never":
		return false
	case "strict":
		return cr && m.crlf
	}
	return cr
}

// maxHeader bounds one recipient header: room for a hundred thousand
// recipients.
const maxHeader = 8 << 20

var errTooMany = errors.New("too many recipients, or a header that is too long")

// headers collects the recipient headers for -t.
type headers struct {
	active bool
	begun  bool // a header was seen
	limit  int

	field    []byte // the header so far, its name included
	want     bool   // it names recipients
	inLine   bool
	plain    []string
	resent   []string
	isResent bool
	err      error
}

// part looks at a part of a line.
func (h *headers) part(b []byte, eol bool) {
	start := !h.inLine
	h.inLine = !eol
	if !h.active {
		return
	}
	if start {
		if h.begun && len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
			if h.want {
				h.add([]byte{'\n'})
			}
		} else {
			h.finish()
			n := mime.HeaderName(b)
			if n == 0 {
				h.active = false // the body
				return
			}
			h.begun, h.want = true, recipientHeader(string(b[:n]))
		}
	}
	if h.want {
		h.add(b)
	}
}

func (h *headers) add(b []byte) {
	if len(h.field)+len(b) > h.limit {
		h.err = errTooMany
		return
	}
	h.field = append(h.field, b...)
}

func recipientHeader(name string) bool {
	switch strings.ToLower(name) {
	case "to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc":
		return true
	}
	return false
}

// finish takes the recipients out of a complete header.
func (h *headers) finish() {
	if !h.want {
		return
	}
	name, value, _ := strings.Cut(string(h.field), ":")
	h.field, h.want = h.field[:0], false
	// RFC 5322 3.6.6: a resent message goes to whom it is resent.
	if strings.HasPrefix(strings.ToLower(name), "resent-") {
		h.isResent = true
		h.resent = append(h.resent, splitAddresses(value)...)
	} else {
		h.plain = append(h.plain, splitAddresses(value)...)
	}
	if len(h.plain)+len(h.resent) > maxRecipients {
		h.err = errTooMany
		h.plain, h.resent = nil, nil
	}
}

// recipients returns what was found.
func (h *headers) recipients() ([]string, error) {
	h.finish()
	if h.err != nil {
		return nil, h.err
	}
	list := h.plain
	if h.isResent {
		list = h.resent
	}
	for _, a := range list {
		if hasControl(a) {
			return nil, errors.New("control character in an address")
		}
	}
	return list, nil
}

// splitAddresses returns the addresses of a list in internal form. The list
// is cut at its commas first, since the parser's limit on tokens would lose
// recipients of a long one.
func splitAddresses(value string) []string {
	var out []string
	items, _ := address.Items(value, ",")
	for _, item := range items {
		for _, a := range address.ListAddresses(item, 0) {
			if a != "" {
				out = append(out, a)
			}
		}
	}
	return out
}
