package nexthop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/smtpclient"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
)

// Session is a connection to a server that mail can be sent to.
type Session struct {
	*smtpclient.Conn
	Target Target
	Opened time.Time
}

// options returns the protocol settings for a target.
func (c *Client) options(ctx context.Context, queueID string, t Target) *smtpclient.Options {
	p := c.p
	o := &smtpclient.Options{
		LMTP: c.lmtp, HeloName: p.HeloName, MyNames: []string{p.MyHostname},
		NeverEHLO: p.NeverEHLO && !c.lmtp, AlwaysEHLO: p.AlwaysEHLO,
		Timeouts: smtpclient.Timeouts{
			Greeting: p.HeloTimeout, Helo: p.HeloTimeout, StartTLS: p.StartTLSTimeout, XForward: p.XForwardTimeout,
			Mail: p.MailTimeout, Rcpt: p.RcptTimeout, DataInit: p.DataInitTimeout, DataXfer: p.DataXferTimeout,
			DataDone: p.DataDoneTimeout, Rset: p.RsetTimeout, Quit: p.QuitTimeout,
		},
		Discard: c.discard(ctx, t), LineLimit: p.LineLengthLimit, NoConversion: p.NoConversion, MIME: c.mime,
		RawEnvelope: !p.QuoteEnvelope, SendXForward: p.SendXForward, SkipQuitReply: p.SkipQuitResponse,
		Buffers: c.buffers, Notices: c.notices,
	}
	if p.PerRequestDeadline {
		o.MinRate = p.MinDataRate
	}
	o.Warn = func(text string) { c.log.Warn(queueID, "%s", text) }
	o.Note = func(text string) { c.log.Info(queueID, "%s", text) }
	return o
}

// discard returns the EHLO keywords to ignore for a server.
func (c *Client) discard(ctx context.Context, t Target) map[string]bool {
	list := c.p.DiscardKeywords
	if !c.discardMaps.Empty() && t.Unix == "" {
		value, found, err := c.discardMaps.Lookup(ctx, t.Addr.String())
		if err != nil {
			c.log.Warn("", "%s map lookup error for %s: %v", "discard_ehlo_keyword_address_maps", t.Addr, err)
		}
		if found {
			list = Split(value)
		}
	}
	set := map[string]bool{}
	for _, w := range list {
		if !strings.EqualFold(w, "silent-discard") {
			set[strings.ToUpper(w)] = true
		}
	}
	return set
}

// Open connects to a target, greets it and, where the policy says so, starts
// TLS. established reports whether a server answered at all.
func (c *Client) Open(ctx context.Context, queueID string, t Target, policy *tlspolicy.Policy, level tlspolicy.Level) (s *Session, established bool, fail *smtpclient.Failure) {
	conn, fail := c.connect(ctx, t)
	if fail != nil {
		return nil, false, fail
	}
	peer := smtpclient.Peer{Host: t.Host, Addr: t.Unix}
	if t.Unix == "" {
		peer.Addr, peer.Port = t.Addr.String(), t.Port
	}
	s = &Session{Conn: smtpclient.NewConn(conn, peer, c.options(ctx, queueID, t)), Target: t, Opened: time.Now()}
	if err := c.hello(ctx, s, policy, level); err != nil {
		s.Quit(ctx)
		if !errors.As(err, &fail) {
			fail = Failed("4.3.0", "internal error")
			c.log.Warn(queueID, "session with %s: %v", peer.Relay(), err)
		}
		return s, true, fail
	}
	return s, true, nil
}

// Failed makes a failure of ours that concerns the server as a whole.
func Failed(code, format string, args ...any) *smtpclient.Failure {
	text := fmt.Sprintf(format, args...)
	return &smtpclient.Failure{Scope: smtpclient.ScopeSite, Status: status.New(0, code, text), Text: text}
}

// withoutTLS is a failure to get the protection that is asked for.
func withoutTLS(code, format string, args ...any) *smtpclient.Failure {
	f := Failed(code, format, args...)
	f.NoTLS = true
	return f
}

