package nexthop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/dns"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Target is one address to connect to.
type Target struct {
	Host string // name of the server
	Addr netip.Addr
	pref int
	Port int
	Unix string
	best bool // has the best preference that the domain has
	// Named reports that the name is the one that was asked for, or comes
	// from a DNS answer that is authentic.
	Named bool
}

// LookupFailure is why a destination has no address.
type LookupFailure struct {
	Status status.Status
	Loop   bool // we are the best server ourselves
}

func (f *LookupFailure) Error() string { return f.Status.Text }

func failLookup(code, format string, args ...any) *LookupFailure {
	return &LookupFailure{Status: status.New(0, code, fmt.Sprintf(format, args...))}
}

// finder finds the addresses of destinations.
type finder struct {
	p    *Params
	dns  *dns.Resolver
	self *selfAddrs
	lmtp bool
	warn func(format string, args ...any)
}

// Targets returns where to connect for a destination, best first.
func (c *Client) Targets(ctx context.Context, d Destination) ([]Target, *LookupFailure) {
	return c.find.targets(ctx, d)
}

func (f *finder) targets(ctx context.Context, d Destination) ([]Target, *LookupFailure) {
	if d.unix != "" {
		return []Target{{Host: f.p.MyHostname, Unix: d.unix}}, nil
	}
	// Mail that goes to port 25 of this machine comes in again.
	loops := !f.lmtp && d.port == 25
	var list []Target
	var fail *LookupFailure
	if d.literal || f.p.DisableDNS || f.lmtp {
		list, fail = f.hostTargets(ctx, d, loops)
	} else {
		list, fail = f.domainTargets(ctx, d, loops)
	}
	if fail != nil {
		return nil, fail
	}
	for i := range list {
		list[i].Port = d.port
	}
	return f.limit(f.order(list)), nil
}

// hostTargets returns the addresses of a host.
func (f *finder) hostTargets(ctx context.Context, d Destination, loops bool) ([]Target, *LookupFailure) {
	addrs, fail := f.addresses(ctx, d.host)
	if fail != nil {
		return nil, fail
	}
	var list []Target
	for _, a := range addrs {
		if loops && f.self.has(a) {
			fail := failLookup("5.4.6", "mail for %s loops back to myself", d.host)
			fail.Loop = true
			return nil, fail
		}
		list = append(list, Target{Host: d.host, Addr: a, best: true, Named: true})
	}
	return list, nil
}

// domainTargets returns the addresses of a domain's mail servers.
func (f *finder) domainTargets(ctx context.Context, d Destination, loops bool) ([]Target, *LookupFailure) {
	if _, err := netip.ParseAddr(d.host); err == nil {
		return f.hostTargets(ctx, d, loops)
	}
	mx, err := f.dns.Lookup(ctx, d.host, dns.TypeMX)
	switch {
	case err == nil:
		list, fail := f.mxTargets(ctx, d.host, mx.Records, loops)
		for i := range list {
			list[i].Named = mx.Authenticated
		}
		return list, fail
	case dns.Is(err, dns.NotFound, dns.NoData):
		// RFC 5321 5.1: no MX record means the host itself.
		return f.hostTargets(ctx, d, loops)
	case dns.Is(err, dns.NullMX):
		// RFC 7505 section 4.
		return nil, failLookup("5.1.10", "%v", err)
	case f.p.IgnoreMXError:
		return f.hostTargets(ctx, d, loops)
	}
	return nil, failDNS(err)
}

// failDNS turns a failed lookup into a status.
func failDNS(err error) *LookupFailure {
	code := "4.4.3"
	if !dns.IsTemporary(err) {
		code = "5.4.4"
	}
	text := err.Error()
	var e *dns.Error
	if !errors.As(err, &e) {
		text = "Temporary lookup error"
	}
	return failLookup(code, "%s", text)
}

// maxMXHosts bounds how many servers of one domain have their addresses
// looked up.
const maxMXHosts = 50

