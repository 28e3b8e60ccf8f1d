// Package dovecotauth asks a Dovecot auth server whether a login is right, over
// its client protocol, version 1: lines of fields that tabs separate. It is
// what smtpd_sasl_type = dovecot means, so that a site which has Dovecot can
// keep it.
//
// The server speaks first, with its version, its mechanisms and DONE. Then
//
//	AUTH id mechanism service=... nologin rip=... secured resp=...
//	CONT id response
//
// are answered by CONT id challenge, OK id user=..., or FAIL id reason=....
package dovecotauth

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of what a server may send, and how long it may take. Dovecot delays
// its answer to a wrong password.
const (
	maxMechanisms = 100
	maxHandshake  = 200 // lines
	maxIdle       = 16  // connections
	dialTimeout   = 10 * time.Second
	replyTimeout  = 60 * time.Second
)

// Outcome is how far an exchange is.
type Outcome int

// The outcomes. The zero value is no success.
const (
	Failed Outcome = iota
	Continue
	OK
	Temporary
)

// Reply is the server's answer.
type Reply struct {
	Outcome   Outcome
	Challenge []byte // with Continue
	User      string // with OK; with Failed if the server knows
	Reason    string // with Failed and Temporary, may be ""
}

// Peer is who wants to log in.
type Peer struct {
	RemoteIP, LocalIP     string
	RemotePort, LocalPort int
	Secured               bool // TLS, so that clear-text mechanisms are no harm
}

// Client asks one server. It is safe for concurrent use.
type Client struct {
	network, addr, service string

	mu   sync.Mutex
	idle []*conn
}

// New returns a client. address is "unix:path" or a path, or "inet:host:port"
// with the address of a host; service is what the server's settings may depend
// on, such as "smtp".
func New(address, service string) (*Client, error) {
	c := &Client{network: "unix", addr: strings.TrimPrefix(address, "unix:"), service: service}
	if rest, ok := strings.CutPrefix(address, "inet:"); ok {
		host, port, err := net.SplitHostPort(rest)
		if err != nil {
			return nil, err
		}
		c.network, c.addr = "tcp", net.JoinHostPort(host, port)
	}
	if c.addr == "" {
		return nil, errors.New("no address of the Dovecot auth server")
	}
	return c, nil
}

// conn is one connection. It carries one exchange at a time.
type conn struct {
	net.Conn
	r          *bufio.Reader
	mechanisms []string
	last       int // id of the last request
}

// dial connects and reads the handshake.
func (c *Client) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, c.network, c.addr)
	if err != nil {
		return nil, err
	}
	x := &conn{Conn: nc, r: bufio.NewReader(nc)}
	nc.SetDeadline(time.Now().Add(dialTimeout))
	if _, err = nc.Write([]byte(Line("VERSION", "1", "1") + Line("CPID", strconv.Itoa(os.Getpid())))); err == nil {
		err = x.handshake()
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("auth server %s: %w", c.addr, err)
	}
	return x, nil
}

// handshake reads what the server says first.
func (x *conn) handshake() error {
	version := false
	for range maxHandshake {
		f, err := ReadLine(x.r)
		if err != nil {
			return err
		}
		switch {
		case f[0] == "VERSION" && len(f) >= 3:
			if f[1] != "1" {
				return fmt.Errorf("protocol version %.20q is not known", f[1])
			}
			version = true
		case f[0] == "MECH" && len(f) >= 2:
			if len(x.mechanisms) == maxMechanisms {
				return fmt.Errorf("%w: too many mechanisms", ErrMalformed)
			}
			if !has(f[2:], "private") {
				x.mechanisms = append(x.mechanisms, Unescape(f[1]))
			}
		case f[0] == "DONE":
			if !version {
				return fmt.Errorf("%w: no version", ErrMalformed)
			}
			return nil
		}
	}
	return fmt.Errorf("%w: endless handshake", ErrMalformed)
}

func has(fields []string, want string) bool {
	for _, f := range fields {
		if f == want {
			return true
		}
	}
	return false
}

// get returns a connection, a kept one if there is.
func (c *Client) get(ctx context.Context) (x *conn, reused bool, err error) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		x = c.idle[n-1]
		c.idle = c.idle[:n-1]
	}
	c.mu.Unlock()
	if x != nil {
		return x, true, nil
	}
	x, err = c.dial(ctx)
	return x, false, err
}

func (c *Client) put(x *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) < maxIdle && x.r.Buffered() == 0 {
		c.idle = append(c.idle, x)
		return
	}
	x.Close()
}

// Close closes the connections that are not in use.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.idle {
		x.Close()
	}
	c.idle = nil
}

