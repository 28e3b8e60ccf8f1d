// Package imapwire reads and writes the grammar of IMAP (RFC 9051 9, RFC
// 3501 9): commands as a stream of tokens, responses as a stream of bytes.
//
// A [Decoder] reads one command at a time. It holds a line in memory, never a
// message: literals are read into memory up to a small limit, or given to the
// caller as a reader. Errors stick: after the first one all methods return
// zero values, so a parser reads a whole command and looks at Err once. A bad
// command costs its line; what belongs to it is skipped by Finish.
package imapwire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Limits that hold if the Decoder's own are zero.
const (
	DefaultMaxLine    = 65536
	DefaultMaxLiteral = 65536 // a literal that is kept in memory
	readBuffer        = 4096
	maxTag            = 100
)

// SyntaxError is a command that breaks the grammar. Its text may be told to
// the client.
type SyntaxError struct{ Text string }

// Error implements error.
func (e *SyntaxError) Error() string { return e.Text }

// ErrTooLong is a line beyond the limit, or a literal beyond what the command
// allows. The connection cannot go on if the client sends it anyway.
var (
	ErrTooLong = errors.New("command line is too long")
	ErrTooBig  = errors.New("literal is too big")
)

// Decoder reads commands. The zero value with a reader is ready.
type Decoder struct {
	// MaxLine bounds a command without its literals, MaxLiteral each literal
	// in memory, and MaxTotal all of these in one command; zero is the
	// default, for MaxTotal twice MaxLine.
	MaxLine, MaxLiteral, MaxTotal int
	// MaxSkip bounds a literal that is thrown away after an error.
	MaxSkip int64
	// Continue asks the client to go on with a literal.
	Continue func() error
	// UTF8 allows UTF-8 in quoted strings (RFC 6855 3).
	UTF8 bool

	r    io.Reader
	buf  []byte
	from int // unread bytes are buf[from:]

	seg     []byte // the present line, without its end
	pos     int
	used    int // bytes of lines in this command
	stored  int // bytes of literals in this command
	pending pendingLiteral
	open    *literalReader // a literal that the caller reads
	err     error
	inside  bool // a command is being read
}

// pendingLiteral is a literal that was announced and not read.
type pendingLiteral struct {
	size  int64
	async bool
	there bool
}

// NewDecoder returns a decoder of what r gives. first is what was read from
// the connection before.
func NewDecoder(r io.Reader, first []byte) *Decoder {
	d := &Decoder{r: r}
	if len(first) > 0 {
		d.buf = append(d.buf, first...)
	}
	return d
}

// SetReader replaces the reader below, for TLS or compression. What was read
// and not used is given back, and forgotten here.
func (d *Decoder) SetReader(r io.Reader) (rest []byte) {
	rest = bytes.Clone(d.buf[d.from:])
	d.r, d.buf, d.from = r, nil, 0
	return rest
}

// Buffered returns what was read and not used yet.
func (d *Decoder) Buffered() []byte { return d.buf[d.from:] }

// Err returns the first error of this command.
func (d *Decoder) Err() error { return d.err }

// Fail makes the command fail with a syntax error.
func (d *Decoder) Fail(format string, args ...any) {
	if d.err == nil {
		d.err = &SyntaxError{fmt.Sprintf(format, args...)}
	}
}

// FailWith makes the command fail with an error of the caller's.
func (d *Decoder) FailWith(err error) {
	if d.err == nil {
		d.err = err
	}
}

// Next waits for the next command and reads its first line. The error is
// io.EOF at the end of the connection.
func (d *Decoder) Next() error {
	d.seg, d.pos, d.used, d.stored, d.err = nil, 0, 0, 0, nil
	d.pending, d.open = pendingLiteral{}, nil
	d.inside = true
	if d.from == len(d.buf) && cap(d.buf) > 4*readBuffer {
		d.buf, d.from = nil, 0 // a long command is no reason to keep its memory
	}
	err := d.line()
	if err != nil {
		d.inside = false
	}
	return err
}

