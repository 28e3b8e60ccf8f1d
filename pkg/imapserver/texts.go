package imapserver

import (
	"bytes"
	"io"
	"unicode/utf8"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/fulltext"
	"github.com/posthouse-mail/posthouse/pkg/mime/structure"
)

// textSink takes the texts in which SEARCH looks, one after another: each in
// pieces, which do not end within a character, and then its end. A search and
// the full-text index get the same texts in the same pieces, or they would not
// agree.
type textSink interface {
	write(p []byte) (enough bool)
	end()
}

// finder looks for folded text in texts.
type finder struct {
	text []byte
	buf  []byte // the end of what was read, folded, and what is new
}

// write takes a piece and reports whether the text is in what came so far.
func (f *finder) write(p []byte) bool {
	keep := min(len(f.buf), max(len(f.text)-1, 0))
	copy(f.buf, f.buf[len(f.buf)-keep:])
	f.buf = fold(f.buf[:keep], p)
	return bytes.Contains(f.buf, f.text)
}

func (f *finder) end() { f.buf = f.buf[:0] }

// decodedValue returns the value of a field with encoded words decoded.
func decodedValue(value []byte) []byte {
	plain := true
	for _, c := range value {
		if c >= utf8.RuneSelf || c == '\r' || c == '\n' {
			plain = false
			break
		}
	}
	if plain && !bytes.Contains(value, []byte("=?")) {
		return value
	}
	return []byte(decodeHeader(structure.Unfold(value)))
}

// inText looks for text in the body, and for keyText in the header first.
func (m *matcher) inText(k *key) verdict {
	if k.found != nil {
		switch k.found.Verdict(m.msg.UID) {
		case fulltext.Absent:
			return no
		case fulltext.Present:
			return yes
		}
	}
	if !m.open {
		return maybe
	}
	if !m.openContent() {
		return no
	}
	if k.text == "" {
		return yes
	}
	f := &finder{text: []byte(k.text), buf: m.buf[:0]}
	defer func() { m.buf = f.buf[:0] }()
	if k.kind == keyText {
		header, _ := m.fields("x-all") // of no kept field: the whole header
		if headerTexts(header, f) {
			return yes
		}
	}
	found, err := m.bodyTexts(f)
	if err != nil {
		m.note(err)
	}
	return verdictOf(found)
}

// headerTexts gives the fields of a header.
func headerTexts(header []byte, to textSink) bool {
	enough := false
	structure.EachRaw(header, func(field, _, _ []byte) {
		if !enough {
			enough = to.write(decodedValue(bytes.TrimRight(field, "\r\n")))
			to.end()
		}
	})
	return enough
}

// bodyTexts gives the texts of the body. An error is one of reading the
// message.
func (m *matcher) bodyTexts(to textSink) (bool, error) {
	if m.root == nil {
		root, err := parseContent(m.content)
		if err != nil {
			return false, err
		}
		m.root = root
	}
	return m.partTexts(m.root, to, true)
}

// partTexts gives the texts of a part, and the headers of messages and parts
// inside.
func (m *matcher) partTexts(p *structure.Part, to textSink, top bool) (bool, error) {
	if !top {
		h := &p.Header
		for _, s := range []string{h.Envelope.Subject, h.Envelope.From, h.Envelope.To, h.Envelope.Cc} {
			if s == "" {
				continue
			}
			enough := to.write([]byte(decodeHeader(s)))
			to.end()
			if enough {
				return true, nil
			}
		}
	}
	for _, c := range p.Children {
		if enough, err := m.partTexts(c, to, false); enough || err != nil {
			return enough, err
		}
	}
	if len(p.Children) > 0 || p.Header.Type.Major != "text" && p.Header.Type.Major != "message" {
		return false, nil
	}
	defer to.end()
	return m.bodyText(p, to)
}

// bodyText gives one text.
func (m *matcher) bodyText(p *structure.Part, to textSink) (bool, error) {
	if b := m.content.Bytes(); b != nil && plainText(p) {
		return to.write(b[p.Body:p.End]), nil
	}
	r := textReader(m.content, p)
	piece := make([]byte, 32<<10)
	have := 0
	for {
		n, err := r.Read(piece[have:])
		n += have
		whole := n
		if err == nil {
			whole = wholeRunes(piece[:n])
		}
		if to.write(piece[:whole]) {
			return true, nil
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return false, nil // the end, or the file was cut
		}
		if err != nil {
			return false, err
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
