package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/pam"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// pamSource is the accounts of the machine, with passwords that PAM checks, by
// way of pamd(8).
type pamSource struct {
	system  systemSource
	service string // with %s for that of the client
	pool    *ipc.Pool
}

// pamGrace is what pamd may take beside its helper.
const pamGrace = 5 * time.Second

// openPAM keeps the group that may reach private sockets. All but pamd refuse
// authd there.
func openPAM(service string, limit time.Duration, minimum int, o opening) (source, error) {
	p := &pamSource{system: systemSource{dir: "/etc", minimum: max(minimum, 1)}, service: service,
		pool: ipc.NewPool(pam.Endpoint, limit+pamGrace)}
	probe := pam.Check{Service: p.serviceFor("imap"), Login: "x", Password: "x"}
	if err := probe.Valid(); err != nil {
		return nil, fmt.Errorf("auth_pam_service = %s: %w", service, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Dir(pam.Endpoint), &st); err == nil && os.Getuid() == 0 && o.groups != nil && st.Gid != 0 {
		*o.groups = append(*o.groups, int(st.Gid))
	}
	return p, nil
}

// serviceFor returns the service of PAM for a service of ours. Names of others
// come from servers that talk to strangers, and choose no rules.
func (p *pamSource) serviceFor(service string) string {
	switch service {
	case "smtp", "submission", "imap", "pop3", "sieve":
	default:
		service = "other"
	}
	return strings.ReplaceAll(p.service, "%s", service)
}

func (p *pamSource) name() string       { return "pam" }
func (p *pamSource) serves(string) bool { return false }
func (p *pamSource) hashless() bool     { return true }
func (p *pamSource) close()             { p.pool.Close() }

func (p *pamSource) lookup(_ context.Context, login, _ string) (*found, error) {
	r, err := p.system.account(login)
	if err != nil {
		return nil, err
	}
	return &found{rec: r, check: func(ctx context.Context, password string, peer authclient.Peer) (bool, error) {
		return p.check(ctx, r, password, peer)
	}}, nil
}

func (p *pamSource) check(ctx context.Context, r *userdb.Record, password string, peer authclient.Peer) (bool, error) {
	c := pam.Check{Service: p.serviceFor(serviceOf(peer)), Login: r.Login, RemoteIP: peer.RemoteIP, Password: password}
	if c.Valid() != nil {
		return false, nil
	}
	reply, err := p.pool.Call(ctx, c.Attributes())
	if err != nil {
		return false, fmt.Errorf("pam: %w", err)
	}
	switch pam.ParseResult(reply.Value("status")) {
	case pam.OK:
		return true, nil
	case pam.Failed, pam.Expired:
		return false, nil
	}
	return false, errNoPAM
}

var errNoPAM = errors.New("pam: no answer; see the log of pamd")
