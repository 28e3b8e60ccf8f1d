package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/keys"
)

// resolver finds out where mail for an address goes. It is safe for
// concurrent use.
type resolver struct {
	p           *params
	rewriter    *rewriter
	local       *localDomains
	virtAlias   *table.MatchList
	virtMailbox *table.MatchList
	relay       *table.MatchList
	relocated   *table.Maps
	mail, probe *routes
	keys        keys.Options
	log         table.Warner
}

// query is one address on its way through the resolver.
type query struct {
	sender string
	rcpt   string // internal form, with a domain
	domain string
	flags  rewrite.Flags
}

// invalid is the answer for an address that cannot be used.
func (q *query) invalid() rewrite.Resolved {
	return rewrite.Resolved{Transport: "error", NextHop: "5.1.3 bad address syntax",
		Recipient: q.rcpt, Flags: q.flags | rewrite.Error}
}

func newResolver(ctx context.Context, cfg *config.Config, p *params, o table.Options) (*resolver, error) {
	r := &resolver{p: p, rewriter: newRewriter(p), log: o.Log}
	lo := table.ListOptions{Options: o}
	var err error
	if r.local, err = newLocalDomains(ctx, p, lo); err != nil {
		return nil, err
	}
	matchParents := matchNames(p.ParentDomainMatches)
	lists := []struct {
		dst    **table.MatchList
		name   string
		spec   string
		domain bool
	}{
		{&r.virtAlias, "virtual_alias_domains", p.VirtualAliasDomains, false},
		{&r.virtMailbox, "virtual_mailbox_domains", p.VirtualMailboxDomains, false},
		{&r.relay, "relay_domains", p.RelayDomains, true},
	}
	for _, l := range lists {
		lo.Name, lo.MatchParent = l.name, matchParents[l.name]
		open := table.NewStringList
		if l.domain {
			open = table.NewDomainList
		}
		if *l.dst, err = open([]string{l.spec}, lo); err != nil {
			return nil, err
		}
	}
	if r.relocated, err = openMaps("relocated_maps", p.RelocatedMaps, o); err != nil {
		return nil, err
	}
	if r.mail, r.probe, err = openRoutes(p, o); err != nil {
		return nil, err
	}
	r.keys = keys.Options{Delimiters: p.RecipientDelimiter, MatchParent: matchParents["transport_maps"], Local: r.isLocal}
	return r, nil
}

// matchNames makes a set of parent_domain_matches_subdomains.
func matchNames(list []string) map[string]bool {
	set := map[string]bool{}
	for _, name := range list {
		set[name] = true
	}
	return set
}

// isLocal reports whether addresses in domain are also looked up without it.
func (r *resolver) isLocal(ctx context.Context, domain string) (bool, error) {
	if strings.EqualFold(domain, r.p.Myorigin) {
		return true, nil
	}
	return r.local.match(ctx, domain)
}

// changed reports whether any table changed since it was opened.
func (r *resolver) changed() bool {
	return r.local.names.Changed() || r.virtAlias.Changed() || r.virtMailbox.Changed() ||
		r.relay.Changed() || r.relocated.Changed() || r.mail.changed() || r.probe.changed()
}

// resolve finds the transport for addr, which is in internal form. An error
// means that it cannot be known now.
func (r *resolver) resolve(ctx context.Context, set *routes, sender, addr string) (rewrite.Resolved, error) {
	q := &query{sender: sender}
	if err := r.normalize(ctx, q, addr); err != nil {
		return rewrite.Resolved{}, err
	}
	if !r.validDomain(q) {
		q.flags |= rewrite.ClassDefault
		return q.invalid(), nil
	}
	transport, nexthop, err := r.classify(ctx, set, q)
	if err != nil {
		return rewrite.Resolved{}, err
	}
	if t, hop, _ := strings.Cut(transport, ":"); hop != "" && q.flags&rewrite.ClassAlias == 0 {
		transport, nexthop = t, hop
	} else {
		transport = t
	}
	// A local part with '-' in front could be an option to a program that the
	// transport starts.
	if !r.p.AllowMinUser && strings.HasPrefix(q.rcpt, "-") {
		return q.invalid(), nil
	}
	if transport == "" || nexthop == "" {
		return rewrite.Resolved{}, errNoResult
	}
	if q.flags&rewrite.ClassAlias == 0 {
		if err := set.override(ctx, q, r.keys, &transport, &nexthop); err != nil {
			return rewrite.Resolved{}, err
		}
	}
	if err := r.moved(ctx, q, &transport, &nexthop); err != nil {
		return rewrite.Resolved{}, err
	}
	if _, plain := rewrite.Plain(addr); plain && q.rcpt == addr && r.relocated.Empty() && set.byDomain() {
		q.flags |= rewrite.WholeDomain
	}
	return rewrite.Resolved{Transport: transport, NextHop: nexthop, Recipient: q.rcpt, Flags: q.flags}, nil
}

