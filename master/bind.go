package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// backlog is how many clients the kernel keeps while no process accepts.
const backlog = 1024

// endpoint is one open socket or FIFO.
type endpoint struct {
	key  string // what it is, to find it again after a reload
	fd   int
	path string // of a socket or FIFO in the file system
}

func (e *endpoint) close() {
	unix.Close(e.fd)
}

// wanted lists the keys of the endpoints of a service: "unix public/cleanup",
// "inet 127.0.0.1:25".
func wanted(set *settings, s *config.Service) ([]string, error) {
	if s.Type != "inet" {
		dir := "public"
		if s.Private {
			dir = "private"
		}
		return []string{s.Type + " " + filepath.Join(dir, s.Name)}, nil
	}
	addrs, err := inetAddresses(set, s.Name)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", s.File, s.Line, err)
	}
	keys := make([]string, len(addrs))
	for i, a := range addrs {
		keys[i] = "inet " + a.String()
	}
	return keys, nil
}

// inetAddresses resolves "port", "host:port" and "[address]:port".
func inetAddresses(set *settings, name string) ([]netip.AddrPort, error) {
	hosts := set.Interfaces
	port := name
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		port = name[i+1:]
		if host := strings.Trim(name[:i], "[]"); host != "" {
			hosts = []string{host}
		}
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return nil, fmt.Errorf("port %q: %w", port, err)
	}
	var out []netip.AddrPort
	seen := map[netip.Addr]bool{}
	for _, h := range hosts {
		addrs, err := hostAddresses(h)
		if err != nil {
			return nil, fmt.Errorf("host %q: %w", h, err)
		}
		for _, a := range addrs {
			a = a.Unmap()
			if !seen[a] && set.speaks(a) {
				seen[a] = true
				out = append(out, netip.AddrPortFrom(a, uint16(number)))
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("service %q has no address with inet_protocols = %s", name, strings.Join(set.Protocols, ", "))
	}
	return out, nil
}

// hostAddresses resolves one word of inet_interfaces.
func hostAddresses(host string) ([]netip.Addr, error) {
	switch host {
	case "all":
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}, nil
	case "loopback-only":
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	host = strings.Trim(host, "[]")
	if a, err := netip.ParseAddr(strings.TrimPrefix(host, "IPv6:")); err == nil {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// speaks reports whether inet_protocols allows the family of an address.
func (s *settings) speaks(a netip.Addr) bool {
	for _, p := range s.Protocols {
		switch strings.ToLower(p) {
		case "all":
			return true
		case "ipv4":
			if a.Is4() {
				return true
			}
		case "ipv6":
			if a.Is6() {
				return true
			}
		}
	}
	return false
}

// errNoFamily means that this machine does not speak IPv6, which matters only
// if somebody asked for it by name.
var errNoFamily = errors.New("address family is not available")

// open makes the endpoint for a key.
func open(set *settings, key string) (*endpoint, error) {
	typ, rest, _ := strings.Cut(key, " ")
	e := &endpoint{key: key}
	var err error
	if typ == "inet" {
		addr, perr := netip.ParseAddrPort(rest)
		if perr != nil {
			return nil, perr
		}
		e.fd, err = listenInet(addr)
	} else {
		e.path = rest
		e.fd, err = openLocal(set, typ, rest)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// listenInet binds a TCP port.
func listenInet(addr netip.AddrPort) (int, error) {
	family := unix.AF_INET
	var sa unix.Sockaddr
	if a := addr.Addr(); a.Is4() {
		sa = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: a.As4()}
	} else {
		family = unix.AF_INET6
		sa = &unix.SockaddrInet6{Port: int(addr.Port()), Addr: a.As16(), ZoneId: zoneID(a.Zone())}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return 0, errNoFamily
	}
	if err != nil {
		return 0, fmt.Errorf("socket for %s: %w", addr, err)
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if family == unix.AF_INET6 {
		// The IPv4 wildcard is a listener of its own.
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	err = bindPatiently(fd, sa)
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err == nil {
		return fd, nil
	}
	unix.Close(fd)
	if family == unix.AF_INET6 && errors.Is(err, unix.EADDRNOTAVAIL) {
		return 0, errNoFamily
	}
	return 0, fmt.Errorf("bind %s: %w", addr, err)
}

// bindPatiently gives daemons of a master that was killed the moment that they
// need to let go of their port.
func bindPatiently(fd int, sa unix.Sockaddr) error {
	for attempt := 0; ; attempt++ {
		err := unix.Bind(fd, sa)
		if err != unix.EADDRINUSE || attempt == 20 {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// zoneID turns the zone of a link-local address into a number.
func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifc, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifc.Index)
	}
	n, _ := strconv.Atoi(zone)
	return uint32(n)
}

// openLocal makes a socket or FIFO in public or private. It listens as root,
// which the kernel tells to clients of the socket: so they can know it from one
// that a process of the mail owner put in its place.
func openLocal(set *settings, typ, path string) (int, error) {
	fd, err := makeLocal(set, typ, path)
	if err != nil || typ == "fifo" || typ == "unix-dgram" {
		return fd, err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("listen on %s: %w", path, err)
	}
	return fd, nil
}

// makeLocal makes the socket or FIFO. The directory belongs to the mail owner,
// who may have put anything there, so it is made with the mail owner's rights:
// there is no chown afterwards that could be misled.
func makeLocal(set *settings, typ, path string) (int, error) {
	back, err := actAs(set.uid, set.gid)
	if err != nil {
		return 0, err
	}
	defer back()
	if err := ipc.RemoveStale(path); err != nil {
		return 0, err
	}
	if typ == "fifo" {
		return makeFIFO(path)
	}
	kind := unix.SOCK_STREAM
	if typ == "unix-dgram" {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socket for %s: %w", path, err)
	}
	// The directory decides who reaches it; the socket is open to all.
	old := unix.Umask(0o111)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	unix.Umask(old)
	if err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("bind %s: %w", path, err)
	}
	return fd, nil
}

// makeFIFO makes a FIFO and opens it for both directions, so that it never
// sees an end of file and never lacks a reader.
func makeFIFO(path string) (int, error) {
	old := unix.Umask(0)
	err := unix.Mkfifo(path, 0o622)
	unix.Umask(old)
	if err != nil {
		return 0, fmt.Errorf("make FIFO %s: %w", path, err)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0, fmt.Errorf("open FIFO %s: %w", path, err)
	}
	return fd, nil
}

// actAs changes the effective ids of the whole process for a moment. Master
// does nothing else meanwhile.
func actAs(uid, gid int) (back func(), err error) {
	if os.Getuid() != 0 {
		return func() {}, nil
	}
	if err := syscall.Setresgid(-1, gid, -1); err != nil {
		return nil, fmt.Errorf("set effective gid %d: %w", gid, err)
	}
	if err := syscall.Setresuid(-1, uid, -1); err != nil {
		syscall.Setresgid(-1, 0, -1)
		return nil, fmt.Errorf("set effective uid %d: %w", uid, err)
	}
	return func() {
		// Both cannot fail for a process whose real id is root.
		syscall.Setresuid(-1, 0, -1)
		syscall.Setresgid(-1, 0, -1)
	}, nil
}
