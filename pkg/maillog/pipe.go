package maillog

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// PostlogPipe is a FIFO to postlogd, relative to the queue directory. Daemons
// open it before the jail, out of which it cannot be reached: it and its
// folder belong to whoever started the mail system. Unlike a datagram socket,
// which holds ten lines on many machines, it takes hundreds without waking its
// reader for each.
const PostlogPipe = "pid/postlog"

// pipeSize is how many bytes the pipe holds, if the system agrees.
const pipeSize = 1 << 18

// pipe is the writing end. A line goes with a newline on either side, so that
// what another writer left unfinished cannot become a part of it.
type pipe struct {
	fd   int
	away time.Time // when it had no reader
	buf  []byte
}

// makePipe makes the FIFO where it is missing.
func makePipe(path string) error {
	err := unix.Mkfifo(path, 0o600)
	if err == syscall.EEXIST {
		return nil
	}
	return err
}

func openPipe(path string, flag int) (int, error) {
	fd, err := unix.Open(path, flag|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && (st.Mode&unix.S_IFMT != unix.S_IFIFO || int(st.Uid) != os.Geteuid()) {
		err = fmt.Errorf("%s is not a FIFO of ours", path)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// dialPipe opens the pipe for writing, whether or not it has a reader now.
func dialPipe(path string) (*pipe, error) {
	if err := makePipe(path); err != nil {
		return nil, err
	}
	// The system opens a FIFO for writing only while it has a reader.
	reader, err := openPipe(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(reader)
	fd, err := openPipe(path, unix.O_WRONLY)
	if err != nil {
		return nil, err
	}
	return &pipe{fd: fd}, nil
}

// trySend writes a line without waiting. syscall.EAGAIN means that there is no
// room, syscall.EPIPE that nobody reads. Lines are shorter than PIPE_BUF, so
// one goes whole or not at all.
func (p *pipe) trySend(line []byte) error {
	p.buf = append(append(append(p.buf[:0], '\n'), line...), '\n')
	_, err := nowait.Write(p.fd, p.buf)
	return err
}

// wait waits up to sendWait for room.
func (p *pipe) wait() {
	poll := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLOUT}}
	unix.Poll(poll, int(sendWait.Milliseconds()))
}

func (p *pipe) close() { unix.Close(p.fd) }

// PipeReader is the reading end of [PostlogPipe], for postlogd. One goroutine
// at a time may call Read.
type PipeReader struct {
	fd   int
	name string
	buf  []byte
	have int // bytes in buf, of which
	used int // were returned
}

// OpenPipe opens the pipe for reading, and makes it where it is missing. What
// was written while nobody read it is still there.
func OpenPipe(path string) (*PipeReader, error) {
	if err := makePipe(path); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	// Open for both ways, it does not end with its last writer.
	fd, err := openPipe(path, unix.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, pipeSize)
	return &PipeReader{fd: fd, name: path, buf: make([]byte, 1<<16)}, nil
}

// Wait waits until there is something to read. It does so in poll(2): the
// runtime's poller would be woken by each write, and not only by the first
// into an empty pipe.
func (r *PipeReader) Wait() error {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}, -1)
		if err != syscall.EINTR {
			return err
		}
	}
}

// Read returns the lines that are there, each with its newline; none means
// that nothing is. They are valid until the next call.
func (r *PipeReader) Read() ([]byte, error) {
	r.have = copy(r.buf, r.buf[r.used:r.have])
	r.used = 0
	n, err := nowait.Read(r.fd, r.buf[r.have:])
	if err != nil && err != syscall.EAGAIN {
		return nil, fmt.Errorf("read %s: %w", r.name, err)
	}
	r.have += n
	r.used = bytes.LastIndexByte(r.buf[:r.have], '\n') + 1
	if r.have == len(r.buf) && r.used == 0 {
		r.used = r.have // no line is so long
	}
	return r.buf[:r.used], nil
}
