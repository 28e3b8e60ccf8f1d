package intake

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/sasl"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// backend checks what clients say in AUTH. An answer that it cannot give is
// smtpserver.AuthTemporary.
type backend interface {
	mechanisms(ctx context.Context, p authclient.Peer) ([]string, error)
	begin(ctx context.Context, p authclient.Peer, mechanism string, initial []byte) (exchange, answer)
}

// exchange is an exchange that waits for a response.
type exchange interface {
	next(ctx context.Context, response []byte) answer
	abort()
}

// answer is a step, with who the user is where the back end knows.
type answer struct {
	smtpserver.AuthStep
	user *authclient.User
}

// auth is what a server needs for AUTH. The zero value is none.
type auth struct {
	back       backend
	filter     *table.MatchList
	exceptions *table.MatchList
	plain, tls sasl.Options

	mu     sync.Mutex
	listed map[listKey]listed
}

// The list of mechanisms is asked for with each EHLO; it hardly changes.
const (
	listTime = 10 * time.Second
	listMax  = 100
)

type listKey struct {
	tls, exporter, endpoint bool
	// Without TLS, mechanisms that show the password are for some networks
	// only.
	clear string
	cert  string
}

type listed struct {
	until time.Time
	names []string
}

// openAuth reads the smtpd_sasl parameters.
func (srv *Server) openAuth(env *service.Env, o table.Options) (err error) {
	if !srv.SASLEnable {
		return nil
	}
	a := &auth{listed: map[listKey]listed{}}
	switch srv.SASLType {
	case "cyrus", "posthouse":
		// Cyrus is the default of Postfix, and its library is not here:
		// our own authd stands in.
		a.back = ownAuth{authclient.New(authclient.Endpoint)}
	case "dovecot":
		if a.back, err = newDovecot(srv.SASLPath, srv.SASLService, env.QueueDir); err != nil {
			return fmt.Errorf("%v: smtpd_sasl_path: %w", env.Config.Position("smtpd_sasl_path"), err)
		}
	default:
		return fmt.Errorf("%v: smtpd_sasl_type: unsupported SASL server implementation: %s", env.Config.Position("smtpd_sasl_type"), srv.SASLType)
	}
	for _, x := range []struct {
		dst   *sasl.Options
		words []string
		name  string
	}{{&a.plain, srv.SASLOptions, "smtpd_sasl_security_options"}, {&a.tls, srv.SASLTLSOptions, "smtpd_sasl_tls_security_options"}} {
		if *x.dst, err = sasl.ParseOptions(x.words); err != nil {
			return fmt.Errorf("%v: %s: %w", env.Config.Position(x.name), x.name, err)
		}
	}
	if a.filter, err = table.NewStringList(srv.SASLFilter, table.ListOptions{Options: o, Name: "smtpd_sasl_mechanism_filter"}); err != nil {
		return fmt.Errorf("smtpd_sasl_mechanism_filter: %w", err)
	}
	a.exceptions, err = table.NewHostList(srv.SASLExceptions, table.ListOptions{Options: o, Name: "smtpd_sasl_exceptions_networks"})
	if err != nil {
		return fmt.Errorf("smtpd_sasl_exceptions_networks: %w", err)
	}
	srv.auth = a
	return nil
}

// Mechanisms implements smtpserver.Authenticator.
func (h *Session) Mechanisms(ctx context.Context, s *smtpserver.Session) []string {
	a := h.srv.auth
	if a == nil {
		return nil
	}
	if except, err := a.exceptions.Match(ctx, s.Client.Name, s.Client.Addr); err != nil || except {
		return nil
	}
	p := h.authPeer(s)
	names, err := a.list(ctx, p)
	if err != nil {
		h.srv.log.Warn("", "no SASL mechanisms for %s: %v", s.Peer(), err)
		return nil
	}
	return names
}

