package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/dns"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
)

type tlsConfig = tls.Config

// agent is what all deliveries of the process share.
type agent struct {
	p       *params
	lmtp    bool
	log     *maillog.Logger
	reports *deliver.Agent
	find    *finder
	self    *selfAddrs
	tls     *tlspolicy.Engine
	tlsLog  int
	cache   *cache
	buffers *smtpwire.Buffers

	policyMaps  *table.Maps
	discardMaps *table.Maps
	out         outgoing
	login       *login // nil without
	passClient  *deliver.Client
}

// prepareTime bounds the lookups of names in inet_interfaces.
const prepareTime = 20 * time.Second

// prepare reads everything that the jail would hide.
func prepare(env *service.Env) (*service.Hooks, error) {
	a, err := newAgent(env)
	if err != nil {
		return nil, err
	}
	return &service.Hooks{
		Session: func(ctx context.Context, conn net.Conn) error {
			return a.reports.Serve(ctx, conn, a.deliver)
		},
		Changed: func() bool {
			return a.policyMaps.Changed() || a.discardMaps.Changed() || a.out.changed() ||
				a.login != nil && a.login.passwords.Changed()
		},
		Drain: a.cache.close,
	}, nil
}

func newAgent(env *service.Env) (*agent, error) {
	a := &agent{lmtp: env.Program == "lmtp", log: env.Log, cache: newCache(), buffers: &smtpwire.Buffers{}}
	var err error
	if a.p, err = readParams(env.Config, a.lmtp); err != nil {
		return nil, err
	}
	a.reports, err = deliver.NewAgent(deliver.Options{Config: env.Config, Log: env.Log, Service: env.Service})
	if err != nil {
		return nil, err
	}
	cfg, err := dns.Load(env.Config.Dir())
	if err != nil {
		return nil, err
	}
	resolver := dns.New(cfg)
	ctx, cancel := context.WithTimeout(context.Background(), prepareTime)
	defer cancel()
	a.self = newSelf(ctx, a.p, resolver)
	a.find = &finder{p: a.p, dns: resolver, self: a.self, lmtp: a.lmtp,
		warn: func(format string, args ...any) { a.log.Warn("", format, args...) }}
	o := table.Options{ConfigDir: env.Config.Dir(), Log: env.Log,
		Proxy: ipc.NewPool("private/"+a.p.ProxymapService, table.ProxyTimeout)}
	if a.policyMaps, err = table.OpenMaps(a.p.TLSPolicyMaps, o); err != nil {
		return nil, fmt.Errorf("tls_policy_maps: %w", err)
	}
	if a.discardMaps, err = table.OpenMaps(a.p.DiscardKeywordMaps, o); err != nil {
		return nil, fmt.Errorf("discard_ehlo_keyword_address_maps: %w", err)
	}
	if err := a.openOutgoing(o); err != nil {
		return nil, err
	}
	if err := a.openLogin(o); err != nil {
		return nil, err
	}
	if a.p.BestMXTransport != "" {
		a.passClient = deliver.NewClient("private/" + a.p.BestMXTransport)
	}
	return a, a.openTLS()
}

// openTLS sets up the TLS engine.
func (a *agent) openTLS() error {
	p, prefix := a.p, "smtp"
	if a.lmtp {
		prefix = "lmtp"
	}
	var err error
	// Postfix takes a name in the place of a number for old settings; a
	// number is what is documented.
	if a.tlsLog, err = strconv.Atoi(p.TLSLogLevel); err != nil {
		return fmt.Errorf("%s_tls_loglevel: not a number: %s", prefix, p.TLSLogLevel)
	}
	params := tlspolicy.Params{
		Prefix: prefix, Level: p.TLSLevel, UseTLS: p.UseTLS, EnforceTLS: p.EnforceTLS, EnforceName: p.TLSEnforceName,
		Protocols: p.TLSProtocols, MandatoryProtocols: p.TLSMandatoryProtocols,
		Ciphers: p.TLSCiphers, MandatoryCiphers: p.TLSMandatoryCiphers,
		Exclude: p.TLSExclude, MandatoryExclude: p.TLSMandatoryExclude,
		CAFile: p.TLSCAFile, CAPath: p.TLSCAPath, AppendDefaultCA: p.AppendDefaultCA,
		VerifyMatch: p.TLSVerifyMatch, SecureMatch: p.TLSSecureMatch,
		FingerprintMatch: p.TLSFingerprintMatch, FingerprintDigest: p.TLSFingerprintDigest,
		ServerName: p.TLSServerName, WildcardMultiLabel: p.MultiWildcard,
		SessionCache: tls.NewLRUClientSessionCache(256),
	}
	if !a.policyMaps.Empty() {
		params.Lookup = a.policyMaps.Lookup
	}
	a.tls, err = tlspolicy.New(params)
	return err
}