// classify chooses the address class, in the one order that Postfix has.
func (r *resolver) classify(ctx context.Context, set *routes, q *query) (transport, nexthop string, err error) {
	if ok, err := r.local.match(ctx, q.domain); err != nil {
		return "", "", err
	} else if ok {
		q.flags |= rewrite.ClassLocal
		return set.local, q.domain, nil
	}
	if ok, err := r.virtAlias.Match(ctx, q.domain); err != nil {
		return "", "", err
	} else if ok {
		q.flags |= rewrite.ClassAlias
		if r.p.ShowUserUnknownTable {
			return "error", "5.1.1 User unknown in virtual alias table", nil
		}
		return "error", "5.1.1 User unknown", nil
	}
	if ok, err := r.virtMailbox.Match(ctx, q.domain); err != nil {
		return "", "", err
	} else if ok {
		q.flags |= rewrite.ClassVirtual
		return set.virtual, q.domain, nil
	}
	ok, err := r.relay.Match(ctx, q.domain)
	if err != nil {
		return "", "", err
	}
	q.flags |= rewrite.ClassDefault
	if ok {
		q.flags ^= rewrite.ClassDefault | rewrite.ClassRelay
	}
	return set.offHost(ctx, q, ok, r.p, r.keys)
}

// moved applies relocated_maps, whatever the class.
func (r *resolver) moved(ctx context.Context, q *query, transport, nexthop *string) error {
	res, err := keys.Canonical(ctx, r.relocated, q.rcpt, r.keys)
	if err != nil || !res.Found {
		return err
	}
	*transport, *nexthop = "error", "5.1.6 User has moved to "+res.Value
	return nil
}

// normalize strips local domains, and brings what is then left of routing
// operators to the form user@domain, until the domain is not local or there is
// none.
func (r *resolver) normalize(ctx context.Context, q *query, addr string) error {
	t := address.Tokenize(address.Quote(addr))
	var saved []address.Token
	at := -1
	for i := 0; ; i++ {
		if i > len(addr)+100 {
			return fmt.Errorf("resolve: giving up on an address after %d steps", i)
		}
		t = stripDot(t)
		if n := len(t); r.p.ResolveNullDomain && n > 0 && t[n-1].Kind == '@' {
			t = t[:n-1]
		}
		if at = rindex(t, '@'); at >= 0 {
			ok, err := r.ours(ctx, t[at+1:])
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			saved, t = t[at:], t[:at]
			at = -1
		}
		if r.hasRouting(t) {
			t = r.rewriter.tokens(t, r.rewriter.origin, r.rewriter.domain)
			continue
		}
		if opened, ok := r.dequote(t); ok {
			t = opened
			continue
		}
		break
	}
	r.finish(q, t, saved, at < 0)
	return nil
}

func (r *resolver) ours(ctx context.Context, domain []address.Token) (bool, error) {
	if len(domain) == 0 {
		return true, nil
	}
	return r.local.match(ctx, foldedDomain(domain))
}

// hasRouting reports operators that the local rules give a meaning.
func (r *resolver) hasRouting(t []address.Token) bool {
	return rindex(t, '@') >= 0 ||
		r.p.SwapBangpath && rindex(t, '!') >= 0 ||
		r.p.AllowPercentHack && rindex(t, '%') >= 0
}

// dequote opens a local part that is one quoted string, if that shows routing
// operators. This is not what the standard says, and it is what keeps
// "user@elsewhere"@here from being relayed.
func (r *resolver) dequote(t []address.Token) ([]address.Token, bool) {
	if len(t) != 1 || t[0].Kind != address.Quoted {
		return nil, false
	}
	inner := t[0].Text
	if inner == "" {
		return nil, true
	}
	if !r.p.ResolveDequotedAddress {
		return nil, false
	}
	switch {
	case strings.Contains(inner, "@"):
		inner = address.Quote(inner)
	case r.p.AllowPercentHack && strings.Contains(inner, "%"):
		i := strings.LastIndexByte(inner, '%')
		inner = address.Quote(inner[:i] + "@" + inner[i+1:])
	case r.p.SwapBangpath && strings.Contains(inner, "!"):
	default:
		return nil, false
	}
	return r.rewriter.tokens(address.Tokenize(inner), r.rewriter.origin, r.rewriter.domain), true
}

// finish completes an address that lost its local domain or never had one.
func (r *resolver) finish(q *query, t, saved []address.Token, bare bool) {
	if bare {
		if len(t) == 0 {
			t = address.Tokenize(r.p.EmptyAddressRecipient)
		}
		if saved != nil {
			t = append(t[:len(t):len(t)], saved...)
		} else {
			t = concat(t, '@', address.Tokenize(r.p.Myhostname))
		}
	}
	q.rcpt = address.Internal(t)
	local, domain := address.Split(q.rcpt)
	q.domain = domain
	if strings.ContainsAny(local, "@!%") {
		// A backup MX must not send what is meant for a third party
		// through the primary one.
		q.flags |= rewrite.Routed
	}
	if !r.p.ResolveNumericDomain || q.domain == "" {
		return
	}
	if literal := "[" + q.domain + "]"; address.IsIPLiteral(literal) {
		q.rcpt = strings.TrimSuffix(q.rcpt, q.domain) + literal
		q.domain = literal
	}
}

// validDomain checks the domain's form.
func (r *resolver) validDomain(q *query) bool {
	if strings.HasPrefix(q.domain, "[") {
		return address.IsIPLiteral(q.domain)
	}
	return address.ValidHostname(q.domain)
}
