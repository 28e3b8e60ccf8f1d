package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/nexthop"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/smtpclient"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// relay is the way past the queue (submission_relayhost): messages go to
// another mail server while their clients wait.
type relay struct {
	client *nexthop.Client
	sites  []string
	// transport is how the queue would reach the same server.
	transport string
	spools    spools
}

// The times that a client has for its own wait are five minutes for MAIL and
// RCPT, and ten for the end of the message (RFC 5321 4.5.3.2). Our answer must
// be there before: a client that gave up sends the message again (RFC 1047).
const (
	mailTime = 4 * time.Minute
	endTime  = 9 * time.Minute
)

// openRelay prepares for submission_relayhost; nil is without.
func openRelay(env *service.Env, p *params) (*relay, error) {
	if len(p.Relayhost) == 0 {
		return nil, nil
	}
	where := env.Config.Position("submission_relayhost")
	text := strings.Join(p.Relayhost, ",")
	protocol, rest, ok := strings.Cut(text, ":")
	if !ok || protocol != "lmtp" && protocol != "smtp" {
		protocol, rest = "smtp", text
	}
	client, err := nexthop.New(env.Config, env.Log, protocol == "lmtp")
	if err != nil {
		return nil, fmt.Errorf("%v: submission_relayhost: %w", where, err)
	}
	r := &relay{client: client, sites: nexthop.Split(rest), transport: protocol + ":" + rest}
	for i, site := range r.sites {
		// Paths are relative to the queue directory, which will be all there is.
		if path, ok := strings.CutPrefix(site, "unix:"); ok {
			r.sites[i] = "unix:" + strings.TrimPrefix(strings.TrimPrefix(path, env.QueueDir), "/")
		}
		if _, err := nexthop.Parse(r.sites[i], client.Params().TCPPort); err != nil {
			return nil, fmt.Errorf("%v: submission_relayhost: %w", where, err)
		}
	}
	r.spools, err = openSpools(p.DataDir)
	return r, err
}

// changed reports whether a table is out of date.
func (r *relay) changed() bool { return r != nil && r.client.Changed() }

// open makes a session with the first of the servers that is ready.
func (r *relay) open(ctx context.Context, id string, sender envelope.Sender) (*nexthop.Session, *smtpclient.Failure) {
	why := nexthop.Failed("4.4.1", "no server to pass mail on to")
	for _, site := range r.sites {
		s, f := r.openSite(ctx, id, site, sender)
		if f == nil {
			return s, nil
		}
		why = f
	}
	return nil, why
}

func (r *relay) openSite(ctx context.Context, id, site string, sender envelope.Sender) (*nexthop.Session, *smtpclient.Failure) {
	dest, err := nexthop.Parse(site, r.client.Params().TCPPort)
	if err != nil {
		return nil, nexthop.Failed("4.3.5", "%v", err)
	}
	policy, err := r.client.Policy(ctx, site)
	if err != nil {
		return nil, nexthop.Failed("4.7.5", "%v", err)
	}
	targets, why := r.client.Targets(ctx, dest)
	if why != nil {
		return nil, nexthop.Failed("4.4.3", "%s", why.Status.Text)
	}
	f := nexthop.Failed("4.4.1", "%s has no address", site)
	for _, t := range targets {
		var s *nexthop.Session
		policy := policy
		if sender.TLS == envelope.TLSRequired {
			policy = r.client.Wished(policy, t, sender)
		}
		if s, _, f = r.client.Open(ctx, id, t, policy, policy.Level); f != nil {
			continue
		}
		err := r.client.Authenticate(ctx, s, site, sender.Address)
		if err == nil {
			return s, nil
		}
		s.Quit(ctx)
		if !errors.As(err, &f) {
			f = nexthop.Failed("4.3.0", "%v", err)
		}
	}
	return nil, f
}

// hop is a session's connection to the next server, which serves one message
// after the other.
type hop struct {
	*relay
	conn *nexthop.Session // nil while there is none
	key  string           // whose login it has
}

// begin starts a message, on a new connection where the old one is of no use.
func (p *hop) begin(ctx context.Context, id string, m *smtpclient.Message) (*smtpclient.Dialogue, *smtpclient.Failure) {
	key := p.client.Key("", m.Sender.Address) + "\x00" + m.Sender.TLS.String()
	if p.conn != nil && (!p.conn.Usable() || key != p.key) {
		p.close(ctx)
	}
	if p.conn != nil {
		d, f := p.conn.Begin(ctx, m)
		if f == nil || !f.Early {
			return d, f
		}
		// It gave up waiting while nothing was to be said.
		p.drop()
	}
	conn, f := p.open(ctx, id, m.Sender)
	if f != nil {
		return nil, f
	}
	p.conn, p.key = conn, key
	return p.conn.Begin(ctx, m)
}

// drop ends the connection without a word, which is how a server learns that
// a message is not complete.
func (p *hop) drop() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

// quitTime bounds the goodbye.
const quitTime = 5 * time.Second

// close takes leave of the server.
func (p *hop) close(ctx context.Context) {
	if p.conn != nil {
		ctx, cancel := context.WithTimeout(ctx, quitTime)
		defer cancel()
		p.conn.Quit(ctx)
		p.conn = nil
	}
}

// answer makes the reply to our client of a failure of the next server. What
// that says about a sender, a recipient or a message is passed on. What goes
// wrong between it and us is no business of the client, and no fault that it
// could mend: that is temporary, and its reason is in our log. required says
// that the sender wants TLS.
func answer(f *smtpclient.Failure, required bool, hostname string) status.Status {
	switch {
	case f.NoTLS && required && f.Status.Code == "4.7.30":
		return status.New(550, "5.7.30", "Error: REQUIRETLS support required, which the next mail server does not have")
	case f.NoTLS && required:
		return status.New(550, "5.7.10", "Error: encryption needed, which the next mail server does not offer as REQUIRETLS asks")
	case f.Unknown:
		return status.New(451, "4.4.2", "Error: the next mail server did not confirm the message in time; please try again later")
	case f.Reply == nil && f.Scope == smtpclient.ScopeMessage && f.Status.Permanent():
		return status.New(554, f.Status.Code, "Error: "+f.Text)
	case f.Reply == nil, f.Scope == smtpclient.ScopeSite:
		return status.New(451, "4.4.1", "Error: the next mail server is not available; please try again later")
	}
	st := f.Reply.Status()
	st.Text = replyText(f.Reply.Lines)
	switch code := f.Reply.Code; {
	case code == 421:
		st.Reply, st.Code = 451, "4.3.2" // ours stays
	case code/100 == 4, code == 501, code/10 == 55:
	case code/100 != 5 || code < 510 || code/10 == 53:
		// Not about the message: it does not understand us, or wants
		// another login than it got.
		return status.New(451, "4.3.5", "Error: the next mail server does not take mail from "+hostname+"; please try again later, or ask your postmaster")
	}
	return st
}

// maxAnswer bounds what is repeated of a reply.
const maxAnswer = 400

// replyText is what the lines of a reply say, without their status codes.
func replyText(lines []string) string {
	var words []string
	for _, l := range lines {
		if first, rest, _ := strings.Cut(l, " "); status.ValidCode(first) {
			l = rest
		}
		words = append(words, strings.TrimSpace(l))
	}
	return shorten(strings.Join(words, " "), maxAnswer)
}

// asksQueue reports whether the client asks for what only the queue can do.
func asksQueue(m *smtpserver.Mail) bool { return !m.HoldUntil.IsZero() || m.VERP != "" }
