package address

import "strings"

// Kind says what a [Token] is: the character itself for an operator, or one
// of the constants below.
type Kind byte

// Token kinds other than operators.
const (
	Atom    Kind = 'a' // text outside of quotes
	Quoted  Kind = 'q' // quoted string, its Text without quotes and backslashes
	Literal Kind = 'l' // domain literal, with its brackets
	Comment Kind = 'c' // comment, with its parentheses
)

// MaxTokens bounds what is parsed of one header or address; text after that
// many tokens is left alone.
const MaxTokens = 10240

// Token is a lexical element of an address (RFC 5322 3.2).
type Token struct {
	Kind       Kind
	Text       string
	Start, End int // bytes of the text it was read from; 0, 0 if made up
}

// operators are the specials with a meaning of their own, and the routing
// operators of old.
const operators = "%,.:;<>@!"

// Op returns an operator token.
func Op(c byte) Token { return Token{Kind: Kind(c), Text: operatorText(c)} }

func operatorText(c byte) string {
	if i := strings.IndexByte(operators, c); i >= 0 {
		return operators[i : i+1]
	}
	return string(rune(c))
}

// Tokenize takes external-form text apart. White space separates tokens and
// is dropped. Unbalanced quotes, brackets and parentheses end with the text.
// It reads at most [MaxTokens] tokens.
func Tokenize(s string) []Token {
	var tokens []Token
	for i := 0; i < len(s) && len(tokens) < MaxTokens; {
		t := Token{Start: i}
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
			continue
		case c == '(':
			i = EndComment(s, i)
			t.Kind, t.Text = Comment, s[t.Start:i]
		case c == '[':
			i = endLiteral(s, i)
			t.Kind, t.Text = Literal, s[t.Start:i]
		case c == '"':
			t.Kind = Quoted
			t.Text, i = readQuoted(s, i+1)
		case strings.IndexByte(operators, c) >= 0:
			i++
			t.Kind, t.Text = Kind(c), s[t.Start:i]
		default:
			t.Kind = Atom
			t.Text, i = readAtom(s, i)
		}
		i = min(i, len(s)) // a backslash was the last byte
		t.End = i
		tokens = append(tokens, t)
	}
	return tokens
}

// EndComment returns the index after the comment that starts at i. Comments
// nest (RFC 5322 3.2.2).
func EndComment(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

func endLiteral(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ']':
			return i + 1
		}
	}
	return len(s)
}

// readQuoted reads up to the closing quote and returns the text without
// backslashes and the index after the quote.
func readQuoted(s string, i int) (string, int) {
	start := i
	for i < len(s) && s[i] != '"' && s[i] != '\\' {
		i++
	}
	if i >= len(s) {
		return s[start:], i
	}
	if s[i] == '"' {
		return s[start:i], i + 1
	}
	b := []byte(s[start:i])
	for ; i < len(s); i++ {
		switch s[i] {
		case '"':
			return string(b), i + 1
		case '\\':
			if i++; i < len(s) {
				b = append(b, s[i])
			}
		default:
			b = append(b, s[i])
		}
	}
	return string(b), i
}

// readAtom reads up to white space or a special. A backslash makes the next
// character part of the atom, and a stray ')' or ']' is part of it as well.
func readAtom(s string, i int) (string, int) {
	start, escaped := i, false
	for i < len(s) {
		c := s[i]
		if c == '\\' {
			escaped = true
			i += 2
			continue
		}
		if i > start && (c == '(' || c == '[' || c == '"') || c <= ' ' && isSpace(c) || strings.IndexByte(operators, c) >= 0 {
			break
		}
		i++
	}
	if i > len(s) {
		i = len(s)
	}
	if !escaped {
		return s[start:i], i
	}
	b := make([]byte, 0, i-start)
	for j := start; j < i; j++ {
		if s[j] == '\\' {
			if j++; j == i {
				break
			}
		}
		b = append(b, s[j])
	}
	return string(b), i
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// word reports tokens that need a blank between them.
func (t Token) word() bool { return t.Kind >= 'a' }

// DropComments returns tokens without comments.
func DropComments(tokens []Token) []Token {
	for i := range tokens {
		if tokens[i].Kind != Comment {
			continue
		}
		out := append([]Token(nil), tokens[:i]...)
		for _, t := range tokens[i:] {
			if t.Kind != Comment {
				out = append(out, t)
			}
		}
		return out
	}
	return tokens
}

// Internal returns tokens as text in internal form.
func Internal(tokens []Token) string { return join(tokens) }

// External returns the tokens of one address as text in external form.
func External(tokens []Token) string { return Quote(Internal(tokens)) }

func join(tokens []Token) string {
	var b strings.Builder
	prev := false
	for _, t := range tokens {
		if prev && t.word() {
			b.WriteByte(' ')
		}
		prev = t.word()
		b.WriteString(t.Text)
		if t.Kind == ',' {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// Canonical returns the internal form of one address in external form the way
// a tolerant reader sees it: comments and white space go, quotes are removed.
// Unlike [Parse] it refuses nothing.
func Canonical(s string) string {
	if isPlain(s) {
		return s
	}
	return Internal(DropComments(Tokenize(s)))
}
