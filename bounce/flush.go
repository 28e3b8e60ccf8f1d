package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/bouncetext"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queue/bouncelog"
)

var errNotExist = os.ErrNotExist

// flush returns mail: it sends the notice of all entries of the log, and then
// removes the log. With the defer log it returns what is left of a message
// that is too old.
func (s *server) flush(ctx context.Context, req *bounceclient.Request) error {
	entries, err := s.entries(s.kind, req.Message.QueueID)
	if err != nil {
		return err
	}
	if len(entries) == 0 && s.kind == queue.Bounce {
		return s.removeLog(req)
	}
	msg, err := s.queue.OpenMessage(req.Message.QueueName, req.Message.QueueID)
	if err != nil {
		return err
	}
	defer msg.Close()
	var left []envelope.Recipient
	if s.kind == queue.Defer {
		if left, err = allRecipients(msg); err != nil {
			return err
		}
		entries = expired(entries, left)
	}
	if err := s.failure(ctx, req, msg, entries); err != nil {
		return err
	}
	// Marked, so that a crash before the removal of the queue file does not
	// send another notice, or deliver what was returned.
	for _, r := range left {
		if err := msg.MarkDone(r.Offset); err != nil {
			return err
		}
	}
	return s.removeLog(req)
}

func (s *server) removeLog(req *bounceclient.Request) error {
	err := s.queue.Remove(s.kind, req.Message.QueueID)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// allRecipients returns the recipients of a message that are not done.
func allRecipients(msg *queue.Message) ([]envelope.Recipient, error) {
	var all []envelope.Recipient
	from := int64(0)
	for {
		rcpts, next, err := msg.Recipients(from, 1000)
		if err != nil {
			return nil, err
		}
		all = append(all, rcpts...)
		if next == 0 {
			return all, nil
		}
		from = next
	}
}

// expired pairs what the defer log says with the recipients that are left.
// The queue file decides who is left: no recipient is dropped without notice
// because its entry got lost.
func expired(entries []bouncelog.Entry, left []envelope.Recipient) []bouncelog.Entry {
	byOffset := make(map[int64]bool, len(entries))
	for i := range entries {
		entries[i].Action = bouncelog.ActionFailed
		byOffset[entries[i].Recipient.Offset] = true
	}
	out := entries
	for _, r := range left {
		if !byOffset[r.Offset] {
			out = append(out, bouncelog.Entry{
				Recipient: external(r), Status: "4.4.7", Action: bouncelog.ActionFailed,
				Reason: "delivery time expired",
			})
		}
	}
	return out
}

// one sends a notice of one failure, without a log.
func (s *server) one(ctx context.Context, req *bounceclient.Request) error {
	msg, err := s.queue.OpenMessage(req.Message.QueueName, req.Message.QueueID)
	if err != nil {
		return err
	}
	defer msg.Close()
	entry := logEntry(&req.Entry)
	entry.Recipient = external(entry.Recipient)
	return s.failure(ctx, req, msg, []bouncelog.Entry{entry})
}

// failure sends the notices of permanent failures.
func (s *server) failure(ctx context.Context, req *bounceclient.Request, msg *queue.Message, entries []bouncelog.Entry) error {
	id, sender := string(req.Message.QueueID), req.Message.Sender.Address
	n := s.newNotice(req, msg)
	switch {
	case strings.EqualFold(sender, s.doubleBounce()):
		s.log.Warn(id, "undeliverable postmaster notification discarded")
		return nil
	case sender == "":
		if !s.notifies("2bounce") {
			return nil
		}
		n.from, n.to, n.postmaster = s.doubleBounce(), s.params.DoubleNotice, true
		n.entries = entries
		return s.send(ctx, n, s.templates.Failure, "postmaster non-delivery notification")
	}
	n.headersOnly = req.Message.Sender.Ret == envelope.RetHdrs
	for _, part := range s.parts(req, wanted(entries, envelope.NotifyFailure)) {
		n.to, n.entries = part.to, part.entries
		if err := s.send(ctx, n, s.templates.Failure, "sender non-delivery notification"); err != nil {
			return err
		}
	}
	if s.notifies("bounce") {
		n.entries = entries
		s.copyPostmaster(ctx, n, s.params.BounceNotice, s.templates.Failure, "postmaster non-delivery notification")
	}
	return nil
}

// part is what one notice tells, and whom.
type part struct {
	to      string
	entries []bouncelog.Entry
}

// parts divides failures into notices: one, or with VERP one for each
// recipient. After a failure in the middle, some are sent again: better twice
// than not at all.
func (s *server) parts(req *bounceclient.Request, entries []bouncelog.Entry) (out []part) {
	sender := req.Message.Sender.Address
	if req.Verb != bounceclient.VerbVerp {
		if len(entries) > 0 {
			out = append(out, part{sender, entries})
		}
		return out
	}
	for i := range entries {
		out = append(out, part{envelope.VERP(sender, req.Delimiters, &entries[i].Recipient), entries[i : i+1]})
	}
	return out
}

// copyPostmaster sends a copy without the content. It is a courtesy: if it
// fails, there is a warning and no more.
func (s *server) copyPostmaster(ctx context.Context, n *notice, to string, t bouncetext.Template, what string) {
	n.from, n.to, n.postmaster, n.headersOnly = s.doubleBounce(), to, true, true
	if err := s.send(ctx, n, t, what); err != nil {
		s.log.Warn(string(n.req.Message.QueueID), "postmaster notice failed: %v", err)
	}
}

// wanted returns the entries of recipients for which the sender wants a kind
// of notice. Who said nothing wants those of failure and delay (RFC 3461
// section 4.1).
func wanted(entries []bouncelog.Entry, kind envelope.Notify) []bouncelog.Entry {
	var out []bouncelog.Entry
	for _, e := range entries {
		n := e.Recipient.Notify
		if n&kind != 0 || n == envelope.NotifyNone && kind != envelope.NotifySuccess {
			out = append(out, e)
		}
	}
	return out
}

// warn tells the sender that a message is late. The log stays.
func (s *server) warn(ctx context.Context, req *bounceclient.Request) error {
	entries, err := s.entries(queue.Defer, req.Message.QueueID)
	if err != nil {
		return err
	}
	sender := req.Message.Sender.Address
	if sender == "" || strings.EqualFold(sender, s.doubleBounce()) || len(entries) == 0 {
		return nil
	}
	msg, err := s.queue.OpenMessage(req.Message.QueueName, req.Message.QueueID)
	if err != nil {
		return err
	}
	defer msg.Close()
	n := s.newNotice(req, msg)
	n.to, n.headersOnly = sender, true
	n.entries = wanted(entries, envelope.NotifyDelay)
	if len(n.entries) > 0 {
		if err := s.send(ctx, n, s.templates.Delay, "sender delay notification"); err != nil {
			return err
		}
	}
	if s.notifies("delay") {
		n.entries = entries
		s.copyPostmaster(ctx, n, s.params.DelayNotice, s.templates.Delay, "postmaster delay notification")
	}
	return nil
}

// Trace flags, as in package deliver.
const (
	flagVerifyUser = 1 << 9
	flagRecord     = 1 << 10
)

// trace tells the sender of successes, also of those that it no longer hoped for, or of all outcomes of a message that
// was sent to ask for them. Then the log is removed.
func (s *server) trace(ctx context.Context, req *bounceclient.Request) error {
	entries, err := s.entries(queue.Trace, req.Message.QueueID)
	if err != nil {
		return err
	}
	sender := req.Message.Sender.Address
	if strings.EqualFold(sender, s.doubleBounce()) && len(entries) > 0 {
		s.log.Info(string(req.Message.QueueID), "not sending trace/success notification for double-bounce message")
		return s.removeLog(req)
	}
	if sender == "" || len(entries) == 0 {
		return s.removeLog(req)
	}
	msg, err := s.queue.OpenMessage(req.Message.QueueName, req.Message.QueueID)
	if err != nil {
		return err
	}
	defer msg.Close()
	n := s.newNotice(req, msg)
	n.to, n.headersOnly, n.entries = sender, true, entries
	t := s.templates.Success
	if req.Flags&(flagVerifyUser|flagRecord) != 0 {
		t = s.templates.Verify
	}
	if err := s.send(ctx, n, t, "sender delivery status notification"); err != nil {
		return err
	}
	if req.Flags&(flagVerifyUser|flagRecord) != 0 {
		// The report is for one attempt, not for each later one.
		if err := msg.KillTrace(); err != nil {
			return fmt.Errorf("clear trace flags: %w", err)
		}
	}
	return s.removeLog(req)
}
