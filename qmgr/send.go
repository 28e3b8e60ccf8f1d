package main

import (
	"errors"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/sched"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// accept puts the recipients that were read into the schedule. It is the
// owner's, as all in this file is that does not say otherwise.
func (d *daemon) accept(m *message, l *loaded) {
	m.inCore += l.count
	m.left = m.left || l.left
	m.seen += l.count
	d.rcpts += l.count
	if m.next, m.refilled = l.next, d.now(); m.next != 0 {
		m.Unread = max(l.total-m.seen, 1)
	}
	m.pending++ // so that a group that ends at once does not end the message
	for i := range l.groups {
		g := &l.groups[i]
		if m.revive && g.why.IsZero() {
			d.sched.Revive(g.target)
		}
		if g.why.IsZero() {
			g.why = d.sched.Dead(g.target)
		}
		if !g.why.IsZero() {
			d.deferGroup(m, g.rcpts, g.why)
			continue
		}
		before := m.Open()
		if m.verp == "" {
			d.sched.Add(&m.Message, g.target, g.rcpts)
		}
		for i := range g.rcpts {
			if m.verp != "" { // one recipient in each delivery
				d.sched.Add(&m.Message, g.target, g.rcpts[i:i+1:i+1])
			}
		}
		d.counted(m, g.target.Transport, len(g.rcpts))
		m.pending += m.Open() - before
	}
	if m.next == 0 {
		d.sched.ReadAll(&m.Message)
	}
	d.groupDone(m, 0)
}

// recipientLimit is called by the goroutines that resolve.
func (d *daemon) recipientLimit(transport string) int { return d.limits(transport).Recipients }

// dispatch starts all deliveries that can start now.
func (d *daemon) dispatch() {
	for {
		e := d.sched.Next(d.now())
		if e == nil {
			return
		}
		m := e.Message.User.(*message)
		c := d.clients[e.Target.Transport]
		if c == nil {
			c = deliver.NewClient("private/" + e.Target.Transport)
			d.clients[e.Target.Transport] = c
		}
		d.keeps = true
		d.spawn(func() { d.deliver(m, e, c) })
	}
}

// deliver sends one request. It runs outside of the owner.
func (d *daemon) deliver(m *message, e *sched.Entry, c *deliver.Client) {
	req := m.template
	req.Transport, req.NextHop, req.Recipients = e.Target.Transport, e.Target.NextHop, e.Recipients
	if m.verp != "" {
		req.Sender.Address = envelope.VERP(req.Sender.Address, m.verp, &e.Recipients[0])
	}
	if e.Load {
		req.Flags |= deliver.FlagConnLoad
	}
	if e.Store {
		req.Flags |= deliver.FlagConnStore
	}
	reply, err := c.Deliver(d.lifetime, &req)
	d.post(func() { d.delivered(m, e, reply, err) })
}

// suspended begins the reason for mail that is deferred without a try.
const suspended = "delivery temporarily suspended: "

// delivered takes an agent's reply.
func (d *daemon) delivered(m *message, e *sched.Entry, reply deliver.Reply, err error) {
	d.keeps = true // the connection is idle now
	var out sched.Outcome
	switch {
	case err != nil:
		d.failed(m, e, err)
		return
	case reply.Code == deliver.ReplyRefused:
		out.NoVerdict = true
		m.left = true
	case reply.Code == deliver.ReplyLeft:
		m.left = true
	}
	if !reply.Site.IsZero() {
		out.Site = reply.Site
		if !out.Site.Temporary() {
			out.Site.Code = "4.0.0"
		}
		out.Site.Text = suspended + out.Site.Text
	}
	dropped := d.sched.Done(d.now(), e, out)
	d.inMemory[e.Target.Transport] -= len(e.Recipients)
	d.groupDone(m, len(e.Recipients))
	d.deferDropped(dropped)
}

// failed handles an agent that is not there, or that broke down.
func (d *daemon) failed(m *message, e *sched.Entry, err error) {
	if d.lifetime.Err() != nil {
		return
	}
	why := status.New(0, "4.3.0", "unknown mail transport error")
	if errors.Is(err, deliver.ErrUnavailable) {
		why.Text = "mail transport unavailable"
		d.log.Warn("", "%v", err)
	} else {
		d.log.Warn("", "%v", err)
		d.log.Warn("", "transport %s failure -- see a previous warning/fatal/panic logfile record"+
			" for the problem description", e.Target.Transport)
	}
	dropped := d.sched.Done(d.now(), e, sched.Outcome{Crash: true})
	d.inMemory[e.Target.Transport] -= len(e.Recipients)
	m.pending--
	d.deferGroup(m, e.Recipients, why)
	d.deferDropped(dropped)
}

// deferDropped defers what waited for a destination that is dead now.
func (d *daemon) deferDropped(entries []*sched.Entry) {
	for _, e := range entries {
		m := e.Message.User.(*message)
		d.inMemory[e.Target.Transport] -= len(e.Recipients)
		why := d.sched.Dead(e.Target)
		if why.IsZero() {
			why = status.New(0, "4.3.0", "unknown mail transport error")
		}
		m.pending--
		d.deferGroup(m, e.Recipients, why)
	}
}

// deferGroup records that recipients are deferred without a try.
func (d *daemon) deferGroup(m *message, rcpts []envelope.Recipient, why status.Status) {
	m.left = true
	m.pending++
	if strings.HasPrefix(why.Text, "unknown mail transport") {
		why.Text = suspended + why.Text
	}
	d.slot(func() {
		for i := range rcpts {
			d.deferOne(m, &rcpts[i], why)
		}
		d.post(func() { d.groupDone(m, len(rcpts)) })
	})
}

// deferOne writes the log line and the entry in the defer log. It runs outside
// of the owner.
func (d *daemon) deferOne(m *message, rcpt *envelope.Recipient, why status.Status) {
	r := d.result(m, why)
	d.log.Info(string(m.id), "%s", deliver.LogLine(rcpt, &r, "deferred", d.params.DelayDigits))
	err := d.bounces.Append(d.lifetime, bounceclient.Defer, m.source(), bounceclient.Entry{
		Recipient: *rcpt, Relay: r.Relay, Status: why, Action: "delayed", Time: r.Times.Delivered,
	})
	if err != nil && d.lifetime.Err() == nil {
		d.log.Warn(string(m.id), "%s service failure: %v", d.params.DeferService, err)
	}
}

// result is that of a recipient that no agent saw.
func (d *daemon) result(m *message, s status.Status) deliver.Result {
	now := d.now()
	t := m.template.Times
	t.AgentStart, t.Delivered = now, now
	return deliver.Result{Relay: "none", Status: s, Times: t}
}

// groupDone counts recipients that are done with for this attempt, and ends
// the attempt after the last.
func (d *daemon) groupDone(m *message, rcpts int) {
	d.rcpts -= rcpts
	m.inCore -= rcpts
	m.pending--
	if m.pending > 0 {
		d.refill(m)
		return
	}
	// Recipients that were discarded while resolving were never scheduled.
	d.rcpts -= m.inCore
	m.inCore = 0
	more := max(d.params.RcptLimit-d.rcpts, d.params.RcptMinimum)
	d.spawn(func() { d.finish(m, more) })
}
