package intake

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/access"
	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/dns"
	"github.com/posthouse-mail/posthouse/pkg/flushclient"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/keys"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// Server is what all sessions share.
type Server struct {
	Params
	log     *maillog.Logger
	service string
	setup   Setup
	opts    smtpserver.Options

	lists   lists
	parser  *access.Parser
	maps    recipientMaps
	nets    *table.MatchList
	except  *table.MatchList // from the limits of anvil
	verp    *table.MatchList // clients that may use XVERP
	urgent  *table.MatchList // clients that may use MT-PRIORITY
	bareOK  *table.MatchList // from the bare newline policy
	discard *table.Maps
	own     map[netip.Addr]bool
	access  keys.Options
	auth    *auth          // nil without AUTH
	roots   *x509.CertPool // nil if no client certificate is believed

	raw      func(parameter string) (string, bool)
	resolver *dns.Resolver
	rewrite  *rewrite.Client
	cleanup  *inject.Client
	anvil    *anvilclient.Client
	flush    *flushclient.Client
	space    space

	mu         sync.Mutex
	resolved   *rewrite.Cache
	anvilQuiet time.Time

	asked sync.Pool // of *asked, between sessions
}

// lists are the parsed restriction lists.
type lists struct {
	client, helo, sender, relay, rcpt, data, eod, etrn *access.List
}

// recipientMaps tell which addresses exist.
type recipientMaps struct {
	local, alias, mailbox, relay, canonical, rcptCanonical, senderCanonical, logins, full, listReplies, clientCerts *table.Maps
}

// Setup is what a program has of its own.
type Setup struct {
	// Adjust changes parameters after they were read.
	Adjust func(*Params) error
	// Prefix takes the place of "smtpd_" in the names of parameters whose
	// values Adjust replaces, for messages about them.
	Prefix string
}

// Prepare makes the hooks of smtpd(8).
func Prepare(env *service.Env) (*service.Hooks, error) {
	srv, err := New(env, Setup{})
	if err != nil {
		return nil, err
	}
	return srv.Hooks(func() smtpserver.Handler { return srv.Session() }), nil
}

// Hooks serve clients with the handlers that are made for each of them.
func (srv *Server) Hooks(handler func() smtpserver.Handler) *service.Hooks {
	return &service.Hooks{
		Ready: func(ctx context.Context) error {
			srv.opts.Leave = service.UntilStopping(ctx)
			return nil
		},
		Session: func(ctx context.Context, conn net.Conn) error {
			return smtpserver.Serve(ctx, conn, &srv.opts, handler())
		},
		Changed: srv.changed,
	}
}

// Log is the log of the service.
func (srv *Server) Log() *maillog.Logger { return srv.log }

// Service is the name of the service in master.cf.
func (srv *Server) Service() string { return srv.service }

// Anvil counts what clients and users do.
func (srv *Server) Anvil() *anvilclient.Client { return srv.anvil }

// Cleanup takes messages.
func (srv *Server) Cleanup() *inject.Client { return srv.cleanup }

// Engine is the protocol engine's options, to be changed before the first
// client.
func (srv *Server) Engine() *smtpserver.Options { return &srv.opts }

// OwnAuth returns the client of authd, nil if another back end checks logins.
func (srv *Server) OwnAuth() *authclient.Client {
	if srv.auth == nil {
		return nil
	}
	if o, ok := srv.auth.back.(ownAuth); ok {
		return o.c
	}
	return nil
}

// Qualify completes an address in external form with our domain.
func (srv *Server) Qualify(ctx context.Context, external string) (string, error) {
	return srv.rewrite.Rewrite(ctx, rewrite.Local, external)
}

// Session returns the handler for one client.
func (srv *Server) Session() *Session { return &Session{srv: srv} }

// New reads the configuration and opens the tables, before the jail.
func New(env *service.Env, setup Setup) (*Server, error) {
	srv := &Server{log: env.Log, service: env.Service, setup: setup, resolved: rewrite.NewCache(resolveTTL, resolveMax)}
	if err := env.Config.Fill(&srv.Params); err != nil {
		return nil, err
	}
	if setup.Adjust != nil {
		if err := setup.Adjust(&srv.Params); err != nil {
			return nil, err
		}
	}
	srv.raw = env.Config.Raw
	if err := srv.openTables(env); err != nil {
		return nil, err
	}
	if err := srv.parseLists(env); err != nil {
		return nil, err
	}
	resolvConf, err := dns.Load(env.Config.Dir())
	if err != nil {
		return nil, err
	}
	srv.resolver = dns.New(resolvConf)
	srv.rewrite = rewrite.NewClient(ipc.NewPool("private/"+srv.RewriteService, rewrite.Timeout))
	srv.cleanup = inject.NewClient(ipc.NewPool("public/"+srv.CleanupService, inject.Timeout))
	srv.flush = flushclient.New(ipc.NewPool("public/"+srv.FlushService, 10*time.Second))
	srv.anvil = anvilclient.New(ipc.NewPool(anvilclient.Endpoint, 10*time.Second))
	if srv.space.dir, err = os.Open("."); err != nil {
		return nil, fmt.Errorf("open queue directory: %w", err)
	}
	srv.opts = srv.Options(srv.log)
	srv.opts.Notices = transcript.New(srv.Notices, transcript.Server, srv.cleanup, srv.log)
	return srv, srv.setTLS()
}