func (f *finder) mxTargets(ctx context.Context, domain string, records []dns.Record, loops bool) ([]Target, *LookupFailure) {
	var list []Target
	var fail *LookupFailure
	for i, mx := range records {
		if i == maxMXHosts {
			break
		}
		addrs, why := f.addresses(ctx, mx.Target)
		if why != nil && (fail == nil || why.Status.Temporary()) {
			fail = why
		}
		for _, a := range addrs {
			list = append(list, Target{Host: mx.Target, Addr: a, pref: int(mx.Pref)})
		}
	}
	if len(list) == 0 {
		f.warn("no MX host for %s has a valid address record", domain)
		if fail != nil && fail.Status.Permanent() && f.p.DeferIfNoMXAddress {
			fail.Status.Code = "4.4.4"
		}
		return nil, fail
	}
	best := list[0].pref
	for i := range list {
		list[i].best = list[i].pref == best
	}
	if !loops {
		return list, nil
	}
	return f.dropSelf(domain, list, best == int(records[0].Pref))
}

// dropSelf removes servers that are this machine, and those that are no
// better (RFC 5321 5.1): they would send the mail back.
func (f *finder) dropSelf(domain string, list []Target, foundBest bool) ([]Target, *LookupFailure) {
	for _, t := range list {
		if !f.self.has(t.Addr) {
			continue
		}
		list = slices.DeleteFunc(list, func(o Target) bool { return o.pref >= t.pref })
		if len(list) > 0 {
			return list, nil
		}
		if !foundBest {
			return nil, failLookup("4.4.4", "unable to find primary relay for %s", domain)
		}
		fail := failLookup("5.4.6", "mail for %s loops back to myself", domain)
		fail.Loop = true
		return nil, fail
	}
	return list, nil
}

// families are the address families of inet_protocols.
func (f *finder) families() dns.Family {
	var fam dns.Family
	for _, p := range f.p.InetProtocols {
		switch strings.ToLower(p) {
		case "ipv4":
			fam |= dns.IPv4
		case "ipv6":
			fam |= dns.IPv6
		case "all":
			fam |= dns.AnyFamily
		}
	}
	return fam
}

// addresses returns the addresses of one host by the methods of
// smtp_host_lookup.
func (f *finder) addresses(ctx context.Context, host string) ([]netip.Addr, *LookupFailure) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	methods := f.p.HostLookup
	if f.p.DisableDNS {
		methods = []string{"native"}
	}
	var fail *LookupFailure
	for _, m := range methods {
		var addrs []netip.Addr
		var err error
		if strings.EqualFold(m, "native") {
			addrs, err = f.dns.Host(ctx, host, f.families())
		} else {
			var a *dns.HostAnswer
			if a, err = f.dns.Addresses(ctx, host, f.families()); err == nil {
				addrs = a.Addrs
			}
		}
		if err == nil {
			return addrs, nil
		}
		fail = failDNS(err)
		if fail.Status.Temporary() {
			// The next method must not turn "later" into "never".
			return nil, fail
		}
		if strings.EqualFold(m, "native") {
			fail.Status.Text = fmt.Sprintf("unable to look up host %s: Name or service not known", host)
		}
	}
	return nil, fail
}

// order sorts by preference. Equal ones come in random order, or by address
// family where smtp_address_preference asks for it.
func (f *finder) order(list []Target) []Target {
	if f.p.RandomizeAddresses {
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	first := strings.ToLower(f.p.AddressPreference)
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.pref != b.pref {
			return a.pref < b.pref
		}
		if first == "any" || a.Addr.Is4() == b.Addr.Is4() {
			return false
		}
		return a.Addr.Is4() == (first == "ipv4")
	})
	return list
}

// limit cuts the list to smtp_mx_address_limit addresses. If the limit would
// leave only one of two address families, its last place goes to the other: a
// broken network of one kind must not stop mail.
func (f *finder) limit(list []Target) []Target {
	n := f.p.MXAddressLimit
	if n <= 0 || len(list) <= n {
		return list
	}
	kept, rest := list[:n:n], list[n:]
	if !f.p.BalanceProtocols || n < 2 {
		return kept
	}
	for _, t := range kept {
		if t.Addr.Is4() != kept[0].Addr.Is4() {
			return kept
		}
	}
	for _, t := range rest {
		if t.Addr.Is4() != kept[0].Addr.Is4() {
			kept[n-1] = t
			break
		}
	}
	return kept
}
