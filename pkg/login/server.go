// Package login is what the servers that mail users talk to before login have
// in common: limits, TLS with keys in tlsmgr(8), passwords by way of authd(8),
// the log lines of Dovecot's login processes, which fail2ban and others read,
// and the hand-over to sessiond(8).
package login

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/nowait"
	"github.com/posthouse-mail/posthouse/pkg/pace"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/session"
	"github.com/posthouse-mail/posthouse/pkg/tlskeys"
	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
)

// Params are the parameters of a login server.
type Params struct {
	Hostname     string        `param:"myhostname"`
	Greeting     string        `param:"login_greeting"`
	NoPlaintext  bool          `param:"disable_plaintext_auth"`
	PerClient    int           `param:"login_client_connection_limit"`
	ErrorLimit   int           `param:"login_hard_error_limit"`
	Timeout      time.Duration `param:"login_timeout"`
	TLSProtocols []string      `param:"login_tls_protocols"`
	Wrapper      bool          `param:"login_tls_wrappermode"`
}

// handshakeTime bounds a TLS handshake.
const handshakeTime = 60 * time.Second

// mechanismsAge is how long the list of mechanisms is good.
const mechanismsAge = 5 * time.Second

// Server is what the connections of a login server share.
type Server struct {
	Params
	Protocol string // imap or pop3
	Log      *maillog.Logger

	auth     *authclient.Client
	sessions *session.Client
	pace     *pace.Governor
	config   func(ctx context.Context) (*tls.Config, error)
	buffers  sync.Pool

	mu         sync.Mutex
	clients    map[netip.Addr]int
	mechanisms map[string]offer
}

// offer is a remembered list of mechanisms.
type offer struct {
	names []string
	asked time.Time
}

// New reads the parameters of a login server. It runs before the jail.
func New(env *service.Env, protocol string) (*Server, error) {
	s := &Server{Protocol: protocol, Log: env.Log, pace: env.Pace, clients: make(map[netip.Addr]int), mechanisms: make(map[string]offer)}
	if err := env.Config.Fill(&s.Params); err != nil {
		return nil, err
	}
	low, high, err := tlspolicy.ProtocolRange(s.TLSProtocols)
	if err != nil {
		return nil, fmt.Errorf("login_tls_protocols: %w", err)
	}
	s.auth = authclient.New(authclient.Endpoint)
	s.sessions = session.NewClient(session.Endpoint)
	keys := tlskeys.NewClient(ipc.NewPool(tlskeys.Endpoint, tlskeys.Timeout), protocol+"d:"+env.Service)
	s.config = func(ctx context.Context) (*tls.Config, error) { return keys.Config(ctx, low, high) }
	s.buffers.New = func() any { b := make([]byte, proxyBuffer); return &b }
	return s, nil
}

// Hooks returns the hooks of the daemon. serve talks to one client, and
// returns when the connection is at its end or in other hands.
func (s *Server) Hooks(serve func(ctx context.Context, c *Conn) error) *service.Hooks {
	var leaving context.Context
	return &service.Hooks{
		Ready: func(ctx context.Context) error {
			leaving = service.UntilStopping(ctx)
			return nil
		},
		Session: func(ctx context.Context, conn net.Conn) error {
			c := s.conn(conn)
			if !s.enter(c) {
				return nil
			}
			defer s.leave(c)
			c.leaving = leaving
			c.watch()
			defer func() { c.stop() }()
			defer c.Close()
			if s.Wrapper {
				if err := c.StartTLS(ctx); err != nil {
					return nil
				}
			}
			err := serve(ctx, c)
			c.logEnd()
			return err
		},
	}
}

// conn makes the state of a new connection.
func (s *Server) conn(raw net.Conn) *Conn {
	c := &Conn{Conn: nowait.Wrap(raw), raw: raw, srv: s, started: time.Now()}
	id := make([]byte, 9)
	rand.Read(id)
	c.Peer = authclient.Peer{Service: s.Protocol, SessionID: base64.RawStdEncoding.EncodeToString(id)}
	c.remote, c.Peer.RemoteIP, c.Peer.RemotePort = address(raw.RemoteAddr())
	_, c.Peer.LocalIP, c.Peer.LocalPort = address(raw.LocalAddr())
	raw.SetDeadline(c.started.Add(s.Timeout))
	return c
}

// address takes an address apart; one that is not TCP's is that of this host.
func address(a net.Addr) (netip.Addr, string, int) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		ip := netip.MustParseAddr("127.0.0.1")
		return ip, ip.String(), 0
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	return ip, ip.String(), tcp.Port
}

// watch has the connection end with the process, as long as it is before login.
func (c *Conn) watch() {
	c.stop = context.AfterFunc(c.leaving, func() { c.raw.SetReadDeadline(time.Unix(1, 0)) })
}

// enter counts a connection unless its address has too many.
func (s *Server) enter(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.PerClient > 0 && !c.remote.IsLoopback() && s.clients[c.remote] >= s.PerClient {
		s.Log.Warn("", "%s-login: too many connections before login: rip=%s, lip=%s", s.Protocol, c.Peer.RemoteIP, c.Peer.LocalIP)
		return false
	}
	s.clients[c.remote]++
	c.counted = true
	return true
}

// leave ends what enter began. It may be called twice: sessions of proxied
// connections leave at their login.
func (s *Server) leave(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.counted {
		return
	}
	c.counted = false
	if s.clients[c.remote]--; s.clients[c.remote] <= 0 {
		delete(s.clients, c.remote)
	}
}

// plaintext are mechanisms that show a secret to who listens.
var plaintext = []string{"PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2", "ANONYMOUS"}

// Mechanisms returns what may be offered on a connection, best first.
func (s *Server) Mechanisms(ctx context.Context, c *Conn) []string {
	key := fmt.Sprint(c.Peer.TLS, c.remote.IsLoopback(), c.Peer.TLSExporter != nil)
	s.mu.Lock()
	known, ok := s.mechanisms[key]
	s.mu.Unlock()
	if ok && time.Since(known.asked) < mechanismsAge {
		return known.names
	}
	names, err := s.auth.Mechanisms(ctx, c.Peer)
	if err != nil {
		s.Log.Warn("", "mechanisms: %v", err)
		return nil
	}
	// APOP is a command of POP3, and no mechanism of SASL.
	names = slices.DeleteFunc(names, func(n string) bool { return n == "APOP" && s.Protocol == "imap" })
	if !c.Secure() {
		names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(plaintext, n) })
	}
	s.mu.Lock()
	s.mechanisms[key] = offer{names, time.Now()}
	s.mu.Unlock()
	return names
}