// list returns the mechanisms for a peer.
func (a *auth) list(ctx context.Context, p authclient.Peer) ([]string, error) {
	key := listKey{tls: p.TLS, exporter: p.TLSExporter != nil, endpoint: p.TLSEndpoint != nil, cert: p.CertName}
	if !p.TLS {
		key.clear = p.RemoteIP
	}
	now := time.Now()
	a.mu.Lock()
	l, ok := a.listed[key]
	a.mu.Unlock()
	if ok && now.Before(l.until) {
		return l.names, nil
	}
	all, err := a.back.mechanisms(ctx, p)
	if err != nil {
		return nil, err
	}
	need := a.plain
	if p.TLS {
		need = a.tls
	}
	var names []string
	for _, n := range all {
		if strings.EqualFold(n, sasl.External) && p.CertName == "" {
			continue
		}
		listed, err := a.filter.Match(ctx, strings.ToLower(n))
		if err != nil {
			return nil, err
		}
		if listed && need.Allow(n) && !slices.Contains(names, n) {
			names = append(names, strings.ToUpper(n))
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.listed) >= listMax {
		clear(a.listed)
	}
	a.listed[key] = listed{now.Add(listTime), names}
	return names, nil
}

// authPeer describes the client to the back end.
func (h *Session) authPeer(s *smtpserver.Session) authclient.Peer {
	p := authclient.Peer{Service: h.srv.SASLService, RemoteIP: s.Client.Addr, TLS: s.TLS != nil, Realm: h.srv.SASLRealm}
	if a, ok := s.Conn().RemoteAddr().(*net.TCPAddr); ok {
		p.RemotePort = a.Port
	}
	if a, ok := s.Conn().LocalAddr().(*net.TCPAddr); ok {
		p.LocalIP, p.LocalPort = a.AddrPort().Addr().Unmap().WithZone("").String(), a.Port
	}
	if s.TLS != nil {
		// RFC 9266 section 2. Of older versions the binding is not safe.
		if b, err := s.TLS.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil && s.TLS.Version >= tls.VersionTLS13 {
			p.TLSExporter = b
		}
		// A resumed session has shown no certificate, and its client may
		// remember another one.
		if s.TLS.Version < tls.VersionTLS13 && !s.TLS.DidResume && s.OwnCert != nil {
			p.TLSEndpoint = endpoint(s.OwnCert)
		}
		if s.CertOK {
			p.CertName = certName(s.TLS.PeerCertificates[0])
		}
	}
	return p
}

// MayAuth limits how often a client may try to log in.
func (h *Session) MayAuth(ctx context.Context, s *smtpserver.Session) status.Status {
	if h.rate(ctx, s, anvilclient.Auth, h.srv.AuthRate, "AUTH command") {
		s.Erred(transcript.Policy)
		return status.New(450, "4.7.1", "Error: too many AUTH commands from "+s.Client.Addr)
	}
	return status.Status{}
}

// BeginAuth implements smtpserver.Authenticator.
func (h *Session) BeginAuth(ctx context.Context, s *smtpserver.Session, mechanism string, initial []byte) (smtpserver.AuthExchange, smtpserver.AuthStep) {
	h.user = nil
	x, a := h.srv.auth.back.begin(ctx, h.authPeer(s), mechanism, initial)
	h.user = a.user
	return &login{h, x}, a.AuthStep
}

// AuthDone accepts a login.
func (h *Session) AuthDone(context.Context, *smtpserver.Session) status.Status {
	return status.Status{}
}

// User returns who has logged in, nil if nobody has or the back end knows no
// more than the name.
func (h *Session) User() *authclient.User { return h.user }

// login notes who the user is when the last step says so.
type login struct {
	h *Session
	x exchange
}

// Next implements smtpserver.AuthExchange.
func (l *login) Next(ctx context.Context, response []byte) smtpserver.AuthStep {
	a := l.x.next(ctx, response)
	l.h.user = a.user
	return a.AuthStep
}

// Abort implements smtpserver.AuthExchange.
func (l *login) Abort() { l.x.abort() }

var _ smtpserver.Authenticator = (*Session)(nil)

// ownAuth is our own authd.
type ownAuth struct{ c *authclient.Client }

func (o ownAuth) mechanisms(ctx context.Context, p authclient.Peer) ([]string, error) {
	return o.c.Mechanisms(ctx, p)
}

func (o ownAuth) begin(ctx context.Context, p authclient.Peer, mechanism string, initial []byte) (exchange, answer) {
	x, step, err := o.c.Begin(ctx, p, mechanism, initial)
	return &ownExchange{x}, ownAnswer(step, err)
}

type ownExchange struct{ x *authclient.Exchange }

func (e *ownExchange) next(ctx context.Context, response []byte) answer {
	return ownAnswer(e.x.Next(ctx, response))
}

func (e *ownExchange) abort() { e.x.Abort() }

// ownAnswer translates a step of authd. With an error nothing is known.
func ownAnswer(s authclient.Step, err error) answer {
	a := answer{AuthStep: smtpserver.AuthStep{Challenge: s.Challenge, User: s.Login, Text: s.Text}}
	switch {
	case err != nil || s.Outcome == authclient.Temporary:
		a.Result = smtpserver.AuthTemporary
	case s.Outcome == authclient.Continue:
		a.Result = smtpserver.AuthMore
	case s.Outcome == authclient.OK && s.User != nil:
		a.Result, a.user, a.User = smtpserver.AuthOK, s.User, s.User.Login
	}
	return a
}
