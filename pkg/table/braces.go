package table

import (
	"errors"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/table/text"
)

// listSpace separates the items of a list in main.cf.
const listSpace = ", \t\r\n"

// extractBraces takes text that starts with "{" and returns what is inside of
// the matching braces, without white space around it, and what follows them.
func extractBraces(s string) (inner, rest string, err error) {
	if !strings.HasPrefix(s, "{") {
		return "", "", fmt.Errorf("no '{' at start of text in \"%s\"", s)
	}
	end := matchBrace(s)
	if end < 0 {
		return "", "", fmt.Errorf("missing '}' in \"%s\"", s)
	}
	return strings.Trim(s[1:end], text.Space), s[end+1:], nil
}

// unwrap returns what is inside of braces that are all of a text.
func unwrap(s string) (string, error) {
	inner, rest, err := extractBraces(s)
	if err == nil && rest != "" {
		err = fmt.Errorf("syntax error after '}' in \"%s\"", s)
	}
	return inner, err
}

// listItems splits the name of a table that is a list in braces; ok is false if
// it is none.
func listItems(name string) (items []string, ok bool) {
	if len(name) < len("{}") || name[0] != '{' || matchBrace(name) != len(name)-1 || name == "{}" {
		return nil, false
	}
	items, err := splitQuoted(name[1:len(name)-1], listSpace)
	return items, err == nil
}

// matchBrace returns the index of the "}" that belongs to s[0], or -1.
func matchBrace(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			depth--
			if depth == 0 {
				return i
			}
		}
	}
	return -1
}

// splitQuoted splits a list at separators outside of braces. Text in braces
// keeps its braces.
func splitQuoted(s, separators string) ([]string, error) {
	var items []string
	for {
		s = strings.TrimLeft(s, separators)
		if s == "" {
			return items, nil
		}
		i, depth := 0, 0
		for i < len(s) {
			c := s[i]
			if depth == 0 && strings.IndexByte(separators, c) >= 0 {
				break
			}
			if c == '{' {
				depth++
			} else if c == '}' && depth > 0 {
				depth--
			}
			i++
		}
		if depth > 0 {
			return nil, errors.New("missing '}' in list")
		}
		items = append(items, s[:i])
		s = s[i:]
	}
}

// splitPair splits "name = value", white space around both dropped. White
// space and "=" in a name are in quotes, which belong to it.
func splitPair(s string) (name, value string, err error) {
	s = strings.Trim(s, text.Space)
	if s == "" {
		return "", "", errors.New("no key found; expected format: key = value")
	}
	i, closed := text.KeyEnd(s, "=")
	if !closed {
		return "", "", errors.New(`unbalanced '"'`)
	}
	value, ok := strings.CutPrefix(strings.TrimLeft(s[i:], text.Space), "=")
	if !ok {
		return "", "", errors.New("missing '=' after attribute name")
	}
	return s[:i], strings.Trim(value, text.Space), nil
}

// SplitList splits a value of main.cf such as "hash:/a, inline:{k=v, l=w}" at
// white space and commas outside of braces.
func SplitList(s string) ([]string, error) { return splitQuoted(s, listSpace) }

// inlineRules turns "{ { rule }, { rule } }" into text with a rule on each
// line, for the types whose table may be given in main.cf itself.
func inlineRules(kind, name string) (string, error) {
	inner, err := unwrap(name)
	if err != nil {
		return "", fmt.Errorf("%s map: %w", kind, err)
	}
	items, err := splitQuoted(inner, listSpace)
	if err != nil {
		return "", fmt.Errorf("%s map: %w", kind, err)
	}
	var b strings.Builder
	for _, item := range items {
		rule, err := unwrap(item)
		if err != nil {
			return "", fmt.Errorf("%s map: %w", kind, err)
		}
		b.WriteString(rule)
		b.WriteByte('\n')
	}
	return b.String(), nil
}
