package imapserver

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mime/structure"
)

// section is what stands between the brackets of BODY[...] (RFC 9051 6.4.5.1).
type section struct {
	path   []uint32
	what   string   // "", HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT, MIME
	fields []string // as the client wrote them
}

// partial is <offset.size>.
type partial struct {
	there        bool
	offset, size int64
}

// maxPath bounds the depth of a part number.
const maxPath = structure.MaxNesting

// maxFields bounds the fields of HEADER.FIELDS.
const maxFields = 500

// readSection reads a section with its brackets.
func (c *conn) readSection() section {
	var s section
	d := c.dec
	d.Special('[')
	for d.Peek() >= '0' && d.Peek() <= '9' {
		s.path = append(s.path, d.Number())
		if len(s.path) > maxPath {
			d.Fail("Part number is too deep")
		}
		if !d.TrySpecial('.') {
			break
		}
	}
	if d.Peek() != ']' {
		s.what = d.Name()
		switch s.what {
		case "HEADER", "TEXT":
		case "MIME":
			if len(s.path) == 0 {
				d.Fail("MIME needs a part number")
			}
		case "HEADER.FIELDS", "HEADER.FIELDS.NOT":
			d.SP()
			d.List(func() {
				s.fields = append(s.fields, d.AString())
				if len(s.fields) > maxFields {
					d.Fail("Too many fields")
				}
			})
		default:
			d.Fail("Invalid section %s", s.what)
		}
	}
	d.Special(']')
	return s
}

// parseSection reads the section of a URL, which has no HEADER.FIELDS here.
func parseSection(text string) (s section, ok bool) {
	if text == "" {
		return s, true
	}
	words := strings.Split(text, ".")
	for len(words) > 0 {
		n, err := strconv.ParseUint(words[0], 10, 32)
		if err != nil {
			break
		}
		s.path = append(s.path, uint32(n))
		words = words[1:]
	}
	if len(s.path) > maxPath {
		return s, false
	}
	s.what = strings.ToUpper(strings.Join(words, "."))
	switch s.what {
	case "", "HEADER", "TEXT":
		return s, true
	case "MIME":
		return s, len(s.path) > 0
	}
	return s, false
}

// readPartial reads <offset.size> if it is there.
func (c *conn) readPartial() partial {
	var p partial
	if !c.dec.TrySpecial('<') {
		return p
	}
	p.there = true
	p.offset = int64(c.dec.Number64())
	c.dec.Special('.')
	p.size = int64(c.dec.Number64())
	c.dec.Special('>')
	if p.size == 0 {
		c.dec.Fail("Invalid partial")
	}
	return p
}

// appendLabel appends the section as it is told: BODY[1.2.HEADER]<0>.
func (s *section) appendLabel(b []byte, name string, p partial) []byte {
	b = append(b, name...)
	b = append(b, '[')
	for i, n := range s.path {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendUint(b, uint64(n), 10)
	}
	if s.what != "" {
		if len(s.path) > 0 {
			b = append(b, '.')
		}
		b = append(b, s.what...)
	}
	if s.fields != nil {
		b = append(b, " ("...)
		for i, f := range s.fields {
			if i > 0 {
				b = append(b, ' ')
			}
			b = appendField(b, f)
		}
		b = append(b, ')')
	}
	b = append(b, ']')
	if p.there {
		b = append(b, '<')
		b = strconv.AppendInt(b, p.offset, 10)
		b = append(b, '>')
	}
	return b
}

// appendField appends the name of a field as an astring.
func appendField(b []byte, name string) []byte {
	plain := name != ""
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("(){%*\"\\]", c) >= 0 {
			plain = false
		}
	}
	if plain {
		return append(b, name...)
	}
	return append(b, quoteText(name)...)
}

// sectionData is where a section is: in the message, or made from its header.
type sectionData struct {
	from, to int64 // from is -1 if there is no such part
	bytes    []byte
}

// partTree keeps the parts of the message that was looked at last: clients
// fetch a large one in many pieces.
type partTree struct {
	uid  uint32
	part *structure.Part
}