// Mechanisms returns what the server offers, by a new connection: the server
// may have been restarted with other settings.
func (c *Client) Mechanisms(ctx context.Context) ([]string, error) {
	x, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	c.put(x)
	return x.mechanisms, nil
}

// Exchange is an exchange that waits for a response.
type Exchange struct {
	c  *Client
	x  *conn
	id string
}

// Begin starts an exchange. initial is nil if there is no initial response.
// Without an answer of the server the outcome is Temporary, and err says why.
func (c *Client) Begin(ctx context.Context, p Peer, mechanism string, initial []byte) (*Exchange, Reply, error) {
	for {
		x, reused, err := c.get(ctx)
		if err != nil {
			return nil, Reply{Outcome: Temporary}, err
		}
		x.last++
		e := &Exchange{c: c, x: x, id: strconv.Itoa(x.last)}
		r, err := e.call(ctx, c.request(e.id, p, mechanism, initial))
		if err != nil && reused && ctx.Err() == nil {
			c.Close() // the server was restarted
			continue
		}
		return e, r, err
	}
}

// request makes the AUTH line. resp must be its last field.
func (c *Client) request(id string, p Peer, mechanism string, initial []byte) string {
	f := []string{"AUTH", id, Escape(mechanism), "service=" + Escape(c.service), "nologin"}
	for _, a := range []struct{ name, value string }{{"lip", p.LocalIP}, {"rip", p.RemoteIP}} {
		if a.value != "" {
			f = append(f, a.name+"="+Escape(a.value))
		}
	}
	if p.LocalPort != 0 {
		f = append(f, "lport="+strconv.Itoa(p.LocalPort))
	}
	if p.RemotePort != 0 {
		f = append(f, "rport="+strconv.Itoa(p.RemotePort))
	}
	if p.Secured {
		f = append(f, "secured")
	}
	if initial != nil {
		f = append(f, "resp="+base64.StdEncoding.EncodeToString(initial))
	}
	return Line(f...)
}

// Next gives the client's response.
func (e *Exchange) Next(ctx context.Context, response []byte) (Reply, error) {
	if e.x == nil {
		return Reply{Outcome: Temporary}, net.ErrClosed
	}
	return e.call(ctx, Line("CONT", e.id, base64.StdEncoding.EncodeToString(response)))
}

// Abort ends an exchange that the client gave up.
func (e *Exchange) Abort() {
	if e != nil && e.x != nil {
		e.x.Close()
		e.x = nil
	}
}

// call sends a line and waits for the answer. A connection on which an
// exchange did not end well is not used again.
func (e *Exchange) call(ctx context.Context, line string) (Reply, error) {
	x := e.x
	stop := context.AfterFunc(ctx, func() { x.SetDeadline(time.Unix(1, 0)) })
	x.SetDeadline(time.Now().Add(replyTimeout))
	_, err := x.Write([]byte(line))
	var r Reply
	if err == nil {
		r, err = e.answer()
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		e.Abort()
		return Reply{Outcome: Temporary}, fmt.Errorf("auth server %s: %w", e.c.addr, err)
	}
	if r.Outcome != Continue {
		e.c.put(x)
		e.x = nil
	}
	return r, nil
}

// answer reads lines until one is about this exchange.
func (e *Exchange) answer() (Reply, error) {
	for range maxHandshake {
		f, err := ReadLine(e.x.r)
		if err != nil {
			return Reply{}, err
		}
		if len(f) < 2 || f[1] != e.id {
			continue // the answer to something that was given up
		}
		switch f[0] {
		case "CONT":
			if len(f) < 3 {
				f = append(f, "")
			}
			b, err := base64.StdEncoding.DecodeString(f[2])
			if err != nil {
				return Reply{}, fmt.Errorf("%w: challenge", ErrMalformed)
			}
			return Reply{Outcome: Continue, Challenge: b}, nil
		case "OK":
			r := result(f[2:])
			if r.User == "" {
				return Reply{}, fmt.Errorf("%w: success without a user", ErrMalformed)
			}
			r.Outcome = OK
			return r, nil
		case "FAIL":
			return result(f[2:]), nil
		}
	}
	return Reply{}, fmt.Errorf("%w: no answer", ErrMalformed)
}

// result reads the parameters of OK and FAIL.
func result(fields []string) Reply {
	r := Reply{}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		value = Unescape(value)
		switch name {
		case "user":
			r.User = value
		case "reason":
			r.Reason = value
		case "temp":
			r.Outcome = Temporary
		case "code":
			if value == "temp_fail" {
				r.Outcome = Temporary
			}
		}
	}
	return r
}
