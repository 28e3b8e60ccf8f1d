package intake

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/dns"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Session is one client. It is the engine's Handler.
type Session struct {
	srv  *Server
	addr netip.Addr
	peer dns.Peer

	counted bool   // anvil knows the connection
	ident   string // for anvil, "" if the client has no limits
	trusted bool   // in mynetworks
	user    *authclient.User

	msg message
	// unknown is what was last found of an address that does not exist.
	unknown status.Status
	// lists are answers of DNS lists.
	lists map[string]resolved
	asked *asked // nil before the first restriction
}

// Open learns who the client is.
func (h *Session) Open(ctx context.Context, s *smtpserver.Session) {
	c := &s.Client
	c.Proto = "SMTP"
	c.Name, c.ReverseName, c.Addr = dns.UnknownPeer, dns.UnknownPeer, dns.UnknownPeer
	h.peer = dns.Peer{Name: dns.UnknownPeer, Reverse: dns.UnknownPeer, NameStatus: dns.PeerPerm, ReverseStatus: dns.PeerPerm}
	tcp, ok := s.Conn().RemoteAddr().(*net.TCPAddr)
	if !ok {
		// A socket of this host's own, as for a test.
		c.Name, c.ReverseName, c.Addr = "localhost", "localhost", "127.0.0.1"
		h.addr = netip.MustParseAddr(c.Addr)
	} else {
		h.addr = tcp.AddrPort().Addr().Unmap().WithZone("")
		c.Addr, c.Port = h.addr.String(), strconv.Itoa(tcp.Port)
		h.lookupName(ctx, s)
	}
	h.policy(ctx, s)
}

// Trusted reports whether the client is in mynetworks.
func (h *Session) Trusted() bool { return h.trusted }

