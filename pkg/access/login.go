package access

import (
	"context"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/status"
)

// clientCert permits who has the key of a certificate in relay_clientcerts. Who
// vouches for that does not matter: the site has written it down.
func (e *Eval) clientCert(ctx context.Context) (Verdict, status.Status) {
	if e.ClientCert == nil {
		return Dunno, status.Status{}
	}
	for _, print := range e.Fingerprints {
		v, st := e.permit(ctx, e.Name+"["+e.Addr+"]", func(ctx context.Context) (bool, error) { return e.ClientCert(ctx, print) })
		if v != Dunno {
			return v, st
		}
	}
	return Dunno, status.Status{}
}

// loginMismatch compares the owners of the sender's address with who has
// logged in.
func (e *Eval) loginMismatch(ctx context.Context, name string) (Verdict, status.Status) {
	authenticated := name != "reject_unauthenticated_sender_login_mismatch"
	unauthenticated := name != "reject_authenticated_sender_login_mismatch"
	if e.Owners == nil || e.Login != "" && !authenticated || e.Login == "" && !unauthenticated {
		return Dunno, status.Status{}
	}
	owners, found, err := e.Owners(ctx, e.Sender)
	if err != nil {
		e.note("warning", err.Error())
		return Reject, lookupFailed(e.Sender)
	}
	if e.Login == "" {
		return when(found, status.New(553, "5.7.1", "<"+e.Sender+">: Sender address rejected: not logged in"))
	}
	if !found && name == "reject_known_sender_login_mismatch" {
		return Dunno, status.Status{}
	}
	for _, o := range owners {
		if strings.EqualFold(o, e.Login) {
			return Dunno, status.Status{}
		}
	}
	return Reject, status.New(553, "5.7.1", "<"+e.Sender+">: Sender address rejected: not owned by user "+e.Login)
}
