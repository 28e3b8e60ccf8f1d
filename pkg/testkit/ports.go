package testkit

import (
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// portsEach is how many ports an instance has for itself; the last of them only
// says that they are taken.
const portsEach = 16

// FreePorts returns the first of fifteen ports of 127.0.0.1 on which nobody
// listens, for programs that bind them later. They are below those that the
// kernel hands out, and stay reserved, between tests that ask here, until the end
// of the test.
func FreePorts(t testing.TB) int {
	t.Helper()
	for range 200 {
		base := 10000 + portsEach*rand.IntN(20000/portsEach)
		mark, err := net.Listen("tcp", loopback(base+portsEach-1))
		if err != nil {
			continue
		}
		if allFree(base) {
			t.Cleanup(func() { mark.Close() })
			return base
		}
		mark.Close()
	}
	t.Fatal("no free ports")
	return 0
}

// FreeAddr returns the address of a port as FreePorts does.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return loopback(FreePorts(t))
}

func allFree(base int) bool {
	for port := base; port < base+portsEach-1; port++ {
		ln, err := net.Listen("tcp", loopback(port))
		if err != nil {
			return false
		}
		ln.Close()
	}
	return true
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Closed is a port of 127.0.0.1 that refuses connections, and that nobody else
// can listen on.
type Closed struct {
	Port int
	file *os.File
}

// NewClosed takes a port for the length of the test. It is bound: one that is
// only known to be free belongs to the next program that asks for any.
func NewClosed(t testing.TB) *Closed {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(os.NewSyscallError("socket", err))
	}
	c := &Closed{file: os.NewFile(uintptr(fd), "closed port")}
	t.Cleanup(func() { c.file.Close() })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(os.NewSyscallError("bind", err))
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(os.NewSyscallError("getsockname", err))
	}
	c.Port = name.(*syscall.SockaddrInet4).Port
	return c
}

// Addr is the port with its host.
func (c *Closed) Addr() string { return loopback(c.Port) }

// Hop is the port as a next hop of main.cf.
func (c *Closed) Hop() string { return "[127.0.0.1]:" + strconv.Itoa(c.Port) }

// Listen opens the port; from now on it takes connections.
func (c *Closed) Listen(t testing.TB) net.Listener {
	t.Helper()
	if err := syscall.Listen(int(c.file.Fd()), 100); err != nil {
		t.Fatal(os.NewSyscallError("listen", err))
	}
	ln, err := net.FileListener(c.file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}
