// Package text reads the source text of lookup tables: logical lines, the
// "key whitespace value" form of postmap(1) and the "name: value" form of
// postalias(1).
package text

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MaxLine bounds a logical line in bytes. Postfix has no such bound; ours is
// far above what a table needs and keeps a wrong file from filling memory.
const MaxLine = 16 << 20

// ErrLineTooLong reports a logical line over [MaxLine] bytes.
var ErrLineTooLong = errors.New("line too long")

// Line is one logical line: a line of text with the lines after it that start
// with white space. Comments and blank lines are gone.
type Line struct {
	Text        string
	First, Last int // physical line numbers, from 1
}

// Reader splits source text into logical lines.
type Reader struct {
	r      *bufio.Reader
	number int // of the line in next
	next   string
	have   bool
	err    error
	report func(Problem) // of what is left out; nil drops it
}

// NewReader returns a Reader on r. A line that belongs to none before it, since
// it starts with white space, is reported and left out; report may be nil.
func NewReader(r io.Reader, report func(Problem)) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 32<<10), report: report}
}

// Next returns the next logical line, or io.EOF. As in Postfix, a line ends at
// a NUL.
func (r *Reader) Next() (Line, error) {
	for {
		l, err := r.logical()
		if err != nil {
			return l, err
		}
		l.Text, _, _ = strings.Cut(l.Text, "\x00")
		if l.Text == "" || !isSpace(l.Text[0]) {
			return l, nil
		}
		if r.report != nil {
			more := ""
			if len(l.Text) > 30 {
				more = "..."
			}
			r.report(Problem{Line: l.First, Skip: true, whole: true,
				Text: fmt.Sprintf("logical line must not start with whitespace: \"%.30s%s\"", l.Text[:min(len(l.Text), 30)], more)})
		}
	}
}

func (r *Reader) logical() (Line, error) {
	var l Line
	var long strings.Builder
	for {
		if !r.fill() {
			break
		}
		if blank(r.next) {
			r.have = false
			continue
		}
		if l.First != 0 && !isSpace(r.next[0]) {
			break
		}
		if l.First == 0 {
			l.First = r.number
			l.Text = r.next
		} else {
			if long.Len() == 0 {
				long.WriteString(l.Text)
			}
			long.WriteString(r.next)
			if long.Len() > MaxLine {
				return l, fmt.Errorf("line %d: %w", l.First, ErrLineTooLong)
			}
		}
		l.Last = r.number
		r.have = false
	}
	if long.Len() > 0 {
		l.Text = long.String()
	}
	if l.First == 0 {
		return l, r.err
	}
	return l, nil
}

// fill reads one physical line into next, unless one waits there.
func (r *Reader) fill() bool {
	if r.have {
		return true
	}
	if r.err != nil {
		return false
	}
	var long []byte
	for {
		part, err := r.r.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			long = append(long, part...)
			if len(long) > MaxLine {
				r.err = fmt.Errorf("line %d: %w", r.number+1, ErrLineTooLong)
				return false
			}
			continue
		}
		if err != nil {
			r.err = err
		}
		if len(long)+len(part) == 0 {
			return false
		}
		r.number++
		if long != nil {
			part = append(long, part...)
		}
		r.next = strings.TrimSuffix(string(part), "\n")
		r.have = true
		return true
	}
}

// blank reports whether a physical line is empty or a comment.
func blank(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isSpace(s[i]) {
			return s[i] == '#'
		}
	}
	return true
}

func isSpace(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r'
}

// Space is the white space of the C locale, which table sources are split by.
const Space = " \t\n\v\f\r"
