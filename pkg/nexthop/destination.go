package nexthop

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Destination is a next hop: where to send mail, before any lookup.
type Destination struct {
	unix string // path of a socket; the rest is empty then
	host string
	port int
	// literal means no MX lookup: the name was in brackets.
	literal bool
}

// Parse reads a next hop: "host", "host:port", "[host]",
// "[host]:port", "inet:host:port" or "unix:path".
func Parse(s, defaultPort string) (Destination, error) {
	d := Destination{}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" || len(path) > 100 || strings.ContainsRune(path, 0) {
			return d, fmt.Errorf("bad socket path in destination: %s", s)
		}
		d.unix = path
		return d, nil
	}
	rest := strings.TrimPrefix(s, "inet:")
	port := defaultPort
	if inner, ok := strings.CutPrefix(rest, "["); ok {
		host, after, closed := strings.Cut(inner, "]")
		if !closed {
			return d, fmt.Errorf("missing ']' in destination: %s", s)
		}
		d.host, d.literal = host, true
		if after != "" && !strings.HasPrefix(after, ":") {
			return d, fmt.Errorf("text after ']' in destination: %s", s)
		}
		if len(after) > 1 {
			port = after[1:]
		}
	} else {
		host, p, ok := strings.Cut(rest, ":")
		d.host = host
		if ok && p != "" {
			port = p
		}
	}
	// RFC 5321 4.1.3.
	if v6, ok := cutFold(d.host, "ipv6:"); ok {
		d.host = v6
	}
	if d.host == "" {
		return d, fmt.Errorf("null destination: %q", s)
	}
	var err error
	d.port, err = parsePort(port)
	if err != nil {
		return d, fmt.Errorf("bad network port: %s for destination: %s", port, s)
	}
	return d, nil
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// parsePort reads a port number or the name of a service. The names that mail
// needs are known without /etc/services, which a jail does not have.
func parsePort(s string) (int, error) {
	known := map[string]int{"smtp": 25, "submission": 587, "smtps": 465, "submissions": 465, "lmtp": 24}
	if n, ok := known[s]; ok {
		return n, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		if n, err = net.LookupPort("tcp", s); err != nil {
			return 0, err
		}
	}
	if n < 1 || n > 65535 {
		return 0, strconv.ErrRange
	}
	return n, nil
}

// Split splits a next hop that names several destinations, to be tried
// in turn.
func Split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}
