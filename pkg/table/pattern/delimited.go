package pattern

import (
	"io"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/table/text"
)

// Compiler makes a Matcher of what is between the delimiters and of the
// letters after them.
type Compiler func(expression, flags string) (Matcher, error)

// Delimited says how a table of "/pattern/flags result" is read.
type Delimited struct {
	Compile Compiler
	// Flags are the letters that may follow a pattern.
	Flags string
	// RefuseSubstitution leaves out rules with $number in the result.
	RefuseSubstitution bool
	Warn               Warn
	// NoDelimiter and OutOfRange are parts of warnings in which the kinds of
	// tables differ: about a pattern without its end, and $0.
	NoDelimiter, OutOfRange string
}

// Read reads the rules of the table called name.
func (d Delimited) Read(r io.Reader, name string) (*Set, error) {
	p := &parser{warn: d.Warn, orphan: "ignoring ENDIF without matching IF", extra: "ignoring extra text after ENDIF"}
	p.rule = d.rule
	p.condition = func(p *parser, s string, number int) *rule {
		r, rest := d.pattern(p, s, number)
		if r != nil && rest != "" {
			p.warn(number, "ignoring extra text after IF statement: \"%s\"", rest)
			p.warn(number, "do not prepend whitespace to statements between IF and ENDIF")
		}
		return r
	}
	return p.read(r, name)
}

func (d Delimited) rule(p *parser, line string, number int) *rule {
	if alnum(line[0]) {
		p.warn(number, "ignoring unrecognized request")
		return nil
	}
	r, result := d.pattern(p, line, number)
	if r == nil {
		return nil
	}
	if result == "" {
		p.warn(number, "no replacement text: using empty string")
	}
	t, highest, ok := d.template(result, number)
	switch {
	case !ok:
		p.warn(number, "bad replacement syntax: skipping this rule")
		return nil
	case highest > 0 && d.RefuseSubstitution:
		p.warn(number, "regular expression substitution is not allowed: skipping this rule")
		return nil
	case highest > 0 && r.negate:
		p.warn(number, "$number found in negative match replacement text: skipping this rule")
		return nil
	case highest > r.match.Groups():
		p.warn(number, "out of range replacement index \"%d\": skipping this rule", highest)
		return nil
	}
	if len(t.parts) == 0 {
		t = literal("")
	}
	r.result = t
	return r
}

// pattern reads "/pattern/flags" and returns what follows. There are no
// escapes for the delimiter: another one is to be used.
func (d Delimited) pattern(p *parser, s string, number int) (*rule, string) {
	s, negate := negations(s)
	if s == "" {
		p.warn(number, "no regexp: skipping this rule")
		return nil, ""
	}
	delimiter := s[0]
	end := closing(s, delimiter)
	if end < 0 {
		p.warn(number, "no closing regexp delimiter \"%c\": %s", delimiter, d.NoDelimiter)
		return nil, ""
	}
	expression, rest := s[1:end], s[end+1:]
	i := strings.IndexAny(rest, text.Space)
	if i < 0 {
		i = len(rest)
	}
	flags := rest[:i]
	for _, c := range []byte(flags) {
		if strings.IndexByte(d.Flags, c) < 0 {
			p.warn(number, "unknown regexp option \"%c\": skipping this rule", c)
			return nil, ""
		}
	}
	m, err := d.Compile(expression, flags)
	if err != nil {
		p.warn(number, "%v", err)
		return nil, ""
	}
	return &rule{negate: negate, match: m}, strings.Trim(rest[i:], text.Space)
}

// closing finds the delimiter that ends a pattern. One after a backslash
// belongs to the pattern.
func closing(s string, delimiter byte) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case delimiter:
			return i
		}
	}
	return -1
}

// Toggled reports whether a flag that is on or off by default is on after
// each of its letters toggled it.
func Toggled(flags string, flag byte, on bool) bool {
	return on != (strings.Count(flags, string(flag))%2 == 1)
}
