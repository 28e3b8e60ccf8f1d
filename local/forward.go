package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// Bounds of one forwarded message; more recipients make another one.
const (
	forwardRecipients = 1000
	forwardBytes      = 40 << 10
)

// forward is a new message with the recipients that are not ours.
type forward struct {
	place      place
	recipients []envelope.Recipient
	bytes      int
}

// forwardTo puts an address on the new message of its sender.
func (j *job) forwardTo(p place, addr string) {
	r := envelope.Recipient{Address: addr}
	if p.sender == j.d.Sender.Address {
		// An alias with an owner is a list, which answers for its own
		// deliveries; any other passes the sender's wishes on (RFC 3461
		// section 6.2.7).
		r.Notify, r.DSNOrcpt, r.Original = j.named(p).Notify, j.rcpt.DSNOrcpt, j.rcpt.Original
		if r.Original == "" {
			r.Original = j.rcpt.Address
		}
	}
	var f *forward
	for _, open := range j.forwards {
		if open.place.sender == p.sender && len(open.recipients) < forwardRecipients && open.bytes < forwardBytes {
			f = open
		}
	}
	if f == nil {
		p.addr = j.rcpt.Address
		f = &forward{place: p}
		j.forwards = append(j.forwards, f)
	}
	f.recipients = append(f.recipients, r)
	f.bytes += len(addr) + len(r.DSNOrcpt) + len(r.Original) + 16
}

// flushForwards queues the new messages.
func (j *job) flushForwards(ctx context.Context) {
	for _, f := range j.forwards {
		if j.d.ProbeOnly() {
			j.report(ctx, f.place, j.result("2.0.0", "forwards to "+f.recipients[0].Address))
			continue
		}
		reply, err := j.workers.Do(ctx, j.owner, worker.Job{Request: j.resendRequest(f), File: j.file, Timeout: time.Hour})
		if err != nil {
			j.log.Warn(string(j.d.QueueID), "%v", err)
			j.fail(ctx, f.place, "4.3.0", "delivery process failed")
			continue
		}
		s := worker.Outcome(reply)
		result := deliver.Result{Relay: "local", Status: s}
		if s.Success() {
			result.Status = status.New(0, "2.0.0", "forwarded as "+reply.Value("queue_id"))
			result.RemoteDSN = f.place.sender == j.d.Sender.Address
			result.Action = "expanded"
		} else {
			j.log.Warn(string(j.d.QueueID), "forwarding: %s", s.Text)
			result.Status = status.New(0, "4.3.0", "unable to forward message")
		}
		j.report(ctx, f.place, result)
	}
}

// resendRequest asks for a new message like this one.
func (j *job) resendRequest(f *forward) ipc.List {
	c := &j.d.Client
	prefix := ""
	if contains(j.PrependDelivered, "forward") {
		prefix = worker.Prefix("", false, "", j.rcpt.Address)
	}
	l := ipc.List{}.Str("op", "resend").Str("queue_id", string(j.d.QueueID)).Str("prefix", prefix).
		Str("sender", f.place.sender).Str("host", j.Myhostname).Int("smtputf8", int64(j.d.UTF8)).
		Str("requiretls", j.d.Sender.TLS.String()).
		Str("rewrite_context", c.RewriteContext).
		Str("client_name", c.Name).Str("client_address", c.Addr).Str("client_port", c.Port).
		Str("helo", c.Helo).Str("proto", c.Proto).Str("ident", c.Ident).
		Str("sasl_method", c.SASLMethod).Str("sasl_username", c.SASLUser).Str("sasl_sender", c.SASLSender)
	if f.place.sender == j.d.Sender.Address {
		l = l.Str("envid", j.d.Sender.EnvID).Int("ret", int64(j.d.Sender.Ret))
	}
	var b strings.Builder
	for _, r := range f.recipients {
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", r.Address, strconv.Itoa(int(r.Notify)), r.DSNOrcpt, r.Original)
	}
	return l.Str("recipients", b.String())
}

// lockTime is how long getting a mailbox's lock may take.
func (a *agent) lockTime() time.Duration {
	return time.Duration(a.LockAttempts)*a.LockDelay + time.Minute
}
