package pcre

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/table/pattern"
)

// translator rewrites PCRE syntax as that of regexp2, which is .NET's.
type translator struct {
	in         string
	out        strings.Builder
	pos        int
	extended   bool // white space is ignored
	ungreedy   bool
	caseless   bool
	dollarEnd  bool
	groups     int            // capturing groups so far
	groupNames map[string]int // .NET would number named groups last
	open       []group
	atom       int // where in out the last atom starts; -1 if there is none
	highest    int // group that a reference names
	highestAt  int // and where
}

// group is an open group: where it starts in the output, and what holds for
// the text after it.
type group struct {
	start    int
	extended bool
	ungreedy bool
}

func (t *translator) run() error {
	t.atom = -1
	for t.pos < len(t.in) {
		if err := t.next(); err != nil {
			if errors.Is(err, errUnknown) {
				t.pos++
			}
			return fmt.Errorf("error in regex at offset %d: %w", t.pos, err)
		}
	}
	if len(t.open) > 0 {
		return fmt.Errorf("error in regex at offset %d: missing closing parenthesis", t.pos)
	}
	if t.highest > t.groups {
		return fmt.Errorf("error in regex at offset %d: reference to non-existent subpattern", t.highestAt)
	}
	return nil
}

func (t *translator) next() error {
	c := t.in[t.pos]
	switch {
	case c == '\\':
		return t.escape()
	case c == '[':
		return t.class()
	case c == '(':
		return t.openGroup()
	case c == ')':
		return t.closeGroup()
	case c == '*', c == '+', c == '?', c == '{' && t.isInterval():
		return t.quantifier()
	case c == '$' && t.dollarEnd:
		t.pos++
		t.mark(`\z`)
	case c == '|', c == '^', c == '$':
		t.pos++
		t.mark(string(c))
	case c == '{':
		t.pos++
		t.emit(`\{`)
	case t.extended && c == '#':
		t.skipComment()
	case t.extended && strings.IndexByte(" \t\n\v\f\r", c) >= 0:
		t.pos++
	default:
		t.pos++
		t.emit(string(pattern.WidenByte(c)))
	}
	return nil
}

// emit writes an atom, which a quantifier may follow.
func (t *translator) emit(s string) {
	t.atom = t.out.Len()
	t.out.WriteString(s)
}

// mark writes something that no quantifier may follow.
func (t *translator) mark(s string) {
	t.out.WriteString(s)
	t.atom = -1
}

func (t *translator) skipComment() {
	i := strings.IndexByte(t.in[t.pos:], '\n')
	if i < 0 {
		t.pos = len(t.in)
		return
	}
	t.pos += i + 1
}

// isInterval reports whether "{" starts a quantifier: {n}, {n,} or {n,m}.
func (t *translator) isInterval() bool {
	body, _, ok := strings.Cut(t.in[t.pos+1:], "}")
	low, high, _ := strings.Cut(body, ",")
	return ok && low != "" && strings.Trim(low+high, "0123456789") == ""
}

// maxRepeat is PCRE's limit of a repetition.
const maxRepeat = 65535

// checkInterval refuses what PCRE refuses of "n", "n," or "n,m".
func checkInterval(body string) error {
	low, high, _ := strings.Cut(body, ",")
	switch tooBig, disorder := pattern.Interval(low, high, maxRepeat); {
	case tooBig:
		return errors.New("number too big in {} quantifier")
	case disorder:
		return errors.New("numbers out of order in {} quantifier")
	}
	return nil
}

func (t *translator) quantifier() error {
	if t.atom < 0 {
		if t.in[t.pos] == '{' {
			t.pos += strings.IndexByte(t.in[t.pos:], '}')
		}
		return errors.New("quantifier does not follow a repeatable item")
	}
	q := t.in[t.pos : t.pos+1]
	if q == "{" {
		q = t.in[t.pos : t.pos+strings.IndexByte(t.in[t.pos:], '}')+1]
		if err := checkInterval(q[1 : len(q)-1]); err != nil {
			t.pos += len(q) - 1
			return err
		}
	}
	t.pos += len(q)
	lazy := t.ungreedy
	switch {
	case strings.HasPrefix(t.in[t.pos:], "+"):
		// Possessive: an atomic group says the same.
		t.pos++
		s := t.out.String()
		t.out.Reset()
		t.out.WriteString(s[:t.atom] + "(?>" + s[t.atom:] + q + ")")
		t.atom = -1
		return nil
	case strings.HasPrefix(t.in[t.pos:], "?"):
		t.pos++
		lazy = !lazy
	}
	t.out.WriteString(q)
	if lazy {
		t.out.WriteByte('?')
	}
	t.atom = -1
	return nil
}

