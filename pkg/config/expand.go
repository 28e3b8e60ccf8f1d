package config

import (
	"fmt"
	"strconv"
	"strings"
)

// maxNesting limits parameters that refer to parameters, as in Postfix.
const maxNesting = 100

// maxExpanded limits the result of an expansion, since a few lines of main.cf
// can double a value a hundred times.
const maxExpanded = 1 << 20

// Expand replaces $name and the conditional forms in s.
func (c *Config) Expand(s string) (string, error) {
	return expandWith(s, c.Raw)
}

// ExpandMacros expands s with the values that lookup has, which are expanded
// in turn. Delivery agents use it for parameters such as forward_path, in
// which $user and the like stand for parts of a message.
func ExpandMacros(s string, lookup func(name string) (value string, ok bool)) (string, error) {
	return expandWith(s, lookup)
}

func expandWith(s string, lookup func(string) (string, bool)) (string, error) {
	e := &expander{lookup: lookup}
	if err := e.text(s, 0); err != nil {
		return "", err
	}
	return e.out.String(), nil
}

// expander is one expansion.
type expander struct {
	lookup func(string) (string, bool)
	out    strings.Builder
	work   int // bytes scanned, against exponential work without output
}

// text expands s and appends the result.
func (e *expander) text(s string, level int) error {
	if level > maxNesting {
		return fmt.Errorf("unreasonable macro call nesting: %q", abridge(s))
	}
	if e.work += len(s); e.work > 8*maxExpanded {
		return fmt.Errorf("expansion is too expensive")
	}
	for s != "" {
		dollar := strings.IndexByte(s, '$')
		if dollar < 0 {
			dollar = len(s)
		}
		if err := e.literal(s[:dollar]); err != nil {
			return err
		}
		if s = s[dollar:]; s == "" {
			return nil
		}
		n, err := e.reference(s, level)
		if err != nil {
			return err
		}
		s = s[n:]
	}
	return nil
}

// literal appends text as it is.
func (e *expander) literal(s string) error {
	if e.out.Len()+len(s) > maxExpanded {
		return fmt.Errorf("expansion is longer than %d bytes", maxExpanded)
	}
	e.out.WriteString(s)
	return nil
}

// reference expands the $ form at the start of s and returns its length.
func (e *expander) reference(s string, level int) (int, error) {
	if len(s) > 1 && s[1] == '$' {
		return 2, e.literal("$")
	}
	if len(s) > 1 && (s[1] == '{' || s[1] == '(') {
		n := matchPair(s[1:])
		if n == 0 {
			return 0, fmt.Errorf("truncated macro reference: %q", abridge(s))
		}
		body := s[2:n]
		if body == "" {
			return 0, fmt.Errorf("empty macro name: %q", abridge(s))
		}
		return n + 1, e.expression(body, level)
	}
	n := 1
	for n < len(s) && isNameByte(s[n]) {
		n++
	}
	if n == 1 {
		return 0, fmt.Errorf("empty macro name: %q", abridge(s))
	}
	return n, e.value(s[1:n], level)
}

// value appends the expanded value of a parameter. What nobody defined is
// empty.
func (e *expander) value(name string, level int) error {
	raw, ok := e.lookup(name)
	if !ok || raw == "" {
		return nil
	}
	return e.text(raw, level+1)
}

// expression expands what is inside ${ }.
func (e *expander) expression(body string, level int) error {
	x, err := parseExpression(body)
	if err != nil {
		return err
	}
	var isTrue bool
	if x.relation != nil {
		isTrue, err = e.compare(x.relation, level)
	} else if raw, ok := e.lookup(x.name); ok && raw != "" {
		isTrue = true
	}
	switch {
	case err != nil:
		return err
	case x.op == 0 && x.relation == nil:
		return e.value(x.name, level)
	case x.op == 0 && isTrue:
		return e.literal("true")
	case x.op == 0:
		return nil
	case isTrue:
		return e.text(x.then, level+1)
	}
	return e.text(x.otherwise, level+1)
}

// compare evaluates {left} op {right}.
func (e *expander) compare(r *relation, level int) (bool, error) {
	left, err := e.sub(r.left, level)
	if err != nil {
		return false, err
	}
	right, err := e.sub(r.right, level)
	if err != nil {
		return false, err
	}
	if op, ok := strings.CutSuffix(r.op, "level"); ok {
		a, err := ParseLevel(left)
		if err != nil {
			return false, err
		}
		b, err := ParseLevel(right)
		if err != nil {
			return false, err
		}
		return ordered(op, int64(a)-int64(b)), nil
	}
	a, errA := strconv.ParseInt(left, 10, 64)
	b, errB := strconv.ParseInt(right, 10, 64)
	if errA == nil && errB == nil {
		switch {
		case a < b:
			return ordered(r.op, -1), nil
		case a > b:
			return ordered(r.op, 1), nil
		}
		return ordered(r.op, 0), nil
	}
	return ordered(r.op, int64(strings.Compare(left, right))), nil
}

// sub expands a part of an expression by itself.
func (e *expander) sub(s string, level int) (string, error) {
	part := &expander{lookup: e.lookup, work: e.work}
	err := part.text(s, level+1)
	e.work = part.work
	return part.out.String(), err
}

// ordered applies a comparison operator to the sign of a difference.
func ordered(op string, diff int64) bool {
	switch op {
	case "==":
		return diff == 0
	case "!=":
		return diff != 0
	case "<":
		return diff < 0
	case "<=":
		return diff <= 0
	case ">=":
		return diff >= 0
	}
	return diff > 0
}

// isNameByte tells whether c may be part of a parameter name after a $.
func isNameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// matchPair returns the length of the text between brackets that s starts
// with, brackets included, or 0.
func matchPair(s string) int {
	left, right := s[0], byte('}')
	if left == '(' {
		right = ')'
	}
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case left:
			depth++
		case right:
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}
