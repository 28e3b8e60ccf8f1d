// Package session is how a login server hands the connection of a user who
// has logged in to the process that works as this user.
//
// The servers before login (imapd, pop3d) have no right to any mailbox. They
// send the one-use ticket that authd(8) gave them to sessiond(8), with what
// is known about the connection and a descriptor: that of the connection
// itself or, where the login server keeps TLS, one end of a socket pair. The
// ticket alone decides who the user is.
//
// A request is an attribute list, with the descriptor at its first byte:
//
//	ticket service rip rport lip lport tls proxied tag session pending -> status, text
//
// Pending is base64: what the client sent behind its login already. A connection
// carries one request after the other, each after the reply to the last.
package session

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// Endpoint is the socket of sessiond, relative to the queue directory.
const Endpoint = "private/sessiond"

// Timeout bounds a hand-over.
const Timeout = 60 * time.Second

// Limits of a request.
const (
	MaxPending = 32 << 10 // bytes behind the login
	maxTag     = 256
	maxText    = 255
)

// Start is a session at its beginning.
type Start struct {
	Service string           // imap, pop3
	User    *authclient.User // set by sessiond, from the ticket
	// The two ends of the connection.
	RemoteIP, LocalIP     string
	RemotePort, LocalPort int
	TLS                   bool
	// Proxied: the descriptor is a socket pair whose other end is the login
	// server, which may take the connection back (RFC 8437).
	Proxied   bool
	Tag       string // of the IMAP command that is to be answered
	SessionID string // for the log
	Pending   []byte // what the client sent after its login
	// Settings are the parameters that sessions obey, by name. The worker
	// does not read main.cf.
	Settings map[string]string
}

// OfConnection is what of a session is not in the attributes of its client's
// [authclient.Peer], for a login with which the connection goes along.
func (s *Start) OfConnection() ipc.List {
	return ipc.List{}.Bool("proxied", s.Proxied).Str("tag", s.Tag).Str("pending", base64.StdEncoding.EncodeToString(s.Pending))
}

// Attributes appends the session to a list.
func (s *Start) Attributes(l ipc.List) ipc.List {
	l = l.Str("service", s.Service).Str("rip", s.RemoteIP).Int("rport", int64(s.RemotePort)).
		Str("lip", s.LocalIP).Int("lport", int64(s.LocalPort)).Bool("tls", s.TLS).Bool("proxied", s.Proxied).
		Str("tag", s.Tag).Str("session", s.SessionID).
		Str("pending", base64.StdEncoding.EncodeToString(s.Pending))
	if s.User != nil {
		l = s.User.Attributes(l)
	}
	names := make([]string, 0, len(s.Settings))
	for name := range s.Settings {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		l = l.Str("set", name+"="+s.Settings[name])
	}
	return l
}

// Read returns the session in a list. It is checked: the login server that
// wrote it talks to strangers.
func Read(l ipc.List) (*Start, error) {
	s := &Start{Service: l.Value("service"), RemoteIP: l.Value("rip"), LocalIP: l.Value("lip"),
		Tag: l.Value("tag"), SessionID: l.Value("session")}
	for _, f := range []struct {
		name, value string
		limit       int
	}{{"service", s.Service, 32}, {"rip", s.RemoteIP, 64}, {"lip", s.LocalIP, 64}, {"tag", s.Tag, maxTag}, {"session", s.SessionID, 64}} {
		if len(f.value) > f.limit || strings.ContainsAny(f.value, "\r\n") {
			return nil, fmt.Errorf("%w: %s", ipc.ErrMalformed, f.name)
		}
	}
	for _, f := range []struct {
		name string
		dst  *int
	}{{"rport", &s.RemotePort}, {"lport", &s.LocalPort}} {
		n, err := l.GetInt(f.name)
		if err != nil || n < 0 || n > 65535 {
			return nil, fmt.Errorf("%w: %s", ipc.ErrMalformed, f.name)
		}
		*f.dst = int(n)
	}
	var err error
	if s.TLS, err = l.GetBool("tls"); err != nil {
		return nil, err
	}
	if s.Proxied, err = l.GetBool("proxied"); err != nil {
		return nil, err
	}
	if s.Pending, err = base64.StdEncoding.DecodeString(l.Value("pending")); err != nil || len(s.Pending) > MaxPending {
		return nil, fmt.Errorf("%w: pending", ipc.ErrMalformed)
	}
	if s.User, err = authclient.ReadUser(l); err != nil {
		return nil, err
	}
	s.readSettings(l)
	return s, nil
}

func (s *Start) readSettings(l ipc.List) {
	for _, a := range l {
		if a.Name != "set" {
			continue
		}
		if s.Settings == nil {
			s.Settings = make(map[string]string)
		}
		name, value, _ := strings.Cut(a.Value, "=")
		s.Settings[name] = value
	}
}

