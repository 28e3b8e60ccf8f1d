package login

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/session"
)

// Conn is a connection before login. Reads and writes go through TLS once it
// is on.
type Conn struct {
	net.Conn
	Peer authclient.Peer

	srv     *Server
	raw     net.Conn
	remote  netip.Addr
	started time.Time
	counted bool

	attempts int    // logins that failed
	login    string // of the last attempt, for the log
	method   string
	refused  string          // why the last attempt could not succeed, if not the secret
	over     bool            // in other hands, or logged already
	leaving  context.Context // done when the process ends
	stop     func() bool     // forgets that the process's end concerns the connection

	worker *net.UnixConn // of a proxied session
}

// Secure reports whether a password may be sent over this connection.
func (c *Conn) Secure() bool {
	return c.Peer.TLS || !c.srv.NoPlaintext || c.remote.IsLoopback()
}

// HasTLS reports whether STARTTLS can be offered: TLS is not on, and there is
// a certificate.
func (c *Conn) HasTLS(ctx context.Context) bool {
	if c.Peer.TLS {
		return false
	}
	_, err := c.srv.config(ctx)
	return err == nil
}

// StartTLS makes the handshake. What was read before it must be thrown away
// by the caller, who refuses STARTTLS if there is any.
func (c *Conn) StartTLS(ctx context.Context) error {
	cfg, err := c.srv.config(ctx)
	if err != nil {
		c.srv.Log.Warn("", "TLS: %v", err)
		return err
	}
	tc := tls.Server(c.raw, cfg)
	ctx, cancel := context.WithTimeout(ctx, min(handshakeTime, c.srv.Timeout))
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		c.over = true
		c.srv.Log.Info("", "%s-login: Disconnected: TLS handshaking failed: %s: rip=%s, lip=%s, session=<%s>",
			c.srv.Protocol, printable.Text(err.Error()), c.Peer.RemoteIP, c.Peer.LocalIP, c.Peer.SessionID)
		return err
	}
	c.Conn = tc
	c.Peer.TLS = true
	state := tc.ConnectionState()
	// RFC 9266 2. The exporter is no channel binding before TLS 1.3 unless
	// extended master secrets are in use, which cannot be told here.
	if state.Version >= tls.VersionTLS13 {
		if key, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil {
			c.Peer.TLSExporter = key
		}
	}
	return nil
}

// Plain checks a login and password. Without TLS authd gets the connection as
// well, and may pass it on by itself. tag and pending are those of [Conn.HandOver],
// which says in any case how the session began.
func (c *Conn) Plain(ctx context.Context, login, password, tag string, pending []byte) authclient.Step {
	var step authclient.Step
	var err error
	if raw, ok := c.raw.(syscall.Conn); ok && !c.Peer.TLS && len(pending) <= session.MaxPending {
		step, err = c.srv.auth.PlainWith(ctx, c.Peer, login, password, c.start(tag, pending).OfConnection(), raw)
	} else {
		step, err = c.srv.auth.Plain(ctx, c.Peer, login, password)
	}
	c.warn(err)
	c.Attempt("PLAIN", login, step)
	return step
}

// Begin starts an exchange of a mechanism. The exchange is nil unless the
// outcome is Continue.
func (c *Conn) Begin(ctx context.Context, mechanism string, initial []byte) (*authclient.Exchange, authclient.Step) {
	x, step, err := c.srv.auth.Begin(ctx, c.Peer, mechanism, initial)
	c.warn(err)
	if step.Outcome != authclient.Continue {
		c.Attempt(mechanism, step.Login, step)
	}
	return x, step
}

// Next goes on with an exchange.
func (c *Conn) Next(ctx context.Context, x *authclient.Exchange, mechanism string, response []byte) authclient.Step {
	step, err := x.Next(ctx, response)
	c.warn(err)
	if step.Outcome != authclient.Continue {
		c.Attempt(mechanism, step.Login, step)
	}
	return step
}

// APOP checks the digest of a POP3 client.
func (c *Conn) APOP(ctx context.Context, login, challenge, digest string) authclient.Step {
	step, err := c.srv.auth.APOP(ctx, c.Peer, login, challenge, digest)
	c.warn(err)
	c.Attempt("APOP", login, step)
	return step
}

func (c *Conn) warn(err error) {
	if err != nil {
		c.srv.Log.Warn("", "%v", err)
	}
}

// Attempt notes how a login ended.
func (c *Conn) Attempt(method, login string, step authclient.Step) {
	c.method, c.login = strings.ToUpper(method), login
	if step.Outcome != authclient.OK {
		c.attempts++
	}
}

// Refuse notes an attempt to log in that was not even tried, such as one
// without TLS.
func (c *Conn) Refuse(method, why string) {
	c.method, c.refused = strings.ToUpper(method), why
}

// TooMany reports whether the client made more mistakes than it may.
func (c *Conn) TooMany(errors int) bool { return c.attempts+errors >= c.srv.ErrorLimit }

// ErrTooMany is the end of a connection that came back from its session, when the
// client has as many before login as it may have.
var ErrTooMany = errors.New("too many connections before login")

