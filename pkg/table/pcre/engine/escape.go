package engine

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

var errUnknownEscape = errors.New(`unrecognized character follows \`)

// escape reads what a backslash starts, outside of a class.
func (p *parser) escape() (*node, bool, error) {
	if p.pos+1 >= len(p.in) {
		p.pos = len(p.in)
		return nil, false, errors.New(`\ at end of pattern`)
	}
	c := p.in[p.pos+1]
	place := map[byte]place{'b': pWord, 'B': pNotWord, 'A': pStart, 'G': pStart, 'Z': pLastLine, 'z': pEnd}
	if at, ok := place[c]; ok {
		p.pos += 2
		return &node{kind: nAssert, place: at}, false, nil
	}
	s := &set{}
	if s.typeEscape(c, p.ucp) {
		p.pos += 2
		return &node{kind: nSet, set: s.done()}, true, nil
	}
	switch {
	case c == 'N' && !strings.HasPrefix(p.in[p.pos:], `\N{U+`):
		p.pos += 2
		return &node{kind: nAny}, true, nil
	case c == 'R':
		p.pos += 2
		return &node{kind: nNewline}, true, nil
	case c == 'X':
		p.pos += 2
		return &node{kind: nGrapheme}, true, nil
	case c == 'C':
		p.pos += 2
		return &node{kind: nUnit}, true, nil
	case c == 'K':
		p.pos += 2
		if p.look > 0 {
			p.pos++
			return nil, false, errors.New(`\K is not allowed in lookarounds (but see PCRE2_EXTRA_ALLOW_LOOKAROUND_BSK)`)
		}
		p.verbs = true
		return &node{kind: nKeep}, false, nil
	case c == 'p' || c == 'P':
		pr, err := p.property()
		if err != nil {
			return nil, false, err
		}
		s.props = append(s.props, pr)
		return &node{kind: nSet, set: s.done()}, true, nil
	case c == 'g' || c == 'k' || c >= '1' && c <= '9':
		return p.reference(c)
	}
	r, err := p.charEscape(false)
	if err != nil {
		return nil, false, err
	}
	return p.char(r), true, nil
}

// charEscape reads an escape that stands for one character.
func (p *parser) charEscape(inClass bool) (rune, error) {
	c := p.in[p.pos+1]
	switch c {
	case 'a', 'e', 'f', 'n', 'r', 't':
		p.pos += 2
		return map[byte]rune{'a': 7, 'e': 27, 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}[c], nil
	case 'b':
		if inClass {
			p.pos += 2
			return '\b', nil
		}
	case 'c':
		if p.pos+2 >= len(p.in) {
			p.pos += 2
			return 0, errors.New(`\c at end of pattern`)
		}
		x := p.in[p.pos+2]
		if x < ' ' || x > '~' {
			return 0, errors.New(`\c must be followed by a printable ASCII character`)
		}
		if x >= 'a' && x <= 'z' {
			x -= 0x20
		}
		p.pos += 3
		return rune(x ^ 0x40), nil
	case 'x':
		return p.hex()
	case 'N':
		if p.utf && strings.HasPrefix(p.in[p.pos:], `\N{U+`) {
			return p.braced(5, 16)
		}
		p.pos += 2
		return 0, errors.New(`\N{U+dddd} is supported only in Unicode (UTF) mode`)
	case 'o':
		if strings.HasPrefix(p.in[p.pos:], `\o{`) {
			return p.braced(3, 8)
		}
		p.pos += 2
		return 0, errors.New(`missing opening brace after \o`)
	}
	if strings.IndexByte("FLlUu", c) >= 0 {
		p.pos += 2
		return 0, errors.New(`PCRE2 does not support \F, \L, \l, \N{name}, \U, or \u`)
	}
	if c >= '0' && c <= '7' {
		return p.octal()
	}
	if c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' {
		if !inClass || c != '8' && c != '9' {
			p.pos++
			return 0, errUnknownEscape
		}
	}
	p.pos++
	return p.rune(), nil
}

// hex reads \xHH or \x{H...}.
func (p *parser) hex() (rune, error) {
	rest := p.in[p.pos+2:]
	if strings.HasPrefix(rest, "{") {
		return p.braced(3, 16)
	}
	n := 0
	for n < len(rest) && n < 2 && strings.IndexByte("0123456789abcdefABCDEF", rest[n]) >= 0 {
		n++
	}
	v, _ := strconv.ParseUint(rest[:n], 16, 32)
	p.pos += 2 + n
	return rune(v), nil
}

// braced reads a number in braces behind skip bytes.
func (p *parser) braced(skip, base int) (rune, error) {
	digits, _, ok := strings.Cut(p.in[p.pos+skip:], "}")
	v, err := strconv.ParseUint(digits, base, 32)
	if !ok || err != nil {
		return 0, errors.New(`non-hex character in \x{} or non-octal in \o{} (closing brace missing?)`)
	}
	p.pos += skip + len(digits)
	r, err := p.code(v)
	p.pos += one(err == nil)
	return r, err
}

// code checks the number of a character.
func (p *parser) code(v uint64) (rune, error) {
	switch {
	case !p.utf && v > 0xff, v > 0x10ffff:
		return 0, errors.New(`character code point value in \x{} or \o{} is too large`)
	case p.utf && !utf8.ValidRune(rune(v)):
		return 0, errors.New("disallowed Unicode code point (>= 0xd800 && <= 0xdfff)")
	}
	return rune(v), nil
}

func (p *parser) octal() (rune, error) {
	rest, n, v := p.in[p.pos+1:], 0, uint64(0)
	for n < len(rest) && n < 3 && rest[n] >= '0' && rest[n] <= '7' {
		v = v*8 + uint64(rest[n]-'0')
		n++
	}
	p.pos += 1 + n
	if !p.utf && v > 0xff {
		return 0, errors.New(`octal value is greater than \377 in 8-bit non-UTF-8 mode`)
	}
	return rune(v), nil
}

// property reads \pL, \p{name} or \p{^name}.
func (p *parser) property() (prop, error) {
	negate := p.in[p.pos+1] == 'P'
	rest := p.in[p.pos+2:]
	name, n := "", 3
	switch {
	case rest == "":
		p.pos = len(p.in)
		return prop{}, errors.New(`malformed \P or \p sequence`)
	case rest[0] != '{':
		name = rest[:1]
	default:
		inner, _, ok := strings.Cut(rest[1:], "}")
		if !ok {
			p.pos = len(p.in)
			return prop{}, errors.New(`malformed \P or \p sequence`)
		}
		n = len(inner) + 4
		if after, ok := strings.CutPrefix(inner, "^"); ok {
			inner, negate = after, !negate
		}
		name = inner
	}
	has, ok := property(name)
	p.pos += n
	if !ok {
		return prop{}, errors.New(`unknown property after \P or \p`)
	}
	return prop{has, negate}, nil
}

// reference reads \1, \g1, \g{-1}, \g{name}, \g<1> or \k<name>.
func (p *parser) reference(c byte) (*node, bool, error) {
	nameAt := p.pos + 3
	if c >= '1' && c <= '9' {
		rest, i := p.in[p.pos+1:], 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		n := number(rest[:i])
		// Above 9, it is octal if there are not as many groups to its left.
		if n > 9 && n > p.groups {
			if c >= '8' {
				p.pos += 2
				return nil, false, errNoGroup
			}
			r, err := p.octal()
			return p.char(r), true, err
		}
		p.pos += 1 + i
		return p.refer(&node{group: n, at: p.pos - 1}), true, nil
	}
	name, form, err := p.delimited(c)
	if err != nil {
		return nil, false, err
	}
	call := c == 'g' && (form == '<' || form == '\'')
	n := &node{at: p.pos - 1}
	if number, relative, ok := p.groupNumber(name, call); ok {
		n.group = number
		if number < 1 && (relative || !call) {
			if name[0] == '-' || name[0] == '+' {
				p.pos = nameAt - 1
			}
			return nil, false, errNoGroup
		}
	} else if !validName(name) || c == 'g' && form == 0 {
		return nil, false, errName
	} else {
		n.name, n.at = name, nameAt
	}
	if call {
		n.kind = nCall
		p.verbs = true
		p.refs = append(p.refs, n)
		return n, true, nil
	}
	if c == 'k' && n.name == "" {
		return nil, false, errName
	}
	return p.refer(n), true, nil
}

// refer makes a reference to what a group matched.
func (p *parser) refer(n *node) *node {
	n.kind, n.caseless = nRef, p.opts.caseless
	p.refs = append(p.refs, n)
	return n
}

// delimited reads what follows \g or \k.
func (p *parser) delimited(c byte) (name string, form byte, err error) {
	rest := p.in[p.pos+2:]
	noName := errors.New(`\k is not followed by a braced, angle-bracketed, or quoted name`)
	if c == 'g' {
		noName = errors.New(`\g is not followed by a braced, angle-bracketed, or quoted name/number or by a plain number`)
	}
	if rest == "" {
		p.pos += 2
		return "", 0, noName
	}
	ends := map[byte]string{'{': "}", '<': ">", '\'': "'"}
	end, ok := ends[rest[0]]
	if !ok {
		i := 0
		for i < len(rest) && (rest[i] >= '0' && rest[i] <= '9' || i == 0 && (rest[i] == '-' || rest[i] == '+')) {
			i++
		}
		if c != 'g' || i == 0 {
			p.pos += 2
			return "", 0, noName
		}
		p.pos += 2 + i
		return rest[:i], 0, nil
	}
	inner, _, ok := strings.Cut(rest[1:], end)
	if !ok || inner == "" {
		p.pos += 3
		return "", 0, errName
	}
	p.pos += 2 + len(inner) + 2
	return inner, rest[0], nil
}

// groupNumber reads "1", "-1" or "+1".
func (p *parser) groupNumber(s string, call bool) (n int, relative, ok bool) {
	digits := strings.TrimLeft(s, "+-")
	if digits == "" || len(s)-len(digits) > 1 || strings.Trim(digits, "0123456789") != "" {
		return 0, false, false
	}
	n = number(digits)
	switch {
	case n == 0 && (len(s) > len(digits) || !call):
		return -1, true, true
	case s[0] == '-':
		return p.groups + 1 - n, true, true
	case s[0] == '+':
		return p.groups + n, true, true
	}
	return n, false, true
}

func validName(s string) bool {
	if s == "" || len(s) > 32 || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}
