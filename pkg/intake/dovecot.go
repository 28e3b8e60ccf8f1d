package intake

import (
	"context"
	"net"
	"path/filepath"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/dovecotauth"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
)

// dovecot is a Dovecot auth server (smtpd_sasl_type = dovecot).
type dovecot struct{ c *dovecotauth.Client }

// newDovecot makes a client for smtpd_sasl_path. queueDir is stripped from
// paths below it, since the server runs chrooted there.
func newDovecot(path, serviceName, queueDir string) (dovecot, error) {
	path = strings.TrimPrefix(path, "unix:")
	if rest, ok := strings.CutPrefix(path, "inet:"); ok {
		host, port, err := net.SplitHostPort(rest)
		if err != nil {
			return dovecot{}, err
		}
		// There is no resolver in the jail.
		addrs, err := net.LookupHost(host)
		if err != nil {
			return dovecot{}, err
		}
		path = "inet:" + net.JoinHostPort(addrs[0], port)
	} else if rel, err := filepath.Rel(queueDir, path); filepath.IsAbs(path) && err == nil && !strings.HasPrefix(rel, "..") {
		path = rel
	}
	c, err := dovecotauth.New(path, serviceName)
	return dovecot{c}, err
}

func (d dovecot) mechanisms(ctx context.Context, _ authclient.Peer) ([]string, error) {
	return d.c.Mechanisms(ctx)
}

func (d dovecot) begin(ctx context.Context, p authclient.Peer, mechanism string, initial []byte) (exchange, answer) {
	x, r, err := d.c.Begin(ctx, dovecotauth.Peer{RemoteIP: p.RemoteIP, LocalIP: p.LocalIP,
		RemotePort: p.RemotePort, LocalPort: p.LocalPort, Secured: p.TLS}, mechanism, initial)
	return &dovecotExchange{x}, dovecotAnswer(r, err)
}

type dovecotExchange struct{ x *dovecotauth.Exchange }

func (e *dovecotExchange) next(ctx context.Context, response []byte) answer {
	return dovecotAnswer(e.x.Next(ctx, response))
}

func (e *dovecotExchange) abort() { e.x.Abort() }

// dovecotAnswer translates a reply. The reason is the server's own text, for
// the human at the other end.
func dovecotAnswer(r dovecotauth.Reply, err error) answer {
	a := answer{AuthStep: smtpserver.AuthStep{Challenge: r.Challenge, User: r.User, Text: r.Reason}}
	switch {
	case err != nil:
		a.Result, a.Text = smtpserver.AuthTemporary, "Connection lost to authentication server"
	case r.Outcome == dovecotauth.Temporary:
		a.Result = smtpserver.AuthTemporary
	case r.Outcome == dovecotauth.Continue:
		a.Result = smtpserver.AuthMore
	case r.Outcome == dovecotauth.OK:
		a.Result = smtpserver.AuthOK
	}
	return a
}
