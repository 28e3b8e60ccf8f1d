package ipc

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// SendFile passes an open file to the peer, with one byte of data. The caller
// keeps its own descriptor.
func SendFile(conn syscall.Conn, f *os.File) error {
	if _, err := sendRights(conn, f, []byte{0}); err != nil {
		return fmt.Errorf("pass %s: %w", f.Name(), err)
	}
	return nil
}

// sendRights sends a descriptor with b, of which it may send a part only. The
// descriptor's mode stays: File.Fd would take a socket out of non-blocking mode,
// also for the connection that it is a copy of, which would then wait without
// regard to deadlines.
func sendRights(conn, f syscall.Conn, b []byte) (n int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	to, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := raw.Control(func(fd uintptr) {
		rights := unix.UnixRights(int(fd))
		werr := to.Write(func(s uintptr) bool {
			n, err = nowait.SendMessage(int(s), b, rights)
			return !errors.Is(err, syscall.EAGAIN)
		})
		if werr != nil {
			err = werr // a deadline, or closed
		}
	})
	if err == nil {
		err = cerr
	}
	return n, err
}

// nameOf is what errors call a descriptor.
func nameOf(f syscall.Conn) string {
	if n, ok := f.(interface{ Name() string }); ok {
		return n.Name()
	}
	return "a connection"
}

// WriteFileList sends the list l and with its first byte the file or connection f, to a peer
// that reads by a [FileConn]. The deadline is the caller's.
func (c *Conn) WriteFileList(f syscall.Conn, l List) error {
	to, ok := c.Conn.(syscall.Conn)
	if !ok || c.LocalAddr().Network() != "unix" {
		return fmt.Errorf("pass %s: not a Unix socket", nameOf(f))
	}
	if err := l.Check(); err != nil {
		return err
	}
	c.text = l.append(c.text[:0])
	n, err := sendRights(to, f, c.text)
	if err == nil && n < len(c.text) {
		_, err = c.Conn.Write(c.text[n:])
	}
	if cap(c.text) > keptText {
		c.text = nil
	}
	if err != nil {
		return fmt.Errorf("pass %s: %w", nameOf(f), err)
	}
	return nil
}

// ReceiveFile takes one file that the peer passed with [SendFile]. Any further
// descriptors that come along are closed.
func ReceiveFile(conn syscall.Conn, name string) (*os.File, error) {
	buf := make([]byte, 1)
	oob := make([]byte, unix.CmsgSpace(4*16))
	r, err := nowait.NewReceiver(conn)
	if err != nil {
		return nil, fmt.Errorf("receive %s: %w", name, err)
	}
	_, oobn, _, err := r.Read(buf, oob)
	if err != nil {
		return nil, fmt.Errorf("receive %s: %w", name, err)
	}
	fds, err := descriptors(oob[:oobn])
	if err != nil {
		return nil, fmt.Errorf("receive %s: %w", name, err)
	}
	if len(fds) == 0 {
		return nil, fmt.Errorf("receive %s: %w: no descriptor", name, ErrMalformed)
	}
	for _, fd := range fds[1:] {
		unix.Close(fd)
	}
	return os.NewFile(uintptr(fds[0]), name), nil
}

// descriptors are those of control messages.
func descriptors(oob []byte) (fds []int, err error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for _, m := range msgs {
		if more, err := unix.ParseUnixRights(&m); err == nil {
			fds = append(fds, more...)
		}
	}
	return fds, nil
}
