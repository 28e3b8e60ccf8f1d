package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// POSIX compiles a POSIX regular expression as the C library understands it:
// the longest of the leftmost matches, on bytes. backtrack compiles the few
// that have back references, which need another engine; it may be nil.
func POSIX(expression, flags string, backtrack func(expression string) (Matcher, error)) (Matcher, error) {
	t := &translator{
		in:       expression,
		extended: Toggled(flags, 'x', true),
		newline:  Toggled(flags, 'm', false),
		caseless: Toggled(flags, 'i', true),
	}
	if err := t.run(); err != nil {
		return nil, err
	}
	prefix := "(?s"
	if t.newline {
		prefix = "(?m"
	}
	if Toggled(flags, 'i', true) {
		prefix += "i"
	}
	translated := prefix + ")" + t.out.String()
	if t.backref {
		if backtrack == nil {
			return nil, errors.New("back references are not supported")
		}
		return backtrack(translated)
	}
	re, err := regexp.Compile(translated)
	if e, ok := errors.AsType[*syntax.Error](err); ok && backtrack != nil && (e.Code == syntax.ErrInvalidRepeatSize || e.Code == syntax.ErrLarge) {
		// The other engine repeats as often as the C library.
		return backtrack(translated)
	}
	if err != nil {
		return nil, fmt.Errorf("error in regexp: %s", reason(err))
	}
	re.Longest()
	return posixMatcher{re}, nil
}

// reason leaves out the translated expression, which the owner of the table
// did not write.
func reason(err error) string {
	s := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
	s, _, _ = strings.Cut(s, ": `")
	return s
}

type posixMatcher struct{ re *regexp.Regexp }

func (m posixMatcher) Groups() int { return m.re.NumSubexp() }

func (m posixMatcher) Match(key string) ([]string, bool, error) {
	key = Widen(key)
	if m.re.NumSubexp() == 0 {
		return nil, m.re.MatchString(key), nil
	}
	groups := m.re.FindStringSubmatch(key)
	for i := range groups {
		groups[i] = Narrow(groups[i])
	}
	return groups, groups != nil, nil
}
