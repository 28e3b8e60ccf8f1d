package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/intake"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// limits are how much may be sent, and who is counted.
type limits struct {
	anvilclient.Limits
	ident string
}

// of puts a user's own limits in the place of the site's.
func (l *limits) of(u authclient.Limits) {
	for _, x := range []struct {
		dst *int
		own int
	}{{&l.MessagesHour, u.MessagesHour}, {&l.MessagesDay, u.MessagesDay},
		{&l.RecipientsHour, u.RecipientsHour}, {&l.RecipientsDay, u.RecipientsDay}} {
		if x.own > 0 {
			*x.dst = x.own
		}
	}
}

// spend counts messages and recipients. Where anvil does not answer, nothing is
// accepted: the limits are what stops an account that was broken into.
func (h *session) spend(ctx context.Context, s *smtpserver.Session, sender string, messages, recipients int) status.Status {
	if h.limits.Limits == (anvilclient.Limits{}) {
		return status.Status{}
	}
	v, err := h.srv.purse.spend(ctx, h.limits, messages, recipients)
	if err != nil {
		h.srv.Log().Warn("", "problem talking to server %s: %v", anvilclient.Endpoint, err)
		return h.RejectSender(s, sender, status.New(451, "4.3.0", "Error: your sending limits cannot be checked now; please try again later"))
	}
	if v.Over == "" {
		return status.Status{}
	}
	what, span, _ := strings.Cut(v.Over, "_")
	reached := fmt.Sprintf("%d %s per %s", v.Limit, what, span)
	h.srv.Log().Warn("", "sending limit reached: %s by user %s from %s", reached, h.limits.ident, s.Peer())
	if v.First {
		h.notify(ctx, s, reached)
	}
	return h.RejectSender(s, sender, status.New(450, "4.7.1",
		"Error: you have reached your limit of "+reached+"; please try again later, or ask your postmaster"))
}

// notify tells the postmaster about a user who has reached a limit.
func (h *session) notify(ctx context.Context, s *smtpserver.Session, reached string) {
	if h.srv.Notice == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := h.sendNotice(ctx, s, reached); err != nil {
		h.srv.Log().Warn("", "notice about user %s: %v", h.limits.ident, err)
	}
}

// sendNotice queues the notice, as the system's own mail.
func (h *session) sendNotice(ctx context.Context, s *smtpserver.Session, reached string) error {
	sub, err := h.srv.Cleanup().Begin(ctx, inject.FlagsInternal)
	if err != nil {
		return err
	}
	defer sub.Abort()
	now := time.Now()
	sub.Arrival(now)
	sub.Client(envelope.Client{RewriteContext: "local"})
	sub.Sender(envelope.Sender{})
	sub.Recipient(envelope.Recipient{Address: h.srv.Notice, Notify: envelope.NotifyNever})
	sub.StartContent()
	who := printable.ASCII(h.limits.ident)
	for _, line := range []string{
		"Received: by " + h.srv.Hostname + " (" + h.srv.MailName + ")",
		"\tid " + sub.QueueID() + "; " + now.Format(intake.ReceivedDate),
		"From: MAILER-DAEMON (Mail system)",
		"To: " + h.srv.Notice,
		"Subject: Sending limit reached: " + shorten(who, 200),
		"Auto-Submitted: auto-generated",
		"",
		"The user " + who + " has reached the limit of " + reached + ",",
		"at " + h.srv.Hostname + " from " + s.Peer() + ".",
		"",
		"Further mail is refused with a temporary error until there is room again.",
		"Nothing was lost. No further notice is sent for this " + reached[strings.LastIndexByte(reached, ' ')+1:] + ".",
		"",
		"If the account was broken into, stop it with:",
		"",
		"    posthouse user hold " + who,
		"",
		"A higher limit for this user: posthouse user set.",
	} {
		sub.Line([]byte(line))
	}
	result, err := sub.Finish()
	if err == nil && !result.OK() {
		err = fmt.Errorf("cleanup: %s", result.Reply())
	}
	return err
}
