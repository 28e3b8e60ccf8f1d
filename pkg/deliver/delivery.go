package deliver

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Result is what happened to a recipient.
type Result struct {
	Relay  string        // "mx.example[192.0.2.1]:25", "local"; "none" if empty
	Status status.Status // what the log, and the sender, are told
	// Action is the DSN action of a success (RFC 3464 section 2.3.3):
	// "delivered" if empty, "relayed" or "expanded".
	Action string
	// DiagType and DiagText are a notice's Diagnostic-Code, such as "smtp"
	// with the reply of the remote host; DiagText is Status.Text if empty.
	DiagType, DiagText string
	// RemoteMTA is the name of the host that gave the diagnostic.
	RemoteMTA string
	// RemoteDSN means that the next host took over the duty to report
	// success, so this system does not (RFC 3461 section 5.2.2).
	RemoteDSN bool
	// Times has ConnDone and Delivered of this recipient; Arrival, Active
	// and AgentStart are the request's unless set. Delivered is now if zero.
	Times   envelope.Times
	ConnUse int    // how many messages the connection carried so far
	TLS     string // how TLS came out, for the log; "" says nothing
}

// Delivery is a request with its opened and locked queue file. Its methods
// report on recipients, and may be called by several goroutines.
//
// A recipient given to them is one of Recipients, or one that the agent made:
// local reports on what an alias expands to. Only a recipient with an Offset
// is marked in the queue file, so an agent clears it in its own ones, and
// calls [Delivery.Complete] for the original at the end.
type Delivery struct {
	*Request
	Message *queue.Message

	agent *Agent
	mu    sync.Mutex
	state map[int64]outcome // by offset
	left  int               // recipients to be tried again
	site  Reply
}

type outcome byte

const (
	pending outcome = iota
	finished
	leftOver
)

func newDelivery(a *Agent, req *Request, msg *queue.Message) *Delivery {
	return &Delivery{Request: req, Message: msg, agent: a, state: make(map[int64]outcome, len(req.Recipients))}
}

// Report tells what became of a recipient, by the class of the status.
func (d *Delivery) Report(ctx context.Context, rcpt *envelope.Recipient, r Result) error {
	switch {
	case r.Status.Success():
		return d.Sent(ctx, rcpt, r)
	case r.Status.Permanent():
		return d.Bounced(ctx, rcpt, r)
	}
	return d.Deferred(ctx, rcpt, r)
}

// Sent reports a delivery. If the sender asked for a report that cannot be
// recorded, the recipient is deferred instead.
func (d *Delivery) Sent(ctx context.Context, rcpt *envelope.Recipient, r Result) error {
	d.complete(&r)
	label := "sent"
	if d.ProbeOnly() {
		label = "deliverable"
	}
	if action := d.wantsTrace(rcpt, &r); action != "" {
		if err := d.agent.Bounces.Append(ctx, bounceclient.Trace, d.source(), d.entry(rcpt, &r, action)); err != nil {
			d.agent.Log.Warn(string(d.QueueID), "%s service failure: %v", d.agent.params.TraceService, err)
			r.Status = status.New(0, "4.3.0", d.agent.params.TraceService+" service failure")
			return d.Deferred(ctx, rcpt, r)
		}
	}
	d.log(rcpt, &r, label)
	return d.Complete(rcpt)
}

// Expanded records, for a sender who wants to hear of successes, that a
// recipient was an alias, with an action of RFC 3464 2.3.3. The log has the
// members of the alias.
func (d *Delivery) Expanded(ctx context.Context, rcpt *envelope.Recipient, r Result) error {
	d.complete(&r)
	if rcpt.Notify&envelope.NotifySuccess == 0 || d.ProbeOnly() {
		return nil
	}
	return d.agent.Bounces.Append(ctx, bounceclient.Trace, d.source(), d.entry(rcpt, &r, r.Action))
}

// wantsTrace returns the action to record in the trace log, or "".
func (d *Delivery) wantsTrace(rcpt *envelope.Recipient, r *Result) string {
	switch {
	case d.Flags&FlagVerifyMTA != 0:
		return ""
	case d.Flags&FlagVerifyUser != 0:
		return "deliverable"
	case d.Flags&FlagRecord != 0, rcpt.Notify&envelope.NotifySuccess != 0 && !r.RemoteDSN,
		d.Flags&FlagRecordDelay != 0 && (rcpt.Notify == envelope.NotifyNone || rcpt.Notify&envelope.NotifyDelay != 0):
		if r.Action == "" {
			return "delivered"
		}
		return r.Action
	}
	return ""
}

