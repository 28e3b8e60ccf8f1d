package nowait

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// quietPair returns two ends of a socket pair as Sockets.
func quietPair(t testing.TB) (a, b *Socket) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*Socket
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		s, ok := Quiet(c).(*Socket)
		if !ok {
			t.Fatalf("%T is not made quiet", c)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the connection that was taken over: %v", err)
		}
		ends[i] = s
		t.Cleanup(func() { s.Close() })
	}
	return ends[0], ends[1]
}

// patience is for what must happen, however busy the machine is.
const patience = time.Minute

func within(t testing.TB, what string, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatalf("%s does not end", what)
		return nil
	}
}

// TestSocketTurns plays many short questions and answers, on several sockets at
// once: a wake-up that got lost would be the end of one.
func TestSocketTurns(t *testing.T) {
	const sockets, turns = 50, 400
	var all sync.WaitGroup
	for range sockets {
		a, b := quietPair(t)
		for _, s := range []*Socket{a, b} {
			s.SetDeadline(time.Now().Add(patience))
		}
		all.Go(func() {
			for range turns {
				// Two pieces: the second may come while the first is being read.
				a.Write([]byte("ab"))
				a.Write([]byte("cd"))
				if _, err := io.ReadFull(a, make([]byte, 3)); err != nil {
					t.Errorf("answer: %v", err)
					return
				}
			}
			a.Close()
		})
		all.Go(func() {
			buf := make([]byte, 4)
			for {
				_, err := io.ReadFull(b, buf)
				if err == io.EOF {
					return
				}
				if err != nil || string(buf) != "abcd" {
					t.Errorf("question %q, %v", buf, err)
					return
				}
				b.Write([]byte("xyz"))
			}
		})
	}
	all.Wait()
}

// TestSocketCarriesMoreThanFits: writers wait for room, in both directions at
// once and again and again.
func TestSocketCarriesMoreThanFits(t *testing.T) {
	a, b := quietPair(t)
	for _, wrap := range []func(*Socket) net.Conn{
		func(s *Socket) net.Conn { return s },
		func(s *Socket) net.Conn { return Wrap(s) },
	} {
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
		done := make(chan error, 4)
		for _, end := range []net.Conn{wrap(a), wrap(b)} {
			go func() {
				_, err := end.Write(sent)
				done <- err
			}()
			go func() {
				got := make([]byte, len(sent))
				_, err := io.ReadFull(end, got)
				if err == nil && !bytes.Equal(got, sent) {
					err = errors.New("other bytes came than were sent")
				}
				done <- err
			}()
		}
		for range 4 {
			if err := within(t, "the exchange", done); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestSocketDeadlines: each ends a wait, when it was set before and when it is set
// meanwhile, and the socket goes on after it.
func TestSocketDeadlines(t *testing.T) {
	a, b := quietPair(t)
	much := make([]byte, 1<<22)
	for _, op := range []struct {
		name string
		set  func(time.Time) error
		run  func() error
	}{
		{"read", a.SetReadDeadline, func() error { _, err := a.Read(make([]byte, 1)); return err }},
		{"write", a.SetWriteDeadline, func() error { _, err := a.Write(much); return err }},
		{"either", a.SetDeadline, func() error { _, err := a.Write(much); return err }},
	} {
		check := func(err error) {
			t.Helper()
			var ne net.Error
			if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
				t.Errorf("%s: %v", op.name, err)
			}
		}
		op.set(time.Now().Add(20 * time.Millisecond))
		check(op.run())
		check(op.run()) // it has passed before
		op.set(time.Time{})
		done := make(chan error, 1)
		go func() { done <- op.run() }()
		time.Sleep(20 * time.Millisecond)
		op.set(time.Unix(1, 0))
		check(within(t, op.name, done))
		op.set(time.Time{})
	}
	go io.Copy(io.Discard, b)
	done := make(chan error, 1)
	go func() { _, err := a.Write(much); done <- err }()
	if err := within(t, "a write after deadlines", done); err != nil {
		t.Error(err)
	}
}

// TestSocketClose: who waits is told, and so are those who come later.
func TestSocketClose(t *testing.T) {
	for range 50 {
		a, b := quietPair(t)
		done := make(chan error, 2)
		go func() { _, err := a.Read(make([]byte, 1)); done <- err }()
		go func() { _, err := a.Write(make([]byte, 1<<22)); done <- err }()
		if _, err := io.ReadFull(b, make([]byte, 1000)); err != nil { // the writer has begun
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := within(t, "a wait", done); !errors.Is(err, net.ErrClosed) {
				t.Errorf("while it was closed: %v", err)
			}
		}
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after Close: %v", err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after Close: %v", err)
		}
		if err := a.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
		if err := a.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("deadline after Close: %v", err)
		}
		if _, err := io.Copy(io.Discard, b); err != nil {
			t.Errorf("what was sent before: %v", err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("to nobody: %v", err)
		}
	}
}

