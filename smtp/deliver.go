package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/nexthop"
	"github.com/posthouse-mail/posthouse/pkg/smtpclient"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
)

// job is one delivery request on its way through the servers that may take
// it. A recipient leaves it as soon as its fate is known; a temporary failure
// decides only when there is no other server to try.
type job struct {
	*agent
	d    *deliver.Delivery
	left []*envelope.Recipient
	why  *smtpclient.Failure // last failure that decided nothing
	host string              // server that why comes from
	// relay is that server for the log, if it was talked to.
	relay string
	tried nexthop.Target // served by a kept session
	loop  bool           // mail would come back to us

	lastSite bool // no other destination to try after this one
	sessions int  // servers that were talked to
	fallback bool // the destination is smtp_fallback_relay
}

// deliver carries out one request; it is a [deliver.Handler].
func (a *agent) deliver(ctx context.Context, d *deliver.Delivery) error {
	j := &job{agent: a, d: d}
	for i := range d.Recipients {
		j.left = append(j.left, &d.Recipients[i])
	}
	sites := nexthop.Split(d.NextHop)
	own := len(sites)
	if !a.LMTP() || len(a.p.FallbackRelay) > 0 {
		sites = append(sites, a.p.FallbackRelay...)
	}
	for i, site := range sites {
		j.lastSite, j.fallback = i == len(sites)-1, i >= own
		if err := j.trySite(ctx, site); err != nil {
			return err
		}
		// A fallback relay would make a loop only longer.
		if len(j.left) == 0 || j.loop {
			break
		}
	}
	if len(j.left) == 0 {
		return nil
	}
	return j.giveUp(ctx)
}

func (j *job) queueID() string { return string(j.d.QueueID) }

// trySite goes through the servers of one destination.
func (j *job) trySite(ctx context.Context, site string) error {
	dest, err := nexthop.Parse(site, j.p.TCPPort)
	if err != nil {
		j.log.Warn(j.queueID(), "%v", err)
		j.why = nexthop.Failed("4.3.5", "Server configuration error")
		return nil
	}
	policy, err := j.Policy(ctx, site)
	if err != nil {
		j.log.Warn(j.queueID(), "TLS policy lookup for %s: %v", site, err)
		j.why = nexthop.Failed("4.7.5", "%v", tlspolicy.ErrPolicy)
		return nil
	}
	if done, err := j.tryKept(ctx, site); done || err != nil {
		return err
	}
	targets, fail := j.Targets(ctx, dest)
	if fail != nil {
		j.why = &smtpclient.Failure{Scope: smtpclient.ScopeSite, Status: fail.Status, Text: fail.Status.Text}
		j.host, j.relay, j.loop = "", "", fail.Loop
		return nil
	}
	if j.tried.Addr.IsValid() || j.tried.Unix != "" {
		targets = slices.DeleteFunc(targets, func(t nexthop.Target) bool {
			return t.Addr == j.tried.Addr && t.Unix == j.tried.Unix && t.Port == j.tried.Port
		})
	}
	for i, t := range targets {
		last := i == len(targets)-1 || j.p.MXSessionLimit > 0 && j.sessions+1 == j.p.MXSessionLimit
		if err := j.tryTarget(ctx, site, t, policy, j.lastSite && last); err != nil || len(j.left) == 0 {
			return err
		}
		if j.p.MXSessionLimit > 0 && j.sessions >= j.p.MXSessionLimit {
			break
		}
	}
	return nil
}

// mayReuse reports whether a kept session may serve this request.
func (j *job) mayReuse(site string) bool {
	return j.d.Flags&deliver.FlagConnLoad != 0 || j.wantsStore(site)
}

func (j *job) wantsStore(site string) bool {
	return j.p.CacheOnDemand && j.d.Flags&deliver.FlagConnStore != 0 || slices.Contains(j.p.CacheDestinations, site)
}

// key is what a session for this message is kept under. Mail that requires
// TLS needs one whose certificate was verified.
func (j *job) key(site string) string {
	key := j.Key(site, j.d.Sender.Address)
	if j.d.Sender.TLS == envelope.TLSRequired {
		key += "\x00requiretls"
	}
	return key
}

// tryKept uses a session that is still open. done reports that no recipient
// is left, or that the failure is final.
func (j *job) tryKept(ctx context.Context, site string) (done bool, err error) {
	if !j.mayReuse(site) {
		return false, nil
	}
	s := j.cache.get(j.key(site))
	if s == nil {
		return false, nil
	}
	// There may be other servers: nothing is final for a temporary failure.
	err = j.transfer(ctx, s, false)
	return err != nil || len(j.left) == 0, err
}

