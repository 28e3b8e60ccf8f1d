package ipc

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// SendFile passes an open file to the peer, with one byte of data. The caller
// keeps its own descriptor, whose mode stays: File.Fd would take a socket out of
// non-blocking mode, also for the connection that it is a copy of, which would
// then wait without regard to deadlines.
func SendFile(conn *net.UnixConn, f *os.File) error {
	raw, err := f.SyscallConn()
	if err == nil {
		var werr error
		err = raw.Control(func(fd uintptr) {
			_, _, werr = conn.WriteMsgUnix([]byte{0}, unix.UnixRights(int(fd)), nil)
		})
		err = errors.Join(err, werr)
	}
	if err != nil {
		return fmt.Errorf("pass %s: %w", f.Name(), err)
	}
	return nil
}

// MessageReader is the part of a Unix socket that [ReceiveFile] uses.
type MessageReader interface {
	ReadMsgUnix(b, oob []byte) (n, oobn, flags int, addr *net.UnixAddr, err error)
}

// ReceiveFile takes one file that the peer passed with [SendFile]. Any further
// descriptors that come along are closed.
func ReceiveFile(conn MessageReader, name string) (*os.File, error) {
	buf := make([]byte, 1)
	oob := make([]byte, unix.CmsgSpace(4*16))
	_, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, fmt.Errorf("receive %s: %w", name, err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, fmt.Errorf("receive %s: %w", name, err)
	}
	var got *os.File
	for _, m := range msgs {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if got != nil {
				unix.Close(fd)
				continue
			}
			unix.CloseOnExec(fd)
			got = os.NewFile(uintptr(fd), name)
		}
	}
	if got == nil {
		return nil, fmt.Errorf("receive %s: %w: no descriptor", name, ErrMalformed)
	}
	return got, nil
}
