package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/pace"
	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/service"
	lookup "github.com/posthouse-mail/posthouse/pkg/table"
)

// params are the parameters of authd.
type params struct {
	Sources       []string      `param:"auth_sources"`
	Mechanisms    []string      `param:"auth_mechanisms"`
	Cleartext     []string      `param:"auth_cleartext_networks"`
	UsernameChars string        `param:"auth_username_chars"`
	DefaultRealm  string        `param:"auth_default_realm"`
	FailureDelay  time.Duration `param:"auth_failure_delay"`
	DelayLimit    time.Duration `param:"auth_failure_delay_limit"`
	CacheTime     time.Duration `param:"auth_cache_time"`
	CacheSize     int           `param:"auth_cache_size"`
	VerifyLimit   int           `param:"auth_verify_limit"`
	UserdbPath    string        `param:"userdb_path"`
	Scheme        string        `param:"password_scheme"`
	MailUID       string        `param:"mail_uid"`
	MailGID       string        `param:"mail_gid"`
	MailHome      string        `param:"mail_home"`
	MinimumUID    int           `param:"virtual_minimum_uid"`
	Delimiter     string        `param:"recipient_delimiter"`
	DomainAliases []string      `param:"domain_alias_maps"`
	DebugLogin    int           `param:"debug_login"`
	Hostname      string        `param:"myhostname"`
	LoginOwner    string        `param:"login_owner"`
	PAMService    string        `param:"auth_pam_service"`
	PAMLimit      time.Duration `param:"auth_pam_time_limit"`
	OAuth         oauthParams
}

// server is the state of the process.
type server struct {
	params
	log       *maillog.Logger
	sources   []source
	cleartext []netip.Prefix
	checker   *password.Checker
	verified  *verified
	gate      *gate
	guard     *guard
	tickets   *tickets
	jobs      chan job // sessions for who is free to pass them to sessiond
	quotas    *quotas
	domains   *lookup.Maps       // nil: no aliases of domains
	tokens    *tokens            // nil: no OAuth
	trusted   map[int]bool       // uids that may redeem tickets
	logins    func(uid int) bool // those of login servers
	keep      *service.Keep
	pace      *pace.Governor
	saltKey   []byte
	mailUID   int // of users without one, -1 = none
	mailGID   int
}

// prepare opens the sources, as root.
func prepare(env *service.Env) (*service.Hooks, error) {
	var p params
	if err := env.Config.Fill(&p); err != nil {
		return nil, err
	}
	before := takeState(env.Keep, env.Log)
	if p.VerifyLimit <= 0 {
		p.VerifyLimit = env.Pace.Processors()
	}
	s, err := newServer(p, env.Log, before)
	if err != nil {
		return nil, err
	}
	s.keep, s.pace = env.Keep, env.Pace
	s.trusted = map[int]bool{0: true}
	if !env.Jailed {
		s.trusted[os.Getuid()] = true
	}
	o := opening{log: env.Log, owner: env.UID, groups: &env.Groups, configDir: env.Config.Dir()}
	if err := s.open(o); err != nil {
		return nil, err
	}
	return &service.Hooks{Session: s.session, Changed: s.changed, Drain: s.close}, nil
}

// newServer makes a server without sources, which goes on where the one before
// it ended.
func newServer(p params, log *maillog.Logger, before *state) (*server, error) {
	s := &server{params: p, log: log, tickets: newTickets(), jobs: make(chan job), quotas: newQuotas(),
		logins: service.OnlyUser(p.LoginOwner)}
	var err error
	if s.cleartext, err = parseNetworks(p.Cleartext); err != nil {
		return nil, fmt.Errorf("auth_cleartext_networks: %w", err)
	}
	if s.mailUID, err = lookupID("mail_uid", p.MailUID, findUID); err != nil {
		return nil, err
	}
	if s.mailGID, err = lookupID("mail_gid", p.MailGID, findGID); err != nil {
		return nil, err
	}
	parallel := p.VerifyLimit
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	s.saltKey = before.saltKey()
	if s.checker, err = password.NewChecker(parallel, p.Scheme, s.saltKey); err != nil {
		return nil, fmt.Errorf("password_scheme: %w", err)
	}
	if s.tokens, err = openTokens(p.OAuth); err != nil {
		return nil, err
	}
	s.verified = newVerified(p.CacheSize, p.CacheTime)
	s.gate = newGate(parallel)
	s.guard = newGuard(p.FailureDelay, p.DelayLimit)
	s.restore(before)
	return s, nil
}

// parseNetworks reads addresses and networks in the form of mynetworks.
func parseNetworks(words []string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, w := range words {
		w = strings.NewReplacer("[", "", "]", "").Replace(w)
		p, err := netip.ParsePrefix(w)
		if err != nil {
			a, err2 := netip.ParseAddr(w)
			if err2 != nil {
				return nil, err
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

func contains(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// changed reports a source that a new process could open better, since it
// starts as root.
func (s *server) changed() bool {
	if s.domains != nil && s.domains.Changed() {
		return true
	}
	for _, src := range s.sources {
		if c, ok := src.(interface{ changed() bool }); ok && c.changed() {
			return true
		}
	}
	return false
}

func (s *server) close() {
	s.leave()
	for _, src := range s.sources {
		if c, ok := src.(interface{ close() }); ok {
			c.close()
		}
	}
}

// sleep waits, and says whether it did so to the end. A process that retires
// does not wait: its successor, for which all others wait, knows the delays.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-service.Retiring(ctx):
		return false
	case <-ctx.Done():
		return false
	}
}

var errNoSource = errors.New("auth_sources names no source")

// closeOnDone ends the waiting of a session when the process has to end.
func closeOnDone(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
}
