package main

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller tells when an endpoint becomes readable, without taking the client.
// Each endpoint is armed for one event at a time, so a client that waits while
// a process starts does not keep master busy.
//
// The wait for events is itself left to the runtime's poller: a goroutine that
// sat in epoll_wait could, if it went there at the wrong moment, keep the
// runtime from stopping the world for a minute, and master changes its ids,
// which stops the world, for each endpoint that it makes.
type poller struct {
	fd    int
	wait  syscall.RawConn
	file  *os.File // owns fd
	ready chan *service

	mu    sync.Mutex
	owner map[int32]*service
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	p := &poller{fd: fd, ready: make(chan *service), owner: map[int32]*service{}}
	// Only a descriptor in non-blocking mode is given to the runtime's poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	p.file = os.NewFile(uintptr(fd), "epoll")
	if p.wait, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return p, nil
}

// run delivers events until the process ends.
func (p *poller) run() {
	events := make([]unix.EpollEvent, 64)
	for {
		var n int
		var werr error
		err := p.wait.Read(func(fd uintptr) bool {
			n, werr = unix.EpollWait(int(fd), events, 0)
			return n > 0 || werr != nil && werr != unix.EINTR
		})
		if err != nil || werr != nil {
			return
		}
		for _, e := range events[:n] {
			p.mu.Lock()
			s := p.owner[e.Fd]
			p.mu.Unlock()
			if s != nil {
				p.ready <- s
			}
		}
	}
}

func (p *poller) add(fd int, s *service) error {
	p.mu.Lock()
	p.owner[int32(fd)] = s
	p.mu.Unlock()
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLONESHOT}); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// arm asks for one event, or for none.
func (p *poller) arm(fd int, on bool) {
	ev := unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLONESHOT}
	if on {
		ev.Events |= unix.EPOLLIN
	}
	unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &ev)
}

func (p *poller) remove(fd int) {
	p.mu.Lock()
	delete(p.owner, int32(fd))
	p.mu.Unlock()
	unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
}
