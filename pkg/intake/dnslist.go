package intake

import (
	"context"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/dns"
)

// maxResolved bounds the answers that a session keeps.
const maxResolved = 200

// resolved is an answer of the DNS that a session keeps, so that each of many
// recipients does not ask again.
type resolved struct {
	answer *dns.Answer
	err    error
}

// resolve asks the DNS for an entry of a list.
func (h *Session) resolve(ctx context.Context, name string, t dns.Type) (*dns.Answer, error) {
	key := strings.ToLower(name) + " " + t.String()
	if r, ok := h.lists[key]; ok {
		return r.answer, r.err
	}
	answer, err := h.srv.resolver.Lookup(ctx, name, t)
	if h.lists == nil || len(h.lists) >= maxResolved {
		h.lists = make(map[string]resolved)
	}
	h.lists[key] = resolved{answer, err}
	return answer, err
}

// listReply fills the site's text for what a DNS list lists. What strangers
// chose is not expanded once more.
func (srv *Server) listReply(ctx context.Context, list string, values map[string]string) (string, error) {
	text, found, err := srv.maps.listReplies.Lookup(ctx, list)
	if err != nil {
		return "", err
	}
	if !found {
		text = srv.RBLReply
	}
	return config.ExpandMacros(text, func(name string) (string, bool) {
		if v, ok := values[name]; ok {
			return strings.ReplaceAll(v, "$", "_"), true
		}
		return srv.raw(name)
	})
}