// TestSocketCloseRead: what came before is read, then there is the end, and the
// peer is told.
func TestSocketCloseRead(t *testing.T) {
	a, b := quietPair(t)
	b.Write([]byte("before"))
	done := make(chan error, 1)
	if err := a.CloseRead(); err != nil {
		t.Error(err)
	}
	go func() {
		got, err := io.ReadAll(a)
		if err == nil && string(got) != "before" {
			err = fmt.Errorf("read %q", got)
		}
		done <- err
	}()
	if err := within(t, "what came before", done); err != nil {
		t.Error(err)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("to one who does not read: %v", err)
	}
	a.Close()
	if err := a.CloseRead(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestSocketDescriptors: none is left behind, and none passed gets lost.
func TestSocketDescriptors(t *testing.T) {
	before := openFiles(t)
	for range 20 {
		a, b := quietPair(t)
		r, err := NewReceiver(b)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := a.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			raw.Write(func(fd uintptr) bool {
				_, err := SendMessage(int(fd), []byte("file"), unix.UnixRights(0))
				return !errors.Is(err, syscall.EAGAIN)
			})
		}()
		buf, oob := make([]byte, 16), make([]byte, 64)
		n, oobn, lost, err := r.Read(buf, oob)
		if err != nil || lost || string(buf[:n]) != "file" {
			t.Fatalf("received %q, lost %v: %v", buf[:n], lost, err)
		}
		for _, fd := range rights(t, oob[:oobn]) {
			unix.Close(fd)
		}
		a.Write(nil)
		a.Close()
		if _, _, _, err := r.Read(buf, oob); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		b.Close()
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

func rights(t *testing.T, oob []byte) []int {
	t.Helper()
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) != 1 {
		t.Fatalf("%d control messages, %v", len(msgs), err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("%d descriptors, %v", len(fds), err)
	}
	return fds
}

func openFiles(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// TestSocketWakes watches, as the runtime's poller does, a socket itself and the
// descriptor that watches it in a Socket: what the peer reads shows at the first
// alone, what it writes or its end at both.
func TestSocketWakes(t *testing.T) {
	a, b := quietPair(t)
	inner := -1
	a.in.raw.Control(func(fd uintptr) { inner = int(fd) })
	plain, quiet := edges(t, a.fd), edges(t, inner)
	plain() // there is room to write
	a.Write([]byte("question"))
	plain()
	b.Read(make([]byte, 8))
	if !plain() || quiet() {
		t.Error("after a read of the peer")
	}
	b.Write([]byte("answer"))
	if !plain() || !quiet() {
		t.Error("after a write of the peer")
	}
	a.Read(make([]byte, 8))
	if quiet() {
		t.Error("after it was read")
	}
	b.Close()
	if !plain() || !quiet() {
		t.Error("after the end")
	}
}

// edges returns what tells whether anything has happened at a descriptor since it
// was asked last.
func edges(t *testing.T, fd int) func() bool {
	t.Helper()
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(ep) })
	const all = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&(1<<32-1)
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: all}); err != nil {
		t.Fatal(err)
	}
	return func() bool {
		for {
			n, err := unix.EpollWait(ep, make([]unix.EpollEvent, 1), 0)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			return n > 0
		}
	}
}

// TestQuietElsewhere: what is no Unix socket stays what it is.
func TestQuietElsewhere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if Quiet(c) != c {
		t.Error("a TCP connection was replaced")
	}
	p, q := net.Pipe()
	defer q.Close()
	defer p.Close()
	if Quiet(p) != p {
		t.Error("a pipe was replaced")
	}
}