// line reads a line into seg.
func (d *Decoder) line() error {
	limit := d.MaxLine
	if limit == 0 {
		limit = DefaultMaxLine
	}
	limit -= d.used
	searched := 0
	for {
		if i := bytes.IndexByte(d.buf[d.from+searched:], '\n'); i >= 0 {
			end := d.from + searched + i
			line := d.buf[d.from:end]
			d.from = end + 1
			d.used += len(line)
			d.seg = bytes.TrimSuffix(line, []byte{'\r'})
			d.pos = 0
			if len(line) > limit {
				return ErrTooLong
			}
			d.literalAhead()
			return nil
		}
		searched = len(d.buf) - d.from
		if searched > limit {
			return ErrTooLong
		}
		if err := d.fill(); err != nil {
			if err == io.EOF && (searched > 0 || d.used > 0) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// fill reads more into the buffer. seg may be moved over: lines are only read
// when the one before is used up.
func (d *Decoder) fill() error {
	if d.from > 0 {
		d.buf = d.buf[:copy(d.buf, d.buf[d.from:])]
		d.from = 0
	}
	if cap(d.buf)-len(d.buf) < readBuffer/4 {
		grown := make([]byte, len(d.buf), max(2*cap(d.buf), readBuffer))
		copy(grown, d.buf)
		d.buf = grown
	}
	n, err := d.r.Read(d.buf[len(d.buf):cap(d.buf)])
	d.buf = d.buf[:len(d.buf)+n]
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// literalAhead notes a literal that the line ends with: {n}, {n+}, also with
// '~' in front (RFC 9051 4.3, RFC 7888, RFC 3516 4.4).
func (d *Decoder) literalAhead() {
	d.pending = pendingLiteral{}
	s := d.seg
	if len(s) < 3 || s[len(s)-1] != '}' {
		return
	}
	open := bytes.LastIndexByte(s, '{')
	if open < 0 {
		return
	}
	digits := s[open+1 : len(s)-1]
	async := false
	if n := len(digits); n > 0 && (digits[n-1] == '+' || digits[n-1] == '-') {
		async = digits[n-1] == '+'
		digits = digits[:n-1]
	}
	if len(digits) == 0 || len(digits) > 19 {
		return
	}
	size, err := strconv.ParseUint(string(digits), 10, 63)
	if err != nil {
		return
	}
	d.pending = pendingLiteral{size: int64(size), async: async, there: true}
}

// Finish skips what is left of the command: literals that the client sends
// without being asked, and lines behind them. An error means that the
// connection is of no use any more.
func (d *Decoder) Finish() error {
	if !d.inside {
		return nil
	}
	d.inside = false
	if d.open != nil {
		if err := d.open.drain(); err != nil {
			return err
		}
		d.open = nil
		if err := d.line(); err != nil {
			return err
		}
	}
	for n := 0; d.pending.there && d.pending.async; n++ {
		if d.pending.size > d.maxSkip() || n > 10000 {
			return ErrTooBig
		}
		if err := d.skip(d.pending.size); err != nil {
			return err
		}
		if err := d.line(); err != nil {
			return err
		}
	}
	return nil
}

// maxSkip is what is read and thrown away of a literal that was not wanted.
func (d *Decoder) maxSkip() int64 {
	if d.MaxSkip > 0 {
		return d.MaxSkip
	}
	return defaultMaxSkip
}

const defaultMaxSkip = 256 << 20

func (d *Decoder) skip(n int64) error {
	_, err := io.CopyN(io.Discard, bufferedReader{d}, n)
	return err
}

// bufferedReader reads past lines: what is in the buffer first.
type bufferedReader struct{ d *Decoder }

func (b bufferedReader) Read(p []byte) (int, error) {
	d := b.d
	if d.from < len(d.buf) {
		n := copy(p, d.buf[d.from:])
		d.from += n
		return n, nil
	}
	return d.r.Read(p)
}

// beginLiteral checks that a literal starts here and asks for it if need be.
func (d *Decoder) beginLiteral(limit int64) (size int64, binary, ok bool) {
	if d.err != nil {
		return 0, false, false
	}
	if d.pos < len(d.seg) && d.seg[d.pos] == '~' {
		binary = true
		d.pos++
	}
	if !d.pending.there || d.pos >= len(d.seg) || d.seg[d.pos] != '{' || bytes.IndexByte(d.seg[d.pos:], '}') != len(d.seg)-d.pos-1 {
		d.Fail("Invalid literal")
		return 0, false, false
	}
	if d.pending.size > limit {
		d.FailWith(ErrTooBig)
		return 0, false, false
	}
	if !d.pending.async {
		if d.Continue == nil {
			d.Fail("No literal expected here")
			return 0, false, false
		}
		if err := d.Continue(); err != nil {
			d.FailWith(err)
			return 0, false, false
		}
	}
	size = d.pending.size
	d.pending = pendingLiteral{}
	return size, binary, true
}

// literal reads a literal into memory.
func (d *Decoder) literal() []byte {
	limit, total := d.MaxLiteral, d.MaxTotal
	if limit == 0 {
		limit = DefaultMaxLiteral
	}
	if total == 0 {
		total = 2 * max(d.MaxLine, DefaultMaxLine)
	}
	size, _, ok := d.beginLiteral(int64(min(limit, total-d.stored)))
	if !ok {
		return nil
	}
	d.stored += int(size) + 64
	data := make([]byte, size)
	if _, err := io.ReadFull(bufferedReader{d}, data); err != nil {
		d.ioError(err)
		return nil
	}
	if err := d.line(); err != nil {
		d.ioError(err)
		return nil
	}
	return data
}

func (d *Decoder) ioError(err error) {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	d.FailWith(err)
}

// Literal is a literal that the caller reads.
type Literal struct {
	io.Reader
	Size   int64
	Binary bool // announced with '~' (RFC 3516 4.4)
}

// Literal starts a literal of up to limit bytes. The caller reads it, and
// then calls EndLiteral before any other method.
func (d *Decoder) Literal(limit int64) *Literal {
	size, binary, ok := d.beginLiteral(limit)
	if !ok {
		return nil
	}
	d.open = &literalReader{d: d, left: size}
	return &Literal{Reader: d.open, Size: size, Binary: binary}
}

// EndLiteral skips what is left of the literal and goes on with the line
// behind it.
func (d *Decoder) EndLiteral() {
	if d.open == nil {
		return
	}
	open := d.open
	d.open = nil
	if err := open.drain(); err != nil {
		d.ioError(err)
		return
	}
	if err := d.line(); err != nil {
		d.ioError(err)
	}
}

// AtLiteral reports whether a literal is next.
func (d *Decoder) AtLiteral() bool {
	if d.err != nil || d.pos >= len(d.seg) {
		return false
	}
	c := d.seg[d.pos]
	return c == '{' || c == '~' && d.pos+1 < len(d.seg) && d.seg[d.pos+1] == '{'
}

type literalReader struct {
	d    *Decoder
	left int64
}

func (l *literalReader) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := bufferedReader{l.d}.Read(p)
	l.left -= int64(n)
	if err == io.EOF && l.left > 0 {
		err = io.ErrUnexpectedEOF
	} else if l.left == 0 {
		err = nil
	}
	return n, err
}

func (l *literalReader) drain() error {
	_, err := io.Copy(io.Discard, l)
	return err
}
