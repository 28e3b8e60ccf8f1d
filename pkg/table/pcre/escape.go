package pcre

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/table/pattern"
)

// errUnknown is PCRE's error about a letter that means nothing.
var errUnknown = errors.New(`unrecognized character follows \`)

// escape translates what a backslash starts, outside of a class.
func (t *translator) escape() error {
	rest := t.in[t.pos:]
	if len(rest) < 2 {
		return errors.New(`\ at end of pattern`)
	}
	c := rest[1]
	switch {
	case c == 'Q':
		t.literal(rest[2:])
		return nil
	case c == 'E':
		t.pos += 2
		return nil
	case strings.IndexByte("KXCNg", c) >= 0:
		if c == 'g' {
			return t.reference(rest)
		}
		if c == 'N' {
			t.pos += 2
			t.emit(`[^\n]`)
			return nil
		}
		return fmt.Errorf(`\%c is not supported`, c)
	case c == 'k':
		return t.namedEscape(rest)
	case c == 'R':
		t.pos += 2
		t.emit(`(?>\r\n|[\n\v\f\r])`)
		return nil
	case strings.IndexByte("bBAZzG", c) >= 0:
		t.pos += 2
		t.mark(`\` + string(c))
		return nil
	case c >= '1' && c <= '9':
		return t.number(rest)
	}
	s, n, err := escaped(rest, false)
	if err != nil {
		return err
	}
	t.pos += n
	t.emit(s)
	return nil
}

// literal writes the text of \Q...\E, each character for itself.
func (t *translator) literal(rest string) {
	s, _, closed := strings.Cut(rest, `\E`)
	for i := 0; i < len(s); i++ {
		t.emit(quoteByte(s[i]))
	}
	t.pos += 2 + len(s)
	if closed {
		t.pos += 2
	}
}

// number reads \1 to \99, a reference, or an octal character.
func (t *translator) number(rest string) error {
	i := 1
	for i < len(rest) && i < 3 && rest[i] >= '0' && rest[i] <= '9' {
		i++
	}
	n, _ := strconv.Atoi(rest[1:i])
	if n > 9 && n > t.groups {
		if s, used, ok := octal(rest[1:]); ok {
			t.pos += 1 + used
			t.emit(s)
			return nil
		}
	}
	t.pos += i
	if n > t.highest {
		t.highest, t.highestAt = n, t.pos-1
	}
	t.emit(`(?:\` + strconv.Itoa(n) + `)`)
	return nil
}

// reference reads \g1, \g{1}, \g{-1} or \g{name}.
func (t *translator) reference(rest string) error {
	body := rest[2:]
	n := 2
	if strings.HasPrefix(body, "{") {
		inner, _, ok := strings.Cut(body[1:], "}")
		if !ok {
			return errors.New(`bad \g`)
		}
		body, n = inner, n+len(inner)+2
		if _, named := t.groupNames[body]; named {
			return t.nameReference(rest[3:], '}', 3)
		}
	} else {
		i := 0
		for i < len(body) && (body[i] >= '0' && body[i] <= '9' || i == 0 && body[i] == '-') {
			i++
		}
		body, n = body[:i], n+i
	}
	number, err := strconv.Atoi(body)
	if err != nil {
		return fmt.Errorf(`\g%s is not supported`, body)
	}
	if number < 0 {
		number += t.groups + 1
	}
	if number < 1 || number > t.groups {
		return errors.New("reference to non-existent subpattern")
	}
	t.pos += n
	t.emit(`(?:\` + strconv.Itoa(number) + `)`)
	return nil
}

func (t *translator) namedEscape(rest string) error {
	if len(rest) < 3 {
		return errors.New(`bad \k`)
	}
	end := byte(0)
	switch rest[2] {
	case '<':
		end = '>'
	case '\'':
		end = '\''
	case '{':
		end = '}'
	default:
		return errors.New(`bad \k`)
	}
	return t.nameReference(rest[3:], end, 3)
}

// escaped translates an escape that stands for a character or a set of them,
// inside of a class or not, and returns its length.
func escaped(s string, inClass bool) (string, int, error) {
	c := s[1]
	switch c {
	case 'd', 'D', 'w', 'W', 's', 'S', 't', 'n', 'r', 'f', 'a', 'e':
		return `\` + string(c), 2, nil
	case 'v':
		if inClass {
			return `\n\v\f\r`, 2, nil
		}
		return `[\n\v\f\r]`, 2, nil
	case 'V':
		if !inClass {
			return `[^\n\v\f\r]`, 2, nil
		}
	case 'h':
		if inClass {
			return ` \t` + string(pattern.WidenByte(0xa0)), 2, nil
		}
		return `[ \t` + string(pattern.WidenByte(0xa0)) + `]`, 2, nil
	case 'H':
		if !inClass {
			return `[^ \t` + string(pattern.WidenByte(0xa0)) + `]`, 2, nil
		}
	case 'b':
		if inClass {
			return `\x08`, 2, nil
		}
	case 'x':
		return hex(s)
	case 'c':
		if len(s) > 2 && s[2] < 0x80 {
			return quoteByte(upper(s[2]) ^ 0x40), 3, nil
		}
		return "", 0, errors.New(`\c at end of pattern`)
	}
	if c >= '0' && c <= '7' {
		if out, n, ok := octal(s[1:]); ok {
			return out, n + 1, nil
		}
	}
	if c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' {
		if strings.IndexByte("ijmqyFIJMOTY", c) >= 0 {
			return "", 0, errUnknown
		}
		return "", 0, fmt.Errorf(`\%c is not supported`, c)
	}
	return quoteByte(c), 2, nil
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 0x20
	}
	return c
}

// hex reads \xHH, with up to two digits, or \x{HH}.
func hex(s string) (string, int, error) {
	digits, n := "", 2
	if strings.HasPrefix(s[2:], "{") {
		inner, _, ok := strings.Cut(s[3:], "}")
		if !ok {
			return "", 0, errors.New(`missing terminating } of \x`)
		}
		digits, n = inner, 4+len(inner)
	} else {
		for n < len(s) && n < 4 && strings.IndexByte("0123456789abcdefABCDEF", s[n]) >= 0 {
			n++
		}
		digits = s[2:n]
	}
	if digits == "" {
		digits = "0"
	}
	v, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || v > 0xff {
		return "", 0, errors.New(`character code in \x is too large`)
	}
	return quoteByte(byte(v)), n, nil
}

// octal reads up to three octal digits.
func octal(s string) (string, int, bool) {
	n, v := 0, 0
	for n < len(s) && n < 3 && s[n] >= '0' && s[n] <= '7' {
		v = v*8 + int(s[n]-'0')
		n++
	}
	if n == 0 || v > 0xff {
		return "", 0, false
	}
	return quoteByte(byte(v)), n, true
}

// quoteByte writes one byte as a character that means itself anywhere.
func quoteByte(c byte) string {
	if c >= 0x80 {
		return string(pattern.WidenByte(c))
	}
	if c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' {
		return string(c)
	}
	return fmt.Sprintf(`\x%02x`, c)
}

// classes are the POSIX classes, which regexp2 does not know.
func posixClass(name string) (string, bool) {
	m := map[string]string{
		"alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z",
		"lower": "a-z", "space": `\t-\r `, "blank": `\t `, "punct": `!-/:-@\[-` + "`" + `{-~`,
		"print": " -~", "graph": "!-~", "cntrl": `\x00-\x1f\x7f`, "xdigit": "0-9a-fA-F",
		"word": `\w`, "ascii": `\x00-\x7f`,
	}
	s, ok := m[name]
	return s, ok
}

