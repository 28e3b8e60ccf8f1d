// Package session is how a login server hands the connection of a user who
// has logged in to the process that works as this user.
//
// The servers before login (imapd, pop3d) have no right to any mailbox. They
// send the one-use ticket that authd(8) gave them to sessiond(8), with what
// is known about the connection and a descriptor: that of the connection
// itself or, where the login server keeps TLS, one end of a socket pair. The
// ticket alone decides who the user is.
//
// A request is the descriptor, with a byte, followed by an attribute list:
//
//	ticket service rip rport lip lport tls proxied tag session pending -> status, text
//
// Pending is base64: what the client sent behind its login already.
package session

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
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

// HandOver gives a session to sessiond at path. After success the caller
// closes its descriptor: the session is no longer its own. A *Refusal says
// what the client may be told; any other error is for the log.
func HandOver(ctx context.Context, path, ticket string, s *Start, file *os.File) error {
	conn, err := ipc.Dial(ctx, path, Timeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	// The descriptor has a byte of its own, in front: it is lost to who reads
	// the byte that it came with by an ordinary read.
	if err := conn.SendWithFile(file, s.Attributes(ipc.List{}.Str("ticket", ticket))); err != nil {
		return fmt.Errorf("request to sessiond: %w", err)
	}
	reply, err := conn.Receive()
	if err != nil {
		return fmt.Errorf("reply of sessiond: %w", err)
	}
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

// Receive reads a request of a login server. The caller closes the file.
func Receive(c *ipc.Conn) (ticket string, s *Start, file *os.File, err error) {
	mr, ok := c.Conn.(ipc.MessageReader)
	if !ok {
		return "", nil, nil, errors.New("not a Unix socket")
	}
	c.Timeout = Timeout
	if err := c.Extend(); err != nil {
		return "", nil, nil, err
	}
	if file, err = ipc.ReceiveFile(mr, "client"); err != nil {
		return "", nil, nil, err
	}
	l, err := c.Receive()
	if err == nil {
		s, err = Read(l)
	}
	if err == nil && s.User != nil {
		err = fmt.Errorf("%w: a login server does not say who the user is", ipc.ErrMalformed)
	}
	if err != nil {
		file.Close()
		return "", nil, nil, fmt.Errorf("request for a session: %w", err)
	}
	s.Settings = nil
	return l.Value("ticket"), s, file, nil
}

// Accepted is the reply for a session that was taken.
func Accepted() ipc.List { return ipc.List{}.Str("status", "ok") }

// Refused is the reply for a session that was not taken.
func Refused(r *Refusal) ipc.List {
	return ipc.List{}.Str("status", "refused").Str("code", r.Code).Str("text", r.Text)
}
