package dns

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sort"
	"time"

	mdns "github.com/miekg/dns"
)

// Exchanger sends one query and returns the reply to it. trusted reports
// whether the reply's AD bit may be believed. Package dnstest has one that
// answers from a text.
type Exchanger interface {
	Exchange(ctx context.Context, query *mdns.Msg) (reply *mdns.Msg, trusted bool, err error)
}

// Resolver looks names up. It is safe for use by many goroutines.
type Resolver struct {
	cfg   *Config
	ex    Exchanger
	cache *cache
}

// New returns a resolver that asks the servers of cfg.
func New(cfg *Config) *Resolver {
	r := &Resolver{cfg: cfg, cache: newCache(4096)}
	r.ex = &network{cfg: cfg}
	return r
}

// NewWith returns a resolver that puts its queries to ex.
func NewWith(cfg *Config, ex Exchanger) *Resolver {
	r := New(cfg)
	r.ex = ex
	return r
}

// Config returns the configuration that the resolver was made with.
func (r *Resolver) Config() *Config { return r.cfg }

// Lookup returns the records of the given type that a name has, aliases
// followed. It asks the DNS only: neither the hosts file nor a search list
// plays a part. MX records come sorted by preference, and in random order
// where that is equal. A failure is an [*Error].
func (r *Resolver) Lookup(ctx context.Context, name string, t Type) (*Answer, error) {
	key := fold(name)
	if !validQuery(key) {
		return nil, &Error{Name: name, Type: t, Kind: BadName}
	}
	if a, err, ok := r.cache.get(key, t); ok {
		return r.present(name, a, err)
	}
	a, err := r.follow(ctx, key, t)
	r.cache.put(key, t, a, err)
	return r.present(name, a, err)
}

// present gives the caller its own spelling of the name and its own order of
// equal MX records.
func (r *Resolver) present(name string, a *Answer, err error) (*Answer, error) {
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.Name != name {
			own := *e
			own.Name = name
			return nil, &own
		}
		return nil, err
	}
	own := *a
	own.Name = name
	if len(a.Records) > 1 && a.Records[0].Type == TypeMX {
		own.Records = append([]Record(nil), a.Records...)
		rand.Shuffle(len(own.Records), func(i, j int) {
			own.Records[i], own.Records[j] = own.Records[j], own.Records[i]
		})
		sort.SliceStable(own.Records, func(i, j int) bool { return own.Records[i].Pref < own.Records[j].Pref })
	}
	return &own, nil
}

// follow asks for a name, and on for what it is an alias of when a reply has
// only the alias.
func (r *Resolver) follow(ctx context.Context, name string, t Type) (*Answer, error) {
	res := result{final: name, authenticated: true, ttl: maxTTL}
	seen := map[string]bool{}
	for len(seen) <= maxAliases {
		if seen[res.final] {
			break
		}
		seen[res.final] = true
		if err := r.query(ctx, &res, t); err != nil {
			var e *Error
			if errors.As(err, &e) {
				e.Name = name
			}
			return nil, err
		}
		if len(res.records) > 0 {
			return &Answer{Name: name, Final: res.final, Records: res.records, Authenticated: res.authenticated}, nil
		}
	}
	return nil, &Error{Name: name, Type: t, Kind: Malformed, Cause: errors.New("alias chain too long or a loop")}
}

// result collects what the replies to one lookup say.
type result struct {
	final         string
	records       []Record
	authenticated bool
	ttl           time.Duration
}

