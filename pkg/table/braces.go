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
		return "", "", fmt.Errorf("expected '{' at start of %q", s)
	}
	end := matchBrace(s)
	if end < 0 {
		return "", "", fmt.Errorf("missing '}' in %q", s)
	}
	return strings.Trim(s[1:end], text.Space), s[end+1:], nil
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

// splitPair splits "name = value", white space around both dropped.
func splitPair(s string) (name, value string, err error) {
	name, value, ok := strings.Cut(s, "=")
	name = strings.Trim(name, text.Space)
	if !ok {
		return "", "", fmt.Errorf("missing '=' after attribute name in %q", s)
	}
	if name == "" {
		return "", "", fmt.Errorf("missing attribute name in %q", s)
	}
	return name, strings.Trim(value, text.Space), nil
}

// SplitList splits a value of main.cf such as "hash:/a, inline:{k=v, l=w}" at
// white space and commas outside of braces.
func SplitList(s string) ([]string, error) { return splitQuoted(s, listSpace) }

// inlineRules turns "{ { rule }, { rule } }" into text with a rule on each
// line, for the types whose table may be given in main.cf itself.
func inlineRules(name string) (string, error) {
	inner, rest, err := extractBraces(name)
	if err != nil {
		return "", err
	}
	if strings.Trim(rest, listSpace) != "" {
		return "", fmt.Errorf("text after closing brace: %q", rest)
	}
	items, err := splitQuoted(inner, listSpace)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, item := range items {
		rule, after, err := extractBraces(item)
		if err != nil {
			return "", err
		}
		if after != "" {
			return "", fmt.Errorf("syntax error after '}' in %q", item)
		}
		b.WriteString(rule)
		b.WriteByte('\n')
	}
	return b.String(), nil
}
