package text

import (
	"fmt"
	"io"
	"strings"
)

// Entry is one key and value with the line that it came from.
type Entry struct {
	Key, Value string
	Line       int
}

// Problem is something in the source that its owner should know. Entries with
// Skip set were left out.
type Problem struct {
	Line int
	Text string
	Skip bool
}

// String returns the problem as "line N: text".
func (p Problem) String() string { return fmt.Sprintf("line %d: %s", p.Line, p.Text) }

// Split takes a logical line of a postmap(1) source apart. problem is empty
// if all is well; ok is false when there is no usable entry.
func Split(line string) (key, value, problem string, ok bool) {
	var rest string
	if strings.HasPrefix(line, `"`) {
		var closed bool
		key, rest, closed = unquote(line)
		if !closed {
			return "", "", fmt.Sprintf(`unbalanced '"' in '%s'`, line), false
		}
	} else {
		i := strings.IndexAny(line, Space)
		if i < 0 {
			i = len(line)
		}
		key, rest = line[:i], line[i:]
	}
	value = strings.Trim(rest, Space)
	if key == "" || value == "" {
		return "", "", "expected format: key whitespace value", false
	}
	if strings.HasSuffix(key, ":") {
		problem = `record is in "key: value" format; is this an alias file?`
	}
	return key, value, problem, true
}

// unquote reads a key within double quotes. A backslash protects the
// character after it. The quotes may end within the key, as in the shell.
func unquote(line string) (key, rest string, closed bool) {
	var b strings.Builder
	quoted := false
	i := 0
	for ; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted && i+1 < len(line):
			i++
			b.WriteByte(line[i])
		case isSpace(c) && !quoted:
			return b.String(), line[i:], true
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", !quoted
}

// ReadMap reads a postmap(1) source. Each entry goes to add as it is read and
// each problem to report; both may be nil.
func ReadMap(r io.Reader, add func(Entry) error, report func(Problem)) error {
	lines := NewReader(r)
	for {
		line, err := lines.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		// Trailing white space goes before the line is parsed, so that it
		// does not show in a message.
		key, value, problem, ok := Split(strings.TrimRight(line.Text, Space))
		if problem != "" && report != nil {
			report(Problem{Line: line.First, Text: problem, Skip: !ok})
		}
		if ok && add != nil {
			if err := add(Entry{Key: key, Value: value, Line: line.First}); err != nil {
				return err
			}
		}
	}
}
