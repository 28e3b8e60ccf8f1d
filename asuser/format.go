package main

import (
	"bytes"
	"io"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// formatted gives a message the form that the flags of a pipe(8) transport ask
// for. Attributes: eol, instead of LF; from, to put ">" before "From " at the
// start of a line; dots, to double a leading "."; blank, for an empty line at
// the end.
func formatted(req ipc.List, fill func(io.Writer) error) func(io.Writer) error {
	f := format{eol: []byte("\n")}
	if eol := req.Value("eol"); eol != "" {
		f.eol = []byte(eol)
	}
	f.from, _ = req.GetBool("from")
	f.dots, _ = req.GetBool("dots")
	blank, _ := req.GetBool("blank")
	return func(out io.Writer) error {
		if !f.from && !f.dots && !blank && string(f.eol) == "\n" {
			return fill(out)
		}
		f := f
		f.out, f.start, f.first = out, true, true
		if err := fill(&f); err != nil {
			return err
		}
		if blank {
			_, err := f.out.Write(f.eol)
			return err
		}
		return nil
	}
}

// format is a writer that changes lines as they pass.
type format struct {
	out        io.Writer
	eol        []byte
	from, dots bool

	first bool   // the line is the first one, whose "From " is ours
	start bool   // at the start of a line
	held  []byte // its beginning, which may become "From "
}

var fromWord = []byte("From ")

func (f *format) Write(p []byte) (int, error) {
	total := len(p)
	var b []byte
	for len(p) > 0 {
		if f.start {
			n := f.lineStart(&b, p)
			p = p[n:]
			continue
		}
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			b = append(b, p...)
			break
		}
		b = append(append(b, p[:end]...), f.eol...)
		p = p[end+1:]
		f.start, f.first = true, false
	}
	if _, err := f.out.Write(b); err != nil {
		return 0, err
	}
	return total, nil
}

// lineStart decides about the beginning of a line, and says how much of p it
// took. A line that may still become "From " is held back.
func (f *format) lineStart(b *[]byte, p []byte) int {
	if f.from && !f.first {
		f.held = append(f.held, p[0])
		switch {
		case bytes.Equal(f.held, fromWord):
			*b = append(append(*b, '>'), f.held...)
			f.held, f.start = f.held[:0], false
			return 1
		case bytes.HasPrefix(fromWord, f.held):
			return 1
		}
		// It is not; its bytes are given out, the last one by the caller.
		f.held = f.held[:len(f.held)-1]
	}
	if f.dots && len(f.held) == 0 && p[0] == '.' {
		*b = append(*b, '.')
	}
	*b = append(*b, f.held...)
	f.held, f.start = f.held[:0], false
	return 0
}
