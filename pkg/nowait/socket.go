package nowait

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is a connected Unix socket whose process is woken when there is
// something to read, and not each time the peer has read something.
//
// The runtime's poller watches each socket for room to write as well. A Unix
// socket tells of such room whenever its peer takes bytes, whether anybody waits
// for it or not, so a process that waits for an answer was woken when its
// question was read, and had to go back to sleep. A Socket is watched by an epoll
// descriptor of its own, for input only, and the poller watches that one. What is
// ready there stays ready until it was read, so that no wake-up is lost. Writes
// that find no room get a second descriptor to wait for it.
type Socket struct {
	fd            int
	local, remote net.Addr
	in            *watch
	stream        *Stream

	mu       sync.Mutex
	out      *watch    // waits for room to write; nil until a write had to
	deadline time.Time // for writes
	closed   bool
}

// watch is an epoll descriptor that watches one socket.
type watch struct {
	file *os.File
	raw  syscall.RawConn
}

// Quiet returns a Socket in place of a connected Unix socket, which is closed. A
// connection that is none, or a process without room for one more descriptor,
// gets c back.
func Quiet(c net.Conn) net.Conn {
	uc, ok := c.(*net.UnixConn)
	if !ok || uc.LocalAddr().Network() != "unix" {
		return c
	}
	s, err := newSocket(uc)
	if err != nil {
		return c
	}
	uc.Close()
	return s
}

