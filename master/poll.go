package main

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// poller tells when an endpoint becomes readable, without taking the client.
// Each endpoint is armed for one event at a time, so a client that waits while
// a process starts does not keep master busy.
type poller struct {
	fd    int
	ready chan *service

	mu    sync.Mutex
	owner map[int32]*service
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &poller{fd: fd, ready: make(chan *service), owner: map[int32]*service{}}, nil
}

// run delivers events until the process ends.
func (p *poller) run() {
	events := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(p.fd, events, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
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
