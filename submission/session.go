package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/intake"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// session is one client: what smtpd does with it, with the rules for users in
// front.
type session struct {
	*intake.Session
	srv     *server
	counted string           // for anvil: the user whose connection this is
	limits  limits           // of the user, as the last MAIL saw them
	user    *authclient.User // of the present transaction; nil if not known
	sure    sure
	out     *outgoing // nil outside of a message's content
	hop     *hop      // nil before the first message that goes past the queue
	pass    *passed   // such a message, nil outside of one
}

// Open takes back what only the queue can do where messages go past it.
func (h *session) Open(ctx context.Context, s *smtpserver.Session) {
	h.Session.Open(ctx, s)
	s.MayVERP = s.MayVERP && h.srv.relay == nil
}

// AuthDone counts the connections of the user.
func (h *session) AuthDone(ctx context.Context, s *smtpserver.Session) status.Status {
	limit := h.srv.Connections
	if u := h.User(); u != nil && u.Limits.Connections > 0 {
		limit = u.Limits.Connections
	}
	if limit == 0 {
		return status.Status{}
	}
	ident := anvilclient.Ident(h.srv.Service(), "user="+shorten(s.Client.SASLUser, 150))
	n, err := h.srv.Anvil().Event(ctx, anvilclient.Connect, ident)
	if err != nil {
		h.srv.Log().Warn("", "problem talking to server %s: %v", anvilclient.Endpoint, err)
		return status.Status{}
	}
	h.counted = ident
	if n.Count > limit {
		h.srv.Log().Warn("", "Connection concurrency limit exceeded: %d of user %s from %s for service %s",
			n.Count, s.Client.SASLUser, s.Peer(), h.srv.Service())
		return status.New(421, "4.7.0", h.srv.Hostname+" Error: too many connections of this user")
	}
	return status.Status{}
}

func shorten(s string, n int) string { return s[:min(len(s), n)] }

// Close ends the session.
func (h *session) Close(s *smtpserver.Session) {
	if h.counted != "" {
		h.srv.Anvil().Event(context.Background(), anvilclient.Disconnect, h.counted)
	}
	h.dropPassed()
	if h.hop != nil {
		h.hop.close(context.Background())
	}
	h.Session.Close(s)
}

// Mail decides who may send, and as whom.
func (h *session) Mail(ctx context.Context, s *smtpserver.Session, m *smtpserver.Mail) status.Status {
	if st := h.admit(ctx, s, m.Address); !st.IsZero() {
		return st
	}
	if st := h.envelopeSender(ctx, s, m); !st.IsZero() {
		return st
	}
	if st := h.Session.Mail(ctx, s, m); !st.IsZero() {
		return st
	}
	if h.srv.relay != nil {
		if st := h.passMail(ctx, s, m); !st.IsZero() {
			return st
		}
		s.QueueID = h.pass.id
	}
	if st := h.spend(ctx, s, m.Address, 1, 0); !st.IsZero() {
		return st
	}
	if h.pass == nil {
		h.OpenAhead(ctx, m)
	}
	return status.Status{}
}

// admit checks that the client may send at this moment. The account is looked
// at for each message: one that was put on hold, or taken away, stops within a
// second.
func (h *session) admit(ctx context.Context, s *smtpserver.Session, sender string) status.Status {
	h.user = nil
	if !s.Authenticated() {
		if h.Trusted() {
			h.limits = limits{Limits: h.srv.limits(), ident: "client=" + s.Client.Addr}
			return status.Status{}
		}
		// RFC 4954 section 6.
		return h.RejectSender(s, sender, status.New(530, "5.7.0", "Authentication required"))
	}
	login := s.Client.SASLUser
	h.limits = limits{Limits: h.srv.limits(), ident: login}
	if h.srv.users == nil {
		return status.Status{}
	}
	u, err := h.srv.users.find(ctx, login, time.Now())
	switch {
	case errors.Is(err, authclient.ErrUnknown):
		return h.RejectSender(s, sender, status.New(550, "5.7.1", "Error: your account may not send mail any more; please ask your postmaster"))
	case err != nil:
		h.srv.Log().Warn("", "lookup of user %s: %v", login, err)
		return h.RejectSender(s, sender, status.New(451, "4.3.0", "Error: your account cannot be looked up now; please try again later"))
	case u.Held:
		return h.RejectSender(s, sender, status.New(550, "5.7.1", "Error: your account is on hold and may not send mail; please ask your postmaster"))
	}
	h.user = u
	h.limits.of(u.Limits)
	return status.Status{}
}