// parseContent finds the parts of a message.
func parseContent(content *mailstore.Content) (*structure.Part, error) {
	if b := content.Bytes(); b != nil {
		return structure.ParseBytes(b), nil
	}
	return structure.Parse(io.NewSectionReader(content, 0, content.Size()))
}

// maxHeaderBytes bounds a header that is read into memory.
const maxHeaderBytes = 1 << 20

// readHeader reads the header at the start of a message, with the empty line.
func readHeader(content *mailstore.Content) ([]byte, error) {
	whole := content.Bytes()
	if whole == nil {
		whole = make([]byte, min(content.Size(), maxHeaderBytes))
		n, err := content.ReadAt(whole, 0)
		if err != nil && err != io.EOF {
			return nil, err
		}
		whole = whole[:n]
	}
	return whole[:headerEnd(whole)], nil
}

// headerEnd returns where the body begins.
func headerEnd(b []byte) int {
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return 2
	}
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return len(b)
}

// locate finds a section; root is the message's parts if they are known. ok is
// false when the message cannot be read.
func (s *section) locate(content *mailstore.Content, root *structure.Part) (d sectionData, ok bool) {
	if len(s.path) == 0 {
		return s.locateTop(content)
	}
	if root == nil {
		var err error
		if root, err = parseContent(content); err != nil {
			return d, false
		}
	}
	p := root.Find(s.path)
	d.from = -1
	if p == nil {
		return d, true
	}
	switch s.what {
	case "":
		return sectionData{from: p.Body, to: p.End}, true
	case "MIME":
		return sectionData{from: p.Start, to: p.Body}, true
	}
	if !p.IsMessage() || p == root && len(s.path) == 1 && !p.IsMessage() {
		return d, true
	}
	m := p.Children[0]
	if s.what == "TEXT" {
		return sectionData{from: m.Body, to: m.End}, true
	}
	if s.what == "HEADER" {
		return sectionData{from: m.Start, to: m.Body}, true
	}
	header := make([]byte, min(m.Body-m.Start, maxHeaderBytes))
	n, err := content.ReadAt(header, m.Start)
	if err != nil && err != io.EOF {
		return d, false
	}
	return sectionData{bytes: s.filter(header[:n])}, true
}

// locateTop finds a section that needs no look at parts.
func (s *section) locateTop(content *mailstore.Content) (sectionData, bool) {
	if s.what == "" {
		return sectionData{to: content.Size()}, true
	}
	header, err := readHeader(content)
	if err != nil {
		return sectionData{}, false
	}
	switch s.what {
	case "HEADER":
		return sectionData{to: int64(len(header))}, true
	case "TEXT":
		return sectionData{from: int64(len(header)), to: content.Size()}, true
	}
	return sectionData{bytes: s.filter(header)}, true
}

// filter takes fields out of a header. The empty line is part of the result
// (RFC 9051 6.4.5.1).
func (s *section) filter(header []byte) []byte {
	not := s.what == "HEADER.FIELDS.NOT"
	out := make([]byte, 0, 256)
	structure.EachRaw(header, func(field, name, _ []byte) {
		if s.wants(name) != not {
			out = append(out, field...)
			if !bytes.HasSuffix(out, []byte("\n")) {
				out = append(out, '\r', '\n')
			}
		}
	})
	return append(out, '\r', '\n')
}

func (s *section) wants(name []byte) bool {
	for _, f := range s.fields {
		if len(f) == len(name) && strings.EqualFold(f, string(name)) {
			return true
		}
	}
	return false
}

// cut applies a partial to a section of a given size.
func (p partial) cut(size int64) (off, n int64) {
	if !p.there {
		return 0, size
	}
	off = min(p.offset, size)
	return off, min(p.size, size-off)
}

// reader reads a section.
func (d sectionData) reader(content *mailstore.Content, p partial) io.Reader {
	if d.bytes != nil {
		off, n := p.cut(int64(len(d.bytes)))
		return bytes.NewReader(d.bytes[off : off+n])
	}
	off, n := p.cut(d.to - d.from)
	return io.NewSectionReader(content, d.from+off, n)
}
