package pattern

import (
	"fmt"
	"strconv"
	"strings"
)

// template is a result with $1, ${1} or $(1) for the text of a subexpression
// and $$ for a dollar sign.
type template struct{ parts []part }

type part struct {
	text  string
	group int // 0 = text
}

func (t template) expand(groups []string) string {
	if len(t.parts) == 1 && t.parts[0].group == 0 {
		return t.parts[0].text
	}
	var b strings.Builder
	for _, p := range t.parts {
		switch {
		case p.group == 0:
			b.WriteString(p.text)
		case p.group < len(groups):
			b.WriteString(groups[p.group])
		}
	}
	return b.String()
}

// literal is a template without substitutions, whatever is in it.
func literal(s string) template { return template{[]part{{text: s}}} }

// parseTemplate splits a result and returns the highest group that it names.
func parseTemplate(s string) (t template, highest int, err error) {
	rest := s
	for {
		i := strings.IndexByte(rest, '$')
		if i < 0 {
			t.add(rest)
			return t, highest, nil
		}
		t.add(rest[:i])
		rest = rest[i+1:]
		if strings.HasPrefix(rest, "$") {
			t.add("$")
			rest = rest[1:]
			continue
		}
		name, after, err := macro(rest)
		if err != nil {
			return t, 0, err
		}
		n, err := strconv.Atoi(name)
		if err != nil || n < 0 {
			return t, 0, fmt.Errorf("non-numeric replacement index %q", name)
		}
		if n < 1 || n > 99 {
			return t, 0, fmt.Errorf("out of range replacement index %q", name)
		}
		t.parts = append(t.parts, part{group: n})
		highest = max(highest, n)
		rest = after
	}
}

func (t *template) add(s string) {
	if s != "" {
		t.parts = append(t.parts, part{text: s})
	}
}

// macro reads what follows "$".
func macro(s string) (name, rest string, err error) {
	if s == "" {
		return "", "", fmt.Errorf("bad replacement syntax")
	}
	end := byte(0)
	switch s[0] {
	case '{':
		end = '}'
	case '(':
		end = ')'
	}
	if end != 0 {
		i := strings.IndexByte(s, end)
		if i < 0 {
			return "", "", fmt.Errorf("bad replacement syntax")
		}
		return strings.TrimSpace(s[1:i]), s[i+1:], nil
	}
	i := 0
	for i < len(s) && (alnum(s[i]) || s[i] == '_') {
		i++
	}
	if i == 0 {
		return "", "", fmt.Errorf("bad replacement syntax")
	}
	return s[:i], s[i:], nil
}
