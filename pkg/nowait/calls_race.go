//go:build race

package nowait

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// The race detector learns from these who waited for whom.

func read(fd int, p []byte) (int, syscall.Errno) { return count(unix.Read(fd, p)) }

func write(fd int, p []byte) (int, syscall.Errno) { return count(unix.Write(fd, p)) }

func send(fd int, p []byte) syscall.Errno {
	_, errno := count(0, unix.Send(fd, p, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL))
	return errno
}

func receive(fd int, p, oob []byte) (n, oobn, flags int, errno syscall.Errno) {
	n, oobn, flags, _, err := unix.Recvmsg(fd, p, oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	n, errno = count(n, err)
	return n, oobn, flags, errno
}

func sendmsg(fd int, p, oob []byte) (int, syscall.Errno) {
	return count(unix.SendmsgN(fd, p, oob, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL))
}

func sleep(ts *unix.Timespec) { unix.Nanosleep(ts, nil) }

func closeDescriptor(fd int) { unix.Close(fd) }

func count(n int, err error) (int, syscall.Errno) {
	if errno, ok := err.(syscall.Errno); ok {
		return 0, errno
	}
	return n, 0
}
