package nowait

import (
	"io"
	"os"
	"syscall"
)

// Receiver reads a Unix socket together with the descriptors that come along,
// in the manner of a [Stream]. One goroutine at a time may use it.
type Receiver struct {
	raw     syscall.RawConn
	socket  *Socket // nil if raw has the descriptor itself
	p, oob  []byte
	n, oobn int
	flags   int
	errno   syscall.Errno
	try     func(fd uintptr) bool
}

// NewReceiver returns a Receiver on a socket that is in non-blocking mode.
func NewReceiver(c syscall.Conn) (*Receiver, error) {
	raw, socket, err := below(c)
	if err != nil {
		return nil, err
	}
	r := &Receiver{raw: raw, socket: socket}
	r.try = r.receive
	return r, nil
}

// receive makes one attempt; false means to wait.
func (r *Receiver) receive(fd uintptr) bool {
	if r.socket != nil {
		fd = uintptr(r.socket.fd)
	}
	for {
		r.n, r.oobn, r.flags, r.errno = receive(int(fd), r.p, r.oob)
		if r.errno != syscall.EINTR {
			return r.errno != syscall.EAGAIN
		}
	}
}

// Read reads bytes into p and control messages into oob, which begins with
// oobn bytes of them then. Bytes of several messages are read at once only if
// none but the last has descriptors. Descriptors are closed on exec. lost says
// that one did not fit, or that the process may not have more.
func (r *Receiver) Read(p, oob []byte) (n, oobn int, lost bool, err error) {
	if len(p) == 0 {
		return 0, 0, false, nil
	}
	r.p, r.oob, r.n, r.oobn, r.flags, r.errno = p, oob, 0, 0, 0, 0
	err = r.raw.Read(r.try)
	r.p, r.oob = nil, nil
	switch {
	case err != nil:
		return 0, 0, false, r.socket.ended("read", err)
	case r.errno != 0:
		return 0, 0, false, os.NewSyscallError("recvmsg", r.errno)
	case r.n == 0:
		return 0, r.oobn, false, io.EOF
	}
	return r.n, r.oobn, r.flags&syscall.MSG_CTRUNC != 0, nil
}
