package dns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Config is what the files say about resolving names.
type Config struct {
	Servers  []netip.AddrPort
	Search   []string
	NDots    int
	Timeout  time.Duration // for one try at one server
	Attempts int           // rounds through the servers
	Rotate   bool
	UseTCP   bool
	TrustAD  bool // options trust-ad: believe the servers' AD bit
	// FilesFirst and Files come from the hosts line of nsswitch.conf.
	Files, FilesFirst, DNS bool
	Hosts                  *Hosts
}

// Bounds of what resolv.conf may ask for; they are those of resolv.conf(5).
const (
	maxServers  = 3
	maxTimeout  = 30
	maxAttempts = 5
	maxFile     = 1 << 22 // bytes read of a file
)

// Load reads the resolver's files. A resolv.conf or hosts file in dir, the
// configuration directory, is used instead of the system's; dir may be "".
func Load(dir string) (*Config, error) {
	return load(dir, "/etc")
}

func load(dir, etc string) (*Config, error) {
	c := &Config{}
	f, err := openFirst(dir, etc, "resolv.conf")
	if err != nil {
		return nil, err
	}
	err = c.parseResolvConf(f)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("read resolv.conf: %w", err)
	}
	if f, err = openFirst("", etc, "nsswitch.conf"); err != nil {
		return nil, err
	}
	err = c.parseNsswitch(f)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("read nsswitch.conf: %w", err)
	}
	if f, err = openFirst(dir, etc, "hosts"); err != nil {
		return nil, err
	}
	defer f.Close()
	if c.Hosts, err = ParseHosts(f); err != nil {
		return nil, fmt.Errorf("read hosts: %w", err)
	}
	return c, nil
}

// openFirst opens name in the first directory that has it. A file that is in
// none reads as an empty one: its defaults apply.
func openFirst(dir, etc, name string) (io.ReadCloser, error) {
	for _, d := range []string{dir, etc} {
		if d == "" {
			continue
		}
		path := filepath.Join(d, name)
		f, err := os.Open(path)
		if err == nil {
			return struct {
				io.Reader
				io.Closer
			}{io.LimitReader(f, maxFile), f}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
	}
	return io.NopCloser(strings.NewReader("")), nil
}

// ParseResolvConf reads a file in the form of resolv.conf(5). Lines that it
// does not know are passed over, as the C library does.
func ParseResolvConf(r io.Reader) (*Config, error) {
	c := &Config{Files: true, FilesFirst: true, DNS: true, Hosts: &Hosts{}}
	return c, c.parseResolvConf(r)
}

func (c *Config) parseResolvConf(r io.Reader) error {
	c.NDots, c.Timeout, c.Attempts = 1, 5*time.Second, 2
	s := bufio.NewScanner(r)
	for s.Scan() {
		line := s.Text()
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if a, ok := parseServer(words[1]); ok && len(c.Servers) < maxServers {
				c.Servers = append(c.Servers, a)
			}
		case "search", "domain":
			c.Search = words[1:]
		case "options":
			c.parseOptions(words[1:])
		}
	}
	if len(c.Servers) == 0 {
		// resolv.conf(5): without a nameserver line, the local machine.
		c.Servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}
	}
	return s.Err()
}

// parseServer reads an address with an optional port: "::1", "127.0.0.1:53",
// "[::1]:53".
func parseServer(s string) (netip.AddrPort, bool) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(a, 53), true
	}
	a, err := netip.ParseAddrPort(s)
	return a, err == nil && a.Port() != 0
}

func (c *Config) parseOptions(words []string) {
	for _, w := range words {
		name, value, _ := strings.Cut(w, ":")
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			n = -1
		}
		switch {
		case name == "ndots" && n >= 0:
			c.NDots = min(n, 15)
		case name == "timeout" && n > 0:
			c.Timeout = time.Duration(min(n, maxTimeout)) * time.Second
		case name == "attempts" && n > 0:
			c.Attempts = min(n, maxAttempts)
		case name == "rotate":
			c.Rotate = true
		case name == "use-vc":
			c.UseTCP = true
		case name == "trust-ad":
			c.TrustAD = true
		}
	}
}

// parseNsswitch takes from the hosts line which of files and dns are asked,
// and in which order. Other sources (mdns, myhostname) are not ours.
func (c *Config) parseNsswitch(r io.Reader) error {
	c.Files, c.FilesFirst, c.DNS = true, true, true
	s := bufio.NewScanner(r)
	for s.Scan() {
		line, _, _ := strings.Cut(s.Text(), "#")
		list, ok := strings.CutPrefix(strings.TrimSpace(line), "hosts:")
		if !ok {
			continue
		}
		c.Files, c.FilesFirst, c.DNS = false, false, false
		for _, w := range strings.Fields(list) {
			switch w {
			case "files":
				c.Files = true
				c.FilesFirst = !c.DNS
			case "dns", "resolve":
				c.DNS = true
			}
		}
	}
	return s.Err()
}

// Hosts is the content of a hosts file. The zero value is an empty one.
type Hosts struct {
	byName map[string][]netip.Addr
	byAddr map[netip.Addr]string
}

// ParseHosts reads a file in the form of hosts(5).
func ParseHosts(r io.Reader) (*Hosts, error) {
	h := &Hosts{byName: map[string][]netip.Addr{}, byAddr: map[netip.Addr]string{}}
	s := bufio.NewScanner(r)
	for s.Scan() {
		line, _, _ := strings.Cut(s.Text(), "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(words[0])
		if err != nil {
			continue
		}
		addr = addr.Unmap()
		if _, ok := h.byAddr[addr]; !ok {
			h.byAddr[addr] = words[1]
		}
		for _, name := range words[1:] {
			name = fold(name)
			h.byName[name] = append(h.byName[name], addr)
		}
	}
	return h, s.Err()
}

// Addrs returns the addresses of a name, nil if it is not in the file.
func (h *Hosts) Addrs(name string) []netip.Addr { return h.byName[fold(name)] }

// Name returns the canonical name of an address, "" if it is not there.
func (h *Hosts) Name(addr netip.Addr) string { return h.byAddr[addr.Unmap().WithZone("")] }

// fold brings a name to the form in which names are compared and cached.
func fold(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// isLoopback reports whether a server runs on this machine, so that nobody on
// the way can set its AD bit.
func isLoopback(a netip.AddrPort) bool { return net.IP(a.Addr().AsSlice()).IsLoopback() }
