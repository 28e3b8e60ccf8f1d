package engine

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// options are those that may change within an expression.
type options struct {
	caseless, multiline, dotAll, extended, more, noCapture, dupNames, ungreedy, dollarEnd bool
}

// parser reads an expression.
type parser struct {
	in       string
	pos      int
	opts     options
	utf, ucp bool
	nl, bsr  newline
	limit    int

	notEmpty, noStartOpt bool

	groups  int
	names   map[string][]int
	refs    []*node // that name groups
	look    int     // lookarounds around this place
	depth   int
	late    error // that others come before
	lateAt  int
	quoting bool // within \Q...\E
	reused  bool // numbers of groups
	verbs   bool // there are some, or other reasons to try each start
}

// stepsPerCall is roughly how many of our steps are one that (*LIMIT_MATCH=) counts.
const stepsPerCall = 6

// maxDepth bounds groups inside of each other, as in PCRE2.
const maxDepth = 250

var (
	errParen    = errors.New("missing closing parenthesis")
	errNoGroup  = errors.New("reference to non-existent subpattern")
	errNameEnd  = errors.New("syntax error in subpattern name (missing terminator?)")
	errName     = errors.New("subpattern name expected")
	errNotThere = errors.New("unrecognized character after (? or (?-")
)

func (p *parser) parse() (*node, error) {
	p.bsr = nlAny
	if err := p.leading(); err != nil {
		return nil, err
	}
	if p.utf && !utf8.ValidString(p.in) {
		return nil, ErrUTF
	}
	n, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.in) {
		return nil, errors.New("unmatched closing parenthesis")
	}
	return n, p.resolve()
}

// resolve finds the groups that references name.
func (p *parser) resolve() error {
	for _, n := range p.refs {
		if n.name != "" {
			n.groups = p.names[n.name]
			if len(n.groups) == 0 {
				p.pos = n.at
				return errNoGroup
			}
			n.group = n.groups[0]
			continue
		}
		if n.group > p.groups || n.group < 0 {
			p.pos = n.at
			return errNoGroup
		}
		n.groups = []int{n.group}
	}
	if p.late != nil {
		p.pos = p.lateAt
	}
	return p.late
}

// leading reads options such as (*UTF) at the start.
func (p *parser) leading() error {
	for strings.HasPrefix(p.in[p.pos:], "(*") {
		end := strings.IndexByte(p.in[p.pos:], ')')
		if end < 0 {
			return nil
		}
		name, value, has := strings.Cut(p.in[p.pos+2:p.pos+end], "=")
		switch name {
		case "UTF", "UTF8":
			p.utf = true
		case "UCP":
			p.ucp = true
		case "NO_START_OPT":
			p.noStartOpt = true
		case "NO_AUTO_POSSESS", "NO_DOTSTAR_ANCHOR", "NO_JIT":
		case "NOTEMPTY", "NOTEMPTY_ATSTART":
			p.notEmpty = true
		case "CR":
			p.nl = nlCR
		case "LF":
			p.nl = nlLF
		case "CRLF":
			p.nl = nlCRLF
		case "ANYCRLF":
			p.nl = nlAnyCRLF
		case "ANY":
			p.nl = nlAny
		case "NUL":
			p.nl = nlNUL
		case "BSR_ANYCRLF":
			p.bsr = nlAnyCRLF
		case "BSR_UNICODE":
			p.bsr = nlAny
		case "LIMIT_MATCH", "LIMIT_DEPTH", "LIMIT_RECURSION", "LIMIT_HEAP":
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				return errors.New("(*VERB) not recognized or malformed")
			}
			if name == "LIMIT_MATCH" {
				p.limit = min(p.limit, int(n)*stepsPerCall)
			}
		default:
			return nil
		}
		if has != strings.HasPrefix(name, "LIMIT_") {
			return nil
		}
		p.pos += end + 1
	}
	return nil
}

// alternatives reads up to the end of a group.
func (p *parser) alternatives() (*node, error) {
	var alts []*node
	for {
		n, err := p.sequence()
		if err != nil {
			return nil, err
		}
		alts = append(alts, n)
		if p.pos >= len(p.in) || p.in[p.pos] != '|' {
			break
		}
		p.pos++
	}
	if len(alts) == 1 {
		return alts[0], nil
	}
	return &node{kind: nAlt, subs: alts}, nil
}

// sequence reads one alternative.
func (p *parser) sequence() (*node, error) {
	var items []*node
	repeatable := false
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		if p.quoting {
			if strings.HasPrefix(p.in[p.pos:], `\E`) {
				p.quoting = false
				p.pos += 2
				continue
			}
			items, repeatable = append(items, p.char(p.rune())), true
			continue
		}
		if p.skipped() {
			continue
		}
		if c == '|' || c == ')' {
			break
		}
		if min, max, n := p.quantifier(); n > 0 {
			if err := p.quantify(items, repeatable, min, max, n); err != nil {
				return nil, err
			}
			repeatable = false
			continue
		}
		n, can, err := p.item(c)
		if err != nil {
			return nil, err
		}
		if n != nil {
			items, repeatable = append(items, n), can
		} else if !can {
			repeatable = false
		}
	}
	return seq(items...), nil
}

