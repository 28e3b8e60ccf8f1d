package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/smtpclient"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
)

// session is a connection with what the agent remembers about it.
type session struct {
	*smtpclient.Conn
	target target
	site   string // the next hop that it was opened for
	key    string // what it is kept under for reuse
	opened time.Time
	reused bool
	remote string // name of the server for notices
}

// options returns the protocol settings for a target.
func (a *agent) options(ctx context.Context, queueID string, t target) *smtpclient.Options {
	p := a.p
	o := &smtpclient.Options{
		LMTP: a.lmtp, HeloName: p.HeloName, MyNames: []string{p.MyHostname},
		NeverEHLO: p.NeverEHLO && !a.lmtp, AlwaysEHLO: p.AlwaysEHLO,
		Timeouts: smtpclient.Timeouts{
			Greeting: p.HeloTimeout, Helo: p.HeloTimeout, StartTLS: p.StartTLSTimeout, XForward: p.XForwardTimeout,
			Mail: p.MailTimeout, Rcpt: p.RcptTimeout, DataInit: p.DataInitTimeout, DataXfer: p.DataXferTimeout,
			DataDone: p.DataDoneTimeout, Rset: p.RsetTimeout, Quit: p.QuitTimeout,
		},
		Discard: a.discard(ctx, t), LineLimit: p.LineLengthLimit, NoConversion: p.NoConversion, MIME: a.out.limits,
		RawEnvelope: !p.QuoteEnvelope, SendXForward: p.SendXForward, SkipQuitReply: p.SkipQuitResponse,
		Buffers: a.buffers,
	}
	if p.PerRequestDeadline {
		o.MinRate = p.MinDataRate
	}
	o.Warn = func(text string) { a.log.Warn(queueID, "%s", text) }
	o.Note = func(text string) { a.log.Info(queueID, "%s", text) }
	return o
}

