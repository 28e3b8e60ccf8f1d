package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// translator rewrites a POSIX expression in the syntax of package regexp.
type translator struct {
	in       string
	out      strings.Builder
	extended bool // ERE, else BRE
	newline  bool // "." and [^x] do not match a newline
	caseless bool
	backref  bool
	pos      int
	open     []int    // where in out each open group starts
	numbers  []int    // of the open groups
	groups   int      // so far
	closed   [10]bool // groups that a back reference may name
	atom     int      // where in out the last atom starts; -1 if there is none
	counted  bool     // the last atom has a quantifier
}

func (t *translator) run() error {
	t.atom = -1
	for t.pos < len(t.in) {
		if err := t.next(); err != nil {
			return err
		}
	}
	if len(t.open) > 0 {
		return errors.New("unmatched ( or \\(")
	}
	return nil
}

// next translates one element.
func (t *translator) next() error {
	c := t.in[t.pos]
	t.pos++
	switch c {
	case '\\':
		return t.escape()
	case '[':
		return t.bracket()
	case '.':
		t.emit(".")
	case '*':
		return t.quantify("*")
	case '^':
		t.anchor(c, t.extended || t.atStart())
	case '$':
		t.anchor(c, t.extended || t.atEnd())
	case '(', ')', '|', '+', '?', '{':
		if t.extended {
			return t.operator(c)
		}
		t.emit(regexp.QuoteMeta(string(c)))
	default:
		t.emit(regexp.QuoteMeta(string(WidenByte(c))))
	}
	return nil
}

// emit writes one atom.
func (t *translator) emit(s string) {
	t.atom = t.out.Len()
	t.counted = false
	t.out.WriteString(s)
}

func (t *translator) anchor(c byte, is bool) {
	if !is {
		t.emit(`\` + string(c))
		return
	}
	t.out.WriteByte(c)
	t.atom = -1
}

// atStart reports whether "^" is an anchor in a basic expression.
func (t *translator) atStart() bool {
	before := t.in[:t.pos-1]
	return before == "" || strings.HasSuffix(before, `\(`) || strings.HasSuffix(before, `\|`)
}

func (t *translator) atEnd() bool {
	after := t.in[t.pos:]
	return after == "" || strings.HasPrefix(after, `\)`) || strings.HasPrefix(after, `\|`)
}

// operator handles what is special in an extended expression, and after a
// backslash in a basic one.
func (t *translator) operator(c byte) error {
	switch c {
	case '(':
		t.open = append(t.open, t.out.Len())
		t.groups++
		t.numbers = append(t.numbers, t.groups)
		t.out.WriteByte('(')
		t.atom = -1
	case ')':
		if len(t.open) == 0 {
			if !t.extended {
				return errors.New("unmatched ) or \\)")
			}
			t.emit(`\)`)
			return nil
		}
		t.out.WriteByte(')')
		last := len(t.open) - 1
		t.atom, t.counted = t.open[last], false
		if n := t.numbers[last]; n < len(t.closed) {
			t.closed[n] = true
		}
		t.open, t.numbers = t.open[:last], t.numbers[:last]
	case '|':
		t.out.WriteByte('|')
		t.atom = -1
	case '+', '?':
		return t.quantify(string(c))
	case '{':
		return t.interval()
	}
	return nil
}

// quantify applies a quantifier to the last atom. Where there is none, "*"
// stands for itself in a basic expression.
func (t *translator) quantify(q string) error {
	switch {
	case t.atom < 0 && !t.extended && q == "*":
		t.emit(`\*`)
	case t.atom < 0:
		return errors.New("invalid preceding regular expression")
	case t.counted:
		// "a*?" would mean something else to package regexp.
		s := t.out.String()
		t.out.Reset()
		t.out.WriteString(s[:t.atom] + "(?:" + s[t.atom:] + ")" + q)
	default:
		t.out.WriteString(q)
		t.counted = true
	}
	return nil
}

var interval = regexp.MustCompile(`^([0-9]*)(,?)([0-9]*)$`)

func (t *translator) interval() error {
	end := "}"
	if !t.extended {
		end = `\}`
	}
	body, _, ok := strings.Cut(t.in[t.pos:], end)
	m := interval.FindStringSubmatch(body)
	if !ok {
		return errors.New("unmatched \\{")
	}
	if m == nil || m[1] == "" && m[2] == "" {
		return errors.New("invalid content of \\{\\}")
	}
	t.pos += len(body) + len(end)
	if m[1] == "" {
		m[1] = "0"
	}
	if err := checkInterval(m[1], m[3]); err != nil {
		return err
	}
	return t.quantify("{" + m[1] + m[2] + m[3] + "}")
}

// maxRepeat is RE_DUP_MAX of the C library.
const maxRepeat = 0x7fff

// checkInterval refuses what the C library refuses; high may be empty.
func checkInterval(low, high string) error {
	switch tooBig, disorder := Interval(low, high, maxRepeat); {
	case tooBig:
		return errors.New("regular expression too big")
	case disorder:
		return errors.New("invalid content of \\{\\}")
	}
	return nil
}

// Interval reports what is wrong with the digits of a repetition; high may be
// empty.
func Interval(low, high string, limit int) (tooBig, disorder bool) {
	n, err := strconv.Atoi(low)
	m := n
	if high != "" && err == nil {
		m, err = strconv.Atoi(high)
	}
	return err != nil || max(n, m) > limit, m < n
}

func (t *translator) escape() error {
	if t.pos == len(t.in) {
		return errors.New("trailing backslash")
	}
	c := t.in[t.pos]
	t.pos++
	switch {
	case c >= '1' && c <= '9' && !t.closed[c-'0']:
		return errors.New("invalid back reference")
	case c >= '1' && c <= '9':
		t.backref = true
		t.emit(`(?:\` + string(c) + `)`)
	case strings.IndexByte("(){}|+?", c) >= 0 && !t.extended:
		return t.operator(c)
	case c == 'w', c == 'W', c == 's', c == 'S':
		t.emit(`\` + string(c))
	case c == 'b', c == 'B':
		t.out.WriteString(`\` + string(c))
		t.atom = -1
	case c == '<', c == '>':
		t.out.WriteString(`\b`)
		t.atom = -1
	case c == '`':
		t.out.WriteString(`\A`)
		t.atom = -1
	case c == '\'':
		t.out.WriteString(`\z`)
		t.atom = -1
	default:
		t.emit(regexp.QuoteMeta(string(WidenByte(c))))
	}
	return nil
}

