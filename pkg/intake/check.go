package intake

import (
	"context"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/access"
	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/dns"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// asked is what restrictions look at. A session has one, since they look at one command
// at a time, and the next session has it after that: most of it does not change.
type asked struct {
	h *Session
	s *smtpserver.Session

	facts access.Facts
	eval  access.Eval
	ways  access.Facts // how to find out more, and nothing else
	base  access.Eval  // what the configuration says
}

// newAsked makes what does not change.
func (srv *Server) newAsked() *asked {
	a := new(asked)
	p, f := &srv.Params, &a.facts
	a.ways = access.Facts{
		MyNetworks: func(ctx context.Context) (bool, error) { return srv.nets.Match(ctx, a.s.Client.Name, a.s.Client.Addr) },
		OwnAddress: func() bool { return srv.own[a.h.addr] },
		MailDomain: srv.mailDomain,
		Resolve: func(ctx context.Context, name string, t dns.Type) (*dns.Answer, error) {
			return a.h.resolve(ctx, name, t)
		},
		ListReply: srv.listReply,
		AuthDestination: func(ctx context.Context, addr string) (bool, error) {
			return srv.authDestination(ctx, f.Sender, addr)
		},
		UnlistedRcpt: func(ctx context.Context, addr string) (status.Status, error) {
			return a.h.unlisted(ctx, f.Sender, addr, "Recipient address")
		},
		UnlistedSender: func(ctx context.Context, addr string) (status.Status, error) {
			return a.h.unlisted(ctx, f.Recipient, addr, "Sender address")
		},
	}
	if !srv.maps.clientCerts.Empty() {
		a.ways.ClientCert = func(ctx context.Context, print string) (bool, error) {
			_, found, err := srv.maps.clientCerts.Lookup(ctx, print)
			return found, err
		}
	}
	if srv.auth != nil && !srv.maps.logins.Empty() {
		a.ways.Owners = srv.senderOwners
	}
	a.base = access.Eval{
		Facts: f, Keys: srv.access, NullKey: p.NullKey,
		Codes: access.Codes{Reject: p.CodeReject, Defer: p.CodeDefer, InvalidHelo: p.CodeHelo, NonFQDN: p.CodeFQDN,
			UnknownClient: p.CodeClient, UnknownAddress: p.CodeAddress, RelayDomains: p.CodeRelay,
			MultiBounce: p.CodeBounce, Plaintext: p.CodePlaintext, RBL: p.CodeRBL},
		Classes: srv.parser.Class,
		Note:    func(action, text string) { a.h.logAction(a.s, f, action, text) },
		ConfigError: func(format string, args ...any) {
			srv.log.Warn("", format, args...)
		},
	}
	return a
}

// facts collects what restrictions look at. sender and rcpt are nil where
// there is none yet. It holds until the next call.
func (h *Session) facts(s *smtpserver.Session, command string, sender, rcpt *string) *access.Facts {
	if h.asked == nil {
		var ok bool
		if h.asked, ok = h.srv.asked.Get().(*asked); !ok {
			h.asked = h.srv.newAsked()
		}
		h.asked.h, h.asked.s = h, s
	}
	f := &h.asked.facts
	*f = h.asked.ways
	f.Command, f.Name, f.Reverse, f.Addr = command, s.Client.Name, s.Client.ReverseName, s.Client.Addr
	f.NameStatus, f.RevState, f.Helo = h.peer.NameStatus, h.peer.ReverseStatus, s.Client.Helo
	f.Rcpts, f.EarlyTalk, f.TLS, f.BDAT = s.Recipients(), s.EarlyTalk(), s.TLS != nil, s.BDAT()
	f.Login, f.CertOK = s.Client.SASLUser, s.CertOK
	if s.TLS != nil && len(s.TLS.PeerCertificates) > 0 {
		prints := tlspolicy.Fingerprints(h.srv.CertDigest, s.TLS.PeerCertificates[0])
		f.Fingerprints = prints[:]
	}
	if sender != nil {
		f.HaveSender, f.Sender = true, *sender
	}
	if rcpt != nil {
		f.HaveRcpt, f.Recipient = true, *rcpt
	}
	return f
}

// forget gives back what restrictions looked at.
func (h *Session) forget() {
	a := h.asked
	if a == nil {
		return
	}
	a.h, a.s, a.facts, a.eval, h.asked = nil, nil, access.Facts{}, access.Eval{}, nil
	h.srv.asked.Put(a)
}

// evaluator makes the facts' Eval, which logs for this session.
func (h *Session) evaluator() *access.Eval {
	h.asked.eval = h.asked.base
	return &h.asked.eval
}

// check runs one list by itself.
func (h *Session) check(ctx context.Context, s *smtpserver.Session, command string, l *access.List) status.Status {
	if len(l.Items) == 0 {
		return status.Status{}
	}
	var sender *string
	if m := s.Mail(); m != nil {
		sender = &m.Address
	}
	h.facts(s, command, sender, nil)
	return h.run(ctx, s, h.evaluator(), l)
}

// run evaluates lists in order; each OK ends only its own list. What is
// rejected is logged.
func (h *Session) run(ctx context.Context, s *smtpserver.Session, e *access.Eval, all ...*access.List) status.Status {
	for _, l := range all {
		v, st := e.Run(ctx, l)
		h.msg.actions = append(h.msg.actions, e.Actions...)
		e.Actions = nil
		if v == access.Reject {
			return h.rejected(s, e.Facts, st)
		}
		if h.msg.discarded() {
			return status.Status{}
		}
	}
	if st, armed := e.Pending(); armed {
		return h.rejected(s, e.Facts, st)
	}
	return status.Status{}
}

// Reject logs a rejection that is not that of a restriction list.
func (h *Session) Reject(s *smtpserver.Session, command string, st status.Status) status.Status {
	var sender *string
	if m := s.Mail(); m != nil {
		sender = &m.Address
	}
	return h.rejected(s, h.facts(s, command, sender, nil), st)
}

// RejectSender is Reject for a MAIL command that was not accepted yet.
func (h *Session) RejectSender(s *smtpserver.Session, sender string, st status.Status) status.Status {
	return h.rejected(s, h.facts(s, "MAIL", &sender, nil), st)
}

// RejectRcpt is Reject for a RCPT command.
func (h *Session) RejectRcpt(s *smtpserver.Session, rcpt string, st status.Status) status.Status {
	return h.rejected(s, h.facts(s, "RCPT", &s.Mail().Address, &rcpt), st)
}

// unlisted looks for an address that does not exist, and remembers that this
// was found.
func (h *Session) unlisted(ctx context.Context, other, addr, class string) (status.Status, error) {
	st, err := h.srv.unlisted(ctx, other, addr, class)
	h.unknown = st
	return st, err
}

// class is what the postmaster is told that a rejection is.
func (h *Session) class(st status.Status) transcript.Class {
	switch {
	case st == h.unknown:
		return transcript.Bounce
	case st.Code == "4.3.5":
		return transcript.Software // the text is that of a wrong configuration
	case st.Code == "4.3.0":
		return transcript.Data
	case st.Code == "4.3.1":
		return transcript.Resource
	}
	return transcript.Policy
}

// rejected logs a rejection and applies soft_bounce.
func (h *Session) rejected(s *smtpserver.Session, f *access.Facts, st status.Status) status.Status {
	s.Erred(h.class(st))
	if h.srv.SoftBounce && st.Reply >= 500 {
		st = st.As('4')
	}
	h.logAction(s, f, "reject", st.String())
	return st
}

// logAction writes "ID: reject: RCPT from host[addr]: text; from=<..> to=<..>
// proto=ESMTP helo=<..>".
func (h *Session) logAction(s *smtpserver.Session, f *access.Facts, action, text string) {
	id := h.msg.id
	if id == "" {
		id = "NOQUEUE"
	}
	var b strings.Builder
	if f.HaveSender {
		b.WriteString(" from=<" + address.Quote(f.Sender) + ">")
	}
	switch {
	case f.HaveRcpt:
		b.WriteString(" to=<" + address.Quote(f.Recipient) + ">")
	case h.msg.first != "" && s.Recipients() == 1:
		b.WriteString(" to=<" + address.Quote(h.msg.first) + ">")
	}
	b.WriteString(" proto=" + s.Client.Proto)
	if s.Client.Helo != "" {
		b.WriteString(" helo=<" + s.Client.Helo + ">")
	}
	h.srv.log.Info(id, "%s: %s from %s: %s;%s", action, f.Command, s.Peer(), text, b.String())
}

// mailDomain asks whether mail can be sent to a domain: it has MX, A or AAAA
// records.
func (srv *Server) mailDomain(ctx context.Context, domain string) error {
	_, err := srv.resolver.Lookup(ctx, domain, dns.TypeMX)
	if !dns.Is(err, dns.NoData) {
		return err
	}
	_, err = srv.resolver.Addresses(ctx, domain, dns.AnyFamily)
	return err
}