// Options fills the engine's options from the parameters.
func (p *Params) Options(log *maillog.Logger) smtpserver.Options {
	o := smtpserver.Options{
		Hostname: p.Hostname, Banner: p.Banner, Log: log, Buffers: &smtpwire.Buffers{},
		Timeout: p.Timeout, StartTLSTimeout: p.TLSTimeout,
		RequestDeadline: p.Deadline, MinDataRate: int64(p.MinDataRate),
		LineLimit: p.LineLimit, SoftErrors: p.SoftErrors, HardErrors: p.HardErrors,
		JunkLimit: p.JunkLimit, ErrorSleep: p.ErrorSleep,
		RcptLimit: p.RcptLimit, RcptOver: p.RcptOver, SizeLimit: p.SizeLimit,
		HeloNeeded: p.HeloRequired, StrictPaths: p.StrictPaths, NoDashes: !p.Dashes, NoVRFY: p.NoVRFY,
		UTF8: p.UTF8, NoEarlyTalk: p.NoEarlyTalk, TLSLog: p.TLSLog,
		AuthTLSOnly: p.TLSAuthOnly, BrokenAuth: p.SASLBroken, AuthLimit: p.SASLLimit,
		RequireTLS: p.RequireTLS,
		VERPDelims: p.VERPDelims, VERPFilter: p.VERPFilter,
		PauseLines: p.History,
	}
	for _, w := range p.Forbidden {
		// The engine itself throws out what does not begin with a
		// letter; other patterns of the default say just that.
		if !strings.Contains(w, ":") {
			o.Forbidden = append(o.Forbidden, strings.ToUpper(w))
		}
	}
	return o
}

// openTables opens all tables but those of the restriction lists.
func (srv *Server) openTables(env *service.Env) error {
	o := srv.tableOptions(env)
	for _, t := range []struct {
		dst   **table.Maps
		specs []string
		name  string
	}{
		{&srv.maps.local, srv.LocalRcptMaps, "local_recipient_maps"},
		{&srv.maps.alias, srv.VirtualAliasMaps, "virtual_alias_maps"},
		{&srv.maps.mailbox, srv.VirtualMailboxes, "virtual_mailbox_maps"},
		{&srv.maps.relay, srv.RelayRcptMaps, "relay_recipient_maps"},
		{&srv.maps.canonical, srv.CanonicalMaps, "canonical_maps"},
		{&srv.maps.rcptCanonical, srv.RcptCanonical, "recipient_canonical_maps"},
		{&srv.maps.senderCanonical, srv.SenderCanonical, "sender_canonical_maps"},
		{&srv.maps.logins, srv.LoginMaps, "smtpd_sender_login_maps"},
		{&srv.maps.listReplies, srv.RBLReplyMaps, "rbl_reply_maps"},
		{&srv.maps.clientCerts, srv.ClientCerts, "relay_clientcerts"},
		{&srv.discard, srv.DiscardMaps, "smtpd_discard_ehlo_keyword_address_maps"},
	} {
		m, err := table.OpenMaps(t.specs, o)
		if err != nil {
			return fmt.Errorf("%v: %s: %w", env.Config.Position(t.name), t.name, err)
		}
		*t.dst = m
	}
	if table.NamesAuthd(srv.VirtualMailboxes) {
		var err error
		if srv.maps.full, err = table.OpenMaps([]string{"authd:full"}, o); err != nil {
			return err
		}
	}
	if err := srv.openNetworks(env, o); err != nil {
		return err
	}
	return srv.openAuth(env, o)
}

func (srv *Server) tableOptions(env *service.Env) table.Options {
	return table.Options{
		Proxy:     ipc.NewPool("private/proxymap", 100*time.Second),
		ConfigDir: env.Config.Dir(), Log: env.Log, UTF8: srv.UTF8,
	}
}

