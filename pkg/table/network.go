package table

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// netTimeout bounds one question to a tcp: or socketmap: server.
const netTimeout = 100 * time.Second

// Reply sizes that the protocols allow.
const (
	maxTCPReply       = 4096
	maxSocketmapReply = 100000
)

// netTable asks a server that is not part of Posthouse. It keeps one
// connection, and lookups take turns on it.
type netTable struct {
	network, address string
	// ask sends one question and reads its answer. retry is true if the
	// connection broke before there was any of it.
	ask func(conn *bufio.ReadWriter, key string) (v string, found, retry bool, err error)

	mu   sync.Mutex
	conn net.Conn
	rw   *bufio.ReadWriter
}

// openNetwork opens "tcp:host:port", "socketmap:inet:host:port:name" or
// "socketmap:unix:path:name". Nobody is asked before the first lookup.
func openNetwork(kind, name string, o *Options) (Table, error) {
	if o.Sensitive {
		return nil, fmt.Errorf("%s: tables are not allowed for security-sensitive data", kind)
	}
	t := &netTable{network: "tcp", address: name, ask: askTCP}
	if kind == "socketmap" {
		i := strings.LastIndexByte(name, ':')
		if i < 0 {
			return nil, errors.New("socketmap requires server:socketmap argument")
		}
		var ok bool
		if t.network, t.address, ok = strings.Cut(name[:i], ":"); !ok {
			return nil, errors.New("expected inet:host:port:name or unix:path:name")
		}
		mapName := name[i+1:]
		t.ask = func(rw *bufio.ReadWriter, key string) (string, bool, bool, error) {
			return askSocketmap(rw, mapName, key)
		}
	}
	switch t.network {
	case "inet", "tcp":
		t.network = "tcp"
		if _, _, err := net.SplitHostPort(t.address); err != nil {
			return nil, err
		}
	case "unix":
	default:
		return nil, errors.New("expected inet:host:port:name or unix:path:name")
	}
	return t, nil
}

func (t *netTable) Lookup(ctx context.Context, key string) (string, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// A second try is for a connection that the server closed meanwhile.
	for try := 0; ; try++ {
		if err := t.connect(ctx); err != nil {
			return "", false, err
		}
		v, found, retry, err := t.ask(t.rw, key)
		if err == nil {
			return v, found, nil
		}
		t.hangUp()
		if !retry || try > 0 {
			return "", false, fmt.Errorf("%s: %w", t.address, err)
		}
	}
}

func (t *netTable) connect(ctx context.Context) error {
	if t.conn == nil {
		d := net.Dialer{Timeout: netTimeout}
		conn, err := d.DialContext(ctx, t.network, t.address)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", t.address, err)
		}
		t.conn = conn
		t.rw = bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
	}
	deadline := time.Now().Add(netTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	return t.conn.SetDeadline(deadline)
}

func (t *netTable) hangUp() {
	if t.conn != nil {
		t.conn.Close()
		t.conn = nil
	}
}

func (t *netTable) Pattern() bool { return true }

func (t *netTable) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hangUp()
	return nil
}

// askTCP speaks tcp_table(5): "get key", answered by a code and text. Both
// are encoded so that a key cannot end the line.
func askTCP(rw *bufio.ReadWriter, key string) (v string, found, retry bool, err error) {
	rw.WriteString("get " + percentEncode(key) + "\n")
	if err := rw.Flush(); err != nil {
		return "", false, true, err
	}
	line, retry, err := readTCPLine(rw.Reader)
	if err != nil {
		return "", false, retry, err
	}
	if len(line) < 4 || line[3] != ' ' {
		return "", false, false, fmt.Errorf("malformed reply %.40q", line)
	}
	text, err := percentDecode(strings.TrimLeft(line[4:], " "))
	if err != nil {
		return "", false, false, err
	}
	switch line[:3] {
	case "500":
		return "", false, false, nil
	case "200":
		return text, true, false, nil
	}
	return "", false, false, fmt.Errorf("server says: %.200s", text)
}

// readTCPLine reads one reply line. retry is true if nothing came at all.
func readTCPLine(r *bufio.Reader) (line string, retry bool, err error) {
	var b []byte
	for len(b) < maxTCPReply {
		c, err := r.ReadByte()
		if err != nil {
			return "", len(b) == 0, err
		}
		if c == '\n' {
			return strings.TrimRight(string(b), "\r"), false, nil
		}
		b = append(b, c)
	}
	return "", false, errors.New("reply is too long")
}

func percentEncode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func percentDecode(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errors.New("malformed encoding in reply")
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", errors.New("malformed encoding in reply")
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), nil
}

// askSocketmap speaks the socketmap protocol: a netstring "name key", answered
// by one that starts with OK, NOTFOUND, TEMP, TIMEOUT or PERM.
func askSocketmap(rw *bufio.ReadWriter, name, key string) (v string, found, retry bool, err error) {
	request := name + " " + key
	fmt.Fprintf(rw, "%d:%s,", len(request), request)
	if err := rw.Flush(); err != nil {
		return "", false, true, err
	}
	reply, retry, err := readNetstring(rw.Reader)
	if err != nil {
		return "", false, retry, err
	}
	word, data, _ := strings.Cut(reply, " ")
	switch word {
	case "OK":
		return data, true, false, nil
	case "NOTFOUND":
		return "", false, false, nil
	case "TEMP", "TIMEOUT", "PERM":
		return "", false, false, fmt.Errorf("server says: %.200s", reply)
	}
	return "", false, false, fmt.Errorf("malformed reply %.40q", reply)
}

func readNetstring(r *bufio.Reader) (s string, retry bool, err error) {
	size, digits := 0, 0
	for {
		c, err := r.ReadByte()
		if err != nil {
			return "", digits == 0, err
		}
		if c == ':' && digits > 0 {
			break
		}
		if c < '0' || c > '9' {
			return "", false, errors.New("malformed netstring")
		}
		size = size*10 + int(c-'0')
		digits++
		if size > maxSocketmapReply {
			return "", false, errors.New("reply is too long")
		}
	}
	b := make([]byte, size+1)
	if _, err := io.ReadFull(r, b); err != nil {
		return "", false, err
	}
	if b[size] != ',' {
		return "", false, errors.New("malformed netstring")
	}
	return string(b[:size]), false, nil
}
