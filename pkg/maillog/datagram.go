package maillog

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// datagram is a connected datagram socket that the Go runtime does not watch.
// A watched one would wake this process for every line that the receiver takes
// off the socket, since there is room again: one wake-up per line, in every
// daemon, for nothing.
type datagram struct{ fd int }

// dialDatagram connects to a datagram socket in the file system.
func dialDatagram(path string) (*datagram, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	tv := unix.NsecToTimeval(int64(sendWait))
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv); err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &datagram{fd}, nil
}

// trySend sends without waiting; syscall.EAGAIN means that there is no room.
func (d *datagram) trySend(b []byte) error {
	err := nowait.Send(d.fd, b)
	if err == syscall.ENOBUFS {
		return syscall.EAGAIN
	}
	return err
}

// send waits up to sendWait for room, then returns syscall.EAGAIN.
func (d *datagram) send(b []byte) error {
	deadline := time.Now().Add(sendWait)
	for {
		err := unix.Send(d.fd, b, unix.MSG_NOSIGNAL)
		switch {
		case err == syscall.EINTR && time.Now().Before(deadline):
		case err == syscall.EINTR, err == syscall.ENOBUFS:
			return syscall.EAGAIN
		default:
			return err
		}
	}
}

func (d *datagram) close() { unix.Close(d.fd) }