// tryTarget talks to one server. final means that there is no other.
func (j *job) tryTarget(ctx context.Context, site string, t nexthop.Target, policy *tlspolicy.Policy, final bool) error {
	policy = j.Wished(policy, t, j.d.Sender)
	level := policy.Level
	for {
		opened, established, fail := j.Open(ctx, j.queueID(), t, policy, level)
		if !established {
			j.log.Info("", "%s", fail.Text)
			j.why, j.host, j.relay = fail, t.Host, ""
			return nil
		}
		s := &session{Session: opened}
		if fail != nil && fail.Handshake && level == tlspolicy.LevelMay &&
			(j.d.Sender.TLS == envelope.TLSOptional || j.d.Times.Active.Sub(j.d.Times.Arrival) >= j.p.MinimalBackoff) {
			// TLS did not work before either. At level may a message
			// that waited once goes in clear rather than not at all.
			level = tlspolicy.LevelNone
			continue
		}
		j.sessions++
		if fail != nil {
			return j.fail(ctx, s, fail, final)
		}
		if err := j.Authenticate(ctx, s.Session, site, j.d.Sender.Address); err != nil {
			if !errors.As(err, &fail) {
				return err
			}
			j.cache.quit(s)
			return j.fail(ctx, s, fail, final)
		}
		s.site, s.key = site, j.key(site)
		return j.transfer(ctx, s, final)
	}
}

// transfer sends the message through an open session and reports on the
// recipients.
func (j *job) transfer(ctx context.Context, s *session, final bool) error {
	ready := time.Now()
	rcpts := j.left
	m, err := j.message(ctx)
	if err != nil {
		j.log.Warn(j.queueID(), "generic_maps: %v", err)
		j.cache.quit(s)
		j.why, j.host, j.relay = nexthop.Failed("4.3.0", "address mapping failure"), "", ""
		return nil
	}
	out := s.Send(ctx, m)
	if s.reused && len(out) > 0 && out[0].Failure != nil && out[0].Failure.Early {
		// The server gave up waiting while we were idle. Nothing was said
		// about this message.
		s.Close()
		return nil
	}
	if s.reused {
		j.tried = s.Target
		j.sessions++
	}
	err = j.report(ctx, s, rcpts, out, ready, final)
	j.finish(ctx, s)
	return err
}