// Bounced reports a permanent failure. The bounce log is durable before the
// recipient is marked; if that fails, or with soft_bounce, the recipient
// stays for another try.
func (d *Delivery) Bounced(ctx context.Context, rcpt *envelope.Recipient, r Result) error {
	d.complete(&r)
	if d.ProbeOnly() {
		return d.probeFailed(ctx, rcpt, &r)
	}
	p := &d.agent.params
	kind, name, action, label := bounceclient.Bounce, p.BounceService, "failed", "bounced"
	if p.SoftBounce {
		r.Status = r.Status.As('4')
		kind, name, action, label = bounceclient.Defer, p.DeferService, "delayed", "SOFTBOUNCE"
	}
	err := d.agent.Bounces.Append(ctx, kind, d.source(), d.entry(rcpt, &r, action))
	if err == nil && d.Flags&FlagRecord != 0 {
		name = p.TraceService
		err = d.agent.Bounces.Append(ctx, bounceclient.Trace, d.source(), d.entry(rcpt, &r, action))
	}
	if err != nil {
		d.agent.Log.Warn(string(d.QueueID), "%s service failure: %v", name, err)
		r.Status = status.New(0, "4.3.0", name+" service failure")
		return d.Deferred(ctx, rcpt, r)
	}
	d.log(rcpt, &r, label)
	if p.SoftBounce {
		d.leave(rcpt)
		return nil
	}
	return d.Complete(rcpt)
}

// Deferred reports a temporary failure: the recipient stays for another try.
func (d *Delivery) Deferred(ctx context.Context, rcpt *envelope.Recipient, r Result) error {
	d.complete(&r)
	if d.ProbeOnly() {
		return d.probeFailed(ctx, rcpt, &r)
	}
	d.leave(rcpt)
	err := d.agent.Bounces.Append(ctx, bounceclient.Defer, d.source(), d.entry(rcpt, &r, "delayed"))
	if err == nil && d.Flags&FlagRecord != 0 {
		err = d.agent.Bounces.Append(ctx, bounceclient.Trace, d.source(), d.entry(rcpt, &r, "delayed"))
	}
	d.log(rcpt, &r, "deferred")
	if err != nil {
		// The queue file still has the recipient; only mailq's reason and
		// the text of a later notice are lost.
		d.agent.Log.Warn(string(d.QueueID), "%s service failure: %v", d.agent.params.DeferService, err)
	}
	return nil
}

// probeFailed ends a recipient of a message that only asks about addresses.
func (d *Delivery) probeFailed(ctx context.Context, rcpt *envelope.Recipient, r *Result) error {
	if d.Flags&FlagVerifyUser != 0 {
		err := d.agent.Bounces.Append(ctx, bounceclient.Trace, d.source(), d.entry(rcpt, r, "undeliverable"))
		if err != nil {
			d.agent.Log.Warn(string(d.QueueID), "%s service failure: %v", d.agent.params.TraceService, err)
			d.leave(rcpt)
			return nil
		}
	}
	d.log(rcpt, r, "undeliverable")
	return d.Complete(rcpt)
}

// Complete marks a recipient as done without a report.
func (d *Delivery) Complete(rcpt *envelope.Recipient) error {
	if rcpt.Offset == 0 {
		d.set(rcpt, finished)
		return nil
	}
	if err := d.Message.MarkDone(rcpt.Offset); err != nil {
		d.leave(rcpt)
		return fmt.Errorf("mark recipient %s as done: %w", rcpt.Address, err)
	}
	d.set(rcpt, finished)
	return nil
}

// Corrupt reports that the queue file is damaged: the queue manager puts it
// into the corrupt queue at the end of the attempt. All recipients that were
// not reported on stay in it.
func (d *Delivery) Corrupt(why error) error {
	d.agent.Log.Warn(string(d.QueueID), "corrupt queue file: %v", why)
	for i := range d.Recipients {
		d.mu.Lock()
		o := d.state[d.Recipients[i].Offset]
		d.mu.Unlock()
		if o == pending {
			d.leave(&d.Recipients[i])
		}
	}
	// Readable only is Postfix's mark of a damaged file.
	if err := d.Message.File().Chmod(0o400); err != nil {
		return fmt.Errorf("mark %s as corrupt: %w", d.QueueID, err)
	}
	return nil
}

