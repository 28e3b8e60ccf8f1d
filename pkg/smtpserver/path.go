package smtpserver

import (
	"errors"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// errPath reports a path that is not in the form of RFC 5321 4.1.2.
var errPath = errors.New("address syntax")

const (
	maxLocal  = 512 // RFC 5321 asks for 64; longer ones are in use
	maxDomain = 255
)

// parsePath reads the address of MAIL or RCPT and returns it in internal
// form, with what follows it. It takes what clients really send: no angle
// brackets or too many, blanks around them and the @ (unless strict), a source route, which is
// dropped (RFC 5321 appendix F.2), a local part alone, a dot at the end of
// the domain, dots in odd places of the local part. It refuses everything
// that another parser may read as a different address.
func parsePath(s string, strict, utf8ok bool) (addr, rest string, err error) {
	p := &pathParser{s: s, utf8: utf8ok, blank: !strict}
	opened := 0
	for p.blanks(); p.take('<'); p.blanks() {
		opened++
	}
	if strict && opened != 1 {
		return "", "", errPath
	}
	if opened > 0 {
		if err := p.sourceRoute(); err != nil {
			return "", "", err
		}
	}
	p.blank = p.blank && opened > 0
	if addr, err = p.mailbox(); err != nil {
		return "", "", err
	}
	closed := 0
	for p.blanks(); p.take('>'); closed++ {
	}
	if closed < opened || strict && closed > 1 || opened == 0 && addr == "" || !atEnd(p.rest()) {
		return "", "", errPath
	}
	return addr, p.rest(), nil
}

func atEnd(s string) bool { return s == "" || s[0] == ' ' || s[0] == '\t' }

type pathParser struct {
	s           string
	i           int
	utf8, blank bool // bytes above 127, and blanks, are allowed
}

func (p *pathParser) rest() string { return p.s[p.i:] }

func (p *pathParser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *pathParser) take(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

// blanks skips blanks where they are allowed.
func (p *pathParser) blanks() {
	for p.blank && (p.peek() == ' ' || p.peek() == '\t') {
		p.i++
	}
}

// sourceRoute skips "@a,@b:".
func (p *pathParser) sourceRoute() error {
	if p.peek() != '@' {
		return nil
	}
	for p.take('@') {
		if _, err := p.domain(); err != nil {
			return err
		}
		if p.take(':') {
			return nil
		}
		if !p.take(',') {
			break
		}
	}
	return errPath
}

// mailbox reads a local part with or without a domain, or nothing.
func (p *pathParser) mailbox() (string, error) {
	local, quoted, err := p.local()
	if err != nil {
		return "", err
	}
	end := p.i
	p.blanks()
	if !p.take('@') {
		p.i = end
		return local, nil
	}
	if local == "" && !quoted {
		return "", errPath
	}
	p.blanks()
	domain, err := p.domain()
	if err != nil {
		return "", err
	}
	return local + "@" + domain, nil
}

func (p *pathParser) local() (s string, quoted bool, err error) {
	if p.peek() == '"' {
		s, err = p.quoted()
		return s, true, err
	}
	start := p.i
	for p.i < len(p.s) && atomByte(p.s[p.i]) {
		p.i++
	}
	s = p.s[start:p.i]
	if len(s) > maxLocal || !utf8.ValidString(s) {
		return "", false, errPath
	}
	return s, false, nil
}

// atomByte reports the bytes that a local part may have without quotes. A
// backslash outside of quotes is refused: readers differ about it.
func atomByte(c byte) bool {
	return c > ' ' && c != 0x7f && !strings.ContainsRune(`()<>[]:;@\,"`, rune(c))
}

func (p *pathParser) quoted() (string, error) {
	var b strings.Builder
	p.i++
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		if c == '"' {
			if b.Len() > maxLocal || !utf8.ValidString(b.String()) {
				return "", errPath
			}
			return b.String(), nil
		}
		if c == '\\' {
			if p.i == len(p.s) {
				break
			}
			c = p.s[p.i]
			p.i++
		}
		if c < ' ' || c == 0x7f {
			return "", errPath
		}
		b.WriteByte(c)
	}
	return "", errPath
}

// domain reads a host name or an address literal.
func (p *pathParser) domain() (string, error) {
	start := p.i
	if p.peek() == '[' {
		end := strings.IndexByte(p.rest(), ']')
		if end < 0 {
			return "", errPath
		}
		p.i += end + 1
		return p.s[start:p.i], checkLiteral(p.s[start:p.i])
	}
	for p.i < len(p.s) && domainByte(p.s[p.i]) {
		p.i++
	}
	d := strings.TrimSuffix(p.s[start:p.i], ".")
	return d, checkDomain(d, p.utf8)
}

func domainByte(c byte) bool {
	return c == '.' || c == '-' || c == '_' || c >= 0x80 || alnum(c)
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// checkLiteral checks an address literal (RFC 5321 4.1.3).
func checkLiteral(s string) error {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	six := len(s) > 5 && strings.EqualFold(s[:5], "IPv6:")
	if six {
		s = s[5:]
	}
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Zone() != "" || ip.Is4() == six {
		return errPath
	}
	return nil
}

// checkDomain checks a host name: labels of up to 63 bytes that neither begin
// nor end with a hyphen, not all digits.
func checkDomain(d string, utf8ok bool) error {
	if d == "" || len(d) > maxDomain {
		return errPath
	}
	digits := true
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return errPath
		}
		if !labelRunes(label, utf8ok) {
			return errPath
		}
		digits = digits && strings.Trim(label, "0123456789") == ""
	}
	if digits {
		return errPath
	}
	return nil
}

// labelRunes refuses bytes above 127 without SMTPUTF8, and with it whatever
// is no letter, digit or mark: the full-width dot would be one to others.
func labelRunes(label string, utf8ok bool) bool {
	for _, r := range label {
		if r < utf8.RuneSelf {
			continue
		}
		if !utf8ok || r == utf8.RuneError || !unicode.In(r, unicode.L, unicode.M, unicode.N) {
			return false
		}
	}
	return true
}