// skipped passes over white space, comments, and marks of quoting.
func (p *parser) skipped() bool {
	rest := p.in[p.pos:]
	switch {
	case strings.HasPrefix(rest, `\E`):
		p.pos += 2
	case strings.HasPrefix(rest, `\Q`):
		p.pos += 2
		p.quoting = true
	case p.opts.extended && strings.IndexByte(" \t\n\v\f\r", rest[0]) >= 0:
		p.pos++
	case p.opts.extended && rest[0] == '#':
		for p.pos < len(p.in) {
			if n := p.nl.at(p.in, p.pos, p.utf); n > 0 {
				p.pos += n
				break
			}
			p.pos++
		}
	default:
		return false
	}
	return true
}

// rune reads one character.
func (p *parser) rune() rune {
	if p.utf {
		r, n := utf8.DecodeRuneInString(p.in[p.pos:])
		p.pos += n
		return r
	}
	p.pos++
	return rune(p.in[p.pos-1])
}

func (p *parser) char(r rune) *node {
	return &node{kind: nChar, r: r, caseless: p.opts.caseless && otherCase(r, p.utf || p.ucp) != r}
}

// allCases reports whether letters beyond ASCII have cases.
func (p *parser) allCases() bool { return p.utf || p.ucp }

// item reads what is no quantifier; it returns whether one may follow.
func (p *parser) item(c byte) (*node, bool, error) {
	switch c {
	case '\\':
		return p.escape()
	case '[':
		if n, ok := p.wordBoundary(); ok {
			return n, true, nil
		}
		n, err := p.class()
		return n, true, err
	case '(':
		return p.group()
	case '.':
		p.pos++
		if p.opts.dotAll {
			return &node{kind: nSet, set: (&set{negate: true}).done()}, true, nil
		}
		return &node{kind: nAny}, true, nil
	case '^':
		p.pos++
		if p.opts.multiline {
			return &node{kind: nAssert, place: pLineStart}, false, nil
		}
		return &node{kind: nAssert, place: pStart}, false, nil
	case '$':
		p.pos++
		switch {
		case p.opts.multiline:
			return &node{kind: nAssert, place: pLineEnd}, false, nil
		case p.opts.dollarEnd:
			return &node{kind: nAssert, place: pEnd}, false, nil
		}
		return &node{kind: nAssert, place: pLastLine}, false, nil
	}
	return p.char(p.rune()), true, nil
}

// wordBoundary reads [[:<:]] and [[:>:]].
func (p *parser) wordBoundary() (*node, bool) {
	rest := p.in[p.pos:]
	if len(rest) < 7 || rest[:7] != "[[:<:]]" && rest[:7] != "[[:>:]]" {
		return nil, false
	}
	p.pos += 7
	w := (&set{})
	w.typeEscape('w', p.ucp)
	return seq(&node{kind: nAssert, place: pWord}, &node{kind: nLook, behind: rest[3] == '>', subs: []*node{{kind: nSet, set: w.done()}}}), true
}

// quantifier reads one, if it is there, and returns its length.
func (p *parser) quantifier() (low, high, n int) {
	rest := p.in[p.pos:]
	switch rest[0] {
	case '*':
		return 0, -1, 1
	case '+':
		return 1, -1, 1
	case '?':
		return 0, 1, 1
	case '{':
	default:
		return 0, 0, 0
	}
	body, _, ok := strings.Cut(rest[1:], "}")
	a, b, comma := strings.Cut(body, ",")
	if !ok || a == "" || strings.Trim(a+b, "0123456789") != "" {
		return 0, 0, 0
	}
	low, high = number(a), -1
	if !comma {
		high = low
	} else if b != "" {
		high = number(b)
	}
	return low, high, len(body) + 2
}

// number reads digits; what is too large is that.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return maxRepeat + 1
	}
	return n
}

// maxRepeat is PCRE's limit of a repetition.
const maxRepeat = 65535

// quantify repeats the last item.
func (p *parser) quantify(items []*node, repeatable bool, low, high, n int) error {
	p.pos += n
	switch {
	case low > maxRepeat || high > maxRepeat:
		p.pos--
		return errors.New("number too big in {} quantifier")
	case high >= 0 && low > high:
		p.pos--
		return errors.New("numbers out of order in {} quantifier")
	case !repeatable || len(items) == 0:
		p.pos--
		return errors.New("quantifier does not follow a repeatable item")
	}
	last := len(items) - 1
	lazy, possessive := p.opts.ungreedy, false
	if rest := p.in[p.pos:]; strings.HasPrefix(rest, "?") {
		p.pos++
		lazy = !lazy
	} else if strings.HasPrefix(rest, "+") {
		p.pos++
		possessive = true
	}
	sub := items[last]
	if sub.kind == nLook {
		low, high = min(low, 1), min(high, 1)
		if high < 0 {
			high = 1
		}
		if low == 1 && !possessive {
			return nil
		}
	}
	rep := &node{kind: nRepeat, subs: []*node{sub}, min: low, max: high, lazy: lazy && !possessive}
	if possessive {
		rep = &node{kind: nAtomic, subs: []*node{rep}}
	}
	items[last] = rep
	return nil
}
