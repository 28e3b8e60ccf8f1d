package pop3server

import (
	"net"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
)

// writer collects replies and sends them when its buffer is full or when it is
// told to. Its first error stays.
type writer struct {
	*smtpwire.Writer
	out *output
}

func newWriter(conn net.Conn, timeout time.Duration, bufs *smtpwire.Buffers) writer {
	out := &output{conn: conn, timeout: timeout}
	return writer{smtpwire.NewWriter(out, bufs), out}
}

// output gives each write its time.
type output struct {
	conn    net.Conn
	timeout time.Duration
	total   int64
	err     error // writes fail if not nil
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	if err := o.conn.SetWriteDeadline(time.Now().Add(o.timeout)); err != nil {
		return 0, err
	}
	n, err := o.conn.Write(p)
	o.total += int64(n)
	return n, err
}

// sent is how many bytes were written so far.
func (w writer) sent() int64 { return w.out.total + int64(w.Buffered()) }

// line writes a line.
func (w writer) line(s string) {
	w.WriteString(s)
	w.WriteString("\r\n")
}

// fail makes the rest of the session silent.
func (w writer) fail(err error) {
	w.Flush()
	w.out.err = err
}

// bits is a set of message numbers that grows as needed.
type bits []uint64

func (b bits) has(i int) bool { return i/64 < len(b) && b[i/64]&(1<<(i%64)) != 0 }

func (b *bits) set(i int) {
	if need := i/64 + 1; need > len(*b) {
		*b = append(*b, make([]uint64, need-len(*b))...)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

// list returns the numbers in the set.
func (b bits) list() []int {
	var all []int
	for w, word := range b {
		for k := 0; word != 0; k++ {
			if word&1 != 0 {
				all = append(all, w*64+k)
			}
			word >>= 1
		}
	}
	return all
}
