package text

import (
	"io"
	"strings"
)

// ReadAliases reads a postalias(1) source: "name: value, value". The values
// are one text in the normal form that Postfix stores, which is tokens with
// one space after each comma and between words.
func (s Source) ReadAliases(r io.Reader) error {
	return s.read(r, func(line string) (key, value, problem string, ok bool) {
		if line == "" {
			return "", "", "", false
		}
		key, value, problem = SplitAlias(line)
		return key, value, problem, problem == ""
	})
}

// SplitAlias takes a logical line of an aliases(5) file apart. problem is not
// empty when there is no usable entry.
func SplitAlias(line string) (key, value, problem string) {
	tokens := scan(line)
	colon := -1
	for i, t := range tokens {
		if t.kind == ':' {
			colon = i
			break
		}
	}
	if colon < 1 || colon == len(tokens)-1 {
		return "", "", "need name:value pair"
	}
	for _, t := range tokens[:colon] {
		// "user%host" would be rewritten to an address of that host.
		if t.kind == '@' || t.percent {
			return "", "", "name must be local"
		}
	}
	key = join(tokens[:colon], false)
	if key == "" {
		return "", "", "need name:value pair"
	}
	return key, join(tokens[colon+1:], true), ""
}

// LooksLikeAliases reports whether more lines of a source are aliases than are
// entries of a postmap(1) source. Indexed files do not say which of the two
// forms their text has. One wrong line must not change the answer, since the
// other reading would lose all entries.
func LooksLikeAliases(r io.Reader) (bool, error) {
	lines := NewReader(r, nil)
	aliases, entries := 0, 0
	for {
		line, err := lines.Next()
		if err == io.EOF {
			return aliases > entries, nil
		}
		if err != nil {
			return false, err
		}
		if aliasShape(line.Text) {
			aliases++
		} else if _, _, _, ok := Split(strings.TrimRight(line.Text, Space)); ok {
			entries++
		}
	}
}

// aliasShape reports whether the first word of a line ends in a colon, or
// holds one and could not be the key of a map: "root:admin".
func aliasShape(line string) bool {
	if strings.HasPrefix(line, `"`) {
		i, closed := KeyEnd(line, "")
		if i := strings.IndexByte(line[1:], '"'); i >= 0 && strings.HasPrefix(strings.TrimLeft(line[i+2:], Space), ":") {
			return true
		}
		return closed && strings.HasPrefix(strings.TrimLeft(line[i:], Space), ":")
	}
	i := strings.IndexAny(line, Space)
	if i < 0 {
		return strings.Contains(line, ":")
	}
	word, rest := line[:i], strings.TrimLeft(line[i:], Space)
	if strings.HasSuffix(word, "::") {
		return false // an IPv6 network
	}
	return strings.HasSuffix(word, ":") || strings.HasPrefix(rest, ":") ||
		strings.Contains(word, ":") && strings.HasSuffix(word, ",")
}

// Kinds of token; specials are their own character.
const (
	atom byte = iota + 1
	quoted
	comment
	literal
)

type token struct {
	kind byte
	text string // without quotes, with backslashes resolved
	// percent says of an atom that it has a "%" without a backslash.
	percent bool
}

const specials = "()<>@,;:\\\".[]"

// scan splits text by the lexical rules of RFC 822.
func scan(s string) []token {
	var tokens []token
	for i := 0; i < len(s); {
		c := s[i]
		var t token
		switch {
		case isSpace(c):
			i++
			continue
		case c == '"':
			t.kind = quoted
			t.text, i = scanTo(s, i+1, '"')
		case c == '[':
			t.kind = literal
			t.text, i = scanTo(s, i+1, ']')
		case c == '(':
			t.kind = comment
			t.text, i = scanComment(s, i)
		case c != '\\' && strings.IndexByte(specials, c) >= 0:
			t.kind = c
			i++
		default:
			t.kind = atom
			t.text, t.percent, i = scanAtom(s, i)
		}
		tokens = append(tokens, t)
	}
	return tokens
}

func scanTo(s string, i int, end byte) (string, int) {
	var b strings.Builder
	for ; i < len(s); i++ {
		switch {
		case s[i] == end:
			return b.String(), i + 1
		case s[i] == '\\' && i+1 == len(s):
			continue // it protects nothing
		case s[i] == '\\':
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), i
}

func scanComment(s string, start int) (string, int) {
	depth := 0
	for i := start; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			depth--
			if depth == 0 {
				return s[start : i+1], i + 1
			}
		}
	}
	return s[start:], len(s)
}

func scanAtom(s string, i int) (text string, percent bool, end int) {
	var b strings.Builder
	for ; i < len(s); i++ {
		c := s[i]
		if c == '\\' {
			if i+1 < len(s) {
				i++
				b.WriteByte(s[i])
			}
			continue
		}
		if isSpace(c) || strings.IndexByte(specials, c) >= 0 {
			break
		}
		percent = percent || c == '%'
		b.WriteByte(c)
	}
	return b.String(), percent, i
}

// join writes tokens in the form that Postfix keeps in its index files, with
// quotes where they are needed, or without any.
func join(tokens []token, quotes bool) string {
	var b strings.Builder
	for i, t := range tokens {
		switch t.kind {
		case comment:
			b.WriteString(t.text)
		case atom, quoted:
			if quotes && (t.kind == quoted || strings.ContainsAny(t.text, specials+" \t")) {
				writeQuoted(&b, t.text)
			} else {
				b.WriteString(t.text)
			}
		case literal:
			b.WriteString("[" + t.text + "]")
		default:
			b.WriteByte(t.kind)
		}
		if t.kind == ',' || i+1 < len(tokens) && spaceBetween(t, tokens[i+1]) {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func writeQuoted(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' || s[i] == '\r' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
}

// spaceBetween is true between words, or a word and a route address; but |"command" stays in one piece.
func spaceBetween(a, b token) bool {
	if a.kind == atom && a.text == "|" && b.kind == quoted {
		return false
	}
	return a.kind <= literal && (b.kind <= literal || b.kind == '<')
}