func (srv *Server) openNetworks(env *service.Env, o table.Options) (err error) {
	bare := srv.BareLFExcept
	if !env.Config.IsSet("smtpd_forbid_bare_newline_exclusions") {
		// Postfix exempts $mynetworks by default. A client there can
		// carry smuggled mail as well as any other, so an exemption
		// is only made where the site asks for it.
		bare = nil
	}
	for _, l := range []struct {
		dst   **table.MatchList
		specs []string
		name  string
	}{
		{&srv.nets, srv.MyNetworks, "mynetworks"},
		{&srv.except, srv.LimitsExcept, "smtpd_client_event_limit_exceptions"},
		{&srv.bareOK, bare, "smtpd_forbid_bare_newline_exclusions"},
		{&srv.verp, srv.VERPClients, "smtpd_authorized_verp_clients"},
		{&srv.urgent, srv.PriorityOf, "smtpd_authorized_priority_clients"},
	} {
		lo := table.ListOptions{Options: o, Name: l.name, MatchParent: srv.matchParent(l.name)}
		if *l.dst, err = table.NewHostList(l.specs, lo); err != nil {
			return fmt.Errorf("%v: %s: %w", env.Config.Position(l.name), l.name, err)
		}
	}
	srv.access = keys.Options{Delimiters: srv.Delimiter, MatchParent: srv.matchParent("smtpd_access_maps")}
	srv.own, err = ownAddresses(srv.OwnInterfaces)
	return err
}

func (srv *Server) matchParent(name string) bool {
	for _, n := range srv.MatchSubdomains {
		if n == name {
			return true
		}
	}
	return false
}

// ownAddresses returns the addresses that inet_interfaces stands for.
func ownAddresses(names []string) (map[netip.Addr]bool, error) {
	own := make(map[netip.Addr]bool)
	for _, n := range names {
		if a, err := netip.ParseAddr(strings.Trim(n, "[]")); err == nil {
			own[a.Unmap()] = true
			continue
		}
		if n == "loopback-only" || n == "localhost" {
			own[netip.MustParseAddr("127.0.0.1")] = true
			own[netip.IPv6Loopback()] = true
			continue
		}
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			return nil, fmt.Errorf("own addresses: %w", err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				own[p.Addr().Unmap()] = true
			}
		}
	}
	return own, nil
}

// parseLists parses the restriction lists. A server without any protection
// against relaying does not start.
func (srv *Server) parseLists(env *service.Env) error {
	o := srv.tableOptions(env)
	srv.parser = &access.Parser{
		Classes: make(map[string][]string),
		Open:    func(spec string) (*table.Maps, error) { return table.OpenMaps([]string{spec}, o) },
		Warn:    func(format string, args ...any) { env.Log.Warn("", format, args...) },
	}
	for _, name := range srv.Classes {
		value, err := env.Config.Value(name)
		if err != nil {
			return err
		}
		words, err := table.SplitList(value)
		if err != nil {
			return fmt.Errorf("%v: %s: %w", env.Config.Position(name), name, err)
		}
		srv.parser.Classes[name] = words
	}
	for _, l := range []struct {
		dst   **access.List
		param string
		stage access.Stage
		words []string
	}{
		{&srv.lists.client, "smtpd_client_restrictions", access.Client, srv.ClientRestrictions},
		{&srv.lists.helo, "smtpd_helo_restrictions", access.Helo, srv.HeloRestrictions},
		{&srv.lists.sender, "smtpd_sender_restrictions", access.Sender, srv.SenderRestrictions},
		{&srv.lists.relay, "smtpd_relay_restrictions", access.Relay, srv.RelayRestrictions},
		{&srv.lists.rcpt, "smtpd_recipient_restrictions", access.Recipient, srv.RcptRestrictions},
		{&srv.lists.data, "smtpd_data_restrictions", access.Data, srv.DataRestrictions},
		{&srv.lists.eod, "smtpd_end_of_data_restrictions", access.EndOfData, srv.EODRestrictions},
		{&srv.lists.etrn, "smtpd_etrn_restrictions", access.Etrn, srv.EtrnRestrictions},
	} {
		name := srv.paramName(l.param)
		list, err := srv.parser.Parse(name, l.stage, l.words)
		if err != nil {
			return fmt.Errorf("%v: %w", env.Config.Position(name), err)
		}
		*l.dst = list
	}
	if !srv.lists.relay.Guards() && !srv.lists.rcpt.Guards() {
		return fmt.Errorf("%v: in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains",
			env.Config.Position("smtpd_relay_restrictions"))
	}
	return srv.parser.ParseClasses(access.Client, access.Helo, access.Sender, access.Relay, access.Recipient, access.Data, access.EndOfData, access.Etrn)
}

// paramName is the name under which a site sets a smtpd_ parameter here.
func (srv *Server) paramName(name string) string {
	if rest, ok := strings.CutPrefix(name, "smtpd_"); ok && srv.setup.Prefix != "" {
		return srv.setup.Prefix + rest
	}
	return name
}

// changed reports whether a table is out of date.
func (srv *Server) changed() bool {
	m := srv.maps
	for _, t := range []*table.Maps{m.local, m.alias, m.mailbox, m.relay, m.canonical, m.rcptCanonical, m.senderCanonical, m.logins, m.clientCerts, srv.discard} {
		if t.Changed() {
			return true
		}
	}
	return srv.parser.Changed() || srv.nets.Changed() || srv.except.Changed() || srv.bareOK.Changed() || srv.verp.Changed() || srv.urgent.Changed()
}
