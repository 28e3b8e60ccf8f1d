package crlf

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sort"
	"sync"
)

// Small is up to which size a message is read at once.
const Small = 256 << 10

// step is how far apart the places are that a large message remembers.
const step = 64 << 10

// Content is a message file seen with CRLF line ends. It is safe for
// concurrent use.
type Content struct {
	f    *os.File
	size int64 // of the file
	wire int64

	whole []byte // a small message
	plain bool   // the file has CRLF line ends, or none

	marks []mark
}

// mark is where an offset in the file is in the view.
type mark struct {
	file, wire int64
	cr         bool // the byte before is a CR
}

// Open makes a view of f, which it closes with Close. A small message is read
// at once; its file is closed then.
func Open(f *os.File) (*Content, error) {
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	c := &Content{f: f, size: info.Size()}
	if c.size <= Small {
		defer f.Close()
		b := make([]byte, c.size)
		n, err := io.ReadFull(f, b)
		if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
			return nil, err
		}
		return Whole(b[:n], nil), nil
	}
	if err := c.measure(); err != nil {
		f.Close()
		return nil, err
	}
	return c, nil
}

// Whole makes a view of a message file that was read. It is in buf if that has
// room for it, and b does not do.
func Whole(b, buf []byte) *Content {
	c := &Content{size: int64(len(b)), whole: b}
	if n := missing(b, false); n > 0 {
		if cap(buf) < len(b)+n {
			buf = make([]byte, 0, len(b)+n)
		}
		c.whole = convert(buf[:0], b, false)
	}
	c.wire = int64(len(c.whole))
	return c
}

// missing counts the line ends without CR. cr tells that a CR stood before.
func missing(b []byte, cr bool) int {
	n := bytes.Count(b, []byte{'\n'})
	if n == 0 {
		return 0
	}
	n -= bytes.Count(b, []byte{'\r', '\n'})
	if cr && b[0] == '\n' {
		n--
	}
	return n
}

func convert(out, b []byte, cr bool) []byte {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return append(out, b...)
		}
		out = append(out, b[:i]...)
		if i > 0 {
			cr = b[i-1] == '\r'
		}
		if !cr {
			out = append(out, '\r')
		}
		out = append(out, '\n')
		b, cr = b[i+1:], false
	}
	return out
}

// measure reads a large message once and remembers places.
func (c *Content) measure() error {
	buf := make([]byte, step)
	m := mark{}
	for m.file < c.size {
		c.marks = append(c.marks, m)
		n, err := c.f.ReadAt(buf[:min(step, c.size-m.file)], m.file)
		if n == 0 {
			if err == io.EOF {
				break // it was cut meanwhile
			}
			return err
		}
		m.wire += int64(n + missing(buf[:n], m.cr))
		m.cr = buf[n-1] == '\r'
		m.file += int64(n)
	}
	c.size, c.wire = m.file, m.wire
	c.plain = c.size == c.wire
	return nil
}

// Size is the size of the view.
func (c *Content) Size() int64 { return c.wire }

// FileSize is the size of the file.
func (c *Content) FileSize() int64 { return c.size }

// Bytes returns the whole view of a small message, nil for a large one. It
// must not be changed.
func (c *Content) Bytes() []byte { return c.whole }

// Close closes the file.
func (c *Content) Close() error {
	if c.f == nil {
		return nil
	}
	return c.f.Close()
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 3*step); return &b }}

// ReadAt implements io.ReaderAt.
func (c *Content) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: %w", off, os.ErrInvalid)
	}
	if off >= c.wire {
		return 0, io.EOF
	}
	switch {
	case c.f == nil:
		n := copy(p, c.whole[off:])
		return n, eof(n, p)
	case c.plain:
		return c.f.ReadAt(p, off)
	}
	total := 0
	box := buffers.Get().(*[]byte)
	defer buffers.Put(box)
	for total < len(p) && off < c.wire {
		k := sort.Search(len(c.marks), func(i int) bool { return c.marks[i].wire > off }) - 1
		b, err := c.block(k, *box)
		if err != nil {
			return total, err
		}
		from := off - c.marks[k].wire
		if from >= int64(len(b)) {
			return total, io.ErrUnexpectedEOF // the file is shorter than it was
		}
		n := copy(p[total:], b[from:])
		total += n
		off += int64(n)
	}
	return total, eof(total, p)
}

func eof(n int, p []byte) error {
	if n < len(p) {
		return io.EOF
	}
	return nil
}

// block returns the view of what is between mark k and the next.
func (c *Content) block(k int, buf []byte) ([]byte, error) {
	m := c.marks[k]
	raw := buf[2*step:]
	n, err := c.f.ReadAt(raw[:min(step, c.size-m.file)], m.file)
	if n == 0 && err != nil {
		return nil, err
	}
	return convert(buf[:0:2*step], raw[:n], m.cr), nil
}

// WriteTo implements io.WriterTo: the whole view.
func (c *Content) WriteTo(w io.Writer) (int64, error) {
	if c.f == nil {
		n, err := w.Write(c.whole)
		return int64(n), err
	}
	return io.Copy(w, io.NewSectionReader(c, 0, c.wire))
}
