package main

import (
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
)

// rewriter brings addresses to their standard form. It looks nothing up.
type rewriter struct {
	swapBangpath  bool
	percentHack   bool
	appendOrigin  bool
	appendDomain  bool
	origin        []address.Token // $myorigin
	domain        []address.Token // $mydomain
	remoteDomain  []address.Token // $remote_header_rewrite_domain
	remoteEnabled bool
}

func newRewriter(p *params) *rewriter {
	return &rewriter{
		swapBangpath:  p.SwapBangpath,
		percentHack:   p.AllowPercentHack,
		appendOrigin:  p.AppendAtMyorigin,
		appendDomain:  p.AppendDotMydomain,
		origin:        address.Tokenize(p.Myorigin),
		domain:        address.Tokenize(p.Mydomain),
		remoteDomain:  address.Tokenize(p.RemoteHeaderRewriteDomain),
		remoteEnabled: p.RemoteHeaderRewriteDomain != "",
	}
}

// rewrite returns the standard form of an address in external form.
func (r *rewriter) rewrite(rule, addr string) string {
	tokens := address.Tokenize(addr)
	if len(tokens) == 0 {
		return ""
	}
	switch rule {
	case "remote":
		tokens = r.tokens(tokens, r.remoteDomain, r.remoteDomain)
	default:
		tokens = r.tokens(tokens, r.origin, r.domain)
	}
	if out := address.External(tokens); out != "" {
		return out
	}
	return `""`
}

// tokens is rewrite for tokens. origin completes an address without a domain,
// domain one whose domain has no dot; the remote context completes the latter
// too.
func (r *rewriter) tokens(t []address.Token, origin, domain []address.Token) []address.Token {
	// A lone "@" is the empty address.
	if len(t) == 0 || len(t) == 1 && t[0].Kind == '@' {
		return nil
	}
	t = stripRoute(t)
	if rindex(t, '@') < 0 {
		t = r.addDomain(t, origin)
	}
	// Broken forms are left alone, so that error messages show them.
	at := rindex(t, '@')
	if r.appendDomain && len(domain) > 0 && at >= 0 && at+1 < len(t) {
		d := t[at+1:]
		if d[0].Kind != address.Literal && d[0].Kind != '.' && index(d, '.') < 0 {
			t = concat(t, '.', domain)
		}
	}
	return stripDot(t)
}

// addDomain handles an address without "@": an UUCP path, the percent hack,
// or a local name.
func (r *rewriter) addDomain(t, origin []address.Token) []address.Token {
	if r.swapBangpath && rindex(t, '!') >= 0 {
		i := index(t, '!')
		return concat(t[i+1:], '@', t[:i])
	}
	if i := rindex(t, '%'); r.percentHack && i >= 0 {
		return concat(t[:i], '@', t[i+1:])
	}
	if r.appendOrigin && len(origin) > 0 && len(t) > 0 {
		return concat(t, '@', origin)
	}
	return t
}

// stripRoute removes a source route, "@a,@b:" (RFC 5321 appendix F.2).
func stripRoute(t []address.Token) []address.Token {
	if t[0].Kind != '@' {
		return t
	}
	if i := rindex(t, ':'); i >= 0 {
		return t[i+1:]
	}
	return t
}

// stripDot removes one dot at the end of the domain, but leaves ".." and "@."
// alone.
func stripDot(t []address.Token) []address.Token {
	n := len(t)
	if n < 2 || t[n-1].Kind != '.' || rindex(t, '@') < 0 {
		return t
	}
	if k := t[n-2].Kind; k == '.' || k == '@' {
		return t
	}
	return t[:n-1]
}

func concat(a []address.Token, op byte, b []address.Token) []address.Token {
	out := make([]address.Token, 0, len(a)+len(b)+1)
	out = append(out, a...)
	out = append(out, address.Op(op))
	return append(out, b...)
}

func index(t []address.Token, kind address.Kind) int {
	for i := range t {
		if t[i].Kind == kind {
			return i
		}
	}
	return -1
}

func rindex(t []address.Token, kind address.Kind) int {
	for i := len(t) - 1; i >= 0; i-- {
		if t[i].Kind == kind {
			return i
		}
	}
	return -1
}

// foldedDomain returns the text of a domain's tokens in lower case.
func foldedDomain(t []address.Token) string { return strings.ToLower(address.Internal(t)) }