func (t *translator) openGroup() error {
	rest := t.in[t.pos:]
	switch {
	case len(rest) > 2 && rest[:2] == "(*" && (rest[2] >= 'A' && rest[2] <= 'Z' || rest[2] == ':'):
		return errors.New("verbs such as (*UTF) are not supported")
	case strings.HasPrefix(rest, "(?#"):
		i := strings.IndexByte(rest, ')')
		if i < 0 {
			t.pos = len(t.in)
			return errors.New("missing ) after (?# comment")
		}
		t.pos += i + 1
		return nil
	case strings.HasPrefix(rest, "(?"):
		return t.special(rest)
	}
	t.groups++
	t.push("(", 1)
	return nil
}

// push opens a group that takes n bytes of the input.
func (t *translator) push(s string, n int) {
	if len(t.open) > maxGroups {
		t.pos = len(t.in) // reported as a missing parenthesis
		return
	}
	t.open = append(t.open, group{t.out.Len(), t.extended, t.ungreedy})
	t.out.WriteString(s)
	t.atom = -1
	t.pos += n
}

// maxGroups bounds nested groups.
const maxGroups = 250

func (t *translator) special(rest string) error {
	for _, p := range []string{"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"} {
		if strings.HasPrefix(rest, p) {
			t.push(p, len(p))
			return nil
		}
	}
	switch {
	case strings.HasPrefix(rest, "(?|"):
		return errors.New("branch reset (?|...) is not supported")
	case strings.HasPrefix(rest, "(?P="):
		return t.nameReference(rest[4:], ')', 4)
	case strings.HasPrefix(rest, "(?P<"):
		return t.named(rest, 4, '>')
	case strings.HasPrefix(rest, "(?<"):
		return t.named(rest, 3, '>')
	case strings.HasPrefix(rest, "(?'"):
		return t.named(rest, 3, '\'')
	case strings.HasPrefix(rest, "(?("):
		return errors.New("conditional groups are not supported")
	case strings.HasPrefix(rest, "(?P>"), strings.HasPrefix(rest, "(?&"), strings.HasPrefix(rest, "(?R"), strings.HasPrefix(rest, "(?C"):
		return errors.New("recursion and callouts are not supported")
	}
	return t.options(rest)
}

func (t *translator) named(rest string, n int, end byte) error {
	i := strings.IndexByte(rest[n:], end)
	if i < 1 {
		return errors.New("bad group name")
	}
	t.groups++
	t.groupNames[rest[n:n+i]] = t.groups
	t.push("(", n+i+1)
	return nil
}

// options reads "(?i-s)" or "(?i-s:".
func (t *translator) options(rest string) error {
	i := strings.IndexAny(rest, ":)")
	if i < 0 {
		return errors.New("missing closing parenthesis")
	}
	on, off, hasOff := strings.Cut(rest[2:i], "-")
	if strings.Trim(on+off, "imsxU") != "" || on+off == "" {
		return fmt.Errorf("%s is not supported", rest[:i+1])
	}
	extended := (t.extended || strings.Contains(on, "x")) && !strings.Contains(off, "x")
	ungreedy := (t.ungreedy || strings.Contains(on, "U")) && !strings.Contains(off, "U")
	// .NET has no U; it is in how quantifiers are written.
	s := "(?" + strings.ReplaceAll(on, "U", "")
	if off = strings.ReplaceAll(off, "U", ""); hasOff && off != "" {
		s += "-" + off
	}
	if rest[i] == ':' {
		t.push(s+":", i+1)
	} else {
		t.pos += i + 1
		if s != "(?" {
			t.out.WriteString(s + ")")
		}
		t.atom = -1
	}
	t.extended, t.ungreedy = extended, ungreedy
	return nil
}

func (t *translator) closeGroup() error {
	if len(t.open) == 0 {
		return errors.New("unmatched closing parenthesis")
	}
	last := len(t.open) - 1
	g := t.open[last]
	t.open = t.open[:last]
	t.out.WriteByte(')')
	t.atom, t.extended, t.ungreedy = g.start, g.extended, g.ungreedy
	t.pos++
	return nil
}

// nameReference writes a reference to a named group.
func (t *translator) nameReference(rest string, end byte, n int) error {
	i := strings.IndexByte(rest, end)
	if i < 1 {
		return errors.New("bad group name")
	}
	number, ok := t.groupNames[rest[:i]]
	if !ok {
		return errors.New("reference to non-existent subpattern")
	}
	t.pos += n + i + 1
	t.emit(`(?:\` + strconv.Itoa(number) + `)`)
	return nil
}