// message is what goes over the wire for the recipients that are left.
func (j *job) message(ctx context.Context) (*smtpclient.Message, error) {
	note := func(format string, args ...any) { j.log.Info(j.queueID(), format, args...) }
	m := &smtpclient.Message{
		Sender: j.d.Sender, Size: j.d.DataSize, Encoding: j.d.Encoding, UTF8: j.d.UTF8, Priority: j.d.Priority, Client: j.d.Client,
		Content: j.out.through(ctx, content(j.d.Message.Content().Next, io.EOF), note), Probe: j.d.ProbeOnly(),
	}
	var err error
	if m.Sender.Address, err = j.out.address(ctx, m.Sender.Address); err != nil {
		return nil, err
	}
	for _, r := range j.left {
		m.Recipients = append(m.Recipients, *r)
		sent := &m.Recipients[len(m.Recipients)-1]
		if sent.Address, err = j.out.address(ctx, r.Address); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// finish keeps a session for the next message or ends it.
func (j *job) finish(ctx context.Context, s *session) {
	keep := s.Usable() && j.wantsStore(s.site) &&
		time.Since(s.Opened) < j.p.ReuseTimeLimit &&
		(j.p.ReuseCountLimit == 0 || s.Uses < j.p.ReuseCountLimit)
	if keep {
		j.cache.put(s, j.p.CacheTimeLimit)
		return
	}
	j.cache.quit(s)
}

// report tells the queue what became of each recipient.
func (j *job) report(ctx context.Context, s *session, rcpts []*envelope.Recipient, out []smtpclient.Outcome, ready time.Time, final bool) error {
	j.left = nil
	var noted *smtpclient.Failure
	for i, o := range out {
		r := j.result(s, ready)
		if o.Reply != nil {
			if err := j.d.Sent(ctx, rcpts[i], j.success(s, r, o.Reply)); err != nil {
				return err
			}
			continue
		}
		f := o.Failure
		// After the end of data the server may have the message. Another
		// server now would make a duplicate likely; later it is possible.
		if j.soft(f) && !final && !f.Unknown {
			if f != noted {
				j.log.Info(j.queueID(), "%s", f.Text)
			}
			noted = f
			j.left = append(j.left, rcpts[i])
			j.why, j.host, j.relay = f, s.Target.Host, s.Peer.Relay()
			continue
		}
		if err := j.failed(ctx, rcpts[i], r, f); err != nil {
			return err
		}
		j.site(f, s.Target.Host)
	}
	return nil
}

// soft reports whether another server or another time may help.
func (j *job) soft(f *smtpclient.Failure) bool {
	return f.Status.Temporary() || j.p.SoftBounce && f.Status.Permanent()
}

// site tells the scheduler about a failure of the destination.
func (j *job) site(f *smtpclient.Failure, host string) {
	if f.Scope == smtpclient.ScopeSite && j.soft(f) {
		j.d.SiteFailure(status.New(f.Status.Reply, f.Status.Code, f.Text), host)
	}
}

// fail handles a server that would not talk to us.
func (j *job) fail(ctx context.Context, s *session, f *smtpclient.Failure, final bool) error {
	if j.soft(f) && !final {
		j.log.Info(j.queueID(), "%s", f.Text)
		j.why, j.host, j.relay = f, s.Target.Host, s.Peer.Relay()
		return nil
	}
	rcpts := j.left
	j.left = nil
	for _, rcpt := range rcpts {
		if err := j.failed(ctx, rcpt, j.result(s, time.Now()), f); err != nil {
			return err
		}
	}
	j.site(f, s.Target.Host)
	return nil
}

func (j *job) result(s *session, ready time.Time) deliver.Result {
	return deliver.Result{Relay: s.Peer.Relay(), ConnUse: s.Uses, Times: envelope.Times{ConnDone: ready}}
}

// success completes the result of a recipient that was taken.
func (j *job) success(s *session, r deliver.Result, reply *smtpwire.Reply) deliver.Result {
	r.Status = status.New(reply.Code, reply.Status().Code, reply.String())
	r.DiagType, r.DiagText, r.RemoteMTA = "smtp", reply.String(), s.Target.Host
	r.Action, r.RemoteDSN = "relayed", s.Caps.DSN
	if j.LMTP() && j.p.AssumeFinal {
		r.Action, r.RemoteDSN = "delivered", false
	}
	return r
}

// unprotected makes the lack of TLS final for mail that requires it (RFC 8689
// section 4.2.1). A notice goes on trying.
func (j *job) unprotected(f *smtpclient.Failure) *smtpclient.Failure {
	if !f.NoTLS || j.d.Sender.TLS != envelope.TLSRequired || j.d.Sender.Address == "" {
		return f
	}
	own := *f
	own.Status = status.New(550, "5.7.10", f.Text)
	if f.Status.Code == "4.7.30" {
		own.Status.Code = "5.7.30"
	}
	return &own
}

// failed defers or bounces a recipient.
func (j *job) failed(ctx context.Context, rcpt *envelope.Recipient, r deliver.Result, f *smtpclient.Failure) error {
	f = j.unprotected(f)
	r.Status = status.New(f.Status.Reply, f.Status.Code, f.Text)
	if f.Reply != nil {
		r.DiagType, r.DiagText, r.RemoteMTA = "smtp", f.Reply.String(), hostOf(r.Relay)
	}
	switch {
	case f.Cause == nil || f.Reply != nil:
	case f.Scope == smtpclient.ScopeMessage:
		// The queue file could not be read.
		j.log.Warn(j.queueID(), "%v", f.Cause)
	default:
		j.log.Debug("%s: cause: %v", j.queueID(), f.Cause)
	}
	if f.Status.Temporary() {
		return j.d.Deferred(ctx, rcpt, r)
	}
	return j.d.Bounced(ctx, rcpt, r)
}

// hostOf returns the name in "name[address]:port".
func hostOf(relay string) string {
	for i := 0; i < len(relay); i++ {
		if relay[i] == '[' {
			return relay[:i]
		}
	}
	return relay
}

// giveUp decides about recipients that no server decided about.
func (j *job) giveUp(ctx context.Context) error {
	f := j.why
	if f == nil {
		f = nexthop.Failed("4.3.0", "server unavailable or unable to receive mail")
	}
	own := *f
	f = &own
	if f.Status.Permanent() {
		// What looks like a mistake of ours must not bounce mail.
		switch {
		case j.fallback:
			j.log.Warn("", "%s configuration problem", "smtp_fallback_relay")
			f.Status.Code = "4.3.5"
		case j.p.Relayhost != "" && j.d.NextHop == j.p.Relayhost:
			j.log.Warn("", "%s configuration problem", "relayhost")
			f.Status.Code = "4.3.5"
		case j.loop && j.p.BestMXTransport != "":
			return j.passOn(ctx)
		}
	}
	rcpts := j.left
	j.left = nil
	for _, rcpt := range rcpts {
		r := deliver.Result{Relay: j.relay}
		if f.Reply != nil {
			r.RemoteMTA = j.host
		}
		if err := j.failed(ctx, rcpt, r, f); err != nil {
			return err
		}
	}
	f.Scope = smtpclient.ScopeSite
	j.site(f, j.host)
	return nil
}

// passOn gives the request to best_mx_transport: we are the best server for
// the domain, so the mail is for here.
func (j *job) passOn(ctx context.Context) error {
	req := *j.d.Request
	req.Recipients = nil
	for _, r := range j.left {
		req.Recipients = append(req.Recipients, *r)
	}
	reply, err := j.passClient.Deliver(ctx, &req)
	if err != nil {
		return fmt.Errorf("pass to %s: %w", j.p.BestMXTransport, err)
	}
	rcpts := j.left
	j.left = nil
	for _, r := range rcpts {
		if reply.Code != deliver.ReplyDone {
			j.d.Leave(r)
			continue
		}
		// The other agent reported and marked it; this is for our books.
		if err := j.d.Complete(r); err != nil {
			return err
		}
	}
	return nil
}

// content gives the message in the queue file to the protocol engine.
func content(next func() ([]byte, bool, error), eof error) func(smtpwire.ContentFunc) error {
	return func(fn smtpwire.ContentFunc) error {
		for {
			b, eol, err := next()
			if err == eof {
				return nil
			}
			if err != nil {
				return err
			}
			if err := fn(b, eol); err != nil {
				return err
			}
		}
	}
}