// Returned is what a session left that gave its connection back.
type Returned struct{ Pending []byte }

// HandOver gives the connection to the user's process. With TLS it stays and
// passes bytes until the session is over, or gives the connection back:
// Returned is nil otherwise. A *session.Refusal may be told to the client, and
// after it the connection is still the caller's; session.ErrLost says that nobody
// may use it any more.
func (c *Conn) HandOver(ctx context.Context, step authclient.Step, tag string, pending []byte) (*Returned, error) {
	if len(pending) > session.MaxPending {
		return nil, fmt.Errorf("%d bytes sent before the answer to the login", len(pending))
	}
	c.raw.SetDeadline(time.Time{})
	var err error
	if step.Handed == authclient.Kept {
		err = c.pass(ctx, step.Ticket, c.start(tag, pending))
	} else {
		err = session.Verdict(step)
	}
	var refusal *session.Refusal
	if err != nil {
		c.closeWorker()
		if errors.As(err, &refusal) {
			return nil, refusal
		}
		if errors.Is(err, session.ErrLost) {
			c.over = true
			return nil, err
		}
		c.srv.Log.Warn("", "%v", err)
		return nil, session.Unavailable()
	}
	login := step.Login
	if step.User != nil {
		login = step.User.Login
	}
	c.srv.Log.Info("", "%s-login: Login: user=<%s>, method=%s, rip=%s, lip=%s%s, session=<%s>",
		c.srv.Protocol, logName(login), c.method, c.Peer.RemoteIP, c.Peer.LocalIP, c.tlsWord(), c.Peer.SessionID)
	c.over = true
	c.stop() // the session says goodbye itself
	c.srv.leave(c)
	if !c.Peer.TLS {
		return nil, nil
	}
	returned, err := c.proxy(ctx)
	if returned == nil {
		return nil, err
	}
	// It is a connection before login again, with the limits of one.
	c.over, c.attempts, c.started = false, 0, time.Now()
	if !c.srv.enter(c) {
		return nil, ErrTooMany
	}
	c.raw.SetDeadline(c.started.Add(c.srv.Timeout))
	c.watch()
	return returned, err
}

// start is what the user's process has to know of the connection.
func (c *Conn) start(tag string, pending []byte) *session.Start {
	return &session.Start{
		Service: c.srv.Protocol, RemoteIP: c.Peer.RemoteIP, RemotePort: c.Peer.RemotePort,
		LocalIP: c.Peer.LocalIP, LocalPort: c.Peer.LocalPort, TLS: c.Peer.TLS, Proxied: c.Peer.TLS,
		Tag: tag, SessionID: c.Peer.SessionID, Pending: pending,
	}
}

func (c *Conn) closeWorker() {
	if c.worker != nil {
		c.worker.Close()
		c.worker = nil
	}
}

// pass sends the session away: with the connection itself or, with TLS, with one
// end of a socket pair whose other end is the connection's worker.
func (c *Conn) pass(ctx context.Context, ticket string, start *session.Start) error {
	if !c.Peer.TLS {
		raw, ok := c.raw.(syscall.Conn)
		if !ok {
			return fmt.Errorf("a connection of type %T cannot be passed on", c.raw)
		}
		return c.srv.sessions.HandOver(ctx, ticket, start, raw)
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	own, other := os.NewFile(uintptr(fds[0]), "session"), os.NewFile(uintptr(fds[1]), "session")
	defer own.Close()
	defer other.Close()
	conn, err := net.FileConn(own)
	if err != nil {
		return err
	}
	c.worker = conn.(*net.UnixConn)
	return c.srv.sessions.HandOver(ctx, ticket, start, other)
}

func (c *Conn) tlsWord() string {
	if c.Peer.TLS {
		return ", TLS"
	}
	if c.remote.IsLoopback() {
		return ", secured"
	}
	return ""
}

// logEnd logs how a connection ended that did not get to a session, in the
// logName is a login for the log. Without brackets it cannot end the field
// that it stands in, by which whoever guesses would hide from fail2ban.
func logName(login string) string {
	return strings.NewReplacer("<", "?", ">", "?").Replace(printable.Text(login))
}

// words of Dovecot's login processes.
func (c *Conn) logEnd() {
	if c.over {
		return
	}
	secs := int(time.Since(c.started).Seconds())
	what := "Aborted login"
	var why string
	switch {
	case c.attempts > 0:
		what, why = "Disconnected", fmt.Sprintf("auth failed, %d attempts in %d secs", c.attempts, secs)
	case c.refused != "":
		what, why = "Disconnected", "tried to use disallowed plaintext auth"
	default:
		why = fmt.Sprintf("no auth attempts in %d secs", secs)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s-login: %s (%s): user=<%s>,", c.srv.Protocol, what, why, logName(c.login))
	if c.method != "" {
		fmt.Fprintf(&b, " method=%s,", printable.Text(c.method))
	}
	fmt.Fprintf(&b, " rip=%s, lip=%s%s, session=<%s>", c.Peer.RemoteIP, c.Peer.LocalIP, c.tlsWord(), c.Peer.SessionID)
	c.srv.Log.Info("", "%s", b.String())
}