// lookupName finds the client's name. A slow name server must not hold the
// client for as long as a mail transaction may last.
func (h *Session) lookupName(ctx context.Context, s *smtpserver.Session) {
	if !h.srv.PeerLookup {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	h.peer = h.srv.resolver.Peer(ctx, h.addr)
	s.Client.Name, s.Client.ReverseName = h.peer.Name, h.peer.Reverse
	if h.peer.Warning != "" {
		h.srv.log.Warn("", "%s", h.peer.Warning)
	}
}

// policy looks up what is special about this client.
func (h *Session) policy(ctx context.Context, s *smtpserver.Session) {
	c := &s.Client
	trusted, err := h.srv.nets.Match(ctx, c.Name, c.Addr)
	if err != nil {
		h.srv.log.Warn("", "mynetworks: %v", err)
	}
	h.trusted = trusted && err == nil
	s.BareLF = h.bareLF(ctx, s)
	if s.MayVERP, err = h.srv.verp.Match(ctx, c.Name, c.Addr); err != nil {
		h.srv.log.Warn("", "smtpd_authorized_verp_clients: %v", err)
		s.MayVERP = false
	}
	if s.MayPriority, err = h.srv.urgent.Match(ctx, c.Name, c.Addr); err != nil {
		h.srv.log.Warn("", "smtpd_authorized_priority_clients: %v", err)
		s.MayPriority = false
	}
	words := h.srv.Discard
	if !h.srv.discard.Empty() {
		if v, found, err := h.srv.discard.Lookup(ctx, c.Addr); err == nil && found {
			words = strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' })
		}
	}
	if len(words) > 0 {
		s.NoKeywords = make(map[string]bool, len(words))
		for _, w := range words {
			s.NoKeywords[strings.ToUpper(w)] = true
		}
	}
}

// bareLF maps smtpd_forbid_bare_newline; "yes" means normalize.
func (h *Session) bareLF(ctx context.Context, s *smtpserver.Session) smtpwire.BareLF {
	mode := smtpwire.BareNormalize
	switch h.srv.BareLF {
	case "no":
		return smtpwire.BareOff
	case "reject":
		mode = smtpwire.BareReject
	}
	if ok, err := h.srv.bareOK.Match(ctx, s.Client.Name, s.Client.Addr); err == nil && ok {
		return smtpwire.BareOff
	}
	return mode
}

// Connect checks the limits of anvil, and without smtpd_delay_reject the
// client restrictions.
func (h *Session) Connect(ctx context.Context, s *smtpserver.Session) status.Status {
	if st := h.count(ctx, s); !st.IsZero() {
		return st
	}
	if h.srv.DelayReject {
		return status.Status{}
	}
	return h.check(ctx, s, "CONNECT", h.srv.lists.client)
}

// count tells anvil about the connection.
func (h *Session) count(ctx context.Context, s *smtpserver.Session) status.Status {
	srv := h.srv
	if srv.ConnCount == 0 && srv.ConnRate == 0 && srv.MessageRate == 0 && srv.RcptRate == 0 && srv.NewTLSRate == 0 && srv.AuthRate == 0 {
		return status.Status{}
	}
	if ok, err := srv.except.Match(ctx, s.Client.Name, s.Client.Addr); err != nil || ok {
		return status.Status{}
	}
	h.ident = anvilclient.Ident(srv.service, s.Client.Addr)
	n, ok := h.event(ctx, anvilclient.Connect)
	h.counted = ok
	busy := ""
	switch {
	case !ok:
		return status.Status{}
	case srv.ConnCount > 0 && n.Count > srv.ConnCount:
		srv.log.Warn("", "Connection concurrency limit exceeded: %d from %s for service %s", n.Count, s.Peer(), srv.service)
		busy = "too many connections"
	case srv.ConnRate > 0 && n.Rate > srv.ConnRate:
		srv.log.Warn("", "Connection rate limit exceeded: %d from %s for service %s", n.Rate, s.Peer(), srv.service)
		busy = "too many connections"
	default:
		return status.Status{}
	}
	return status.New(421, "4.7.0", srv.Hostname+" Error: "+busy+" from "+s.Client.Addr)
}

// event asks anvil. When anvil is away, the server goes on without limits
// and says so now and then.
func (h *Session) event(ctx context.Context, event string) (anvilclient.Counts, bool) {
	if h.ident == "" {
		return anvilclient.Counts{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	n, err := h.srv.anvil.Event(ctx, event, h.ident)
	if err == nil {
		return n, true
	}
	h.srv.mu.Lock()
	quiet := time.Now().Before(h.srv.anvilQuiet)
	if !quiet {
		h.srv.anvilQuiet = time.Now().Add(time.Minute)
	}
	h.srv.mu.Unlock()
	if !quiet {
		h.srv.log.Warn("", "problem talking to server %s: %v", anvilclient.Endpoint, err)
	}
	return n, false
}

// rate counts an event and tells whether it is above a limit.
func (h *Session) rate(ctx context.Context, s *smtpserver.Session, event string, limit int, what string) bool {
	if limit == 0 {
		return false
	}
	n, ok := h.event(ctx, event)
	if !ok || n.Rate <= limit {
		return false
	}
	h.srv.log.Warn("", "%s rate limit exceeded: %d from %s for service %s", what, n.Rate, s.Peer(), h.srv.service)
	return true
}

// Helo runs the HELO restrictions where they are not put off.
func (h *Session) Helo(ctx context.Context, s *smtpserver.Session) status.Status {
	if h.srv.DelayReject {
		return status.Status{}
	}
	return h.check(ctx, s, s.Where(), h.srv.lists.helo)
}

// Close ends the session.
func (h *Session) Close(s *smtpserver.Session) {
	h.Reset(s)
	if h.counted {
		h.event(context.Background(), anvilclient.Disconnect)
	}
	h.forget()
}

// flags are what cleanup is to do with mail from the network.
func (h *Session) flags(m *smtpserver.Mail) inject.Flags {
	f := inject.FlagsExternal | inject.FlagSMTPReply
	if m.UTF8 {
		f |= inject.FlagUTF8
	}
	return f
}