// bracket translates "[...]". A backslash is an ordinary character in it.
func (t *translator) bracket() error {
	var b strings.Builder
	b.WriteByte('[')
	if strings.HasPrefix(t.in[t.pos:], "^") {
		t.pos++
		b.WriteByte('^')
		if t.newline {
			b.WriteString(`\n`)
		}
	}
	for first := true; ; first = false {
		rest := t.in[t.pos:]
		switch {
		case rest == "" && first:
			return errors.New("invalid regular expression")
		case rest == "":
			return errors.New("unmatched [, [^, [:, [., or [=")
		}
		if rest[0] == ']' && !first {
			t.pos++
			b.WriteByte(']')
			t.emit(b.String())
			return nil
		}
		if err := t.bracketItem(&b, rest); err != nil {
			return err
		}
	}
}

func (t *translator) bracketItem(b *strings.Builder, rest string) error {
	if strings.HasPrefix(rest, "[:") {
		name, _, ok := strings.Cut(rest[2:], ":]")
		switch {
		case !ok && strings.Trim(rest[2:], "abcdefghijklmnopqrstuvwxyz") == "":
			return errors.New("unmatched [, [^, [:, [., or [=")
		case !ok || !slices.Contains(classes, name):
			return errors.New("invalid character class name")
		}
		b.WriteString("[:" + name + ":]")
		t.pos += len(name) + 4
		return noRange(rest[len(name)+4:])
	}
	low, n, err := bracketChar(rest)
	if err != nil {
		return err
	}
	t.pos += n
	rest = rest[n:]
	if len(rest) < 2 || rest[0] != '-' || rest[1] == ']' {
		b.WriteString(classQuote(low))
		return nil
	}
	high, n, err := bracketChar(rest[1:])
	if err != nil {
		return err
	}
	if t.caseless {
		// The C library compares what it compares: capitals.
		low, high = upper(low), upper(high)
	}
	if high < low {
		return errors.New("invalid range end")
	}
	t.pos += n + 1
	b.WriteString(classQuote(low) + "-" + classQuote(high))
	return noRange(rest[n+1:])
}

// classes are those of POSIX.
var classes = []string{"alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"}

// noRange refuses a range that begins where another element ended.
func noRange(rest string) error {
	if len(rest) > 1 && rest[0] == '-' && rest[1] != ']' {
		return errors.New("invalid range end")
	}
	return nil
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// bracketChar reads one character, which may be given as [.x.] or [=x=].
func bracketChar(s string) (c byte, n int, err error) {
	if len(s) >= 5 && s[0] == '[' && (s[1] == '.' || s[1] == '=') {
		if s[3] != s[1] || s[4] != ']' {
			return 0, 0, errors.New("invalid collation character")
		}
		return s[2], 5, nil
	}
	return s[0], 1, nil
}

func classQuote(c byte) string {
	if c < 0x80 && !alnum(c) {
		return fmt.Sprintf(`\x%02x`, c)
	}
	return string(WidenByte(c))
}