// Leave counts a recipient as one to be tried again, without a report.
func (d *Delivery) Leave(rcpt *envelope.Recipient) { d.leave(rcpt) }

// SiteFailure tells the queue manager that the destination as a whole failed.
// It feeds the concurrency control and the list of dead destinations. The
// recipients are reported separately.
func (d *Delivery) SiteFailure(s status.Status, remoteMTA string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.Text = printable.Text(s.Text)
	d.site = Reply{Site: s, RemoteMTA: remoteMTA}
}

func (d *Delivery) leave(rcpt *envelope.Recipient) { d.set(rcpt, leftOver) }

func (d *Delivery) set(rcpt *envelope.Recipient, o outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o == leftOver {
		d.left++
	}
	// What another agent passed on may have no offset either.
	d.state[rcpt.Offset] = o
}

// deferRest defers the recipients that the agent did not report on.
func (d *Delivery) deferRest(ctx context.Context) {
	for i := range d.Recipients {
		rcpt := &d.Recipients[i]
		d.mu.Lock()
		o := d.state[rcpt.Offset]
		d.mu.Unlock()
		if o == pending {
			d.Deferred(ctx, rcpt, Result{Status: statusInternal})
		}
	}
}

func (d *Delivery) reply() Reply {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.site
	if d.left > 0 {
		r.Code = ReplyLeft
	}
	return r
}

// complete fills in what the agent left open, and makes the texts safe.
func (d *Delivery) complete(r *Result) {
	if r.Relay == "" {
		r.Relay = "none"
	}
	r.Status.Text = printable.Text(r.Status.Text)
	r.DiagText = printable.Text(r.DiagText)
	r.RemoteMTA = printable.Text(r.RemoteMTA)
	t := &r.Times
	if t.Arrival.IsZero() {
		t.Arrival = d.Times.Arrival
	}
	if t.Active.IsZero() {
		t.Active = d.Times.Active
	}
	if t.AgentStart.IsZero() {
		t.AgentStart = d.Times.AgentStart
	}
	if t.Delivered.IsZero() {
		t.Delivered = time.Now()
	}
}

// source says which message a report is about.
func (d *Delivery) source() bounceclient.Message {
	return bounceclient.Message{
		QueueName: d.QueueName, QueueID: d.QueueID, Sender: d.Sender,
		Encoding: d.Encoding, UTF8: d.UTF8,
	}
}

func (d *Delivery) entry(rcpt *envelope.Recipient, r *Result, action string) bounceclient.Entry {
	e := bounceclient.Entry{
		Recipient: *rcpt, Relay: r.Relay, Status: r.Status, Action: action,
		DiagType: r.DiagType, DiagText: r.DiagText, Time: r.Times.Delivered,
	}
	if r.RemoteMTA != "" {
		e.MTAType, e.MTA = "dns", r.RemoteMTA
	}
	return e
}

// log writes the line that log readers count (postfix.md E).
func (d *Delivery) log(rcpt *envelope.Recipient, r *Result, label string) {
	d.agent.Log.Info(string(d.QueueID), "%s", LogLine(rcpt, r, label, d.agent.params.DelayDigits))
}

// LogLine returns the text of a delivery log line after the queue id. The
// queue manager uses it too, for recipients that no agent sees.
func LogLine(rcpt *envelope.Recipient, r *Result, label string, digits int) string {
	var b strings.Builder
	b.Grow(160 + len(r.Status.Text))
	b.WriteString("to=<")
	b.WriteString(address.Quote(rcpt.Address))
	if rcpt.Original != "" && !strings.EqualFold(rcpt.Original, rcpt.Address) {
		b.WriteString(">, orig_to=<")
		b.WriteString(address.Quote(rcpt.Original))
	}
	b.WriteString(">, relay=")
	b.WriteString(r.Relay)
	if r.ConnUse > 1 {
		fmt.Fprintf(&b, ", conn_use=%d", r.ConnUse)
	}
	writeDelays(&b, r.Times, digits)
	if r.TLS != "" {
		b.WriteString(", tls=")
		b.WriteString(r.TLS)
	}
	b.WriteString(", dsn=")
	b.WriteString(r.Status.Code)
	b.WriteString(", status=")
	b.WriteString(label)
	b.WriteString(" (")
	b.WriteString(r.Status.Text)
	b.WriteString(")")
	return b.String()
}