// negatedClass is what is not in a class.
func (t *translator) negatedClass(name string) (string, bool) {
	if t.caseless && (name == "upper" || name == "lower") {
		name = "alpha"
	}
	re, err := regexp.Compile("[[:" + name + ":]]")
	if err != nil {
		return "", false
	}
	var b strings.Builder
	for c := byte(0); c < 0x80; c++ {
		if !re.MatchString(string(rune(c))) {
			b.WriteString(quoteByte(c))
		}
	}
	return b.String() + quoteByte(0x80) + "-" + quoteByte(0xff), true
}

// collating is an element that POSIX has and PCRE refuses.
var collating = regexp.MustCompile(`^\[(\.[^\[\]\\]*\.|=[^\[\]\\]*=)\]`)

// class translates "[...]".
func (t *translator) class() error {
	var b strings.Builder
	i := t.pos + 1
	b.WriteByte('[')
	if i < len(t.in) && t.in[i] == '^' {
		b.WriteByte('^')
		i++
	}
	for first := true; ; first = false {
		if i >= len(t.in) {
			t.pos = len(t.in)
			return errors.New("missing terminating ] for character class")
		}
		rest := t.in[i:]
		if rest[0] == ']' && !first {
			break
		}
		if wrongRange(rest) {
			t.pos = i + 2
			return errors.New("range out of order in character class")
		}
		s, n, err := t.classItem(rest)
		if err != nil {
			t.pos = i
			if strings.HasPrefix(rest, "[:") {
				t.pos = i + 2
			}
			return err
		}
		b.WriteString(s)
		i += n
	}
	t.pos = i + 1
	t.emit(b.String() + "]")
	return nil
}

// wrongRange reports whether a class goes on with a range like "z-a".
func wrongRange(rest string) bool {
	return len(rest) > 2 && rest[1] == '-' && strings.IndexByte(`\[`, rest[0]) < 0 && strings.IndexByte(`\[]`, rest[2]) < 0 && rest[0] > rest[2]
}

func (t *translator) classItem(rest string) (string, int, error) {
	switch {
	case collating.MatchString(rest):
		return "", 0, errors.New("POSIX collating elements are not supported")
	case strings.HasPrefix(rest, "[:"):
		name, _, ok := strings.Cut(rest[2:], ":]")
		if !ok || strings.ContainsAny(name, "[]\\") {
			return `\x5b`, 1, nil
		}
		lookup := posixClass
		positive, not := strings.CutPrefix(name, "^")
		if not {
			lookup = t.negatedClass
		}
		s, known := lookup(positive)
		if !known {
			return "", 0, errors.New("unknown POSIX class name")
		}
		return s, len(name) + 4, nil
	case strings.HasPrefix(rest, `\Q`), strings.HasPrefix(rest, `\E`):
		return "", 0, errors.New(`\Q and \E in a class are not supported`)
	case rest[0] == '\\':
		if len(rest) < 2 {
			return "", 0, errors.New(`\ at end of pattern`)
		}
		return escaped(rest, true)
	case rest[0] == '-':
		return "-", 1, nil
	}
	return quoteByte(rest[0]), 1, nil
}