func (r *Resolver) query(ctx context.Context, res *result, t Type) error {
	q := new(mdns.Msg)
	q.SetQuestion(mdns.Fqdn(res.final), uint16(t))
	// RFC 6840 5.7: AD in a query asks for AD in the reply.
	q.AuthenticatedData = true
	reply, trusted, err := r.ex.Exchange(ctx, q)
	fail := func(kind Kind, cause error) error {
		return &Error{Name: res.final, Type: t, Kind: kind, Cause: cause}
	}
	if errors.Is(err, errMalformed) {
		return fail(Malformed, err)
	}
	if err != nil {
		return fail(Temporary, err)
	}
	authenticated := trusted && reply.AuthenticatedData
	res.authenticated = res.authenticated && authenticated
	if reply.Rcode != mdns.RcodeSuccess && reply.Rcode != mdns.RcodeNameError {
		return fail(Temporary, fmt.Errorf("server answered %s", mdns.RcodeToString[reply.Rcode]))
	}
	before := res.final
	bad := res.collect(reply.Answer, t)
	switch {
	case len(res.records) > 0:
		return checkNullMX(res, t)
	case reply.Rcode == mdns.RcodeNameError:
		e := &Error{Name: before, Type: t, Kind: NotFound, Authenticated: res.authenticated, ttl: negativeTTL(reply)}
		return e
	case bad:
		return fail(Malformed, errors.New("no usable record in the answer"))
	case res.final != before:
		return nil // an alias whose target the reply does not have
	}
	return &Error{Name: before, Type: t, Kind: NoData, Authenticated: res.authenticated, ttl: negativeTTL(reply)}
}

// checkNullMX handles the record that says that a domain takes no mail. Next
// to others it says nothing (RFC 7505 section 3), and is left out.
func checkNullMX(res *result, t Type) error {
	if t != TypeMX {
		return nil
	}
	kept := res.records[:0]
	for _, rec := range res.records {
		if rec.Target != "" {
			kept = append(kept, rec)
		}
	}
	if len(kept) == 0 {
		return &Error{Name: res.final, Type: t, Kind: NullMX, Authenticated: res.authenticated, ttl: res.records[0].TTL}
	}
	res.records = kept
	return nil
}

// Family says which kinds of address a caller wants.
type Family int

// The address families.
const (
	IPv4 Family = 1 << iota
	IPv6
	AnyFamily = IPv4 | IPv6
)

func (f Family) has(a netip.Addr) bool {
	if a.Is4() {
		return f&IPv4 != 0
	}
	return f&IPv6 != 0
}

// Host returns the addresses of a host as a program on this machine would
// get them: from the hosts file and the DNS, in the order of nsswitch.conf.
// An address literal stands for itself.
func (r *Resolver) Host(ctx context.Context, name string, families Family) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	if r.cfg.Files && (r.cfg.FilesFirst || !r.cfg.DNS) {
		if addrs := r.hostsFile(name, families); len(addrs) > 0 {
			return addrs, nil
		}
	}
	err := error(&Error{Name: name, Type: TypeA, Kind: NotFound})
	if r.cfg.DNS {
		var a *HostAnswer
		if a, err = r.Addresses(ctx, name, families); err == nil {
			return a.Addrs, nil
		}
	}
	if r.cfg.Files && !r.cfg.FilesFirst {
		if addrs := r.hostsFile(name, families); len(addrs) > 0 {
			return addrs, nil
		}
	}
	return nil, err
}

func (r *Resolver) hostsFile(name string, families Family) []netip.Addr {
	var out []netip.Addr
	for _, a := range r.cfg.Hosts.Addrs(name) {
		if families.has(a) {
			out = append(out, a)
		}
	}
	return out
}

// HostAnswer is the result of [Resolver.Addresses].
type HostAnswer struct {
	Addrs         []netip.Addr
	Final         string // where the aliases led
	Authenticated bool
}

// Addresses returns the A and AAAA records of a name, asking the DNS only. It
// succeeds if one of the two questions does; a failure is temporary if one of
// them is, and otherwise that of the last.
func (r *Resolver) Addresses(ctx context.Context, name string, families Family) (*HostAnswer, error) {
	out := &HostAnswer{Final: name, Authenticated: true}
	var failed error
	for _, q := range []struct {
		family Family
		t      Type
	}{{IPv4, TypeA}, {IPv6, TypeAAAA}} {
		if families&q.family == 0 {
			continue
		}
		a, err := r.Lookup(ctx, name, q.t)
		if err != nil {
			if failed == nil || IsTemporary(err) || !IsTemporary(failed) {
				failed = err // the last of a kind, as Postfix has it
			}
			continue
		}
		out.Addrs = append(out.Addrs, a.Addrs()...)
		out.Final = a.Final
		out.Authenticated = out.Authenticated && a.Authenticated
	}
	if len(out.Addrs) > 0 {
		return out, nil
	}
	if failed == nil {
		failed = &Error{Name: name, Type: TypeA, Kind: NoData}
	}
	return nil, failed
}
