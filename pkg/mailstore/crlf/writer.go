// Package crlf converts between the line ends of files, LF, and those of the
// network, CRLF.
package crlf

import (
	"bytes"
	"io"
)

// Writer writes a message to a file with LF line ends and counts its size in
// both forms. A CR that does not stand before an LF is kept.
type Writer struct {
	out  io.Writer
	cr   bool // a CR is held back
	File int64
	Wire int64
	buf  []byte
}

// NewWriter returns a Writer to out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	total := len(p)
	w.buf = w.buf[:0]
	for len(p) > 0 {
		if w.cr {
			w.cr = false
			if p[0] != '\n' {
				w.put('\r')
			}
		}
		i := bytes.IndexByte(p, '\r')
		if i < 0 {
			w.add(p)
			break
		}
		w.add(p[:i])
		p = p[i+1:]
		w.cr = true
	}
	return total, w.flush()
}

func (w *Writer) put(c byte) { w.add([]byte{c}) }

func (w *Writer) add(p []byte) {
	w.buf = append(w.buf, p...)
	w.Wire += int64(len(p) + bytes.Count(p, []byte{'\n'}))
}

func (w *Writer) flush() error {
	n, err := w.out.Write(w.buf)
	w.File += int64(n)
	return err
}

// Close writes what was held back. It does not close the file.
func (w *Writer) Close() error {
	if !w.cr {
		return nil
	}
	w.cr = false
	w.buf = append(w.buf[:0], '\r')
	w.Wire++
	return w.flush()
}
