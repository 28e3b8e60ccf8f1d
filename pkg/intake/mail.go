package intake

import (
	"context"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/access"
	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
	"github.com/posthouse-mail/posthouse/pkg/flushclient"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Mail decides about a sender.
func (h *Session) Mail(ctx context.Context, s *smtpserver.Session, m *smtpserver.Mail) status.Status {
	srv := h.srv
	h.msg = message{}
	if h.rate(ctx, s, anvilclient.Message, srv.MessageRate, "Message delivery request") {
		return h.RejectSender(s, m.Address, status.New(450, "4.7.1", "Error: too much mail from "+s.Client.Addr))
	}
	if st := h.checkSize(m.Size); !st.IsZero() {
		return h.RejectSender(s, m.Address, st)
	}
	if !srv.DelayReject {
		h.facts(s, "MAIL", &m.Address, nil)
		return h.run(ctx, s, h.evaluator(), srv.lists.sender)
	}
	return status.Status{}
}

// checkSize compares the announced size with the limit (RFC 1870 section
// 6.1) and with what the queue's disk has left.
func (h *Session) checkSize(size int64) status.Status {
	srv := h.srv
	if srv.SizeLimit > 0 && size > srv.SizeLimit {
		return status.New(552, "5.3.4", "Message size exceeds fixed limit")
	}
	need := max(srv.MinFree, srv.SizeLimit+srv.SizeLimit/2, size)
	free, known := srv.space.get(need)
	if !known {
		return status.Status{}
	}
	if free < need {
		srv.log.Warn("", "not enough free space in mail queue: %d bytes < %d", free, need)
		return status.New(452, "4.3.1", "Insufficient system storage")
	}
	return status.Status{}
}

// Rcpt decides about a recipient, and hands an accepted one to cleanup.
func (h *Session) Rcpt(ctx context.Context, s *smtpserver.Session, r *smtpserver.Rcpt) status.Status {
	if st := h.Settle(ctx, s); !st.IsZero() {
		return st
	}
	if st := h.Admit(ctx, s, r); !st.IsZero() {
		return st
	}
	return h.accept(ctx, s, r)
}

// Admit decides about a recipient, in the order of postfix.md D1.
func (h *Session) Admit(ctx context.Context, s *smtpserver.Session, r *smtpserver.Rcpt) status.Status {
	srv := h.srv
	f := h.facts(s, "RCPT", &s.Mail().Address, &r.Address)
	if h.rate(ctx, s, anvilclient.Recipient, srv.RcptRate, "Recipient address") {
		return h.rejected(s, f, status.New(450, "4.7.1", "Error: too many recipients from "+s.Client.Addr))
	}
	// RFC 5321 4.5.1: mail for postmaster must be taken.
	if !strings.EqualFold(r.Address, "postmaster") {
		if st := h.checkRcpt(ctx, s, f); !st.IsZero() {
			return st
		}
	}
	return status.Status{}
}

func (h *Session) checkRcpt(ctx context.Context, s *smtpserver.Session, f *access.Facts) status.Status {
	l := &h.srv.lists
	var all []*access.List
	if h.srv.DelayReject {
		all = append(all, l.client, l.helo, l.sender)
	}
	if h.srv.RelayBeforeRcpt {
		all = append(all, l.relay, l.rcpt)
	} else {
		all = append(all, l.rcpt, l.relay)
	}
	if h.msg.discarded() {
		return status.Status{}
	}
	if st := h.run(ctx, s, h.evaluator(), all...); !st.IsZero() || h.msg.discarded() {
		return st
	}
	return h.checkUnlisted(ctx, s, f)
}

// checkUnlisted is the implicit end of the recipient restrictions.
func (h *Session) checkUnlisted(ctx context.Context, s *smtpserver.Session, f *access.Facts) status.Status {
	if h.srv.RejectUnlistedFr && f.Sender != "" {
		st, err := f.UnlistedSender(ctx, f.Sender)
		if st = h.orTemporary(st, err, f.Sender); !st.IsZero() {
			return h.rejected(s, f, st)
		}
	}
	if !h.srv.RejectUnlisted {
		return status.Status{}
	}
	st, err := f.UnlistedRcpt(ctx, f.Recipient)
	if st = h.orTemporary(st, err, f.Recipient); !st.IsZero() {
		return h.rejected(s, f, st)
	}
	return status.Status{}
}

func (h *Session) orTemporary(st status.Status, err error, addr string) status.Status {
	if err == nil {
		return st
	}
	h.srv.log.Warn("", "lookup of <%s>: %v", addr, err)
	return status.New(451, "4.3.0", "<"+addr+">: Temporary lookup failure")
}

// Vrfy tells whether an address exists, to a client that could find it out
// with RCPT.
func (h *Session) Vrfy(ctx context.Context, s *smtpserver.Session, addr string) status.Status {
	f := h.facts(s, "VRFY", nil, &addr)
	// What a table wants done to a message is not about this one.
	actions := h.msg.actions
	defer func() { h.msg.actions = actions }()
	return h.checkRcpt(ctx, s, f)
}

// Etrn asks for a try of the mail that waits for a domain (RFC 1985).
func (h *Session) Etrn(ctx context.Context, s *smtpserver.Session, domain string) status.Status {
	f := h.facts(s, "ETRN", nil, nil)
	f.Recipient = domain
	l := &h.srv.lists
	all := []*access.List{l.etrn}
	if h.srv.DelayReject {
		all = []*access.List{l.client, l.helo, l.etrn}
	}
	if st := h.run(ctx, s, h.evaluator(), all...); !st.IsZero() {
		return st
	}
	answer, err := h.srv.flush.Site(ctx, domain)
	switch {
	case err != nil:
		h.srv.log.Warn("", "unable to talk to fast flush service: %v", err)
	case answer == flushclient.OK:
		return status.Status{}
	case answer == flushclient.Deny:
		h.srv.log.Warn("", "reject: ETRN %.100s... from %s", domain, s.Peer())
		return status.New(459, "", "<"+domain+">: service unavailable")
	case answer == flushclient.Bad:
		h.srv.log.Warn("", "bad ETRN %.100s... from %s", domain, s.Peer())
	}
	return status.New(458, "", "Unable to queue messages")
}
