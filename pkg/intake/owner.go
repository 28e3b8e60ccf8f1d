package intake

import (
	"context"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/table/keys"
)

// senderOwners returns the logins that smtpd_sender_login_maps gives for a
// sender address.
func (srv *Server) senderOwners(ctx context.Context, sender string) (owners []string, found bool, err error) {
	if srv.maps.logins.Empty() {
		return nil, false, nil
	}
	r, err := srv.resolve(ctx, "", sender)
	if err != nil {
		return nil, false, err
	}
	local := func(_ context.Context, domain string) (bool, error) {
		here, err := srv.resolve(ctx, "", "postmaster@"+domain)
		return err == nil && here.Class() == rewrite.ClassLocal, err
	}
	res, err := keys.Login(ctx, srv.maps.logins, r.Recipient, keys.Options{Delimiters: srv.Delimiter, Local: local})
	if err != nil || !res.Found {
		return nil, false, err
	}
	return strings.FieldsFunc(res.Value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n' }), true, nil
}

// OwnedBy reports whether a user may write as an address: by
// smtpd_sender_login_maps where it has an entry, else by the user's record,
// which may be nil.
func (h *Session) OwnedBy(ctx context.Context, u *authclient.User, login, addr string) (bool, error) {
	owners, found, err := h.srv.senderOwners(ctx, addr)
	if err != nil {
		return false, err
	}
	if found {
		for _, o := range owners {
			if strings.EqualFold(o, login) {
				return true, nil
			}
		}
		return false, nil
	}
	if h.srv.covered(addr, login) {
		return true, nil
	}
	if u == nil {
		return false, nil
	}
	return h.srv.covered(addr, u.Login) || h.srv.covered(addr, u.Aliases...) || h.srv.covered(addr, u.SendAs...), nil
}

// covered reports whether an address is one of a list, or a subaddress of one.
// "@domain" in the list stands for all addresses of a domain; a plain account
// name for that account in our own domain.
func (srv *Server) covered(addr string, list ...string) bool {
	local, domain, ok := cut(addr)
	bare, _ := keys.SplitExtension(local, srv.Delimiter)
	for _, own := range list {
		if own == "" {
			continue
		}
		if !strings.Contains(own, "@") {
			own += "@" + srv.Origin
		}
		ownLocal, ownDomain, _ := cut(own)
		same := strings.EqualFold(ownDomain, domain)
		if !ok { // an address without domain gets ours
			same = strings.EqualFold(ownDomain, srv.Origin)
		}
		if same && (ownLocal == "" || strings.EqualFold(ownLocal, local) || strings.EqualFold(ownLocal, bare)) {
			return true
		}
	}
	return false
}

func cut(addr string) (local, domain string, ok bool) {
	if !address.HasDomain(addr) {
		return addr, "", false
	}
	i := strings.LastIndexByte(addr, '@')
	return addr[:i], addr[i+1:], true
}
