package service

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/service/masterlink"
)

// listener is what a stream is accepted from.
type listener interface {
	net.Listener
	SetDeadline(time.Time) error
}

// endpoint is what a process serves: listeners, or a FIFO, or datagrams.
type endpoint struct {
	listeners []listener
	fifo      *os.File
	packets   *net.UnixConn
}

// close stops new requests from coming in.
func (e *endpoint) close() {
	for _, l := range e.listeners {
		l.Close()
	}
	if e.fifo != nil {
		e.fifo.Close()
	}
}

// adoptEndpoint takes over what master passed.
func adoptEndpoint(kind Kind, typ string, n int) (endpoint, error) {
	var e endpoint
	if (kind == Datagram) != (typ == "unix-dgram") {
		return e, fmt.Errorf("this program does not serve type %s", typ)
	}
	if kind == Stream && typ == "fifo" {
		return e, errors.New("this program does not serve type fifo")
	}
	for i := range n {
		fd := masterlink.ListenFD + i
		if err := e.add(typ, fd); err != nil {
			return e, fmt.Errorf("adopt descriptor %d: %w", fd, err)
		}
	}
	return e, nil
}

// add takes over one descriptor.
func (e *endpoint) add(typ string, fd int) error {
	if typ == "fifo" {
		// Whoever started us may have left the FIFO in blocking mode, and
		// only a non-blocking one can be interrupted.
		if err := syscall.SetNonblock(fd, true); err != nil {
			return err
		}
		syscall.CloseOnExec(fd)
		e.fifo = os.NewFile(uintptr(fd), "fifo")
		return nil
	}
	// The net package makes a descriptor of its own.
	f := os.NewFile(uintptr(fd), "endpoint")
	defer f.Close()
	if typ == "unix-dgram" {
		c, err := net.FileConn(f)
		if err != nil {
			return err
		}
		uc, ok := c.(*net.UnixConn)
		if !ok {
			return fmt.Errorf("%T is no Unix socket", c)
		}
		e.packets = uc
		return nil
	}
	l, err := net.FileListener(f)
	if err != nil {
		return err
	}
	if ul, ok := l.(*net.UnixListener); ok {
		// The socket's name belongs to master.
		ul.SetUnlinkOnClose(false)
	}
	dl, ok := l.(listener)
	if !ok {
		return fmt.Errorf("unexpected listener %T", l)
	}
	e.listeners = append(e.listeners, dl)
	return nil
}

// makeEndpoint makes the endpoint of a run without master.
func makeEndpoint(kind Kind, typ, addr string) (endpoint, error) {
	var e endpoint
	if typ != "inet" {
		if err := ipc.RemoveStale(addr); err != nil {
			return e, err
		}
	}
	switch {
	case typ == "fifo":
		if err := syscall.Mkfifo(addr, 0o622); err != nil {
			return e, fmt.Errorf("make FIFO %s: %w", addr, err)
		}
		f, err := os.OpenFile(addr, os.O_RDWR|syscall.O_NONBLOCK, 0)
		e.fifo = f
		return e, err
	case kind == Datagram:
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
		e.packets = c
		return e, err
	}
	network := "unix"
	if typ == "inet" {
		network = "tcp"
		if !strings.Contains(addr, ":") {
			addr = "127.0.0.1:" + addr
		}
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return e, err
	}
	e.listeners = append(e.listeners, l.(listener))
	return e, nil
}