// envelopeSender checks that the sender is an address of the user.
func (h *session) envelopeSender(ctx context.Context, s *smtpserver.Session, m *smtpserver.Mail) status.Status {
	if h.srv.Authorship == "off" || !s.Authenticated() || m.Address == "" {
		return status.Status{} // read receipts have no sender
	}
	ok, err := h.owns(ctx, s, m.Address)
	switch {
	case err != nil:
		h.srv.Log().Warn("", "lookup of <%s>: %v", m.Address, err)
		return h.RejectSender(s, m.Address, status.New(451, "4.3.0", "<"+m.Address+">: Temporary lookup failure"))
	case ok:
		return status.Status{}
	case h.srv.Authorship == "rewrite":
		h.srv.Log().Info("", "rewrite: MAIL from %s: <%s> becomes <%s>, which belongs to user %s",
			s.Peer(), m.Address, h.ownAddress(s), s.Client.SASLUser)
		m.Address = h.ownAddress(s)
		return status.Status{}
	}
	return h.RejectSender(s, m.Address, status.New(553, "5.7.1", "<"+m.Address+">: Sender address rejected: not owned by user "+s.Client.SASLUser))
}

func (h *session) owns(ctx context.Context, s *smtpserver.Session, addr string) (bool, error) {
	if h.sure.owns(h.user, addr) {
		return true, nil
	}
	ok, err := h.OwnedBy(ctx, h.user, s.Client.SASLUser, addr)
	if ok && err == nil {
		h.sure.found(h.user, addr)
	}
	return ok, err
}

// ownAddress is the user's first address.
func (h *session) ownAddress(s *smtpserver.Session) string {
	login := s.Client.SASLUser
	if h.user != nil {
		login = h.user.Login
	}
	if strings.Contains(login, "@") {
		return login
	}
	return login + "@" + h.srv.Origin
}

// Rcpt counts the recipient.
func (h *session) Rcpt(ctx context.Context, s *smtpserver.Session, r *smtpserver.Rcpt) status.Status {
	if st := h.Settle(ctx, s); !st.IsZero() {
		return st
	}
	if st := h.spend(ctx, s, s.Mail().Address, 0, 1); !st.IsZero() {
		return st
	}
	if h.pass == nil {
		return h.Session.Rcpt(ctx, s, r)
	}
	if st := h.Admit(ctx, s, r); !st.IsZero() {
		return st
	}
	return h.pass.rcpt(ctx, s, r)
}

// Vrfy would tell strangers who exists.
func (h *session) Vrfy(ctx context.Context, s *smtpserver.Session, addr string) status.Status {
	if !s.Authenticated() && !h.Trusted() {
		return status.New(530, "5.7.0", "Authentication required")
	}
	return h.Session.Vrfy(ctx, s, addr)
}

// Data starts the content. Nothing is written before the header is complete, so
// the client need not wait for the queue file until then.
func (h *session) Data(ctx context.Context, s *smtpserver.Session) status.Status {
	if st := h.TakeContent(ctx, s); !st.IsZero() {
		return st
	}
	h.out = newOutgoing(ctx, h, s)
	return status.Status{}
}

// Content takes a part of the message.
func (h *session) Content(s *smtpserver.Session, b []byte, eol bool) {
	switch {
	case h.out == nil || !h.Take(len(b), eol):
	case h.out.direct && !s.StrayCR():
		h.Put(b, eol)
	default:
		h.out.line(b, eol)
	}
}

// End completes the message.
func (h *session) End(ctx context.Context, s *smtpserver.Session, info smtpwire.ContentInfo) status.Status {
	if h.out != nil && !h.Refused() {
		h.out.end(ctx)
	}
	if h.pass == nil {
		return h.Session.End(ctx, s, info)
	}
	if st := h.Verdict(ctx, s); !st.IsZero() {
		return st
	}
	return h.pass.finish(ctx, s)
}

// Reset forgets a message.
func (h *session) Reset(s *smtpserver.Session) {
	if h.out != nil {
		h.out.release()
		h.out = nil
	}
	h.dropPassed()
	h.Session.Reset(s)
}
