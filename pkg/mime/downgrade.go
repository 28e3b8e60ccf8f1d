package mime

import "bytes"

// Downgrader turns an 8-bit message into a 7-bit one for a server without
// 8BITMIME (RFC 6152 3): each part whose encoding is 8bit or binary becomes
// quoted-printable, and its header says so. Parts that are 7bit, or encoded
// already, stay as they are, and so does all else.
//
// Lines that a message over-declares, multipart or message/rfc822 parts, get
// encoding 7bit, since RFC 2045 6.4 allows no other; what is in them is
// converted part by part.
type Downgrader struct {
	scan   Scanner
	out    func(line []byte, eol bool) error
	encode bool
	inHead bool
	kind   bodyKind
	cte    bool // the header had a Content-Transfer-Encoding
	eight  bool // which said 8bit or binary
	col    int
	buf    []byte
}

type bodyKind int

const (
	leaf bodyKind = iota
	composite
)

// NewDowngrader returns a converter that hands lines to out; a line without
// end (eol false) is continued by the next call.
func NewDowngrader(out func(line []byte, eol bool) error, lim Limits) *Downgrader {
	d := &Downgrader{out: out, inHead: true}
	d.scan.Reset(d, lim)
	return d
}

// Line feeds one line without its end, or where eol is false a part of one.
func (d *Downgrader) Line(line []byte, eol bool) error { return d.scan.Line(line, eol) }

// End ends the message. A last line without end gets one.
func (d *Downgrader) End() error {
	if err := d.scan.End(); err != nil {
		return err
	}
	if len(d.buf) > 0 {
		return d.flushLine()
	}
	if d.inHead && d.eight {
		d.inHead = false
		return d.endHead()
	}
	return nil
}

// Header implements [Handler].
func (d *Downgrader) Header(_ Class, text []byte) error {
	if !d.inHead {
		d.inHead, d.kind, d.cte, d.eight = true, leaf, false, false
	}
	n := HeaderName(text)
	name := text[:n]
	colon := n + bytes.IndexByte(text[n:], ':')
	switch {
	case bytes.EqualFold(name, []byte("content-transfer-encoding")):
		if value, _ := parseType(string(text[colon+1:])); value != "8bit" && value != "binary" {
			d.cte = true
			break
		}
		// Written anew at the end of the header, when the type is known.
		d.eight = true
		return nil
	case bytes.EqualFold(name, []byte("content-type")):
		t, _ := parseType(string(text[colon+1:]))
		if len(t) > 10 && t[:10] == "multipart/" || len(t) > 8 && t[:8] == "message/" {
			d.kind = composite
		}
	}
	for {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return d.out(text, true)
		}
		if err := d.out(text[:i], true); err != nil {
			return err
		}
		text = text[i+1:]
	}
}

// HeaderEnd implements [Handler].
func (d *Downgrader) HeaderEnd() error { return nil }

// Body implements [Handler]. The first line after a header ends it.
func (d *Downgrader) Body(line []byte, eol bool) error {
	if d.scan.atBound {
		d.inHead, d.kind, d.cte, d.eight, d.encode = true, leaf, false, false, false
		return d.out(line, eol)
	}
	if d.inHead {
		d.inHead = false
		if err := d.endHead(); err != nil {
			return err
		}
		if len(line) == 0 && eol {
			return d.out(line, eol)
		}
	}
	if !d.encode {
		return d.out(line, eol)
	}
	return d.quote(line, eol)
}

// endHead decides about the part and writes its encoding.
func (d *Downgrader) endHead() error {
	d.encode = false
	if d.cte || !d.eight {
		return nil
	}
	if d.kind == composite {
		return d.out([]byte("Content-Transfer-Encoding: 7bit"), true)
	}
	d.encode = true
	return d.out([]byte("Content-Transfer-Encoding: quoted-printable"), true)
}

// maxQuoted is the longest line of quoted-printable without its soft line
// break (RFC 2045 6.7).
const maxQuoted = 75

// quote writes a line, or a part of one, in quoted-printable. A blank at the
// end of a line is encoded, since transports may strip it, and so are those
// characters that could look like something else at the start of a line.
func (d *Downgrader) quote(line []byte, eol bool) error {
	const hex = "0123456789ABCDEF"
	for i, c := range line {
		last := i == len(line)-1
		var enc [3]byte
		n := 1
		enc[0] = c
		if c < ' ' && c != '\t' || c == '=' || c >= 0x7f || last && (c == ' ' || c == '\t') ||
			d.col == 0 && (c == '.' || c == 'F') {
			enc = [3]byte{'=', hex[c>>4], hex[c&15]}
			n = 3
		}
		if d.col+n > maxQuoted {
			d.buf = append(d.buf, '=')
			if err := d.flushLine(); err != nil {
				return err
			}
		}
		d.buf = append(d.buf, enc[:n]...)
		d.col += n
	}
	if !eol {
		return nil
	}
	return d.flushLine()
}

func (d *Downgrader) flushLine() error {
	err := d.out(d.buf, true)
	d.buf, d.col = d.buf[:0], 0
	return err
}
