package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/nexthop"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/smtpclient"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// passed is one message on its way to the next server. Each command of the
// client becomes one there, so that the client learns at once what that server
// thinks of a sender or recipient.
type passed struct {
	hop   *hop
	h     *session
	id    string
	start time.Time
	ready time.Time // the server took MAIL
	d     *smtpclient.Dialogue
	rcpts []envelope.Recipient // those that it took
	tried []int                // for each RCPT there, the place in rcpts or -1

	required bool // REQUIRETLS

	sending bool   // DATA was said
	whole   *spool // the content, where it must be kept
	slots   []*slot
	err     error
}

// traceRoom is what our fields may add to the size that a client announces.
const traceRoom = 4 << 10

// passMail says MAIL to the next server.
func (h *session) passMail(ctx context.Context, s *smtpserver.Session, m *smtpserver.Mail) status.Status {
	h.dropPassed()
	if asksQueue(m) {
		return h.RejectSender(s, m.Address, status.New(555, "5.5.4", "Error: mail cannot wait here, since it is passed on at once"))
	}
	if h.hop == nil {
		h.hop = &hop{relay: h.srv.relay}
	}
	p := &passed{hop: h.hop, h: h, id: strings.ToUpper(rand.Text()[:12]), start: time.Now(), required: m.TLS == envelope.TLSRequired && m.Address != ""}
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	msg := &smtpclient.Message{Sender: m.Sender, Encoding: m.Encoding, Priority: m.Priority, Client: s.Client}
	msg.Client.RewriteContext = "remote"
	if m.Size > 0 {
		msg.Size = m.Size + traceRoom
	}
	if m.UTF8 {
		msg.UTF8 = envelope.UTF8Requested
		if !isASCII(m.Address) {
			msg.UTF8 |= envelope.UTF8Sender
		}
	}
	var f *smtpclient.Failure
	if p.d, f = h.hop.begin(ctx, p.id, msg); f != nil {
		return h.RejectSender(s, m.Address, p.refused(f))
	}
	p.ready = time.Now()
	h.pass = p
	return status.Status{}
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// refused logs a failure and returns the reply to the client.
func (p *passed) refused(f *smtpclient.Failure) status.Status {
	if p.hop.conn == nil || !p.hop.conn.Usable() {
		p.hop.drop()
	}
	p.h.srv.Log().Info(p.id, "%s", f.Text)
	if f.Cause != nil {
		p.h.srv.Log().Debug("%s: cause: %v", p.id, f.Cause)
	}
	return answer(f, p.required, p.h.srv.Hostname)
}

// rcpt says RCPT to the next server.
func (p *passed) rcpt(ctx context.Context, s *smtpserver.Session, r *smtpserver.Rcpt) status.Status {
	if word := p.h.NeedsCleanup(); word != "" {
		p.h.srv.Log().Warn(p.id, "action %s of an access table needs the queue, which submission_relayhost passes by", word)
		return p.h.RejectRcpt(s, r.Address, status.New(451, "4.3.5", "Server configuration error"))
	}
	if p.hop.conn == nil {
		return p.h.RejectRcpt(s, r.Address, status.New(451, "4.4.1", "Error: the next mail server is not available; please try again later"))
	}
	// RFC 3461 5.2.2: who passes mail to a server without DSN would have
	// to send the notices himself, or to keep others from sending them.
	if n := r.Notify; !p.hop.conn.Caps.DSN && (n&envelope.NotifySuccess != 0 || n == envelope.NotifyNever) {
		return p.h.RejectRcpt(s, r.Address, status.New(555, "5.5.4", "Error: the next mail server does not know NOTIFY="+n.String()))
	}
	if !isASCII(r.Address) && !p.hop.conn.Caps.SMTPUTF8 {
		return p.h.RejectRcpt(s, r.Address, status.New(553, "5.6.7", "Error: the next mail server does not know SMTPUTF8"))
	}
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	if f := p.d.Rcpt(ctx, r.Recipient); f != nil {
		p.tried = append(p.tried, -1)
		return p.h.RejectRcpt(s, r.Address, p.refused(f))
	}
	p.tried = append(p.tried, len(p.rcpts))
	p.rcpts = append(p.rcpts, r.Recipient)
	if len(p.rcpts) == 1 {
		p.h.LogClient(s, p.id)
	}
	return status.Status{}
}

// first is the recipient that a Received field names.
func (p *passed) first() string {
	if len(p.rcpts) == 0 {
		return ""
	}
	return p.rcpts[0].Address
}

// keeps reports whether the content must be there as a whole before it is
// sent, or after: a signature stands in front of what it signs, and servers
// of LMTP may take a message for some recipients only.
func (p *passed) keeps(h *header) bool {
	return len(h.slots) > 0 || p.hop.client.LMTP() && len(p.rcpts) > 1
}

// data says DATA to the next server.
func (p *passed) data(ctx context.Context) *smtpclient.Failure {
	if p.hop.conn == nil {
		return nexthop.Failed("4.4.1", "the connection is gone")
	}
	p.sending = true
	return p.d.Data(ctx)
}

// finish completes the message and returns what the client is told.
func (p *passed) finish(ctx context.Context, s *smtpserver.Session) status.Status {
	if p.h.Discarded() {
		return status.New(250, "2.0.0", "Ok: queued as "+p.id)
	}
	// The answer must come while the client still waits for it.
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	if !p.sending {
		if f := p.data(ctx); f != nil {
			p.log(f)
			return p.h.Reject(s, "END-OF-MESSAGE", p.refused(f))
		}
		p.err = p.sendKept()
	}
	out := p.d.End(ctx, p.err)
	p.sending = false
	if p.hop.conn != nil && !p.hop.conn.Usable() {
		defer p.hop.drop()
	}
	return p.result(ctx, s, out)
}

// sendKept sends the content that was kept, with the signatures in front.
func (p *passed) sendKept() error {
	for _, s := range p.slots {
		for line := range strings.SplitSeq(s.text, "\n") {
			if err := p.d.Line([]byte(line), true); err != nil {
				return err
			}
		}
	}
	return p.whole.each(p.d.Line)
}

// log writes what became of all recipients when it was the same.
func (p *passed) log(f *smtpclient.Failure) {
	for i := range p.rcpts {
		p.logRcpt(&p.rcpts[i], smtpclient.Outcome{Failure: f})
	}
}

func (p *passed) logRcpt(r *envelope.Recipient, o smtpclient.Outcome) {
	res := deliver.Result{Times: envelope.Times{Arrival: p.start, Active: p.start, AgentStart: p.start, ConnDone: p.ready, Delivered: time.Now()}}
	if c := p.hop.conn; c != nil {
		res.Relay, res.ConnUse = c.Peer.Relay(), c.Uses
	}
	label := "sent"
	if f := o.Failure; f != nil {
		// The client keeps the message: nothing is deferred or bounced here.
		label = "rejected"
		res.Status = status.New(f.Status.Reply, f.Status.Code, f.Text)
	} else {
		res.Status = status.New(o.Reply.Code, o.Reply.Status().Code, o.Reply.String())
	}
	p.h.srv.Log().Info(p.id, "%s", deliver.LogLine(r, &res, label, p.h.srv.DelayDigits))
}

// result makes one reply of what became of the recipients. SMTP has one word
// for all of them at this place, so those that the next server refused while
// it took others are left to the queue, which tries them again or tells the
// sender. When all were refused, a temporary reason is the stronger one:
// nothing was sent, and nothing will be sent twice.
func (p *passed) result(ctx context.Context, s *smtpserver.Session, out []smtpclient.Outcome) status.Status {
	var left []envelope.Recipient
	var why *smtpclient.Failure
	var ok *smtpclient.Outcome
	for i, place := range p.tried {
		if place < 0 || i >= len(out) {
			continue
		}
		p.logRcpt(&p.rcpts[place], out[i])
		if f := out[i].Failure; f != nil {
			left = append(left, p.rcpts[place])
			if why == nil || why.Status.Permanent() && f.Status.Temporary() {
				why = f
			}
		} else if ok == nil {
			ok = &out[i]
		}
	}
	switch {
	case ok != nil && len(left) == 0:
		return status.New(250, "2.0.0", "Ok: "+p.id+" passed on: "+replyText(ok.Reply.Lines))
	case ok != nil:
		return p.leaveToQueue(ctx, s, left)
	case why != nil:
		return p.h.Reject(s, "END-OF-MESSAGE", p.refused(why))
	}
	return status.New(451, "4.3.0", "Error: queue file write error")
}

// leaveToQueue queues the message for recipients that the next server refused
// after it had taken it for others.
func (p *passed) leaveToQueue(ctx context.Context, s *smtpserver.Session, left []envelope.Recipient) status.Status {
	id, err := p.enqueue(ctx, s, left)
	if err != nil {
		p.h.srv.Log().Warn(p.id, "message for %d recipients that the next server refused: %v", len(left), err)
		return status.New(451, "4.3.0", "Error: the message was not taken for all recipients; please try again later")
	}
	p.h.srv.Log().Info(p.id, "queued as %s for %d recipients", id, len(left))
	return status.New(250, "2.0.0", "Ok: "+p.id+" passed on, and queued as "+id+" for "+strconv.Itoa(len(left))+" recipients")
}

func (p *passed) enqueue(ctx context.Context, s *smtpserver.Session, left []envelope.Recipient) (string, error) {
	flags := inject.FlagsInternal &^ inject.FlagMapOK // these addresses were final
	if s.Mail().UTF8 {
		flags |= inject.FlagUTF8
	}
	sub, err := p.h.srv.Cleanup().Begin(ctx, flags)
	if err != nil {
		return "", err
	}
	defer sub.Abort()
	sub.Arrival(p.start)
	client := s.Client
	client.RewriteContext = "remote"
	sub.Client(client)
	sub.Attr("encoding", s.Mail().Encoding)
	if n := s.Mail().Priority; n != 0 {
		sub.Attr(queue.AttrPriority, strconv.Itoa(n))
	}
	sub.Sender(s.Mail().Sender)
	sub.RecString(queue.RecFilt, p.hop.transport)
	for _, r := range left {
		sub.Recipient(r)
	}
	sub.StartContent()
	for _, f := range p.slots {
		for line := range strings.SplitSeq(f.text, "\n") {
			sub.Line([]byte(line))
		}
	}
	err = p.whole.each(func(b []byte, eol bool) error {
		if eol {
			return sub.Line(b)
		}
		return sub.Fragment(b)
	})
	if err != nil {
		return "", err
	}
	result, err := sub.Finish()
	if err == nil && !result.OK() {
		err = fmt.Errorf("cleanup: %s", result.Reply())
	}
	return sub.QueueID(), err
}

// dropPassed forgets a message that was not completed. A server that has a
// part of its content must not take it.
func (h *session) dropPassed() {
	p := h.pass
	if p == nil {
		return
	}
	if p.sending {
		p.hop.drop()
	}
	if p.whole != nil {
		p.whole.release()
	}
	h.pass = nil
}
