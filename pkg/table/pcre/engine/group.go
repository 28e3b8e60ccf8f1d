package engine

import (
	"errors"
	"strconv"
	"strings"
)

// group reads what starts with a parenthesis.
func (p *parser) group() (*node, bool, error) {
	rest := p.in[p.pos:]
	if p.depth >= maxDepth {
		return nil, false, errors.New("parentheses are too deeply nested")
	}
	switch {
	case strings.HasPrefix(rest, "(?#"):
		i := strings.IndexByte(rest, ')')
		if i < 0 {
			p.pos = len(p.in)
			return nil, false, errors.New("missing ) after (?# comment")
		}
		p.pos += i + 1
		return nil, true, nil // what it follows may be repeated
	case len(rest) > 2 && rest[1] == '*' && (isLetter(rest[2]) || rest[2] == ':'):
		return p.starred(rest)
	case strings.HasPrefix(rest, "(?"):
		return p.special(rest)
	}
	p.pos++
	if p.opts.noCapture {
		n, err := p.body()
		return n, true, err
	}
	n, err := p.capture("")
	return n, true, err
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// body reads up to the end of a group, whose options end there.
func (p *parser) body() (*node, error) {
	opts := p.opts
	p.depth++
	n, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	p.depth--
	if p.pos >= len(p.in) {
		return nil, errParen
	}
	p.pos++
	p.opts = opts
	return n, nil
}

// capture reads a group that captures.
func (p *parser) capture(name string) (*node, error) {
	p.groups++
	n := &node{kind: nGroup, group: p.groups}
	if name != "" {
		for other, list := range p.names {
			if other != name && list[0] == n.group {
				return nil, errors.New("different names for subpatterns of the same number are not allowed")
			}
		}
		if list := p.names[name]; len(list) > 0 && !p.opts.dupNames && list[len(list)-1] != n.group {
			return nil, errors.New("two named subpatterns have the same name (PCRE2_DUPNAMES not set)")
		}
		p.names[name] = append(p.names[name], n.group)
	}
	sub, err := p.body()
	n.subs = []*node{sub}
	return n, err
}

// special reads "(?".
func (p *parser) special(rest string) (*node, bool, error) {
	for _, l := range []struct {
		prefix string
		node   node
	}{
		{"(?=", node{}}, {"(?!", node{negative: true}}, {"(?<=", node{behind: true}}, {"(?<!", node{behind: true, negative: true}},
		{"(?*", node{free: true}}, {"(?<*", node{behind: true, free: true}},
	} {
		if strings.HasPrefix(rest, l.prefix) {
			n, err := p.lookaround(len(l.prefix), l.node)
			return n, true, err
		}
	}
	switch {
	case strings.HasPrefix(rest, "(?:"):
		p.pos += 3
		n, err := p.body()
		return wrap(n), true, err
	case strings.HasPrefix(rest, "(?>"):
		return p.atomic(3)
	case strings.HasPrefix(rest, "(?|"):
		return p.reset()
	case strings.HasPrefix(rest, "(?("):
		n, err := p.conditional()
		return n, true, err
	case strings.HasPrefix(rest, "(?P="):
		return p.namedRef(4, nRef)
	case strings.HasPrefix(rest, "(?P>"):
		return p.namedRef(4, nCall)
	case strings.HasPrefix(rest, "(?&"):
		return p.namedRef(3, nCall)
	case strings.HasPrefix(rest, "(?P<"):
		return p.named(4, '>')
	case strings.HasPrefix(rest, "(?<"):
		return p.named(3, '>')
	case strings.HasPrefix(rest, "(?'"):
		return p.named(3, '\'')
	case strings.HasPrefix(rest, "(?C"):
		return p.callout(rest)
	case strings.HasPrefix(rest, "(?P"):
		p.pos += min(3, len(rest))
		return nil, false, errors.New("unrecognized character after (?P")
	case strings.HasPrefix(rest, "(?R") && !strings.HasPrefix(rest, "(?R)"):
		p.pos += 3
		return nil, false, errors.New("(?R (recursive pattern call) must be followed by a closing parenthesis")
	}
	if end := strings.IndexByte(rest, ')'); end > 2 {
		if number, relative, ok := p.groupNumber(strings.Replace(rest[2:end], "R", "0", one(rest[2:end] == "R")), true); ok {
			at := p.pos + end
			p.pos = at
			if relative && number < 0 && strings.Trim(rest[2:end], "+-0") == "" {
				return nil, false, errors.New("a relative value of zero is not allowed")
			}
			if relative && number < 1 {
				return nil, false, errNoGroup
			}
			p.pos++
			n := &node{kind: nCall, group: number, at: at}
			p.refs = append(p.refs, n)
			p.verbs = true
			return n, true, nil
		}
	}
	return p.options(rest)
}

// wrap keeps alternatives together.
func wrap(n *node) *node {
	if n != nil && n.kind == nAlt {
		return &node{kind: nCat, subs: []*node{n}}
	}
	return n
}

func (p *parser) atomic(n int) (*node, bool, error) {
	p.pos += n
	sub, err := p.body()
	return &node{kind: nAtomic, subs: []*node{sub}}, true, err
}

func (p *parser) lookaround(prefix int, l node) (*node, error) {
	at := p.pos
	p.pos += prefix
	p.look++
	sub, err := p.body()
	p.look--
	l.kind, l.subs, l.at = nLook, []*node{sub}, at
	return &l, err
}

// reset reads "(?|...)", whose alternatives number their groups alike.
func (p *parser) reset() (*node, bool, error) {
	p.pos += 3
	opts := p.opts
	first, most := p.groups, p.groups
	alt := &node{kind: nAlt}
	p.depth++
	for {
		p.groups = first
		n, err := p.sequence()
		if err != nil {
			return nil, false, err
		}
		most = max(most, p.groups)
		alt.subs = append(alt.subs, n)
		if p.pos >= len(p.in) {
			return nil, false, errParen
		}
		p.pos++
		if p.in[p.pos-1] == ')' {
			break
		}
	}
	p.depth--
	p.groups, p.opts = most, opts
	p.verbs, p.reused = true, true // groups with one number are more than one place
	if len(alt.subs) == 1 {
		return alt.subs[0], true, nil
	}
	return wrap(alt), true, nil
}

func (p *parser) named(prefix int, end byte) (*node, bool, error) {
	name, err := p.nameUntil(prefix, end)
	if err != nil {
		return nil, false, err
	}
	n, err := p.capture(name)
	return n, true, err
}

// nameUntil reads a name that ends with a character.
func (p *parser) nameUntil(prefix int, end byte) (string, error) {
	rest := p.in[p.pos+prefix:]
	i := 0
	for i < len(rest) && (rest[i] == '_' || isLetter(rest[i]) || rest[i] >= '0' && rest[i] <= '9') {
		i++
	}
	switch {
	case i == 0 || i > 32:
		p.pos += prefix
		return "", errName
	case rest[0] <= '9':
		p.pos += prefix
		return "", errors.New("subpattern name must start with a non-digit")
	case i == len(rest) || rest[i] != end:
		p.pos += prefix + i
		return "", errNameEnd
	}
	p.pos += prefix + i + 1
	return rest[:i], nil
}

func (p *parser) namedRef(prefix int, k kind) (*node, bool, error) {
	at := p.pos + prefix
	name, err := p.nameUntil(prefix, ')')
	if err != nil {
		return nil, false, err
	}
	n := &node{kind: k, name: name, at: at, caseless: p.opts.caseless}
	p.verbs = p.verbs || k == nCall
	p.refs = append(p.refs, n)
	return n, true, nil
}

// callout passes over a callout, which does nothing here.
func (p *parser) callout(rest string) (*node, bool, error) {
	i := 3
	if i < len(rest) && strings.IndexByte("`'\"^%#${", rest[i]) >= 0 {
		end := rest[i]
		if end == '{' {
			end = '}'
		}
		for i++; ; i += 2 {
			n := strings.IndexByte(rest[min(i, len(rest)):], end)
			if n < 0 {
				return nil, false, errors.New("missing terminating delimiter for callout with string argument")
			}
			i += n
			if i+1 >= len(rest) || rest[i+1] != end {
				break
			}
		}
		i++
	} else {
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		if number("0"+rest[3:i]) > 255 {
			p.pos += i
			return nil, false, errors.New("number after (?C is greater than 255")
		}
	}
	if i >= len(rest) || rest[i] != ')' {
		return nil, false, errors.New("closing parenthesis for (?C expected")
	}
	p.pos += i + 1
	return nil, false, nil
}

// options reads "(?i-s)" or "(?i-s:".
func (p *parser) options(rest string) (*node, bool, error) {
	o, i, set := p.opts, 2, true
	if strings.HasPrefix(rest[i:], "^") {
		o = options{noCapture: false, dupNames: o.dupNames, ungreedy: o.ungreedy, dollarEnd: o.dollarEnd}
		i++
	}
	for ; i < len(rest) && rest[i] != ')' && rest[i] != ':'; i++ {
		flag := map[byte]*bool{'i': &o.caseless, 'm': &o.multiline, 's': &o.dotAll, 'x': &o.extended, 'n': &o.noCapture, 'J': &o.dupNames, 'U': &o.ungreedy}[rest[i]]
		switch {
		case rest[i] == '-' && set && rest[2] != '^':
			set = false
			continue
		case flag == nil:
			p.pos += i
			return nil, false, errNotThere
		}
		*flag = set
		if rest[i] == 'x' {
			o.more = set && i+1 < len(rest) && rest[i+1] == 'x'
			i += one(i+1 < len(rest) && rest[i+1] == 'x')
		}
	}
	if i >= len(rest) {
		p.pos = len(p.in)
		return nil, false, errParen
	}
	p.pos += i + 1
	if rest[i] == ')' {
		p.opts = o
		return nil, false, nil
	}
	outer := p.opts
	p.opts = o
	n, err := p.body()
	p.opts = outer
	return wrap(n), true, err
}

// starred reads "(*": verbs, and lookarounds that have names.
func (p *parser) starred(rest string) (*node, bool, error) {
	i := 2
	for i < len(rest) && (isLetter(rest[i]) || rest[i] == '_') {
		i++
	}
	name := rest[2:i]
	if i >= len(rest) {
		return nil, false, errors.New("(*VERB) not recognized or malformed")
	}
	if rest[i] == ':' && (name == "" || name[0] >= 'a') && name != "" {
		return p.worded(name, i+1)
	}
	v, ok := map[string]verb{"ACCEPT": vAccept, "FAIL": vFail, "F": vFail, "COMMIT": vCommit, "PRUNE": vPrune, "SKIP": vSkip, "THEN": vThen, "MARK": vMark, "": vMark}[name]
	end := strings.IndexByte(rest, ')')
	if v == vMark && rest[i] == ')' {
		p.pos += i
		return nil, false, errors.New("(*MARK) must have an argument")
	}
	if !ok {
		p.pos += i
	}
	if !ok || end < 0 || rest[i] != ')' && rest[i] != ':' {
		return nil, false, errors.New("(*VERB) not recognized or malformed")
	}
	n := &node{kind: nVerb, verb: v}
	if rest[i] == ':' {
		n.name = rest[i+1 : end]
	}
	if v == vMark && n.name == "" {
		return nil, false, errors.New("(*MARK) must have an argument")
	}
	p.verbs = true
	p.pos += end + 1
	return n, v == vAccept, nil // (*ACCEPT)?? is allowed
}

// worded reads "(*pla:" and its like.
func (p *parser) worded(name string, n int) (*node, bool, error) {
	looks := map[string]node{
		"pla": {}, "positive_lookahead": {}, "nla": {negative: true}, "negative_lookahead": {negative: true},
		"plb": {behind: true}, "positive_lookbehind": {behind: true}, "nlb": {behind: true, negative: true}, "negative_lookbehind": {behind: true, negative: true},
		"napla": {free: true}, "non_atomic_positive_lookahead": {free: true}, "naplb": {free: true, behind: true}, "non_atomic_positive_lookbehind": {free: true, behind: true},
	}
	if l, ok := looks[name]; ok {
		sub, err := p.lookaround(n, l)
		return sub, true, err
	}
	switch {
	case name == "atomic":
		return p.atomic(n)
	case (name == "sr" || name == "script_run") && !p.utf:
		p.pos += n
		sub, err := p.body()
		return wrap(sub), true, err
	case (name == "asr" || name == "atomic_script_run") && !p.utf:
		return p.atomic(n)
	}
	p.pos += n - 1
	return nil, false, errors.New("(*alpha_assertion) not recognized")
}

// conditional reads "(?(condition)yes|no)".
func (p *parser) conditional() (*node, error) {
	n := &node{kind: nCond, at: p.pos + 2}
	rest := p.in[p.pos+2:]
	isLook := len(rest) > 2 && (rest[1] == '?' && strings.IndexByte("=!<*C", rest[2]) >= 0 || rest[1] == '*')
	if isLook {
		p.pos += 2
		n.cond = cLook
		if strings.HasPrefix(rest, "(?C") {
			if _, _, err := p.callout(rest); err != nil {
				return nil, err
			}
		}
		look, _, err := p.group()
		if err != nil {
			return nil, err
		}
		if look == nil || look.kind != nLook {
			return nil, errors.New("assertion expected after (?( or (?(?C)")
		}
		n.subs = []*node{look}
	} else if err := p.condition(n, rest); err != nil {
		return nil, err
	}
	p.verbs = true
	body, err := p.body()
	if err != nil {
		return nil, err
	}
	yes, no := body, &node{kind: nEmpty}
	if body.kind == nAlt {
		if len(body.subs) > 2 || n.cond == cDefine {
			p.late, p.lateAt = errors.New("conditional subpattern contains more than two branches"), p.pos
			return n, nil
		}
		yes, no = body.subs[0], body.subs[1]
	}
	n.subs = append(n.subs, yes, no)
	return n, nil
}

// condition reads one that is no assertion.
func (p *parser) condition(n *node, rest string) error {
	end := strings.IndexByte(rest, ')')
	if end < 2 {
		p.pos = len(p.in)
		return errNameEnd
	}
	s := rest[1:end]
	p.pos += 2 + end + 1
	named := func(name string) {
		n.name = name
		p.refs = append(p.refs, n)
	}
	if number, relative, ok := p.groupNumber(s, false); ok {
		if number < 1 {
			return errNoGroup
		}
		_ = relative
		n.group = number
		p.refs = append(p.refs, n)
		return nil
	}
	unquoted := strings.Trim(s, "<>'")
	switch version, isVersion := strings.CutPrefix(s, "VERSION"); {
	case s == "DEFINE":
		n.cond = cDefine
	case isVersion:
		return versionCondition(n, version)
	case s == "R" && len(p.names["R"]) == 0:
		n.cond, n.group = cRecurse, -1
	case strings.HasPrefix(s, "R&") && validName(s[2:]):
		n.cond = cRecurse
		named(s[2:])
	case s[0] == 'R' && strings.Trim(s[1:], "0123456789") == "" && len(s) > 1 && len(p.names[s]) == 0:
		n.cond, n.group = cRecurse, number(s[1:])
		p.refs = append(p.refs, n)
	case validName(unquoted) && (len(unquoted) == len(s) || len(unquoted) == len(s)-2 && strings.Contains("<>''", s[:1]+s[len(s)-1:])):
		named(unquoted)
	default:
		return errName
	}
	return nil
}

// asVersion is the PCRE2 that expressions are told of.
const asVersion = 10.42

func versionCondition(n *node, s string) error {
	least, ok := strings.CutPrefix(s, ">=")
	if !ok {
		least, ok = strings.CutPrefix(s, "=")
	}
	v, err := strconv.ParseFloat(least, 64)
	if !ok || err != nil || strings.Trim(least, "0123456789.") != "" {
		return errors.New("syntax error or number too big in (?(VERSION condition")
	}
	n.cond = cFalse
	if v == asVersion || s[0] == '>' && v < asVersion {
		n.cond = cTrue
	}
	return nil
}
