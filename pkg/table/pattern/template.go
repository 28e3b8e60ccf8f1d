package pattern

import (
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

// template splits a result and returns the highest group that it names. It
// warns of each mistake and reports whether there is none.
func (d Delimited) template(s string, number int) (t template, highest int, ok bool) {
	ok = true
	for rest := s; ; {
		before, after, found := strings.Cut(rest, "$")
		t.add(before)
		if !found {
			return t, highest, ok
		}
		if strings.HasPrefix(after, "$") {
			t.add("$")
			rest = after[1:]
			continue
		}
		name, after, problem := macro(after)
		if problem != "" {
			d.Warn(NoLine, "%s: \"%s\"", problem, s)
			return t, 0, false
		}
		rest = after
		n, err := strconv.Atoi(name)
		switch {
		case err != nil || n < 0:
			d.Warn(number, "non-numeric replacement index \"%s\"", name)
			ok = false
		case n < 1:
			d.Warn(number, "%s replacement index \"%d\"", d.OutOfRange, n)
			ok = false
		default:
			t.parts = append(t.parts, part{group: n})
			highest = max(highest, n)
		}
	}
}

func (t *template) add(s string) {
	if s != "" {
		t.parts = append(t.parts, part{text: s})
	}
}

// macro reads what follows "$".
func macro(s string) (name, rest, problem string) {
	end := ""
	switch {
	case strings.HasPrefix(s, "{"):
		end = "}"
	case strings.HasPrefix(s, "("):
		end = ")"
	}
	if end != "" {
		var closed bool
		if name, rest, closed = strings.Cut(s[1:], end); !closed {
			return "", "", "truncated macro reference"
		}
		name = strings.TrimSpace(name)
	} else {
		i := 0
		for i < len(s) && (alnum(s[i]) || s[i] == '_') {
			i++
		}
		name, rest = s[:i], s[i:]
	}
	if name == "" {
		return "", "", "empty macro name"
	}
	return name, rest, ""
}