// hello brings a new session to the point where mail can be sent.
func (c *Client) hello(ctx context.Context, s *Session, policy *tlspolicy.Policy, level tlspolicy.Level) error {
	if c.p.TLSWrapperMode && level != tlspolicy.LevelNone {
		if err := c.handshake(ctx, s, policy, s.Handshake); err != nil {
			return err
		}
	}
	if err := s.Greet(ctx); err != nil {
		var f *smtpclient.Failure
		if errors.As(err, &f) && f.Reply != nil && f.Greeting && f.Reply.Permanent() && c.p.Skip5xxGreeting {
			// A server that is the wrong one says 554; the next may do.
			f.Status = f.Status.As('4')
		}
		return err
	}
	if s.Loop && s.Target.best && s.Target.Port == 25 && !c.lmtp {
		return Failed("5.4.6", "mail for %s loops back to myself", s.Target.Host)
	}
	if s.TLS != nil {
		return nil
	}
	if level == tlspolicy.LevelNone || s.Target.Unix != "" {
		if s.Caps.StartTLS && c.p.TLSNoteOffer {
			c.log.Info("", "Host offered STARTTLS: [%s]", s.Target.Host)
		}
		return nil
	}
	if !s.Caps.StartTLS {
		if level.Required() {
			return withoutTLS("4.7.4", "TLS is required, but was not offered by host %s", s.Peer)
		}
		return nil
	}
	return c.startTLS(ctx, s, policy, level)
}

func (c *Client) startTLS(ctx context.Context, s *Session, policy *tlspolicy.Policy, level tlspolicy.Level) error {
	err := c.handshake(ctx, s, policy, s.StartTLS)
	var f *smtpclient.Failure
	if errors.As(err, &f) && f.Reply != nil && f.Reply.Code != 421 {
		if !level.Required() {
			return nil // the session goes on in clear
		}
		return withoutTLS("4.7.4", "TLS is required, but host %s refused to start TLS: %s", s.Peer, f.Reply)
	}
	if err != nil {
		return err
	}
	return s.Hello(ctx)
}

// handshake runs one of the two ways to start TLS, checks the certificate as
// the policy asks and logs the outcome.
func (c *Client) handshake(ctx context.Context, s *Session, policy *tlspolicy.Policy, start func(context.Context, *tls.Config) error) error {
	if err := start(ctx, policy.Config(s.Target.Host)); err != nil {
		var f *smtpclient.Failure
		if errors.As(err, &f) && f.Handshake {
			c.log.Info("", "SSL_connect error to %s: %v", s.Peer.Relay(), f.Cause)
		}
		return err
	}
	trust, err := policy.Check(s.TLS, s.Target.Host)
	if c.tlsLog >= 1 {
		c.log.Info("", "%s", tlspolicy.Established(trust, s.Peer.Relay(), s.TLS))
	}
	if err != nil {
		c.log.Info("", "%s: %v", s.Peer.Relay(), err)
		return withoutTLS("4.7.5", "Server certificate not verified")
	}
	return nil
}

// connect opens a connection to a target.
func (c *Client) connect(ctx context.Context, t Target) (net.Conn, *smtpclient.Failure) {
	d := net.Dialer{Timeout: c.p.ConnectTimeout, KeepAlive: -1}
	if t.Unix != "" {
		conn, err := d.DialContext(ctx, "unix", t.Unix)
		if err != nil {
			return nil, Failed("4.4.1", "connect to %s[%s]: %s", t.Host, t.Unix, errnoText(err))
		}
		return conn, nil
	}
	bind, err := c.bindAddress(t)
	if err != nil && c.p.BindEnforce {
		c.log.Warn("", "bind %v", err)
		return nil, Failed("4.3.0", "server configuration error")
	}
	if bind != nil {
		d.LocalAddr = bind
	}
	addr := net.JoinHostPort(t.Addr.String(), fmt.Sprint(t.Port))
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil && bind != nil && errors.Is(err, syscall.EADDRNOTAVAIL) && !c.p.BindEnforce {
		c.log.Warn("", "bind %s: %s", bind, errnoText(err))
		d.LocalAddr = nil
		conn, err = d.DialContext(ctx, "tcp", addr)
	}
	if err != nil {
		return nil, Failed("4.4.1", "connect to %s[%s]:%d: %s", t.Host, t.Addr, t.Port, errnoText(err))
	}
	return conn, nil
}

// bindAddress returns the address to connect from, or nil.
func (c *Client) bindAddress(t Target) (net.Addr, error) {
	name, text, own := "bind_address", c.p.BindAddress, c.self.bind4
	if t.Addr.Is6() {
		name, text, own = "bind_address6", c.p.BindAddress6, c.self.bind6
	}
	if text == "" {
		if !own.IsValid() || t.Addr.IsLoopback() {
			return nil, nil
		}
		return &net.TCPAddr{IP: own.AsSlice()}, nil
	}
	ip := net.ParseIP(strings.Trim(text, "[]"))
	if ip == nil {
		return nil, fmt.Errorf("malformed %s_%s parameter: %s", c.prefix(), name, text)
	}
	return &net.TCPAddr{IP: ip}, nil
}

// errnoText returns the C library's text for an error of a connection: logs
// are searched for "Connection refused".
func errnoText(err error) string {
	var no syscall.Errno
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &no):
		text := no.Error()
		return strings.ToUpper(text[:1]) + text[1:]
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "Connection timed out"
	}
	return "Connection failed"
}
