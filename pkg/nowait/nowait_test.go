package nowait

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair returns two ends of a stream socket.
func pair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("unix", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return Wrap(a), Wrap(b)
}

func TestConnCarriesMoreThanFits(t *testing.T) {
	a, b := pair(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	done := make(chan error, 1)
	go func() {
		_, err := a.Write(sent)
		a.Close()
		done <- err
	}()
	got, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes, %v", len(got), len(sent), err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestConnErrors(t *testing.T) {
	a, b := pair(t)
	a.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("at the deadline: %v", err)
	}
	b.Close()
	a.SetReadDeadline(time.Time{})
	if _, err := a.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("to nobody: %v", err)
	}
	a.Close()
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestFileClosed: a wait for a file that is closed meanwhile ends.
func TestFileClosed(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s, err := NewStream(r)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for err == nil {
			_, err = s.Read(make([]byte, 1))
		}
		done <- err
	}()
	w.Write([]byte("x"))
	r.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestPipeAndDatagram(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	buf := make([]byte, 8)
	if _, err := Read(fds[0], buf); err != syscall.EAGAIN {
		t.Errorf("read of an empty pipe: %v", err)
	}
	if n, err := Write(fds[1], []byte("abc")); n != 3 || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
	if n, err := Read(fds[0], buf); string(buf[:n]) != "abc" || err != nil {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	unix.Close(fds[0])
	if _, err := Write(fds[1], []byte("abc")); err != syscall.EPIPE {
		t.Errorf("write to nobody: %v", err)
	}
	two, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(two[0])
	defer unix.Close(two[1])
	for err = Send(two[0], []byte("x")); err == nil; {
		err = Send(two[0], []byte("x"))
	}
	if err != syscall.EAGAIN {
		t.Errorf("datagram without room: %v", err)
	}
}

// TestNap: it takes its time, if no signal ends it, and no longer than it may.
func TestNap(t *testing.T) {
	slept := false
	for range 100 {
		start := time.Now()
		Nap(3 * time.Millisecond)
		slept = slept || time.Since(start) >= 3*time.Millisecond
	}
	if !slept {
		t.Error("it does not sleep")
	}
	done := make(chan bool)
	go func() {
		Nap(time.Hour)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("it does not end")
	}
}
