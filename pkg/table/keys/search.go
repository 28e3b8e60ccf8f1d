package keys

import (
	"context"
	"net/netip"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/table"
)

// The parts of a search, in the order in which they are tried.
const (
	full             = 1 << iota // user+ext@domain
	noExtension                  // user@domain
	localpartIfLocal             // user+ext, user
	atDomain                     // @domain
	domainName                   // domain
	parents                      // parent.domain or .parent.domain
	localpartAt                  // user+ext@, user@
)

// finder carries one search.
type finder struct {
	ctx      context.Context
	maps     *table.Maps
	ext      string // extension, with delimiter
	result   Result
	err      error
	finished bool
}

// try looks a key up unless the search is over.
func (f *finder) try(key string, fixed, bare bool) {
	if f.finished {
		return
	}
	r, err := one(f.ctx, f.maps, key, fixed)
	if err != nil || r.Found {
		f.finished = true
		f.result, f.err = r, err
		if bare {
			f.result.Extension = f.ext
		}
	}
}

// tryLocal looks up a local part with what follows it, first quoted as in a
// message if it needs quotes, then as it is.
func (f *finder) tryLocal(local, rest string, fixed, bare bool) {
	quoted := `""`
	if local != "" {
		quoted = address.QuoteLocal(local)
	}
	f.try(quoted+rest, fixed, bare)
	if quoted != local {
		f.try(local+rest, fixed, bare)
	}
}

func search(ctx context.Context, m *table.Maps, addr string, o Options, strategy int) (Result, error) {
	f := &finder{ctx: ctx, maps: m}
	local, domain, hasDomain := cutAddress(addr)
	rest := ""
	if hasDomain {
		rest = "@" + domain
	}
	bare, ext := SplitExtension(local, o.Delimiters)
	f.ext = ext

	f.tryLocal(local, rest, false, false)
	if strategy&noExtension != 0 && ext != "" {
		f.tryLocal(bare, rest, true, true)
	}
	if strategy&localpartIfLocal != 0 && hasDomain && !f.finished {
		f.tryIfLocal(o, local, bare, domain)
	}
	if strategy&atDomain != 0 && hasDomain {
		// Who takes all mail of a domain has no extensions of his own.
		f.try("@"+domain, true, false)
	}
	if strategy&domainName != 0 && hasDomain && !f.finished {
		f.result, f.err = domainAndParents(ctx, m, domain, o, true)
		f.finished = f.result.Found || f.err != nil
	}
	if strategy&localpartAt != 0 && hasDomain {
		f.tryLocal(local, "@", true, false)
		if ext != "" {
			f.tryLocal(bare, "@", true, true)
		}
	}
	return f.result, f.err
}

func (f *finder) tryIfLocal(o Options, local, bare, domain string) {
	if o.Local == nil {
		return
	}
	is, err := o.Local(f.ctx, domain)
	if err != nil {
		f.err, f.finished = err, true
		return
	}
	if !is {
		return
	}
	f.tryLocal(local, "", true, false)
	if bare != local {
		f.tryLocal(bare, "", true, true)
	}
}

// domainAndParents looks up a name and then its parents. The parents of a
// numerical name are not looked up, since they would not mean a network.
func domainAndParents(ctx context.Context, m *table.Maps, name string, o Options, fixed bool) (Result, error) {
	for key := name; key != ""; {
		r, err := one(ctx, m, key, fixed)
		if r.Found || err != nil {
			return r, err
		}
		if !fixed {
			if _, err := netip.ParseAddr(name); err == nil {
				break
			}
		}
		i := strings.IndexByte(key[1:], '.')
		if i < 0 {
			break
		}
		key, fixed = key[1+i:], true
		if o.MatchParent {
			key = key[1:]
		}
	}
	return Result{}, nil
}

// cutAddress splits at the last "@"; the local part is unquoted, so any
// earlier one belongs to it.
func cutAddress(addr string) (local, domain string, ok bool) {
	i := strings.LastIndexByte(addr, '@')
	if i < 0 {
		return addr, "", false
	}
	return addr[:i], addr[i+1:], true
}

// SplitExtension splits the local part of an address at the first delimiter.
// The extension keeps its delimiter. Names that mean something to the mail
// system itself are left whole, and so is an extension with nothing in front.
func SplitExtension(local, delimiters string) (bare, ext string) {
	if delimiters == "" {
		return local, ""
	}
	switch lower := strings.ToLower(local); {
	case lower == "postmaster", lower == "mailer-daemon", lower == "double-bounce":
		return local, ""
	case strings.Contains(delimiters, "-") && ownerRequest(lower):
		return local, ""
	}
	i := strings.IndexAny(local, delimiters)
	if i < 1 {
		return local, ""
	}
	return local[:i], local[i:]
}

// ownerRequest reports whether a name is that of a list's owner or request
// address, whose hyphen is no delimiter (owner_request_special).
func ownerRequest(local string) bool {
	return strings.HasPrefix(local, "owner-") || strings.HasSuffix(local, "-request")
}
