// Package nexthop is how a client of SMTP or LMTP gets to the point where mail
// can be sent: the servers of a next hop, a connection to one of them, TLS as
// the policy of the site asks, and the login. smtp(8) and lmtp(8) deliver with
// it; submission(8) passes mail on with it (submission_relayhost).
//
// The parameters are those of smtp(8) and lmtp(8), so a next hop is treated
// alike by whatever talks to it.
package nexthop

import (
	"context"
	"crypto/tls"
	"fmt"
	"strconv"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/dns"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/mime"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// Client opens sessions with one protocol. It is safe for concurrent use.
type Client struct {
	p       *Params
	lmtp    bool
	log     *maillog.Logger
	find    *finder
	self    *selfAddrs
	tls     *tlspolicy.Engine
	tlsLog  int
	buffers *smtpwire.Buffers
	mime    mime.Limits
	login   *login // nil without
	notices *transcript.Notifier

	policyMaps  *table.Maps
	discardMaps *table.Maps
}

// Tell makes n tell the postmaster of sessions. It is called before the first
// session.
func (c *Client) Tell(n *transcript.Notifier) { c.notices = n }

// prepareTime bounds the lookups of names in inet_interfaces.
const prepareTime = 20 * time.Second

// New reads the parameters and everything else that a jail would hide.
func New(cfg *config.Config, log *maillog.Logger, lmtp bool) (*Client, error) {
	c := &Client{lmtp: lmtp, log: log, buffers: &smtpwire.Buffers{}}
	var err error
	if c.p, err = ReadParams(cfg, lmtp); err != nil {
		return nil, err
	}
	c.mime = mime.Limits{Header: c.p.HeaderSizeLimit, Nesting: c.p.MIMENestingLimit, Boundary: c.p.MIMEBoundaryLimit}
	resolvConf, err := dns.Load(cfg.Dir())
	if err != nil {
		return nil, err
	}
	resolver := dns.New(resolvConf)
	ctx, cancel := context.WithTimeout(context.Background(), prepareTime)
	defer cancel()
	c.self = newSelf(ctx, c.p, resolver)
	c.find = &finder{p: c.p, dns: resolver, self: c.self, lmtp: lmtp,
		warn: func(format string, args ...any) { log.Warn("", format, args...) }}
	o := c.TableOptions(cfg)
	if c.policyMaps, err = table.OpenMaps(c.p.TLSPolicyMaps, o); err != nil {
		return nil, fmt.Errorf("tls_policy_maps: %w", err)
	}
	if c.discardMaps, err = table.OpenMaps(c.p.DiscardKeywordMaps, o); err != nil {
		return nil, fmt.Errorf("discard_ehlo_keyword_address_maps: %w", err)
	}
	if err := c.openLogin(o); err != nil {
		return nil, err
	}
	return c, c.openTLS()
}

// TableOptions are how the client opens tables.
func (c *Client) TableOptions(cfg *config.Config) table.Options {
	return table.Options{ConfigDir: cfg.Dir(), Log: c.log,
		Proxy: ipc.NewPool("private/"+c.p.ProxymapService, table.ProxyTimeout)}
}

// Params are the parameters that the client read.
func (c *Client) Params() *Params { return c.p }

// prefix is what the names of its parameters begin with.
func (c *Client) prefix() string {
	if c.lmtp {
		return "lmtp"
	}
	return "smtp"
}

// LMTP reports whether the client speaks LMTP.
func (c *Client) LMTP() bool { return c.lmtp }

// Policy returns the TLS policy for a next hop.
func (c *Client) Policy(ctx context.Context, site string) (*tlspolicy.Policy, error) {
	return c.tls.For(ctx, site)
}

// Wished returns the policy for a server as the sender's wish changes it (RFC
// 8689). A site that logs in to servers does not let go of TLS for it: the
// password would go in clear. A notice goes as well as it can (section 5).
func (c *Client) Wished(p *tlspolicy.Policy, t Target, from envelope.Sender) *tlspolicy.Policy {
	switch {
	case t.Unix != "":
	case from.TLS == envelope.TLSRequired && from.Address != "":
		return p.Require(t.Named)
	case from.TLS == envelope.TLSOptional && c.p.TLSRequiredHeader && c.login == nil:
		return p.Relax()
	}
	return p
}

// Changed reports whether a table is out of date.
func (c *Client) Changed() bool {
	return c.policyMaps.Changed() || c.discardMaps.Changed() || c.login != nil && c.login.passwords.Changed()
}

// openTLS sets up the TLS engine.
func (c *Client) openTLS() error {
	p, prefix := c.p, c.prefix()
	var err error
	// Postfix takes a name in the place of a number for old settings; a
	// number is what is documented.
	if c.tlsLog, err = strconv.Atoi(p.TLSLogLevel); err != nil {
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
	if !c.policyMaps.Empty() {
		params.Lookup = c.policyMaps.Lookup
	}
	c.tls, err = tlspolicy.New(params)
	return err
}
