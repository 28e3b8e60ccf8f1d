// Package pcre compiles Perl-compatible regular expressions for pcre: tables.
//
// Those go to an engine of our own, package engine. Matching works on bytes,
// unless an expression begins with (*UTF), and stops with an error after a
// number of steps, since such expressions can take exponential time.
package pcre

import (
	"github.com/posthouse-mail/posthouse/pkg/table/pattern"
	"github.com/posthouse-mail/posthouse/pkg/table/pcre/engine"
)

// Flags are the letters that may follow a pattern.
const Flags = "imsxAEUX"

// Compile compiles the expression of a rule. The flags toggle: i (ignore
// case, on), m (^ and $ match at line ends, off), s (dot matches a newline,
// on), x (ignore white space, off), A (match at the start only, off), E ($
// matches at the very end only, off), U (turn greediness round, off), X
// (ignored, as with PCRE2).
func Compile(expression, flags string) (pattern.Matcher, error) {
	on := func(flag byte, initial bool) bool { return pattern.Toggled(flags, flag, initial) }
	re, err := engine.Compile(expression, engine.Options{
		Caseless: on('i', true), Multiline: on('m', false), DotAll: on('s', true), Extended: on('x', false),
		Anchored: on('A', false), DollarEnd: on('E', false), Ungreedy: on('U', false),
	})
	if err != nil {
		return nil, err
	}
	return perl{re}, nil
}

type perl struct{ re *engine.Regexp }

func (m perl) Groups() int { return m.re.Groups() }

func (m perl) Match(key string) ([]string, bool, error) {
	places, err := m.re.Match(key)
	if err != nil || places == nil {
		return nil, false, err
	}
	if m.re.Groups() == 0 {
		return nil, true, nil
	}
	groups := make([]string, m.re.Groups()+1)
	for i := range groups {
		if places[2*i+1] >= 0 {
			groups[i] = key[places[2*i]:places[2*i+1]]
		}
	}
	return groups, true, nil
}

// Backtrack compiles an expression in the syntax of package regexp that has
// back references. It is for text that [pattern.Widen] made.
func Backtrack(expression string) (pattern.Matcher, error) {
	re, err := engine.Compile("(*UTF)"+expression, engine.Options{})
	if err != nil {
		return nil, err
	}
	return widened{perl{re}}, nil
}

type widened struct{ perl }

func (m widened) Match(key string) ([]string, bool, error) {
	groups, ok, err := m.perl.Match(pattern.Widen(key))
	for i := range groups {
		groups[i] = pattern.Narrow(groups[i])
	}
	return groups, ok, err
}