// Refusal is why sessiond did not take a session. Its text may be told to
// the client.
type Refusal struct {
	Code string // of IMAP and POP3: LIMIT, UNAVAILABLE, CONTACTADMIN
	Text string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

// Unavailable is the refusal of a system that does not work just now.
func Unavailable() *Refusal {
	return &Refusal{Code: "UNAVAILABLE", Text: "Internal error occurred. Try again later."}
}

// Client gives sessions to sessiond. It is safe for concurrent use.
type Client struct{ pool *ipc.Pool }

// NewClient returns a client of the socket at path, which for a daemon is
// [Endpoint]. Its connections are kept: each has one session at a time on its
// way, and those that were taken are none of its business any more.
func NewClient(path string) *Client { return &Client{ipc.NewPool(path, Timeout)} }

// Close closes the connections that are not in use.
func (c *Client) Close() { c.pool.Close() }

// HandOver gives a session to sessiond, with a descriptor. After success the
// caller closes its own: the session is no longer its own. A *Refusal says what
// the client may be told; any other error is for the log.
func (c *Client) HandOver(ctx context.Context, ticket string, s *Start, client syscall.Conn) error {
	req := s.Attributes(ipc.List{}.Str("ticket", ticket))
	for {
		conn, reused, err := c.pool.Get(ctx)
		if err != nil {
			return err
		}
		reply, err := handOver(ctx, conn, req, client)
		if err == nil {
			c.pool.Put(conn)
			return verdict(reply)
		}
		conn.Close()
		// A sessiond that is replaced closes the connections that it has no
		// request on. One that saw the request does not get it twice: the
		// ticket counts once.
		if !reused || ctx.Err() != nil || errors.Is(err, ipc.ErrMalformed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("request to sessiond: %w", err)
		}
		c.pool.Close()
	}
}

func handOver(ctx context.Context, conn *ipc.Conn, req ipc.List, client syscall.Conn) (ipc.List, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := conn.Extend(); err != nil {
		return nil, err
	}
	if err := conn.WriteFileList(client, req); err != nil {
		return nil, err
	}
	reply, err := conn.Receive()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return reply, err
}

// Give is HandOver of authd, over a connection of sessiond's, for a user whom it
// knows. An error means that sessiond has not got the session, unless it is
// ErrLost.
func Give(conn *ipc.Conn, s *Start, client syscall.Conn) (reply ipc.List, err error) {
	if err := conn.Extend(); err != nil {
		return nil, err
	}
	if err := conn.WriteFileList(client, s.Attributes(nil)); err != nil {
		return nil, err
	}
	if reply, err = conn.Receive(); err == nil || errors.Is(err, syscall.ECONNRESET) {
		return reply, err // reset: closed before it was read
	}
	return nil, fmt.Errorf("%w: %w", ErrLost, err)
}

// ErrLost reports a connection of which nobody knows who has it.
var ErrLost = errors.New("the connection is lost")

// Verdict is what the login server hears of a session that authd handed over:
// nil, a *Refusal, or ErrLost.
func Verdict(step authclient.Step) error {
	switch step.Handed {
	case authclient.Given:
		return nil
	case authclient.Refused:
		return verdict(Refused(&Refusal{Code: step.Code, Text: step.Text}))
	}
	return ErrLost
}

// verdict reads the reply.
func verdict(reply ipc.List) error {
	switch reply.Value("status") {
	case "ok":
		return nil
	case "refused":
		r := &Refusal{Code: reply.Value("code"), Text: reply.Value("text")}
		if !slices.Contains([]string{"LIMIT", "UNAVAILABLE", "CONTACTADMIN"}, r.Code) || len(r.Text) > maxText || strings.ContainsAny(r.Text, "\r\n") {
			return fmt.Errorf("reply of sessiond: %w", ipc.ErrMalformed)
		}
		return r
	}
	return fmt.Errorf("reply of sessiond: %w", ipc.ErrMalformed)
}

// Receive reads a request of a login server; io.EOF, bare, means that it has no
// more. The caller closes the descriptor.
func Receive(c *ipc.FileConn) (ticket string, s *Start, client *ipc.Passed, err error) {
	l, s, client, err := receive(c)
	if err == nil && s.User != nil {
		client.Close()
		err = fmt.Errorf("request for a session: %w: a login server does not say who the user is", ipc.ErrMalformed)
	}
	return l.Value("ticket"), s, client, err
}

// ReceiveFromAuthd reads a session of authd, which says who the user is.
func ReceiveFromAuthd(c *ipc.FileConn) (s *Start, client *ipc.Passed, err error) {
	_, s, client, err = receive(c)
	if err == nil && s.User == nil {
		client.Close()
		err = fmt.Errorf("session of authd: %w: no user", ipc.ErrMalformed)
	}
	return s, client, err
}

func receive(c *ipc.FileConn) (l ipc.List, s *Start, client *ipc.Passed, err error) {
	l, err = c.Receive()
	if err == io.EOF {
		return nil, nil, nil, err
	}
	if err == nil {
		client, err = c.Passed("client")
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("request for a session: %w", err)
	}
	if s, err = Read(l); err != nil {
		client.Close()
		return nil, nil, nil, fmt.Errorf("request for a session: %w", err)
	}
	s.Settings = nil
	return l, s, client, nil
}

// Accepted is the reply for a session that was taken.
func Accepted() ipc.List { return ipc.List{}.Str("status", "ok") }

// Refused is the reply for a session that was not taken.
func Refused(r *Refusal) ipc.List {
	return ipc.List{}.Str("status", "refused").Str("code", r.Code).Str("text", r.Text)
}
