package config

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxFile limits a configuration file. Nobody writes such a file by hand, and
// every daemon reads it.
const maxFile = 16 << 20

// Main is a parsed main.cf.
type Main struct {
	Entries  map[string]Entry
	Order    []string // names, each once, where they first occur
	Warnings []Warning
}

// ParseMain parses main.cf. The name of the file is for messages.
func ParseMain(r io.Reader, file string) (*Main, error) {
	m := &Main{Entries: map[string]Entry{}}
	lines := newLogicalReader(r, file)
	for {
		line, err := lines.next()
		if err == io.EOF {
			m.Warnings = append(lines.warnings, m.Warnings...)
			return m, nil
		}
		if err != nil {
			return nil, err
		}
		if err := m.add(line); err != nil {
			return nil, err
		}
	}
}

// add stores the definition in one logical line.
func (m *Main) add(line *logicalLine) error {
	name, value, nameAt, valueAt, err := splitNameValue(line.text)
	if err != nil {
		return fmt.Errorf("%s: %w: %q", line.at(0), err, line.text)
	}
	e := Entry{Name: name, Value: value, Pos: line.at(valueAt), NamePos: line.at(nameAt), line: line, valueAt: valueAt}
	old, ok := m.Entries[name]
	if !ok {
		m.Order = append(m.Order, name)
	} else if old.Value != value {
		m.Warnings = append(m.Warnings, Warning{Pos: e.NamePos,
			Text: fmt.Sprintf("overriding earlier entry: %s=%s", name, old.Value)})
	}
	m.Entries[name] = e
	return nil
}

var (
	errNoName   = errors.New("missing attribute name")
	errNoEquals = errors.New("missing '=' after attribute name")
)

// splitNameValue splits name=value, and returns the offsets of both in text.
func splitNameValue(text string) (name, value string, nameAt, valueAt int, err error) {
	nameAt = skipSpace(text, 0)
	end := nameAt
	for end < len(text) && !isSpace(text[end]) && text[end] != '=' {
		end++
	}
	if end == nameAt {
		return "", "", 0, 0, errNoName
	}
	equals := skipSpace(text, end)
	if equals == len(text) || text[equals] != '=' {
		return "", "", 0, 0, errNoEquals
	}
	valueAt = skipSpace(text, equals+1)
	value = strings.TrimRight(text[valueAt:], spaces)
	return text[nameAt:end], value, nameAt, valueAt, nil
}

const spaces = " \t\r\n\v\f"

func isSpace(c byte) bool { return strings.IndexByte(spaces, c) >= 0 }

// skipSpace returns the offset of the first byte at or after i that is not
// white space.
func skipSpace(s string, i int) int {
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	return i
}

// logicalLine is a line with its continuation lines, joined without newlines.
type logicalLine struct {
	file  string
	text  string
	parts []linePart
}

// linePart says which physical line a part of a logical line comes from.
type linePart struct {
	offset int // in text
	line   int
}

// at returns the place of an offset in the text.
func (l *logicalLine) at(offset int) Pos {
	p := Pos{File: l.file}
	for i, part := range l.parts {
		if i > 0 && part.offset > offset {
			break
		}
		p.Line, p.Col = part.line, offset-part.offset+1
	}
	return p
}

// logicalReader reads logical lines: white space at the start of a line
// continues the one before; comment lines and empty lines vanish, even between
// a line and its continuation.
type logicalReader struct {
	file     string
	r        *bufio.Reader
	line     int
	read     int
	pending  *string // a physical line that was read ahead
	warnings []Warning
}

func newLogicalReader(r io.Reader, file string) *logicalReader {
	return &logicalReader{file: file, r: bufio.NewReader(io.LimitReader(r, maxFile+1))}
}

// next returns the next logical line, or io.EOF.
func (l *logicalReader) next() (*logicalLine, error) {
	for {
		line, err := l.collect()
		if err != nil {
			return nil, err
		}
		if !isSpace(line.text[0]) {
			return line, nil
		}
		l.warnings = append(l.warnings, Warning{Pos: line.at(0), Text: fmt.Sprintf(
			"logical line must not start with whitespace: %q", abridge(line.text))})
	}
}

// collect joins physical lines to a logical one.
func (l *logicalReader) collect() (*logicalLine, error) {
	line := &logicalLine{file: l.file}
	var text strings.Builder
	for {
		s, err := l.physical()
		if err == io.EOF && text.Len() > 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		first := skipSpace(s, 0)
		if first == len(s) || s[first] == '#' {
			continue
		}
		if text.Len() > 0 && first == 0 {
			l.pending = &s
			l.line--
			break
		}
		line.parts = append(line.parts, linePart{offset: text.Len(), line: l.line})
		text.WriteString(s)
	}
	line.text = text.String()
	return line, nil
}

// physical reads one line without its newline.
func (l *logicalReader) physical() (string, error) {
	if l.pending != nil {
		s := *l.pending
		l.pending = nil
		l.line++
		return s, nil
	}
	s, err := l.r.ReadString('\n')
	if l.read += len(s); l.read > maxFile {
		return "", fmt.Errorf("%s: larger than %d bytes", l.file, maxFile)
	}
	if err != nil && (err != io.EOF || s == "") {
		if err == io.EOF {
			return "", err
		}
		return "", fmt.Errorf("read %s: %w", l.file, err)
	}
	l.line++
	s = strings.TrimSuffix(s, "\n")
	if i := strings.IndexByte(s, 0); i >= 0 {
		return "", fmt.Errorf("%s:%d:%d: null byte", l.file, l.line, i+1)
	}
	return s, nil
}

// abridge shortens a line for a message.
func abridge(s string) string {
	if len(s) > 30 {
		return s[:30] + "..."
	}
	return s
}
