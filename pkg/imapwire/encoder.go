package imapwire

import (
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/posthouse-mail/posthouse/pkg/mutf7"
)

// flushAt is how much an Encoder collects before it writes.
const flushAt = 32 << 10

// Encoder writes responses. It collects them in a buffer, which goes out at
// Flush, or at the end of a line when there is much of it. Errors stick.
type Encoder struct {
	// UTF8: the client takes UTF-8 in quoted strings (RFC 6855 3).
	UTF8 bool

	w   io.Writer
	buf []byte
	err error
	n   int64 // bytes written
}

// NewEncoder returns an encoder that writes to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// SetWriter replaces the writer below. The buffer must be empty.
func (e *Encoder) SetWriter(w io.Writer) { e.w = w }

// Err returns the first error.
func (e *Encoder) Err() error { return e.err }

// Written is how many bytes went out.
func (e *Encoder) Written() int64 { return e.n }

// Flush writes what was collected.
func (e *Encoder) Flush() error {
	if e.err == nil && len(e.buf) > 0 {
		_, e.err = e.w.Write(e.buf)
		e.n += int64(len(e.buf))
	}
	if cap(e.buf) > 2*flushAt {
		e.buf = nil
	}
	e.buf = e.buf[:0]
	return e.err
}

// Release gives the buffer back when the connection waits.
func (e *Encoder) Release() {
	if len(e.buf) == 0 {
		e.buf = nil
	}
}

// CRLF ends a line.
func (e *Encoder) CRLF() {
	e.buf = append(e.buf, '\r', '\n')
	if len(e.buf) >= flushAt {
		e.Flush()
	}
}

// Raw appends text as it is.
func (e *Encoder) Raw(s string) *Encoder { e.buf = append(e.buf, s...); return e }

// Bytes appends bytes as they are.
func (e *Encoder) Bytes(b []byte) *Encoder { e.buf = append(e.buf, b...); return e }

// Byte appends one byte.
func (e *Encoder) Byte(c byte) *Encoder { e.buf = append(e.buf, c); return e }

// SP appends a blank.
func (e *Encoder) SP() *Encoder { return e.Byte(' ') }

// Number appends a number.
func (e *Encoder) Number(n uint64) *Encoder { e.buf = strconv.AppendUint(e.buf, n, 10); return e }

// Line appends a whole line, made as by fmt.
func (e *Encoder) Line(format string, args ...any) {
	e.buf = fmt.Appendf(e.buf, format, args...)
	e.CRLF()
}

// String appends a string, quoted where that can be, else as a literal.
func (e *Encoder) String(s string) *Encoder { e.buf = AppendString(e.buf, s, e.UTF8); return e }

// NString appends a string, or NIL for an empty one.
func (e *Encoder) NString(s string) *Encoder {
	if s == "" {
		return e.Raw("NIL")
	}
	return e.String(s)
}

// AString appends an atom where that can be, else a string.
func (e *Encoder) AString(s string) *Encoder {
	if s == "" || len(s) > 200 {
		return e.String(s)
	}
	for i := 0; i < len(s); i++ {
		if !isAtom(s[i]) {
			return e.String(s)
		}
	}
	if len(s) == 3 && (s[0]|0x20) == 'n' && (s[1]|0x20) == 'i' && (s[2]|0x20) == 'l' {
		return e.String(s)
	}
	return e.Raw(s)
}

// Mailbox appends a mailbox name.
func (e *Encoder) Mailbox(name string) *Encoder {
	if e.UTF8 {
		return e.AString(name)
	}
	return e.AString(mutf7.Encode(name))
}

// LiteralHeader starts a literal of n bytes; the caller appends them, or
// sends them with Copy.
func (e *Encoder) LiteralHeader(n int64, binary bool) *Encoder {
	if binary {
		e.buf = append(e.buf, '~')
	}
	e.buf = append(e.buf, '{')
	e.buf = strconv.AppendInt(e.buf, n, 10)
	e.buf = append(e.buf, "}\r\n"...)
	return e
}

// Copy sends n bytes of r. If r has fewer the rest is filled with blanks, as
// the length has been said already; the error of r is returned.
func (e *Encoder) Copy(r io.Reader, n int64) error {
	var failed error
	for n > 0 && e.err == nil {
		if len(e.buf) >= flushAt {
			e.Flush()
		}
		room := min(int64(flushAt), n)
		at := len(e.buf)
		e.grow(int(room))
		chunk := e.buf[at : at+int(room)]
		got := int(room)
		if failed == nil {
			got, failed = io.ReadFull(r, chunk)
		} else {
			for i := range chunk {
				chunk[i] = ' '
			}
		}
		e.buf = e.buf[:at+got]
		n -= int64(got)
		if failed != nil && n > 0 && got == 0 {
			for i := range chunk {
				chunk[i] = ' '
			}
			e.buf = e.buf[:at+int(room)]
			n -= room
		}
	}
	return failed
}

func (e *Encoder) grow(n int) {
	if cap(e.buf)-len(e.buf) < n {
		grown := make([]byte, len(e.buf), len(e.buf)+n+4096)
		copy(grown, e.buf)
		e.buf = grown
	}
	e.buf = e.buf[:len(e.buf)+n][:len(e.buf)]
}

// AppendString appends a string in wire form: quoted if it is short and has
// nothing that quoting forbids, else as a literal.
func AppendString(b []byte, s string, utf8OK bool) []byte {
	if !quotable(s, utf8OK) {
		b = append(b, '{')
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, "}\r\n"...)
		return append(b, s...)
	}
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

func quotable(s string, utf8OK bool) bool {
	if len(s) > 1000 {
		return false
	}
	eight := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < 0x20 || c == 0x7f {
			return false
		}
		eight = eight || c >= 0x80
	}
	return !eight || utf8OK && utf8.ValidString(s)
}

// FlushIfFull writes what was collected if that is much.
func (e *Encoder) FlushIfFull() error {
	if len(e.buf) >= flushAt/2 {
		return e.Flush()
	}
	return e.err
}
