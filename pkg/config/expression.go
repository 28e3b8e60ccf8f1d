package config

import (
	"fmt"
	"strconv"
	"strings"
)

// expression is the parsed inside of ${ }.
type expression struct {
	name            string    // parameter, if relation is nil
	relation        *relation // {left} op {right}
	op              byte      // '?' or ':' if there is a choice, else 0
	then, otherwise string    // the texts of the choice
}

// relation is a comparison of two texts.
type relation struct {
	left, op, right string
}

// parseExpression parses the inside of ${ } or $( ).
func parseExpression(body string) (*expression, error) {
	p := &expressionParser{s: body}
	x := &expression{}
	p.space()
	var err error
	if p.peek() == '{' {
		x.relation, err = p.relation()
	} else {
		x.name, err = p.name()
	}
	if err != nil {
		return nil, err
	}
	p.space()
	switch p.peek() {
	case 0:
		return x, nil
	case '?':
		return x, p.choice(x)
	case ':':
		x.op = ':'
		p.i++
		x.otherwise, err = p.alternative()
		return x, err
	}
	return nil, p.fail("attribute name syntax error")
}

// expressionParser walks over an expression.
type expressionParser struct {
	s string
	i int
}

func (p *expressionParser) space() { p.i = skipSpace(p.s, p.i) }

// peek returns the next byte, or 0 at the end.
func (p *expressionParser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

// fail describes a syntax error and shows where it is.
func (p *expressionParser) fail(text string) error {
	return fmt.Errorf("%s at: %q", text, "..."+p.s[:p.i]+">>>"+p.s[p.i:])
}

// name takes a parameter name.
func (p *expressionParser) name() (string, error) {
	start := p.i
	for p.i < len(p.s) && isNameByte(p.s[p.i]) {
		p.i++
	}
	if p.i == start {
		return "", p.fail("attribute name syntax error")
	}
	return p.s[start:p.i], nil
}

// relation takes {left} op {right}.
func (p *expressionParser) relation() (*relation, error) {
	r := &relation{}
	var err error
	if r.left, err = p.braces(); err != nil {
		return nil, err
	}
	p.space()
	start := p.i
	for p.i < len(p.s) && !isSpace(p.s[p.i]) && p.s[p.i] != '{' {
		p.i++
	}
	r.op = p.s[start:p.i]
	if !isOperator(strings.TrimSuffix(r.op, "level")) {
		p.i = start
		return nil, p.fail("relational operator expected")
	}
	p.space()
	if r.right, err = p.braces(); err != nil {
		return nil, err
	}
	return r, nil
}

// isOperator tells whether s compares.
func isOperator(s string) bool {
	switch s {
	case "==", "!=", "<", "<=", ">", ">=":
		return true
	}
	return false
}

// braces takes {text} and returns the text without white space around it.
func (p *expressionParser) braces() (string, error) {
	if p.peek() != '{' {
		return "", p.fail("\"{\" expected")
	}
	n := matchBrace(p.s[p.i:])
	if n == 0 {
		return "", p.fail("\"{\" without \"}\"")
	}
	text := p.s[p.i+1 : p.i+n-1]
	p.i += n
	return strings.Trim(text, spaces), nil
}

// choice takes ?text, ?{text} or ?{text}:{text}.
func (p *expressionParser) choice(x *expression) error {
	x.op = '?'
	p.i++
	mark := p.i
	p.space()
	if p.peek() != '{' {
		x.then, p.i = p.s[mark:], len(p.s)
		return nil
	}
	var err error
	if x.then, err = p.braces(); err != nil {
		return err
	}
	p.space()
	if p.peek() == 0 {
		return nil
	}
	if p.peek() != ':' {
		return p.fail("\":\" expected")
	}
	p.i++
	x.otherwise, err = p.alternative()
	return err
}

// alternative takes what follows a colon: {text}, or text to the end.
func (p *expressionParser) alternative() (string, error) {
	mark := p.i
	p.space()
	if p.peek() != '{' {
		text := p.s[mark:]
		p.i = len(p.s)
		return text, nil
	}
	text, err := p.braces()
	if err != nil {
		return "", err
	}
	p.space()
	if p.peek() != 0 {
		return "", p.fail("unexpected text")
	}
	return text, nil
}

// Level is a compatibility level in comparable form.
type Level int64

// ParseLevel parses a compatibility level: major, major.minor or
// major.minor.patch.
func ParseLevel(s string) (Level, error) {
	parts := strings.Split(s, ".")
	if len(parts) > 3 {
		return 0, fmt.Errorf("malformed compatibility level syntax: %q", s)
	}
	var level Level
	for i := range 3 {
		n := 0
		if i < len(parts) {
			var err error
			n, err = strconv.Atoi(parts[i])
			if err != nil || n < 0 || n > 1023 || parts[i][0] == '+' {
				return 0, fmt.Errorf("malformed compatibility level syntax: %q", s)
			}
		}
		level = level<<10 | Level(n)
	}
	return level, nil
}
