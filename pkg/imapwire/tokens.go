package imapwire

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/posthouse-mail/posthouse/pkg/mutf7"
)

// Classes of characters (RFC 9051 9).
const (
	atomSpecials = "(){ %*\"\\]"
	listWild     = "%*"
)

// isAtom reports an ATOM-CHAR.
func isAtom(c byte) bool {
	return c > 0x20 && c < 0x7f && strings.IndexByte(atomSpecials, c) < 0
}

// isAString reports an ASTRING-CHAR: an ATOM-CHAR or ']'. Bytes of UTF-8 are
// taken too: clients send mailbox names that way.
func isAString(c byte) bool { return isAtom(c) || c == ']' || c >= 0x80 }

// isTag reports a character of a tag: an ASTRING-CHAR but '+'.
func isTag(c byte) bool { return isAString(c) && c != '+' && c < 0x80 }

// Rest returns what is left of the present line.
func (d *Decoder) Rest() string { return string(d.seg[d.pos:]) }

// Peek returns the next byte of the line, 0 at its end.
func (d *Decoder) Peek() byte {
	if d.err != nil || d.pos >= len(d.seg) {
		return 0
	}
	return d.seg[d.pos]
}

// Tag reads the tag and the blank behind it. An empty tag is an error that has
// none to answer with.
func (d *Decoder) Tag() string {
	tag := d.take(isTag)
	if tag == "" || len(tag) > maxTag {
		d.Fail("Invalid tag")
		return ""
	}
	return tag
}

// take reads characters of a class.
func (d *Decoder) take(class func(byte) bool) string {
	if d.err != nil {
		return ""
	}
	start := d.pos
	for d.pos < len(d.seg) && class(d.seg[d.pos]) {
		d.pos++
	}
	return string(d.seg[start:d.pos])
}

// SP reads a blank. More than one is tolerated, as by others.
func (d *Decoder) SP() {
	if d.Peek() != ' ' {
		d.Fail("Missing space")
		return
	}
	for d.Peek() == ' ' {
		d.pos++
	}
}

// TrySP reads a blank if there is one.
func (d *Decoder) TrySP() bool {
	if d.Peek() != ' ' {
		return false
	}
	d.SP()
	return d.err == nil
}

// Special reads one given character.
func (d *Decoder) Special(c byte) {
	if !d.TrySpecial(c) {
		d.Fail("Expected '%c'", c)
	}
}

// TrySpecial reads the character if it is next.
func (d *Decoder) TrySpecial(c byte) bool {
	if d.err != nil || d.Peek() != c {
		return false
	}
	d.pos++
	return true
}

// End checks that the command ends here. Blanks at the end are tolerated.
func (d *Decoder) End() bool {
	for d.Peek() == ' ' {
		d.pos++
	}
	if d.err == nil && d.pos < len(d.seg) {
		d.Fail("Unexpected characters at the end")
	}
	return d.err == nil
}

// AtEnd reports whether nothing is left of the line.
func (d *Decoder) AtEnd() bool { return d.err == nil && d.pos >= len(d.seg) }

// Atom reads an atom.
func (d *Decoder) Atom() string {
	s := d.take(isAtom)
	if s == "" {
		d.Fail("Expected an atom")
	}
	return s
}

// Word reads an atom in upper case, for keywords of commands.
func (d *Decoder) Word() string { return strings.ToUpper(d.Atom()) }

// Name reads letters, digits, '.' and '-' in upper case: the name of an item
// that may be followed by '[' or '<'.
func (d *Decoder) Name() string {
	s := d.take(func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_'
	})
	if s == "" {
		d.Fail("Expected a name")
	}
	return strings.ToUpper(s)
}

// Number reads a number of 32 bits.
func (d *Decoder) Number() uint32 {
	n, err := strconv.ParseUint(d.take(isDigit), 10, 32)
	if err != nil {
		d.Fail("Invalid number")
	}
	return uint32(n)
}

