// Package nowait reads and writes sockets and pipes at the bare price of the
// system call.
//
// Around each system call, the Go runtime makes ready for one that may block.
// In a process that has just been asleep this wakes the runtime's monitor
// thread: two thread switches and a timer, several times the cost of a read
// that finds its bytes in memory. Daemons that wake for each message and do
// little then spend most of their time on it. A read or write in non-blocking
// mode never waits, so the calls here are made without the preparation, and
// waiting, with its deadlines, is left to the runtime's poller.
//
// Nothing that may wait for a disk or for another process belongs here: while
// such a call lasts, the runtime could neither run other goroutines in its
// place nor collect garbage.
package nowait

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// Stream reads and writes a descriptor that the runtime's poller watches. One
// goroutine at a time may read, and one may write.
type Stream struct {
	raw    syscall.RawConn
	socket *Socket // nil if raw has the descriptor itself
	read   transfer
	write  transfer
}

// transfer is one read or write: its attempts need no memory of their own.
type transfer struct {
	p      []byte
	n      int
	errno  syscall.Errno
	done   bool
	socket *Socket
	try    func(fd uintptr) bool
	once   func(fd uintptr) bool // an attempt after which nobody waits
}

// descriptor is that of the socket, where another one tells of its input.
func (t *transfer) descriptor(fd uintptr) int {
	if t.socket != nil {
		return t.socket.fd
	}
	return int(fd)
}

// NewStream returns a Stream on a connection or a file that is in non-blocking
// mode, as net makes them and os does for pipes.
func NewStream(c syscall.Conn) (*Stream, error) {
	raw, socket, err := below(c)
	if err != nil {
		return nil, err
	}
	s := &Stream{raw: raw, socket: socket}
	s.read.socket, s.write.socket = socket, socket
	s.read.try, s.write.try, s.write.once = s.read.receive, s.write.send, s.write.sendOnce
	return s, nil
}

// receive makes one attempt to read; false means to wait.
func (t *transfer) receive(fd uintptr) bool {
	for {
		t.n, t.errno = read(t.descriptor(fd), t.p)
		if t.errno != syscall.EINTR {
			return t.errno != syscall.EAGAIN
		}
	}
}

// ReadNow reads what has come already. An error is for the next read to find.
func (s *Stream) ReadNow(p []byte) int {
	n := 0
	err := s.raw.Control(func(fd uintptr) {
		got, errno := read(s.read.descriptor(fd), p)
		if errno == 0 {
			n = got
		}
	})
	if err != nil {
		return 0
	}
	return n
}

// send writes as much as there is room for; false means to wait for more.
func (t *transfer) send(fd uintptr) bool {
	for t.n < len(t.p) {
		n, errno := write(t.descriptor(fd), t.p[t.n:])
		switch errno {
		case 0:
			t.n += n
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			t.errno = errno
			return true
		}
	}
	return true
}

// sendOnce is send for a socket whose room to write nobody watches.
func (t *transfer) sendOnce(fd uintptr) bool {
	t.done = t.send(fd)
	return true
}

// transmit makes attempts to write until all is written, or cannot be.
func (s *Stream) transmit() error {
	t := &s.write
	if s.socket == nil {
		return s.raw.Write(t.try)
	}
	if err := s.raw.Write(t.once); err != nil || t.done {
		return err
	}
	return s.socket.writeSlowly(t.try)
}

// Read implements io.Reader.
func (s *Stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t := &s.read
	t.p, t.n, t.errno = p, 0, 0
	err := s.raw.Read(t.try)
	t.p = nil
	switch {
	case err != nil:
		return 0, s.socket.ended("read", err)
	case t.errno != 0:
		return 0, os.NewSyscallError("read", t.errno)
	case t.n == 0:
		return 0, io.EOF
	}
	return t.n, nil
}

// Write implements io.Writer.
func (s *Stream) Write(p []byte) (int, error) {
	t := &s.write
	t.p, t.n, t.errno = p, 0, 0
	err := s.transmit()
	t.p = nil
	switch {
	case err != nil:
		err = s.socket.ended("write", err)
	case t.errno != 0:
		err = os.NewSyscallError("write", t.errno)
	}
	return t.n, err
}

// waitError is the error of a wait that ended without an attempt. A file that
// was closed says so in words of its own, which nobody could ask for.
func (s *Socket) ended(op string, err error) error {
	if s != nil {
		return s.waitError(op, err)
	}
	if _, ok := err.(*net.OpError); ok || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", os.ErrClosed, err)
}

// Conn is a connection whose bytes pass through a [Stream].
type Conn struct {
	net.Conn
	stream *Stream
}

// Wrap returns a Conn on c, or c itself if it has no descriptor.
func Wrap(c net.Conn) net.Conn {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return c
	}
	s, err := NewStream(sc)
	if err != nil {
		return c
	}
	return &Conn{Conn: c, stream: s}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.stream.Read(p)
	return n, c.wrap("read", err)
}

// ReadNow reads what has come already, which may be nothing.
func (c *Conn) ReadNow(p []byte) int { return c.stream.ReadNow(p) }

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.stream.Write(p)
	return n, c.wrap("write", err)
}

// wrap gives an error of the system the form that those of net have.
func (c *Conn) wrap(op string, err error) error {
	if _, ok := err.(*os.SyscallError); !ok {
		return err
	}
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Send sends a datagram on a connected socket. syscall.EAGAIN means that there
// is no room for it now.
func Send(fd int, p []byte) error {
	for {
		switch errno := send(fd, p); errno {
		case 0:
			return nil
		case syscall.EINTR:
		default:
			return errno
		}
	}
}

// SendMessage sends p with control messages on a connected socket in
// non-blocking mode. syscall.EAGAIN means that there is no room for it now.
func SendMessage(fd int, p, oob []byte) (int, error) {
	for {
		n, errno := sendmsg(fd, p, oob)
		switch errno {
		case 0:
			return n, nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// Close closes the descriptor of a socket that other processes have as well, so
// that nothing ends with it.
func Close(fd int) { closeDescriptor(fd) }

// Write writes to a pipe in non-blocking mode. syscall.EAGAIN means that there
// is no room now; up to PIPE_BUF bytes go whole or not at all.
func Write(fd int, p []byte) (int, error) {
	for {
		n, errno := write(fd, p)
		switch errno {
		case 0:
			return n, nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// Read reads from a pipe or socket in non-blocking mode. syscall.EAGAIN means
// that nothing is there now.
func Read(fd int, p []byte) (int, error) {
	for {
		n, errno := read(fd, p)
		switch errno {
		case 0:
			return n, nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
