// Package smtpwire is what SMTP, LMTP and their clients look like on the
// wire: command lines, replies, DATA with its dot coding, BDAT chunks, and
// buffers that are flushed when the peer is out of commands.
//
// It knows no state machine and no policy. Package smtpserver and package
// smtpclient stand on it. Two rules are kept here and nowhere else:
//
//   - The end of DATA is CR LF "." CR LF and nothing else (RFC 5321 4.1.1.4),
//     unless a site turns that off for its own old clients ([BareOff]).
//   - Whatever a peer sends is bounded: lines, replies and what is thrown away
//     after an over-long one.
//
// Deadlines are those of the connection below: callers give a reader that
// sets one per read.
//
// A [Reader] or [Writer] that waits holds next to no memory; large buffers
// come from a [Buffers] pool while there is something in them.
package smtpwire

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// Sizes of the buffers. The small one is what an idle connection holds.
const (
	smallBuffer = 1 << 10
	largeBuffer = 64 << 10
)

// MaxDiscard is how much of an over-long line is read and thrown away in the
// hope of finding its end.
const MaxDiscard = 64 << 10

// Errors that a caller tells apart.
var (
	// ErrLineTooLong: the line did not fit; it was read to its end, so the
	// conversation may go on.
	ErrLineTooLong = errors.New("line too long")
	// ErrLineFlood: the line did not end within MaxDiscard bytes more.
	ErrLineFlood = errors.New("line without end")
)

// Buffers is a pool of large buffers that readers and writers share. Its zero
// value is ready; a nil *Buffers allocates each time.
type Buffers struct{ pool sync.Pool }

func (b *Buffers) get() []byte {
	if b != nil {
		if p, ok := b.pool.Get().(*[largeBuffer]byte); ok {
			return p[:]
		}
	}
	return new([largeBuffer]byte)[:]
}

func (b *Buffers) put(buf []byte) {
	if b != nil && len(buf) == largeBuffer {
		b.pool.Put((*[largeBuffer]byte)(buf))
	}
}

// Reader reads lines, message content and chunks from a connection. It is not
// safe for concurrent use.
type Reader struct {
	src   io.Reader
	bufs  *Buffers
	small []byte // kept for the life of the reader
	buf   []byte // small, or a large one from bufs
	r, w  int    // unread bytes are buf[r:w]
	err   error  // of src, returned when the buffer is empty

	bareLF bool // the last line ended in LF without CR
	total  int64
}

// NewReader returns a reader on src. bufs may be nil.
func NewReader(src io.Reader, bufs *Buffers) *Reader {
	small := make([]byte, smallBuffer)
	return &Reader{src: src, bufs: bufs, small: small, buf: small}
}

// Reset makes r read from src and forgets everything that it had buffered.
// STARTTLS needs this: what came in the clear must not be taken as if it had
// come through TLS (RFC 3207 section 4.2).
func (r *Reader) Reset(src io.Reader) {
	r.Release()
	r.src, r.r, r.w, r.err, r.bareLF = src, 0, 0, nil, false
	r.buf = r.small
}

// Release gives a large buffer back, losing what is in it. Call it when the
// connection is over.
func (r *Reader) Release() {
	if len(r.buf) == largeBuffer {
		r.bufs.put(r.buf)
	}
	r.buf, r.r, r.w = r.small, 0, 0
}

// Preload takes bytes from elsewhere than the source, if nothing waits. read is
// given room for them and says how many there were.
func (r *Reader) Preload(read func([]byte) int) {
	if r.r == r.w {
		r.r, r.w = 0, max(0, min(len(r.buf), read(r.buf)))
		r.total += int64(r.w)
	}
}

// Buffered returns how many bytes wait in the buffer: zero means that a
// pipelining peer waits for replies (RFC 2920 section 3.2).
func (r *Reader) Buffered() int { return r.w - r.r }

// Pending returns the buffered bytes, to look at; they are valid until the
// next read.
func (r *Reader) Pending() []byte { return r.buf[r.r:r.w] }