// Number64 reads a number of 63 bits.
func (d *Decoder) Number64() uint64 {
	n, err := strconv.ParseUint(d.take(isDigit), 10, 63)
	if err != nil {
		d.Fail("Invalid number")
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// String reads a quoted string or a literal.
func (d *Decoder) String() []byte {
	switch {
	case d.Peek() == '"':
		return d.quoted()
	case d.AtLiteral():
		return d.literal()
	}
	d.Fail("Expected a string")
	return nil
}

// quoted reads a quoted string. 8-bit bytes that are no UTF-8 are refused.
func (d *Decoder) quoted() []byte {
	d.pos++
	var out []byte
	for d.pos < len(d.seg) {
		i := bytes.IndexAny(d.seg[d.pos:], "\"\\")
		if i < 0 {
			break
		}
		out = append(out, d.seg[d.pos:d.pos+i]...)
		d.pos += i + 1
		if d.seg[d.pos-1] == '"' {
			return d.checked(out)
		}
		if d.pos < len(d.seg) {
			out = append(out, d.seg[d.pos])
			d.pos++
		}
	}
	d.Fail("Unterminated string")
	return nil
}

func (d *Decoder) checked(s []byte) []byte {
	if bytes.IndexByte(s, 0) >= 0 || bytes.IndexByte(s, '\r') >= 0 || !utf8.Valid(s) {
		d.Fail("Invalid characters in string")
		return nil
	}
	if s == nil {
		s = []byte{}
	}
	return s
}

// AString reads an atom, a quoted string or a literal.
func (d *Decoder) AString() string {
	if c := d.Peek(); c == '"' || d.AtLiteral() {
		return string(d.String())
	}
	s := d.take(isAString)
	if s == "" {
		d.Fail("Expected a string")
	}
	if !utf8.ValidString(s) {
		d.Fail("Invalid characters in string")
	}
	return s
}

// NString reads a string or NIL.
func (d *Decoder) NString() (s []byte, isNil bool) {
	if c := d.Peek(); c == '"' || d.AtLiteral() {
		return d.String(), false
	}
	if !strings.EqualFold(d.Atom(), "NIL") {
		d.Fail("Expected a string or NIL")
	}
	return nil, true
}

// ListMailbox reads a mailbox name that may have wild cards.
func (d *Decoder) ListMailbox() string {
	if c := d.Peek(); c == '"' || d.AtLiteral() {
		return string(d.String())
	}
	s := d.take(func(c byte) bool { return isAString(c) || strings.IndexByte(listWild, c) >= 0 })
	if s == "" {
		d.Fail("Expected a mailbox pattern")
	}
	if !utf8.ValidString(s) {
		d.Fail("Invalid characters in string")
	}
	return s
}

// Mailbox reads a mailbox name and returns it in UTF-8. INBOX is in upper
// case (RFC 9051 5.1).
func (d *Decoder) Mailbox() string {
	s := d.AString()
	if d.err != nil {
		return ""
	}
	name, ok := d.DecodeMailbox(s)
	if !ok {
		d.Fail("Invalid mailbox name")
		return ""
	}
	return name
}

// DecodeMailbox makes UTF-8 of a mailbox name as the client wrote it.
func (d *Decoder) DecodeMailbox(s string) (string, bool) {
	name := s
	if !d.UTF8 {
		// Clients that saw IMAP4rev2 send UTF-8 without having enabled it;
		// some of them write '&' as modified UTF-7 does.
		decoded, err := mutf7.Decode(s)
		switch {
		case err == nil:
			name = decoded
		case isASCII(s):
			return "", false
		default:
			name = strings.ReplaceAll(s, "&-", "&")
		}
	}
	if !utf8.ValidString(name) {
		return "", false
	}
	if strings.EqualFold(name, "INBOX") {
		return "INBOX", true
	}
	if len(name) > 6 && name[5] == '/' && strings.EqualFold(name[:5], "INBOX") {
		name = "INBOX" + name[5:]
	}
	return name, true
}

// List reads a list in parentheses; item reads one element.
func (d *Decoder) List(item func()) {
	d.Special('(')
	for n := 0; d.err == nil; n++ {
		if d.TrySpecial(')') {
			return
		}
		if n > 0 {
			d.SP()
			if d.TrySpecial(')') {
				return
			}
		}
		item()
	}
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
