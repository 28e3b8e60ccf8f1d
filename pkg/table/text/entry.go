package text

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Entry is one key and value with the line that it came from.
type Entry struct {
	Key, Value string
	Line       int
}

// Problem is something in the source that its owner should know. Entries with
// Skip set were left out.
type Problem struct {
	Line  int
	Text  string
	Skip  bool
	whole bool // Postfix names no line
}

// In returns the problem as Postfix words it for a source of this name.
func (p Problem) In(name string) string {
	if p.whole {
		return name + ": " + p.Text
	}
	return fmt.Sprintf("%s, line %d: %s", name, p.Line, p.Text)
}

// Ignored says of a line that was left out that it was.
func (p Problem) Ignored() Problem {
	if p.Skip && !p.whole && !strings.HasSuffix(p.Text, Ignoring) {
		p.Text += Ignoring
	}
	return p
}

// Split takes a logical line of a postmap(1) source apart. problem is empty
// if all is well; ok is false when there is no usable entry.
//
// A key may have white space within double quotes or after a backslash. As in
// Postfix, both are a part of it: the key of "john doe"@example.com is what
// the address looks like in a message.
func Split(line string) (key, value, problem string, ok bool) {
	i, closed := KeyEnd(line, "")
	if !closed {
		return "", "", fmt.Sprintf(`unbalanced '"' in '%s'%s`, line, Ignoring), false
	}
	key, value = line[:i], strings.Trim(line[i:], Space)
	if key == "" || value == "" {
		return "", "", "expected format: key whitespace value", false
	}
	if strings.HasSuffix(key, ":") {
		problem = `record is in "key: value" format; is this an alias file?`
	}
	return key, value, problem, true
}

// Ignoring ends the message about a line that is left out.
const Ignoring = " -- ignoring this line"

// KeyEnd finds the white space, or another character that ends keys, after a
// key, and whether its quotes have an end.
func KeyEnd(line, ends string) (end int, closed bool) {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (isSpace(c) || strings.IndexByte(ends, c) >= 0):
			return i, true
		}
	}
	return len(line), !quoted
}

// Source is text that is read for its entries.
type Source struct {
	Add    func(Entry) error // gets each entry as it is read; may be nil
	Report func(Problem)     // gets each problem; may be nil
	UTF8   bool              // lines that are not UTF-8 are left out
}

// ReadMap reads a postmap(1) source.
func (s Source) ReadMap(r io.Reader) error {
	// Trailing white space goes before the line is parsed, so that it does
	// not show in a message.
	return s.read(r, func(line string) (string, string, string, bool) { return Split(strings.TrimRight(line, Space)) })
}

// read takes lines apart with split, whose results are those of [Split]; a line
// with neither an entry nor a problem is empty.
func (s Source) read(r io.Reader, split func(line string) (key, value, problem string, ok bool)) error {
	lines := NewReader(r, s.Report)
	for {
		line, err := lines.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if s.UTF8 && !utf8.ValidString(line.Text) {
			s.report(Problem{Line: line.First, Text: fmt.Sprintf("non-UTF-8 input \"%s\"%s", line.Text, Ignoring), Skip: true})
			continue
		}
		key, value, problem, ok := split(line.Text)
		if problem != "" {
			s.report(Problem{Line: line.First, Text: problem, Skip: !ok})
		}
		if ok && s.Add != nil {
			if err := s.Add(Entry{Key: key, Value: value, Line: line.First}); err != nil {
				return err
			}
		}
	}
}

func (s Source) report(p Problem) {
	if s.Report != nil {
		s.Report(p)
	}
}
