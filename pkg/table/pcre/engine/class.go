package engine

import (
	"errors"
	"strings"
)

// class reads "[...]".
func (p *parser) class() (*node, error) {
	s := &set{caseless: p.opts.caseless, unicode: p.allCases()}
	p.pos++
	if strings.HasPrefix(p.in[p.pos:], "^") {
		s.negate = true
		p.pos++
	}
	quoting := false
	for first := true; ; {
		rest := p.in[p.pos:]
		switch {
		case rest == "":
			return nil, errors.New("missing terminating ] for character class")
		case strings.HasPrefix(rest, `\E`):
			quoting = false
			p.pos += 2
			continue
		case !quoting && strings.HasPrefix(rest, `\Q`):
			quoting = true
			p.pos += 2
			continue
		case !quoting && p.opts.more && (rest[0] == ' ' || rest[0] == '\t'):
			p.pos++
			continue
		case !quoting && rest[0] == ']' && !first:
			p.pos++
			return &node{kind: nSet, set: s.done()}, nil
		}
		first = false
		if err := p.classItem(s, &quoting); err != nil {
			return nil, err
		}
	}
}

// classItem reads a character, a range, an escape or a POSIX class.
func (p *parser) classItem(s *set, quoting *bool) error {
	lo, single, err := p.classAtom(s, *quoting)
	if err != nil {
		return err
	}
	// A range has a hyphen and something else than the end behind it.
	at, q := p.pos, *quoting
	p.quotes(&q)
	rest := p.in[p.pos:]
	if !q && strings.HasPrefix(rest, "-") {
		p.pos++
		p.quotes(&q)
		if more := p.in[p.pos:]; more != "" && (q || more[0] != ']') {
			return p.classRange(s, lo, single, quoting, q)
		}
	}
	p.pos = at
	if single {
		s.add(lo, lo)
	}
	return nil
}

// quotes passes over \Q and \E.
func (p *parser) quotes(q *bool) {
	for {
		rest := p.in[p.pos:]
		switch {
		case strings.HasPrefix(rest, `\E`):
			*q = false
		case !*q && strings.HasPrefix(rest, `\Q`):
			*q = true
		default:
			return
		}
		p.pos += 2
	}
}

// classRange reads the end of a range.
func (p *parser) classRange(s *set, lo rune, single bool, quoting *bool, q bool) error {
	*quoting = q
	start := p.pos
	hi, ends, err := p.classAtom(s, q)
	if err != nil {
		return err
	}
	switch {
	case !single:
		// After a set of characters, a hyphen in front of more is a mistake,
		// as that set cannot begin a range.
		if ends || p.pos > start {
			p.pos = start - 1
			return errors.New("invalid range in character class")
		}
	case !ends:
		if p.in[start] == '[' {
			p.pos = start + 1
		}
		return errors.New("invalid range in character class")
	case lo > hi:
		p.pos--
		return errors.New("range out of order in character class")
	}
	s.add(lo, hi)
	return nil
}

// classAtom reads one element; single tells that it is a character, which is
// not yet in the set.
func (p *parser) classAtom(s *set, quoting bool) (r rune, single bool, err error) {
	rest := p.in[p.pos:]
	switch {
	case quoting:
	case rest[0] == '[' && len(rest) > 1 && strings.IndexByte(":.=", rest[1]) >= 0:
		if done, err := p.posixItem(s, rest); done || err != nil {
			return 0, false, err
		}
	case rest[0] == '\\':
		return p.classEscape(s)
	}
	return p.rune(), true, nil
}

// posixItem reads "[:name:]", if it is one.
func (p *parser) posixItem(s *set, rest string) (bool, error) {
	kind := rest[1]
	i := 2
	for i < len(rest) && rest[i] != kind && rest[i] != ']' && rest[i] != '\\' && rest[i] != '[' {
		i++
	}
	if i+1 >= len(rest) || rest[i] != kind || rest[i+1] != ']' {
		return false, nil
	}
	if kind != ':' {
		return true, errors.New("POSIX collating elements are not supported")
	}
	name, negate := strings.CutPrefix(rest[2:i], "^")
	list := posix(name)
	if list == nil {
		p.pos += 2
		return true, errors.New("unknown POSIX class name")
	}
	p.pos += i + 2
	if s.caseless && (name == "upper" || name == "lower") {
		name, list = "alpha", posix("alpha")
	}
	if has, ok := posixUnicode(name); ok && p.ucp {
		s.props = append(s.props, prop{has, negate})
		return true, nil
	}
	if negate {
		list = complement(list)
	}
	s.addFix(list)
	return true, nil
}

// classEscape reads an escape in a class.
func (p *parser) classEscape(s *set) (r rune, single bool, err error) {
	if p.pos+1 >= len(p.in) {
		p.pos++
		return 0, false, errors.New(`\ at end of pattern`)
	}
	c := p.in[p.pos+1]
	switch {
	case s.typeEscape(c, p.ucp):
		p.pos += 2
		return 0, false, nil
	case c == 'p' || c == 'P':
		pr, err := p.property()
		if err == nil {
			s.props = append(s.props, pr)
		}
		return 0, false, err
	case c == 'N' && !strings.HasPrefix(p.in[p.pos:], `\N{U+`):
		p.pos += 2
		return 0, false, errors.New(`\N is not supported in a class`)
	case strings.IndexByte("BRX", c) >= 0:
		p.pos++
		return 0, false, errors.New("escape sequence is invalid in character class")
	}
	r, err = p.charEscape(true)
	return r, true, err
}
