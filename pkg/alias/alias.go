// Package alias reads the right-hand side of aliases(5), .forward files and
// :include: files: a list of destinations separated by commas and line ends;
// plain addresses also by blanks.
//
//	address                  mail goes there
//	\user                    the mailbox of user, with no further forwarding
//	|command  "|command a"   the message becomes the command's input
//	/file/name  /dir/        the message is appended to the file, or put into the Maildir
//	:include:/file           destinations from a file
//
// Any of these may be quoted as a whole, and an address may have a display
// name and comments around it.
package alias

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
)

// Limits of one list.
const (
	MaxLine    = 1 << 20 // bytes in a logical line
	MaxTargets = 100000  // destinations in a list
)

// ErrSyntax reports a list that is not well formed.
var ErrSyntax = errors.New("alias syntax")

// ErrRelative is an ErrSyntax: an :include: without an absolute path.
var ErrRelative = fmt.Errorf("%w: :include: needs an absolute path", ErrSyntax)

// Kind is what a destination is.
type Kind int

// The kinds.
const (
	Address Kind = iota // an address in internal form
	Command             // a command, without the '|'
	File                // an absolute path; '/' at its end means a Maildir
	Include             // the path of a file with more destinations
)

// Target is one destination. Escaped is set for \user.
type Target struct {
	Kind    Kind
	Value   string
	Escaped bool
}

// Parse reads the destinations of one line.
func Parse(line string) ([]Target, error) {
	if strings.ContainsAny(line, "\x00\r") {
		return nil, fmt.Errorf("%w: control character", ErrSyntax)
	}
	items, err := split(ungroup(line))
	if err != nil {
		return nil, err
	}
	var targets []Target
	for _, item := range items {
		t, err := parseItem(item)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
		if len(targets) > MaxTargets {
			return nil, fmt.Errorf("%w: more than %d destinations", ErrSyntax, MaxTargets)
		}
	}
	return targets, nil
}

// ungroup leaves the name of a group away (RFC 5322 3.4): "Friends: ann, bob;".
func ungroup(line string) string {
	name, members, ok := strings.Cut(line, ":")
	if !ok || strings.ContainsAny(name, `"|/<,;@:`) || strings.TrimSpace(name) == "" || !strings.HasSuffix(strings.TrimSpace(members), ";") {
		return line
	}
	return members
}

// Read reads a .forward or :include: file: a list on each line, with '#' at
// the start of comment lines. name stands in errors, with the line number.
func Read(r io.Reader, name string) ([]Target, error) {
	var targets []Target
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), MaxLine)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), "\r")
		if strings.HasPrefix(line, "#") {
			continue
		}
		list, err := Parse(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		targets = append(targets, list...)
		if len(targets) > MaxTargets {
			return nil, fmt.Errorf("%s:%d: %w: more than %d destinations", name, n, ErrSyntax, MaxTargets)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return targets, nil
}

// split cuts a line at commas and semicolons that are not within quotes,
// comments or angle brackets, and drops items that are empty or comments.
func split(line string) ([]string, error) {
	pieces, open := address.Items(line, ",;")
	if open.Quote {
		return nil, fmt.Errorf("%w: quote without end", ErrSyntax)
	}
	if last := pieces[len(pieces)-1]; open.Comment && !strings.HasPrefix(strings.TrimSpace(last), "|") {
		return nil, fmt.Errorf("%w: comment without end", ErrSyntax)
	}
	var items []string
	for _, s := range pieces {
		if s = strings.TrimSpace(s); s != "" && (s[0] != '(' || strings.TrimSpace(stripComments(s)) != "") {
			items = append(items, words(s)...)
		}
	}
	return items, nil
}

// words cuts an item that is several addresses with blanks between them, as in
// "ann bob".
func words(item string) []string {
	if strings.ContainsAny(item[:1], `|/:`) || strings.ContainsAny(item, `<"`) {
		return []string{item}
	}
	var list []string
	open := false // the last one goes on after the blank (RFC 5322 4.4)
	for _, word := range strings.Fields(stripComments(item)) {
		switch {
		case len(list) > 0 && (open || word[0] == '@' || word[0] == '.'):
			list[len(list)-1] += word
		default:
			list = append(list, word)
		}
		open = strings.HasSuffix(word, "@") || strings.HasSuffix(word, ".")
	}
	return list
}

func parseItem(item string) (Target, error) {
	plain := item
	if whole, ok := unquoteWhole(item); ok {
		plain = whole
	}
	switch {
	case strings.HasPrefix(plain, "|"):
		command := strings.TrimSpace(plain[1:])
		if whole, ok := unquoteWhole(command); ok {
			command = whole
		}
		if command == "" {
			return Target{}, fmt.Errorf("%w: empty command", ErrSyntax)
		}
		return Target{Kind: Command, Value: command}, nil
	case strings.HasPrefix(plain, "/"):
		return Target{Kind: File, Value: plain}, nil
	case len(plain) >= 9 && strings.EqualFold(plain[:9], ":include:"):
		path := strings.TrimSpace(plain[9:])
		if whole, ok := unquoteWhole(path); ok {
			path = whole
		}
		if !strings.HasPrefix(path, "/") {
			return Target{}, fmt.Errorf("%w: %q", ErrRelative, path)
		}
		return Target{Kind: Include, Value: path}, nil
	case strings.HasPrefix(plain, `\`) && len(plain) > 1 && plain == item:
		t, err := parseAddress(plain[1:])
		t.Escaped = true
		return t, err
	}
	return parseAddress(item)
}

// unquoteWhole returns what is inside of a pair of quotes that spans s.
func unquoteWhole(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' {
		return "", false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			return b.String(), i == len(s)-1
		default:
			b.WriteByte(s[i])
		}
	}
	return "", false
}

func parseAddress(s string) (Target, error) {
	s = strings.TrimSpace(stripComments(s))
	if open := strings.LastIndexByte(s, '<'); open >= 0 && strings.HasSuffix(s, ">") {
		s = s[open+1 : len(s)-1]
	}
	addr, err := address.Parse(strings.TrimSpace(s))
	if err != nil || addr == "" {
		return Target{}, fmt.Errorf("%w: %q is not an address", ErrSyntax, s)
	}
	return Target{Kind: Address, Value: addr}, nil
}

// stripComments removes what is in parentheses outside of quotes.
func stripComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			if depth == 0 {
				b.WriteString(s[i : i+2])
			}
			i++
			continue
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
			continue
		case c == ')' && depth > 0:
			depth--
			continue
		}
		if depth == 0 {
			b.WriteByte(c)
		}
	}
	return b.String()
}