// newSocket makes a Socket of a copy of uc's descriptor.
func newSocket(uc *net.UnixConn) (*Socket, error) {
	raw, err := uc.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, derr := -1, error(nil)
	if err := raw.Control(func(old uintptr) { fd, derr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if derr != nil {
		return nil, os.NewSyscallError("fcntl", derr)
	}
	s := &Socket{fd: fd, local: uc.LocalAddr(), remote: uc.RemoteAddr()}
	if s.in, err = newWatch(fd, unix.EPOLLIN|unix.EPOLLRDHUP); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if s.stream, err = NewStream(s); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// newWatch returns a watch of fd for events, level-triggered.
func newWatch(fd int, events uint32) (*watch, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err == nil {
		err = unix.SetNonblock(ep, true) // os.NewFile offers it to the poller then
	}
	if err != nil {
		unix.Close(ep)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	w := &watch{file: os.NewFile(uintptr(ep), "socket")}
	// The poller refuses what it cannot watch.
	if err = w.file.SetDeadline(time.Time{}); err == nil {
		w.raw, err = w.file.SyscallConn()
	}
	if err != nil {
		w.file.Close()
		return nil, err
	}
	return w, nil
}

// LocalAddr implements net.Conn.
func (s *Socket) LocalAddr() net.Addr { return s.local }

// RemoteAddr implements net.Conn.
func (s *Socket) RemoteAddr() net.Addr { return s.remote }

// Close implements net.Conn. Who reads or writes has left when it returns.
func (s *Socket) Close() error {
	if err := s.in.file.Close(); err != nil {
		return s.opError("close", net.ErrClosed)
	}
	s.mu.Lock()
	s.closed = true
	out := s.out
	s.mu.Unlock()
	if out != nil {
		out.file.Close()
	}
	closeDescriptor(s.fd)
	return nil
}

// CloseRead makes the peer's writes fail; what it sent before can be read.
func (s *Socket) CloseRead() error {
	var err error
	cerr := s.in.raw.Control(func(uintptr) { err = os.NewSyscallError("shutdown", unix.Shutdown(s.fd, unix.SHUT_RD)) })
	if cerr != nil {
		return s.waitError("close", cerr)
	}
	return s.systemError("close", err)
}

// SetDeadline implements net.Conn.
func (s *Socket) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (s *Socket) SetReadDeadline(t time.Time) error {
	return s.waitError("set", s.in.file.SetReadDeadline(t))
}

// SetWriteDeadline implements net.Conn.
func (s *Socket) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	if s.out != nil && !s.closed {
		s.out.file.SetReadDeadline(t)
	}
	return s.waitError("set", s.in.file.SetWriteDeadline(t))
}

// waitError gives the end of a wait the form that net would give it.
func (s *Socket) waitError(op string, err error) error {
	switch err.(type) {
	case nil, *net.OpError, *os.SyscallError:
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return s.opError(op, os.ErrDeadlineExceeded)
	}
	return s.opError(op, net.ErrClosed)
}

func (s *Socket) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "unix", Source: s.local, Addr: s.remote, Err: err}
}

// Read implements net.Conn.
func (s *Socket) Read(p []byte) (int, error) {
	n, err := s.stream.Read(p)
	return n, s.systemError("read", err)
}

// Write implements net.Conn.
func (s *Socket) Write(p []byte) (int, error) {
	n, err := s.stream.Write(p)
	return n, s.systemError("write", err)
}

// systemError gives an error of the system the form that net would give it.
func (s *Socket) systemError(op string, err error) error {
	if _, ok := err.(*os.SyscallError); !ok {
		return err
	}
	return s.opError(op, err)
}

// SyscallConn implements syscall.Conn.
func (s *Socket) SyscallConn() (syscall.RawConn, error) { return (*rawSocket)(s), nil }

// rawSocket calls back with the socket's descriptor. It is open as long as a call
// on its watch lasts, since closing the watch waits for those.
type rawSocket Socket

// Control implements syscall.RawConn.
func (r *rawSocket) Control(f func(fd uintptr)) error {
	s := (*Socket)(r)
	return s.waitError("raw-control", s.in.raw.Control(func(uintptr) { f(uintptr(s.fd)) }))
}

// Read implements syscall.RawConn.
func (r *rawSocket) Read(f func(fd uintptr) bool) error {
	s := (*Socket)(r)
	return s.waitError("raw-read", s.in.raw.Read(func(uintptr) bool { return f(uintptr(s.fd)) }))
}

// Write implements syscall.RawConn.
func (r *rawSocket) Write(f func(fd uintptr) bool) error {
	s := (*Socket)(r)
	done := false
	err := s.in.raw.Write(func(uintptr) bool {
		done = f(uintptr(s.fd))
		return true
	})
	if err != nil || done {
		return s.waitError("raw-write", err)
	}
	return s.writeSlowly(f)
}

// writeSlowly calls f until there was room enough.
func (s *Socket) writeSlowly(f func(fd uintptr) bool) error {
	out, err := s.room()
	if err != nil {
		return err
	}
	var armed error
	err = out.raw.Read(func(uintptr) bool {
		if !f(uintptr(s.fd)) {
			// From here on, room for more makes another attempt.
			armed = out.arm(s.fd, unix.EPOLLOUT)
			return armed != nil
		}
		armed = out.arm(s.fd, 0)
		return true
	})
	if err == nil {
		err = armed
	}
	return s.waitError("raw-write", err)
}

// room returns the watch that waits for room to write.
func (s *Socket) room() (*watch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, s.opError("raw-write", net.ErrClosed)
	}
	if s.out == nil {
		out, err := newWatch(s.fd, 0)
		if err != nil {
			return nil, s.opError("raw-write", err)
		}
		if err := out.file.SetReadDeadline(s.deadline); err != nil {
			out.file.Close()
			return nil, s.opError("raw-write", err)
		}
		s.out = out
	}
	return s.out, nil
}

// arm changes what the watch waits for. What is the case already counts.
func (w *watch) arm(fd int, events uint32) error {
	var err error
	cerr := w.raw.Control(func(ep uintptr) {
		err = unix.EpollCtl(int(ep), unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	})
	if cerr != nil {
		return cerr
	}
	return os.NewSyscallError("epoll_ctl", err)
}

// below returns the descriptor that belongs to c, or -1 if c's own RawConn tells
// it, and how to wait for it.
func below(c syscall.Conn) (raw syscall.RawConn, s *Socket, err error) {
	for outer := any(c); ; {
		switch o := outer.(type) {
		case *Socket:
			return o.in.raw, o, nil
		case interface{ NetConn() net.Conn }:
			outer = o.NetConn()
			continue
		}
		raw, err = c.SyscallConn()
		return raw, nil, err
	}
}
