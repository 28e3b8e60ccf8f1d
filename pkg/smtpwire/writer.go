package smtpwire

import (
	"bytes"
	"io"
	"strconv"
)

// Writer buffers what goes to the peer until [Writer.Flush], or until its
// buffer is full. It remembers the first error. It is not safe for concurrent
// use.
type Writer struct {
	dst  io.Writer
	bufs *Buffers
	buf  []byte // nil while empty
	n    int
	err  error
}

// NewWriter returns a writer on dst. bufs may be nil.
func NewWriter(dst io.Writer, bufs *Buffers) *Writer { return &Writer{dst: dst, bufs: bufs} }

// Reset makes w write to dst; what was not flushed is lost.
func (w *Writer) Reset(dst io.Writer) {
	w.release()
	w.dst, w.err = dst, nil
}

// Buffered returns how many bytes wait for Flush.
func (w *Writer) Buffered() int { return w.n }

// Err returns the first error of the connection.
func (w *Writer) Err() error { return w.err }

// Flush sends what is buffered.
func (w *Writer) Flush() error {
	if w.n == 0 {
		return w.err
	}
	if w.err == nil {
		_, w.err = w.dst.Write(w.buf[:w.n])
	}
	w.release()
	return w.err
}

func (w *Writer) release() {
	if w.buf != nil {
		w.bufs.put(w.buf)
	}
	w.buf, w.n = nil, 0
}

// Write buffers raw bytes.
func (w *Writer) Write(b []byte) (int, error) {
	done := len(b)
	for len(b) > 0 && w.err == nil {
		n := copy(w.space(), b)
		w.n += n
		b = b[n:]
	}
	return done - len(b), w.err
}

// WriteString buffers a string.
func (w *Writer) WriteString(s string) (int, error) {
	done := len(s)
	for len(s) > 0 && w.err == nil {
		n := copy(w.space(), s)
		w.n += n
		s = s[n:]
	}
	return done - len(s), w.err
}

// WriteByte buffers one byte.
func (w *Writer) WriteByte(c byte) error {
	if w.err == nil {
		w.space()[0] = c
		w.n++
	}
	return w.err
}

// space returns the free part of the buffer, which is never empty.
func (w *Writer) space() []byte {
	if w.n == largeBuffer {
		w.Flush()
	}
	if w.buf == nil {
		w.buf = w.bufs.get()
	}
	return w.buf[w.n:]
}

// Line buffers s as a command or reply line. A line break or NUL inside s
// would let its author forge another line, so it becomes '?'.
func (w *Writer) Line(s string) error {
	w.clean(s)
	w.WriteString("\r\n")
	return w.err
}

func (w *Writer) clean(s string) {
	for start, i := 0, 0; i <= len(s); i++ {
		if i == len(s) {
			w.WriteString(s[start:])
			return
		}
		if c := s[i]; c == '\r' || c == '\n' || c == 0 {
			w.WriteString(s[start:i])
			w.WriteByte('?')
			start = i + 1
		}
	}
}

// Reply buffers one reply line: code, then '-' if more lines follow, then
// text.
func (w *Writer) Reply(code int, more bool, text string) error {
	var num [3]byte
	w.Write(strconv.AppendInt(num[:0], int64(code%1000), 10))
	sep := byte(' ')
	if more {
		sep = '-'
	}
	w.WriteByte(sep)
	return w.Line(text)
}

// ContentLine buffers one line of DATA content with its line end, and with a
// dot in front where it begins with one (RFC 5321 4.5.2). CR and LF inside
// the line would be line ends to some receivers, and are sent as spaces.
func (w *Writer) ContentLine(b []byte) error { return w.ContentPart(b, true, true) }

// ContentPart is ContentLine for a part of a long line: first and last tell
// whether the part begins and ends its line.
func (w *Writer) ContentPart(b []byte, first, last bool) error {
	if first && len(b) > 0 && b[0] == '.' {
		w.WriteByte('.')
	}
	w.writeNoBreaks(b)
	if last {
		w.WriteString("\r\n")
	}
	return w.err
}

// ContentRaw is ContentPart for BDAT, where there is no dot coding.
func (w *Writer) ContentRaw(b []byte, last bool) error {
	w.writeNoBreaks(b)
	if last {
		w.WriteString("\r\n")
	}
	return w.err
}

func (w *Writer) writeNoBreaks(b []byte) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\r')
		if j := bytes.IndexByte(b, '\n'); j >= 0 && (i < 0 || j < i) {
			i = j
		}
		if i < 0 {
			w.Write(b)
			return
		}
		w.Write(b[:i])
		w.WriteByte(' ')
		b = b[i+1:]
	}
}

// EndData buffers the end mark of DATA. All content went through ContentLine
// or ContentPart before, so the last thing written is a line end.
func (w *Writer) EndData() error {
	w.WriteString(".\r\n")
	return w.err
}
