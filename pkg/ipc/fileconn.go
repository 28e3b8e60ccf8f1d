package ipc

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// maxFiles is how many files may have come whose lists were not read yet.
const maxFiles = 1024

// FileConn is a Conn whose peer sends files with lists ([Conn.WriteFileList]).
// Reading stays as it is; who has read a list that comes with a file takes it
// by [FileConn.File], in the order of the lists.
type FileConn struct {
	*Conn
	in *fileReader
}

// NewFileConn returns a FileConn on c.
func NewFileConn(c *net.UnixConn) (*FileConn, error) {
	r, err := nowait.NewReceiver(c)
	if err != nil {
		return nil, err
	}
	conn, in := NewConn(c), &fileReader{r: r, oob: make([]byte, unix.CmsgSpace(4*16))}
	conn.r = bufio.NewReaderSize(in, bufferSize)
	return &FileConn{conn, in}, nil
}

// ErrNoRoom reports a file that was sent and did not arrive, since the process
// may not have more open files. The connection goes on.
var ErrNoRoom = errors.New("too many open files")

// File returns the file that came with the list that was read last. The caller
// closes it.
func (c *FileConn) File(name string) (*os.File, error) {
	if len(c.in.fds) == 0 {
		return nil, fmt.Errorf("receive %s: %w: no descriptor", name, ErrMalformed)
	}
	fd := c.in.fds[0]
	c.in.fds = c.in.fds[1:]
	if fd == lost {
		return nil, fmt.Errorf("receive %s: %w", name, ErrNoRoom)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// lost stands for a descriptor that did not arrive.
const lost = -1

// fileReader keeps the descriptors that come with what it reads.
type fileReader struct {
	r   *nowait.Receiver
	oob []byte
	fds []int
}

// Read implements io.Reader.
func (f *fileReader) Read(p []byte) (int, error) {
	n, oobn, cut, err := f.r.Read(p, f.oob)
	fds, perr := descriptors(f.oob[:oobn])
	if cut && len(fds) == 0 {
		fds = []int{lost} // each list has one file
	}
	if f.fds = append(f.fds, fds...); len(f.fds) > maxFiles {
		for _, fd := range f.fds {
			unix.Close(fd)
		}
		f.fds = nil
		perr = fmt.Errorf("%w: more than %d files without lists", ErrMalformed, maxFiles)
	}
	if err == nil {
		err = perr
	}
	return n, err
}
