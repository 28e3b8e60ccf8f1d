package sqltable

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/table/dbfile"
)

// query is a query whose parts that depend on the key are parameters.
type query struct {
	text   string
	params []dbfile.Template
}

// args returns the parameters for a key. ok is false when the key lacks a part
// that the query needs; then there is nothing to find.
func (q *query) args(key string) (args []any, ok bool) {
	for _, t := range q.params {
		v, ok := t.Expand(key, key, dbfile.Same)
		if !ok {
			return nil, false
		}
		args = append(args, v)
	}
	return args, true
}

// compiler reads a query once, from left to right.
type compiler struct {
	kind string
	in   string
	pos  int
	out  strings.Builder
	q    query
}

// compile finds the parameters of a query.
func compile(kind, text string) (*query, error) {
	c := &compiler{kind: kind, in: text}
	for c.pos < len(c.in) {
		if err := c.next(); err != nil {
			return nil, err
		}
	}
	c.q.text = c.out.String()
	return &c.q, nil
}

// next copies one token.
func (c *compiler) next() error {
	rest := c.in[c.pos:]
	switch ch := rest[0]; {
	case ch == '\'', ch == '"' && c.kind == "mysql":
		return c.literal(ch)
	case ch == '"', ch == '`':
		return c.verbatim(rest, string(ch), "a name in quotes")
	case strings.HasPrefix(rest, "--"):
		return c.verbatim(rest, "\n", "a comment")
	case strings.HasPrefix(rest, "/*"):
		return c.verbatim(rest, "*/", "a comment")
	case ch == '$' && c.kind == "pgsql" && len(rest) > 1 && (rest[1] == '$' || isWord(rest[1])):
		return errors.New("a string between dollar signs: use quotes")
	case ch == '?' && c.kind != "pgsql":
		return errors.New("a question mark outside of a string")
	case ch == '%':
		return c.bare(rest)
	}
	c.out.WriteByte(rest[0])
	c.pos++
	return nil
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// verbatim copies what ends with a mark and may hold nothing to fill in.
func (c *compiler) verbatim(rest, end, what string) error {
	i := strings.Index(rest[1:], end)
	if i < 0 {
		i = len(rest) - 1
		if end != "\n" {
			return fmt.Errorf("%s has no end", what)
		}
		end = ""
	}
	text := rest[:1+i+len(end)]
	plain, err := withoutPercent(text)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	c.out.WriteString(plain)
	c.pos += len(text)
	return nil
}

// withoutPercent undoubles percent signs, and wants no others.
func withoutPercent(text string) (string, error) {
	t, err := dbfile.Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range t {
		if p.Letter != 0 {
			return "", fmt.Errorf("%%%c cannot be filled in there", p.Letter)
		}
		b.WriteString(p.Text)
	}
	return b.String(), nil
}

// bare is a % outside of quotes.
func (c *compiler) bare(rest string) error {
	if strings.HasPrefix(rest, "%%") {
		c.out.WriteByte('%')
		c.pos += 2
		return nil
	}
	if len(rest) < 2 || !dbfile.IsLetter(rest[1]) {
		return errors.New("a % that means nothing; write %% for a percent sign")
	}
	c.param(dbfile.Template{{Letter: rest[1]}})
	c.pos += 2
	return nil
}

// param writes the mark of a parameter.
func (c *compiler) param(t dbfile.Template) {
	c.q.params = append(c.q.params, t)
	if c.kind == "pgsql" {
		c.out.WriteString("$" + strconv.Itoa(len(c.q.params)))
	} else {
		c.out.WriteByte('?')
	}
}

// literal is a string of the query. With something to fill in it becomes a
// parameter; else it is copied.
func (c *compiler) literal(quote byte) error {
	escaped := c.escapes()
	end, err := c.endOf(quote, escaped)
	if err != nil {
		return err
	}
	raw := c.in[c.pos : end+1]
	inner := raw[1 : len(raw)-1]
	c.pos = end + 1
	t, err := dbfile.Parse(inner)
	if err != nil {
		return err
	}
	filled := false
	for _, p := range t {
		filled = filled || p.Letter != 0
	}
	if !filled {
		plain, err := withoutPercent(raw)
		c.out.WriteString(plain)
		return err
	}
	// What the string means, and not how it is written, is the parameter.
	for i := range t {
		if escaped && strings.IndexByte(t[i].Text, '\\') >= 0 {
			return errors.New("a backslash in a string with something to fill in")
		}
		t[i].Text = strings.ReplaceAll(t[i].Text, string(quote)+string(quote), string(quote))
	}
	if prefixed(c.out.String()) {
		return errors.New("a string with a letter in front of its quote, and something to fill in")
	}
	c.param(t)
	return nil
}

// prefixed reports text that ends with E, B, X, N or U&, which change what the
// string behind it means.
func prefixed(out string) bool {
	i := len(out)
	for i > 0 && (isWord(out[i-1]) || out[i-1] == '&') {
		i--
	}
	switch strings.ToUpper(out[i:]) {
	case "E", "B", "X", "N", "U&", "_UTF8", "_UTF8MB4", "_BINARY":
		return true
	}
	return false
}

// escapes reports whether a backslash means something in the string at pos.
func (c *compiler) escapes() bool {
	return c.kind == "mysql" || c.kind == "pgsql" && prefixed(c.in[:c.pos])
}

// endOf returns where the string that starts at pos ends.
func (c *compiler) endOf(quote byte, escaped bool) (int, error) {
	for i := c.pos + 1; i < len(c.in); i++ {
		switch {
		case c.in[i] == '\\' && escaped:
			i++
		case c.in[i] == quote && i+1 < len(c.in) && c.in[i+1] == quote:
			i++
		case c.in[i] == quote:
			return i, nil
		}
	}
	return 0, errors.New("a string has no end")
}
