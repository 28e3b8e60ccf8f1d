// Package pattern is the tables whose entries are rules: regexp, pcre and
// cidr. A rule is a pattern and a result; rules are tried in order, and the
// first that matches decides. "if pattern" and "endif" enclose rules that are
// tried only where the pattern matches, and "!" in front of a pattern turns
// it round.
package pattern

import (
	"fmt"
	"io"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/table/text"
)

// Matcher is one compiled pattern.
type Matcher interface {
	// Match reports whether key matches. groups holds the text of the
	// whole match and of each subexpression, and may be nil if there are
	// none to give.
	Match(key string) (groups []string, ok bool, err error)
	// Groups returns the number of subexpressions.
	Groups() int
}

// Warn receives what is wrong with a line. A rule that cannot be understood
// is left out, as in Postfix. A problem of the line [NoLine] says itself where
// it is.
type Warn func(line int, format string, args ...any)

// NoLine stands for the line of a warning that Postfix words without one.
const NoLine = 0

// Set is the rules of one table.
type Set struct {
	rules  []rule
	accept func(key string) bool // nil accepts every key
}

type rule struct {
	kind   kind
	negate bool
	match  Matcher
	result template
	line   int
	end    int // of an if: index of its endif
	// applies, if set, says which keys the rule is for at all.
	applies func(key string) bool
}

type kind byte

const (
	kindMatch kind = iota
	kindIf
	kindEndif
)

// Lookup applies the rules to a key.
func (s *Set) Lookup(key string) (string, bool, error) {
	if s.accept != nil && !s.accept(key) {
		return "", false, nil
	}
	for i := 0; i < len(s.rules); i++ {
		r := &s.rules[i]
		if r.kind == kindEndif {
			continue
		}
		groups, ok, err := r.match.Match(key)
		if err != nil {
			return "", false, fmt.Errorf("line %d: %w", r.line, err)
		}
		ok = ok != r.negate && (r.applies == nil || r.applies(key))
		switch {
		case ok && r.kind == kindMatch:
			return r.result.expand(groups), true, nil
		case !ok && r.kind == kindIf:
			i = r.end
		}
	}
	return "", false, nil
}

// parser reads one kind of rule file.
type parser struct {
	warn Warn
	set  Set
	open []int // indexes of ifs without their endif
	// rule parses a line that is not if or endif, and condition what
	// follows if; both return nil after they warned.
	rule      func(p *parser, line string, number int) *rule
	condition func(p *parser, line string, number int) *rule
	orphan    string // warns of an endif without its if
	// extra warns of text after an endif, which does not count with ignoreExtra.
	extra       string
	ignoreExtra bool
}

func (p *parser) read(r io.Reader, name string) (*Set, error) {
	lines := text.NewReader(r, func(problem text.Problem) { p.warn(NoLine, "%s", problem.In(name)) })
	for {
		line, err := lines.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if rule := strings.TrimRight(line.Text, text.Space); rule != "" {
			p.line(rule, line.First)
		}
	}
	for _, i := range p.open {
		p.warn(p.set.rules[i].line, "IF has no matching ENDIF")
		p.set.rules[i].end = len(p.set.rules)
	}
	return &p.set, nil
}

func (p *parser) line(line string, number int) {
	var r *rule
	switch {
	case keyword(line, "endif"):
		p.endif(line, number)
		return
	case keyword(line, "if"):
		if r = p.condition(p, strings.TrimLeft(line[2:], text.Space), number); r == nil {
			return
		}
		r.kind = kindIf
		p.open = append(p.open, len(p.set.rules))
	default:
		if r = p.rule(p, line, number); r == nil {
			return
		}
	}
	r.line = number
	p.set.rules = append(p.set.rules, *r)
}

func (p *parser) endif(line string, number int) {
	extra := strings.Trim(line[5:], text.Space) != ""
	if extra && p.ignoreExtra {
		p.warn(number, "%s", p.extra)
		return
	}
	if len(p.open) == 0 {
		p.warn(number, "%s", p.orphan)
		return
	}
	if extra {
		p.warn(number, "%s", p.extra)
	}
	last := len(p.open) - 1
	p.set.rules[p.open[last]].end = len(p.set.rules)
	p.open = p.open[:last]
	p.set.rules = append(p.set.rules, rule{kind: kindEndif, line: number})
}

// keyword reports whether a line starts with a word in either case, not
// followed by a letter or digit.
func keyword(line, word string) bool {
	n := len(word)
	return len(line) >= n && strings.EqualFold(line[:n], word) && (len(line) == n || !alnum(line[n]))
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// negations strips "!" and white space and reports whether they turn the
// pattern round.
func negations(s string) (string, bool) {
	negate := false
	for s != "" && (s[0] == '!' || strings.IndexByte(text.Space, s[0]) >= 0) {
		if s[0] == '!' {
			negate = !negate
		}
		s = s[1:]
	}
	return s, negate
}
