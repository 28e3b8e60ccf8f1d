package ipc

import (
	"os"
	"sync"
	"syscall"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// Passed is the descriptor of a socket that this process only sends on: it is
// neither read nor written here, and the runtime does not watch it.
type Passed struct {
	name string

	mu     sync.Mutex
	fd     int
	closed bool
}

// Name is what errors call it.
func (p *Passed) Name() string { return p.name }

// Close closes the descriptor. It may be called again.
func (p *Passed) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		nowait.Close(p.fd)
	}
	return nil
}

// SyscallConn implements syscall.Conn, which [Conn.WriteFileList] asks for.
func (p *Passed) SyscallConn() (syscall.RawConn, error) { return (*rawPassed)(p), nil }

// rawPassed keeps the descriptor open while it is in use.
type rawPassed Passed

// Control implements syscall.RawConn.
func (p *rawPassed) Control(f func(fd uintptr)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return os.ErrClosed
	}
	f(uintptr(p.fd))
	return nil
}

// Read and Write implement syscall.RawConn.
func (p *rawPassed) Read(func(fd uintptr) bool) error  { return os.ErrInvalid }
func (p *rawPassed) Write(func(fd uintptr) bool) error { return os.ErrInvalid }
