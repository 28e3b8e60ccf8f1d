package intake

import (
	"context"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/keys"
)

// Addresses repeat, and each is resolved more than once per RCPT.
const (
	resolveTTL = 10 * time.Second
	resolveMax = 1000
)

// resolve finds out where mail for an address in internal form goes.
func (srv *Server) resolve(ctx context.Context, sender, addr string) (rewrite.Resolved, error) {
	return srv.resolved.Get(sender, addr, func() (rewrite.Resolved, error) {
		return srv.rewrite.Standard(ctx, rewrite.Local, sender, address.Quote(addr))
	})
}

// authDestination reports whether a recipient is in a domain that we are
// responsible for. Mail with a further route in its local part, such as
// user%other@here, has an uncertain destination and does not count.
func (srv *Server) authDestination(ctx context.Context, sender, rcpt string) (bool, error) {
	r, err := srv.resolve(ctx, sender, rcpt)
	if err != nil {
		return false, err
	}
	if !address.HasDomain(r.Recipient) || r.Class() == rewrite.ClassLocal {
		return true, nil
	}
	if r.Flags&rewrite.Routed != 0 && !srv.UntrustedRouting {
		return false, nil
	}
	switch r.Class() {
	case rewrite.ClassAlias, rewrite.ClassVirtual, rewrite.ClassRelay:
		return true, nil
	}
	return false, nil
}

// refuses reports whether a transport delivers to nobody.
func refuses(transport string) bool { return transport == "error" || transport == "retry" }

// unlisted returns a rejection for an address that does not exist in one of
// our domains, or the zero status. class is "Recipient address" or "Sender
// address".
func (srv *Server) unlisted(ctx context.Context, other, addr, class string) (status.Status, error) {
	sender := class == "Sender address"
	if sender {
		other = ""
	}
	r, err := srv.resolve(ctx, other, addr)
	if err != nil {
		return status.Status{}, err
	}
	if r.Flags&rewrite.Error != 0 {
		return srv.noSuch(addr, class, 550, "5.1.3", "Bad address syntax"), nil
	}
	if !sender && r.Class() == rewrite.ClassVirtual {
		full, known, err := srv.overQuota(ctx, addr, r.Recipient)
		if err != nil || full.Code != "" || known && !refuses(r.Transport) {
			return full, err
		}
	}
	if !srv.listed(r.Class()) && !refuses(r.Transport) {
		return status.Status{}, nil // whatever it becomes, nobody has a list of who is there
	}
	known, err := srv.rewritten(ctx, r.Recipient, sender)
	if known || err != nil {
		return status.Status{}, err
	}
	// relocated_maps or the transport table know more than the lists of users,
	// which no longer have somebody who has moved.
	switch st := status.Parse(r.NextHop, "5.1.1"); {
	case r.Transport == "retry":
		st = status.Parse(r.NextHop, "4.0.0").As('4')
		return srv.noSuch(addr, class, 450, st.Code, st.Text), nil
	case r.Transport == "error" && (r.Class() != rewrite.ClassAlias || st.Code != "5.1.1"):
		reply := 550
		if st.Temporary() {
			reply = 450
		}
		return srv.noSuch(addr, class, reply, st.Code, st.Text), nil
	}
	local := func(context.Context, string) (bool, error) { return r.Class() == rewrite.ClassLocal, nil }
	o := keys.Options{Delimiters: srv.Delimiter, Local: local}
	find := func(m *table.Maps) (bool, error) {
		res, err := keys.Recipient(ctx, m, r.Recipient, o)
		return res.Found, err
	}
	code, what := 0, ""
	switch class := r.Class(); {
	case !srv.listed(class):
	case class == rewrite.ClassAlias:
		code, what = srv.CodeAlias, "virtual alias"
	case class == rewrite.ClassVirtual:
		known, err = find(srv.maps.mailbox)
		code, what = srv.CodeVirtual, "virtual mailbox"
	case class == rewrite.ClassLocal:
		known, err = find(srv.maps.local)
		code, what = srv.CodeLocal, "local recipient"
	case class == rewrite.ClassRelay:
		known, err = find(srv.maps.relay)
		code, what = srv.CodeRelayRcpt, "relay recipient"
	}
	switch {
	case err != nil:
		return status.Status{}, err
	case code != 0 && !known:
		return srv.noSuch(addr, class, code, "5.1.1", srv.unknownUser(what)), nil
	}
	return status.Status{}, nil
}

// listed reports whether there is a list of the addresses in domains of a class.
func (srv *Server) listed(class rewrite.Flags) bool {
	switch class {
	case rewrite.ClassAlias:
		return true
	case rewrite.ClassVirtual:
		return !srv.maps.mailbox.Empty()
	case rewrite.ClassLocal:
		return !srv.maps.local.Empty()
	case rewrite.ClassRelay:
		return !srv.maps.relay.Empty()
	}
	return false
}

// overQuota refuses mail for a mailbox that is full, as far as authd knows.
// Whom it knows has a mailbox, and nobody else need be asked.
func (srv *Server) overQuota(ctx context.Context, addr, rcpt string) (st status.Status, known bool, err error) {
	if srv.maps.full.Empty() {
		return status.Status{}, false, nil
	}
	r, err := keys.Recipient(ctx, srv.maps.full, rcpt, keys.Options{Delimiters: srv.Delimiter})
	if err != nil || r.Value != "yes" {
		return status.Status{}, r.Found, err
	}
	reply := 552
	if srv.FullTempfail {
		reply = 452
	}
	return srv.noSuch(addr, "Recipient address", reply, "5.2.2", "Mailbox is full"), true, nil
}

func (srv *Server) unknownUser(what string) string {
	if srv.ShowTable {
		return "User unknown in " + what + " table"
	}
	return "User unknown"
}

// noSuch makes the reply for an address that does not exist.
func (srv *Server) noSuch(addr, class string, reply int, enhanced, text string) status.Status {
	enhanced = string(byte('0'+reply/100)) + enhanced[1:]
	if class == "Sender address" && strings.HasSuffix(enhanced, ".1.1") {
		enhanced = enhanced[:1] + ".1.0"
	}
	return status.New(reply, enhanced, "<"+addr+">: "+class+" rejected: "+text)
}

// rewritten reports whether an address will become another one: then it
// exists as far as we are concerned.
func (srv *Server) rewritten(ctx context.Context, addr string, sender bool) (bool, error) {
	all := []*table.Maps{srv.maps.rcptCanonical, srv.maps.canonical, srv.maps.alias}
	if sender {
		all = append(all, srv.maps.senderCanonical)
	}
	for _, m := range all {
		if m.Empty() {
			continue
		}
		r, err := keys.Canonical(ctx, m, addr, keys.Options{Delimiters: srv.Delimiter})
		if err != nil || r.Found {
			return r.Found, err
		}
	}
	return false, nil
}