// BareLF reports whether the line that [Reader.ReadLine] returned last ended
// in LF alone.
func (r *Reader) BareLF() bool { return r.bareLF }

// Total returns how many bytes were read from the connection.
func (r *Reader) Total() int64 { return r.total }

// ReadLine returns the next line without its end, CR LF or LF. The slice is
// valid until the next read. A line of more than limit bytes is skipped and
// [ErrLineTooLong] returned with its beginning; if its end is not found
// within MaxDiscard bytes the error is [ErrLineFlood]. A last line without an
// end is not a line: it is lost, and the error is io.ErrUnexpectedEOF.
func (r *Reader) ReadLine(limit int) ([]byte, error) {
	scanned := 0
	limit = min(limit, largeBuffer/2)
	for {
		if i := bytes.IndexByte(r.buf[r.r+scanned:r.w], '\n'); i >= 0 {
			line := r.cutLine(scanned + i)
			if len(line) > limit {
				return line[:limit], ErrLineTooLong
			}
			return line, nil
		}
		scanned = r.w - r.r
		if scanned > limit+1 {
			return r.skipLine(limit)
		}
		if err := r.fill(); err != nil {
			if err == io.EOF && r.Buffered() > 0 {
				r.r = r.w
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// cutLine takes a line of n bytes and its LF off the buffer.
func (r *Reader) cutLine(n int) []byte {
	line := r.buf[r.r : r.r+n]
	r.r += n + 1
	if n > 0 && line[n-1] == '\r' {
		r.bareLF = false
		return line[:n-1]
	}
	r.bareLF = true
	return line
}

// skipLine drops the rest of an over-long line and returns its beginning.
func (r *Reader) skipLine(limit int) ([]byte, error) {
	head := append([]byte(nil), r.buf[r.r:r.r+limit]...)
	r.r = r.w
	for dropped := 0; dropped < MaxDiscard; {
		if err := r.fill(); err != nil {
			return head, err
		}
		if i := bytes.IndexByte(r.buf[r.r:r.w], '\n'); i >= 0 {
			r.r += i + 1
			return head, ErrLineTooLong
		}
		dropped += r.w - r.r
		r.r = r.w
	}
	return head, ErrLineFlood
}

// fill reads more bytes behind the unread ones. It returns an error only when
// none came.
func (r *Reader) fill() error {
	if r.err != nil {
		return r.err
	}
	r.room()
	for range 100 {
		n, err := r.src.Read(r.buf[r.w:])
		r.w += n
		r.total += int64(n)
		if err != nil {
			// A deadline may pass and the caller go on.
			if n > 0 {
				r.err = err
				return nil
			}
			return err
		}
		if n > 0 {
			return nil
		}
	}
	return io.ErrNoProgress
}

// room makes place behind the unread bytes: an empty reader goes back to its
// small buffer, a small one that was filled is exchanged for a large one.
func (r *Reader) room() {
	switch {
	case r.r == r.w && r.w < len(r.buf):
		// What was read before did not fill the buffer: the peer has
		// nothing more under way.
		if len(r.buf) == largeBuffer {
			r.bufs.put(r.buf)
			r.buf = r.small
		}
		r.r, r.w = 0, 0
	case r.w < len(r.buf):
	case len(r.buf) < largeBuffer:
		r.grow()
	case r.r > 0:
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
}

// grow moves the unread bytes to a large buffer.
func (r *Reader) grow() {
	if len(r.buf) == largeBuffer {
		return
	}
	large := r.bufs.get()
	r.w = copy(large, r.buf[r.r:r.w])
	r.r = 0
	r.buf = large
}

// fillLarge is fill for message content, which is worth a large buffer.
func (r *Reader) fillLarge() error {
	if r.err != nil {
		return r.err
	}
	r.grow()
	if r.r == r.w {
		r.r, r.w = 0, 0
	} else if r.r > 0 && len(r.buf)-r.w < MaxFragment {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.w:])
		r.w += n
		r.total += int64(n)
		if err != nil && n > 0 {
			r.err = err
			return nil
		}
		if err != nil || n > 0 {
			return err
		}
	}
	return io.ErrNoProgress
}
