// Package keys knows which keys each use of a table asks for, and in which
// order: an address with its extension, without it, the bare local part, the
// domain. postmap -q does none of this; the daemons do.
//
// Every function returns the value, the key that had it and an error apart
// from "not found". Tables that match by rule are asked for the whole key
// only.
package keys

import (
	"context"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/table"
)

// Result is what was found.
type Result struct {
	Value string
	Key   string // the key that had it
	// Extension is the part of the address that the key had not, with its
	// delimiter ("+ext"); empty when the key was the whole address or all of
	// its domain.
	Extension string
	Found     bool
}

// Options are what the key orders depend on.
type Options struct {
	// Delimiters is recipient_delimiter.
	Delimiters string
	// MatchParent is set when the use is named in
	// parent_domain_matches_subdomains: parents are looked up as
	// "example.com", else as ".example.com".
	MatchParent bool
	// Local reports whether a domain is $myorigin, or one for which
	// $mydestination, $inet_interfaces or $proxy_interfaces make us the
	// final destination. Addresses in it are also looked up without it.
	// nil means that no domain is.
	Local func(ctx context.Context, domain string) (bool, error)
}

// Canonical looks an address up as canonical, virtual alias, generic,
// relocated and login tables want it: user+ext@domain, user@domain, and, if
// the domain is local, user+ext, user; then @domain. addr is in internal form,
// without quotes.
func Canonical(ctx context.Context, m *table.Maps, addr string, o Options) (Result, error) {
	return search(ctx, m, addr, o, full|noExtension|localpartIfLocal|atDomain)
}

// Recipient looks an address up as local_recipient_maps,
// relay_recipient_maps and virtual_mailbox_maps want it: the order of
// [Canonical].
func Recipient(ctx context.Context, m *table.Maps, addr string, o Options) (Result, error) {
	return Canonical(ctx, m, addr, o)
}

// BCC looks an address up in sender_bcc_maps or recipient_bcc_maps: the order
// of [Canonical].
func BCC(ctx context.Context, m *table.Maps, addr string, o Options) (Result, error) {
	return Canonical(ctx, m, addr, o)
}

// Login looks a sender up in smtpd_sender_login_maps: the order of
// [Canonical].
func Login(ctx context.Context, m *table.Maps, addr string, o Options) (Result, error) {
	return Canonical(ctx, m, addr, o)
}

// SenderDependent looks a sender up in sender_dependent_relayhost_maps and
// similar: the order of [Canonical]. null stands for the empty sender
// (empty_address_relayhost_maps_lookup_key, usually "<>").
func SenderDependent(ctx context.Context, m *table.Maps, sender, null string, o Options) (Result, error) {
	if sender == "" {
		return one(ctx, m, null, false)
	}
	return Canonical(ctx, m, sender, o)
}

// Transport looks an address up in transport_maps: user+ext@domain,
// user@domain, domain, its parents, "*". null stands for the empty address
// (empty_address_default_transport_maps_lookup_key, usually "<>").
func Transport(ctx context.Context, m *table.Maps, addr, null string, o Options) (Result, error) {
	var r Result
	var err error
	if addr == "" {
		r, err = one(ctx, m, null, false)
	} else {
		r, err = search(ctx, m, addr, o, full|noExtension|domainName|parents)
	}
	if r.Found || err != nil {
		return r, err
	}
	return one(ctx, m, "*", false)
}

// AccessAddress looks an address up as check_sender_access and
// check_recipient_access do: user+ext@domain, user@domain, domain, its
// parents, user+ext@, user@. null stands for the empty sender
// (smtpd_null_access_lookup_key, usually "<>").
func AccessAddress(ctx context.Context, m *table.Maps, addr, null string, o Options) (Result, error) {
	if addr == "" {
		return one(ctx, m, null, false)
	}
	return search(ctx, m, addr, o, full|noExtension|domainName|parents|localpartAt)
}

// AccessDomain looks a host or domain name up with its parents.
func AccessDomain(ctx context.Context, m *table.Maps, name string, o Options) (Result, error) {
	return domainAndParents(ctx, m, name, o, false)
}

// AccessIP looks an address up whole and then with octets taken off its end:
// 192.0.2.1, 192.0.2, 192.0, 192.
func AccessIP(ctx context.Context, m *table.Maps, addr string) (Result, error) {
	separator := "."
	if strings.Contains(addr, ":") {
		separator = ":"
	}
	fixed := false
	for {
		r, err := one(ctx, m, addr, fixed)
		if r.Found || err != nil {
			return r, err
		}
		i := strings.LastIndex(addr, separator)
		if i < 0 {
			return Result{}, nil
		}
		addr, fixed = addr[:i], true
	}
}

// AccessHost looks a client up by name and then by address, as
// check_client_access does.
func AccessHost(ctx context.Context, m *table.Maps, name, addr string, o Options) (Result, error) {
	r, err := AccessDomain(ctx, m, name, o)
	if r.Found || err != nil {
		return r, err
	}
	return AccessIP(ctx, m, addr)
}

func one(ctx context.Context, m *table.Maps, key string, fixed bool) (Result, error) {
	lookup := m.Lookup
	if fixed {
		lookup = m.LookupFixed
	}
	v, found, err := lookup(ctx, key)
	if !found || err != nil {
		return Result{}, err
	}
	return Result{Value: v, Key: key, Found: true}, nil
}
