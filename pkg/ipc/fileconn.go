package ipc

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// ManyFiles is a limit for [NewFileConn] where the peer may send many lists
// before one is read.
const ManyFiles = 1024

// FileConn is a Conn whose peer sends files with lists ([Conn.WriteFileList]).
// Reading stays as it is; who has read a list that comes with a file takes it
// by [FileConn.File], in the order of the lists.
type FileConn struct {
	*Conn
	in *fileReader
}

// NewFileConn returns a FileConn on a Unix socket. limit is how many files may
// have come whose lists were not read yet.
func NewFileConn(c net.Conn, limit int) (*FileConn, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("%T is no Unix socket", c)
	}
	r, err := nowait.NewReceiver(sc)
	if err != nil {
		return nil, err
	}
	conn, in := NewConn(c), &fileReader{r: r, oob: make([]byte, unix.CmsgSpace(4*16)), limit: limit}
	conn.r = bufio.NewReaderSize(in, bufferSize)
	return &FileConn{conn, in}, nil
}

// ErrNoRoom reports a file that was sent and did not arrive, since the process
// may not have more open files. The connection goes on.
var ErrNoRoom = errors.New("too many open files")

// File returns the file that came with the list that was read last. The caller
// closes it.
func (c *FileConn) File(name string) (*os.File, error) {
	fd, err := c.in.next(name)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Passed is File for a socket that is only sent on.
func (c *FileConn) Passed(name string) (*Passed, error) {
	fd, err := c.in.next(name)
	if err != nil {
		return nil, err
	}
	return &Passed{name: name, fd: fd}, nil
}

// Close closes the connection, and the files that came and were not taken.
func (c *FileConn) Close() error {
	err := c.Conn.Close()
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.drop()
	c.in.closed = true // for one that is just being read
	return err
}

// lost stands for a descriptor that did not arrive.
const lost = -1

// fileReader keeps the descriptors that come with what it reads.
type fileReader struct {
	r     *nowait.Receiver
	oob   []byte
	limit int

	mu     sync.Mutex
	fds    []int
	closed bool
}

// next takes the first descriptor.
func (f *fileReader) next(name string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.fds) == 0 {
		return 0, fmt.Errorf("receive %s: %w: no descriptor", name, ErrMalformed)
	}
	fd := f.fds[0]
	f.fds = f.fds[1:]
	if fd == lost {
		return 0, fmt.Errorf("receive %s: %w", name, ErrNoRoom)
	}
	return fd, nil
}

// drop closes the descriptors that nobody took. It needs the lock.
func (f *fileReader) drop() {
	for _, fd := range f.fds {
		if fd != lost {
			unix.Close(fd)
		}
	}
	f.fds = nil
}

// Read implements io.Reader.
func (f *fileReader) Read(p []byte) (int, error) {
	n, oobn, cut, err := f.r.Read(p, f.oob)
	fds, perr := descriptors(f.oob[:oobn])
	if cut && len(fds) == 0 {
		fds = []int{lost} // each list has one file
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fds = append(f.fds, fds...); len(f.fds) > f.limit {
		f.drop()
		perr = fmt.Errorf("%w: more than %d files without lists", ErrMalformed, f.limit)
	}
	if f.closed {
		f.drop()
	}
	if err == nil {
		err = perr
	}
	return n, err
}