// discard returns the EHLO keywords to ignore for a server.
func (a *agent) discard(ctx context.Context, t target) map[string]bool {
	list := a.p.DiscardKeywords
	if !a.discardMaps.Empty() && t.unix == "" {
		value, found, err := a.discardMaps.Lookup(ctx, t.addr.String())
		if err != nil {
			a.log.Warn("", "%s map lookup error for %s: %v", "discard_ehlo_keyword_address_maps", t.addr, err)
		}
		if found {
			list = splitSites(value)
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

// open connects to a target, greets it and, where the policy says so, starts
// TLS. established reports whether a server answered at all.
func (a *agent) open(ctx context.Context, queueID string, t target, policy *tlspolicy.Policy, level tlspolicy.Level) (s *session, established bool, fail *smtpclient.Failure) {
	conn, fail := a.connect(ctx, t)
	if fail != nil {
		return nil, false, fail
	}
	peer := smtpclient.Peer{Host: t.host, Addr: t.unix}
	if t.unix == "" {
		peer.Addr, peer.Port = t.addr.String(), t.port
	}
	s = &session{Conn: smtpclient.NewConn(conn, peer, a.options(ctx, queueID, t)), target: t, opened: time.Now(), remote: t.host}
	if err := a.hello(ctx, s, policy, level); err != nil {
		s.Quit(ctx)
		if !errors.As(err, &fail) {
			fail = localFailure("4.3.0", "internal error")
			a.log.Warn(queueID, "session with %s: %v", peer.Relay(), err)
		}
		return s, true, fail
	}
	return s, true, nil
}

// localFailure is a failure of ours that concerns the server as a whole.
func localFailure(code, format string, args ...any) *smtpclient.Failure {
	text := fmt.Sprintf(format, args...)
	return &smtpclient.Failure{Scope: smtpclient.ScopeSite, Status: status.New(0, code, text), Text: text}
}

// hello brings a new session to the point where mail can be sent.
func (a *agent) hello(ctx context.Context, s *session, policy *tlspolicy.Policy, level tlspolicy.Level) error {
	if a.p.TLSWrapperMode && level != tlspolicy.LevelNone {
		if err := a.handshake(ctx, s, policy, s.Handshake); err != nil {
			return err
		}
	}
	if err := s.Greet(ctx); err != nil {
		var f *smtpclient.Failure
		if errors.As(err, &f) && f.Reply != nil && f.Greeting && f.Reply.Permanent() && a.p.Skip5xxGreeting {
			// A server that is the wrong one says 554; the next may do.
			f.Status = f.Status.As('4')
		}
		return err
	}
	if s.Loop && s.target.best && s.target.port == 25 && !a.lmtp {
		return localFailure("5.4.6", "mail for %s loops back to myself", s.target.host)
	}
	if s.TLS != nil {
		return nil
	}
	if level == tlspolicy.LevelNone || s.target.unix != "" {
		if s.Caps.StartTLS && a.p.TLSNoteOffer {
			a.log.Info("", "Host offered STARTTLS: [%s]", s.target.host)
		}
		return nil
	}
	if !s.Caps.StartTLS {
		if level.Required() {
			return localFailure("4.7.4", "TLS is required, but was not offered by host %s", s.Peer)
		}
		return nil
	}
	return a.startTLS(ctx, s, policy, level)
}

func (a *agent) startTLS(ctx context.Context, s *session, policy *tlspolicy.Policy, level tlspolicy.Level) error {
	err := a.handshake(ctx, s, policy, s.StartTLS)
	var f *smtpclient.Failure
	if errors.As(err, &f) && f.Reply != nil && f.Reply.Code != 421 {
		if !level.Required() {
			return nil // the session goes on in clear
		}
		return localFailure("4.7.4", "TLS is required, but host %s refused to start TLS: %s", s.Peer, f.Reply)
	}
	if err != nil {
		return err
	}
	return s.Hello(ctx)
}

// handshake runs one of the two ways to start TLS, checks the certificate as
// the policy asks and logs the outcome.
func (a *agent) handshake(ctx context.Context, s *session, policy *tlspolicy.Policy, start func(context.Context, *tlsConfig) error) error {
	if err := start(ctx, policy.Config(s.target.host)); err != nil {
		var f *smtpclient.Failure
		if errors.As(err, &f) && f.Handshake {
			a.log.Info("", "SSL_connect error to %s: %v", s.Peer.Relay(), f.Cause)
		}
		return err
	}
	trust, err := policy.Check(s.TLS, s.target.host)
	if a.tlsLog >= 1 {
		a.log.Info("", "%s", tlspolicy.Established(trust, s.Peer.Relay(), s.TLS))
	}
	if err != nil {
		a.log.Info("", "%s: %v", s.Peer.Relay(), err)
		return localFailure("4.7.5", "Server certificate not verified")
	}
	return nil
}

// connect opens a connection to a target.
func (a *agent) connect(ctx context.Context, t target) (net.Conn, *smtpclient.Failure) {
	d := net.Dialer{Timeout: a.p.ConnectTimeout, KeepAlive: -1}
	if t.unix != "" {
		conn, err := d.DialContext(ctx, "unix", t.unix)
		if err != nil {
			return nil, localFailure("4.4.1", "connect to %s[%s]: %s", t.host, t.unix, errnoText(err))
		}
		return conn, nil
	}
	bind, err := a.bindAddress(t)
	if err != nil && a.p.BindEnforce {
		a.log.Warn("", "bind %v", err)
		return nil, localFailure("4.3.0", "server configuration error")
	}
	if bind != nil {
		d.LocalAddr = bind
	}
	addr := net.JoinHostPort(t.addr.String(), fmt.Sprint(t.port))
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil && bind != nil && errors.Is(err, syscall.EADDRNOTAVAIL) && !a.p.BindEnforce {
		a.log.Warn("", "bind %s: %s", bind, errnoText(err))
		d.LocalAddr = nil
		conn, err = d.DialContext(ctx, "tcp", addr)
	}
	if err != nil {
		return nil, localFailure("4.4.1", "connect to %s[%s]:%d: %s", t.host, t.addr, t.port, errnoText(err))
	}
	return conn, nil
}

// bindAddress returns the address to connect from, or nil.
func (a *agent) bindAddress(t target) (net.Addr, error) {
	text, own := a.p.BindAddress, a.self.bind4
	if t.addr.Is6() {
		text, own = a.p.BindAddress6, a.self.bind6
	}
	if text == "" {
		if !own.IsValid() || t.addr.IsLoopback() {
			return nil, nil
		}
		return &net.TCPAddr{IP: own.AsSlice()}, nil
	}
	ip := net.ParseIP(strings.Trim(text, "[]"))
	if ip == nil {
		return nil, fmt.Errorf("malformed smtp_bind_address parameter: %s", text)
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

// content gives the message in the queue file to the protocol engine.
func content(next func() ([]byte, bool, error), eof error) func(smtpwire.ContentFunc) error {
	return func(fn smtpwire.ContentFunc) error {
		for {
			b, eol, err := next()
			if err == eof {
				return nil
			}
			if err != nil {
				return err
			}
			if err := fn(b, eol); err != nil {
				return err
			}
		}
	}
}
