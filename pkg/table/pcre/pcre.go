// Package pcre compiles Perl-compatible regular expressions for pcre: tables.
//
// The engine is regexp2, whose syntax differs in places; expressions are
// translated, and what has no counterpart (\K, recursion, branch reset,
// verbs) is reported. Matching works on bytes, and stops with an error after
// [Timeout], since such expressions can take exponential time.
package pcre

import (
	"fmt"
	"time"

	"github.com/dlclark/regexp2"

	"github.com/posthouse-mail/posthouse/pkg/table/pattern"
)

// Timeout bounds one match.
const Timeout = 2 * time.Second

// Flags are the letters that may follow a pattern.
const Flags = "imsxAEUX"

// Compile compiles the expression of a rule. The flags toggle: i (ignore
// case, on), m (^ and $ match at line ends, off), s (dot matches a newline,
// on), x (ignore white space, off), A (match at the start only, off), E ($
// matches at the very end only, off), U (turn greediness round, off), X
// (ignored, as with PCRE2).
func Compile(expression, flags string) (pattern.Matcher, error) {
	t := &translator{
		in:         expression,
		extended:   pattern.Toggled(flags, 'x', false),
		ungreedy:   pattern.Toggled(flags, 'U', false),
		dollarEnd:  pattern.Toggled(flags, 'E', false) && !pattern.Toggled(flags, 'm', false),
		caseless:   pattern.Toggled(flags, 'i', true),
		groupNames: map[string]int{},
	}
	if err := t.run(); err != nil {
		return nil, err
	}
	translated := t.out.String()
	if pattern.Toggled(flags, 'A', false) {
		translated = `\A(?:` + translated + `)`
		if t.extended {
			translated = `\A(?:` + t.out.String() + "\n)"
		}
	}
	var o regexp2.RegexOptions
	if pattern.Toggled(flags, 'i', true) {
		o |= regexp2.IgnoreCase
	}
	if pattern.Toggled(flags, 'm', false) {
		o |= regexp2.Multiline
	}
	if pattern.Toggled(flags, 's', true) {
		o |= regexp2.Singleline
	}
	if t.extended {
		o |= regexp2.IgnorePatternWhitespace
	}
	return compile(translated, o, t.groups)
}

// Backtrack compiles an expression in the syntax of package regexp that has
// back references.
func Backtrack(expression string) (pattern.Matcher, error) {
	return compile(expression, 0, -1)
}

func compile(expression string, o regexp2.RegexOptions, groups int) (pattern.Matcher, error) {
	re, err := regexp2.Compile(expression, o)
	if err != nil {
		return nil, fmt.Errorf("error in regexp: %w", err)
	}
	re.MatchTimeout = Timeout
	if groups < 0 {
		groups = len(re.GetGroupNumbers()) - 1
	}
	return matcher{re, groups}, nil
}

type matcher struct {
	re     *regexp2.Regexp
	groups int
}

func (m matcher) Groups() int { return m.groups }

func (m matcher) Match(key string) ([]string, bool, error) {
	match, err := m.re.FindStringMatch(pattern.Widen(key))
	if err != nil {
		// The text of the error holds the subject, which is long and not
		// ours.
		return nil, false, fmt.Errorf("match took longer than %v", Timeout)
	}
	if match == nil {
		return nil, false, nil
	}
	if m.groups == 0 {
		return nil, true, nil
	}
	groups := make([]string, m.groups+1)
	for i := range groups {
		if g := match.GroupByNumber(i); g != nil && len(g.Captures) > 0 {
			groups[i] = pattern.Narrow(g.String())
		}
	}
	return groups, true, nil
}
