// Package dns is the resolver of the suite: it asks the servers of
// resolv.conf, follows aliases, caches answers for as long as they live, and
// tells apart what Go's own resolver does not: a name that does not exist
// from one whose servers are down, and an answer that was validated from one
// that was not.
//
// [Load] reads resolv.conf, hosts and nsswitch.conf once, before a daemon
// enters its jail; nothing is read later. Files of the names resolv.conf and
// hosts in the configuration directory are used instead of those in /etc, so
// that an instance can have its own resolver. A nameserver line may carry a
// port ("nameserver 127.0.0.1:5353").
//
// What a server says is not trusted. Names are checked by [ValidName] and
// records with others are left out; counts and sizes have limits; the
// authenticated-data bit counts only from a loopback server or with "options
// trust-ad". Failures are an [*Error], whose Kind says whether to try again.
//
// Package dnstest has a fake resolver and a scripted server for tests.
package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// Type is a resource record type.
type Type uint16

// The record types that the suite uses.
const (
	TypeA     = Type(mdns.TypeA)
	TypeNS    = Type(mdns.TypeNS)
	TypeCNAME = Type(mdns.TypeCNAME)
	TypePTR   = Type(mdns.TypePTR)
	TypeMX    = Type(mdns.TypeMX)
	TypeTXT   = Type(mdns.TypeTXT)
	TypeAAAA  = Type(mdns.TypeAAAA)
	TypeTLSA  = Type(mdns.TypeTLSA)
)

// String returns the name of the type, "MX".
func (t Type) String() string { return mdns.Type(t).String() }

// Limits on what is taken from one answer.
const (
	maxRecords    = 1000    // records kept of one answer
	maxAliases    = 10      // CNAMEs followed, as in Postfix
	maxTextLength = 1 << 16 // bytes of one TXT record
	maxNameLength = 255     // RFC 1035 2.3.4
)

// Record is one resource record. Which fields are set depends on Type.
type Record struct {
	Name string // owner, lower case, no final dot
	Type Type
	TTL  time.Duration
	Addr netip.Addr // A, AAAA
	Pref uint16     // MX
	// Target is the name in MX, CNAME, PTR and NS, as the server spelt it,
	// without the final dot.
	Target string
	Text   string // TXT, its strings joined; any byte can be in it

	// TLSA, RFC 6698 section 2.1.
	Usage, Selector, Matching uint8
	Data                      []byte
}

// Answer is the successful result of a lookup. It is shared with the cache
// and must not be changed.
type Answer struct {
	Name    string   // as asked
	Final   string   // where the aliases led; Name if there are none
	Records []Record // at least one, all of the type asked for
	// Authenticated reports that a trusted resolver validated the answer
	// (DNSSEC), aliases included.
	Authenticated bool
}

// Addrs returns the addresses in an A or AAAA answer.
func (a *Answer) Addrs() []netip.Addr {
	addrs := make([]netip.Addr, 0, len(a.Records))
	for _, r := range a.Records {
		if r.Addr.IsValid() {
			addrs = append(addrs, r.Addr)
		}
	}
	return addrs
}

// Kind classifies a failed lookup.
type Kind int

// The kinds of failure.
const (
	// Temporary: no server gave a usable answer in time. A later try may
	// succeed.
	Temporary Kind = iota
	// Malformed: a server answered nonsense. Treated like Temporary.
	Malformed
	// NotFound: the name does not exist (NXDOMAIN).
	NotFound
	// NoData: the name exists but has no record of this type.
	NoData
	// NullMX: the domain says that it takes no mail (RFC 7505).
	NullMX
	// BadName: what was to be looked up is not a name. No server was asked.
	BadName
)

// Error is a failed lookup.
type Error struct {
	Name string
	Type Type
	Kind Kind
	// Authenticated reports that a trusted resolver validated the absence.
	Authenticated bool
	// Cause has the detail for a log, such as which server timed out.
	Cause error

	ttl time.Duration
}

// Error returns the text that Postfix has for such a failure.
func (e *Error) Error() string {
	if e.Kind == NullMX {
		return fmt.Sprintf("Domain %s does not accept mail (nullMX)", e.Name)
	}
	if e.Kind == BadName {
		return fmt.Sprintf("Name service error for %s: invalid host or domain name", e.Name)
	}
	return fmt.Sprintf("Host or domain name not found. Name service error for name=%s type=%s: %s",
		e.Name, e.Type, e.Kind)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// IsTemporary reports whether a later try may have another result.
func (e *Error) IsTemporary() bool { return e.Kind == Temporary || e.Kind == Malformed }

// String returns the resolver's text for the kind.
func (k Kind) String() string {
	switch k {
	case Temporary:
		return "Host not found, try again"
	case Malformed:
		return "Malformed or unexpected name server reply"
	case NotFound:
		return "Host not found"
	case NoData:
		return "Host found but no data record of requested type"
	case NullMX:
		return "Domain does not accept mail"
	}
	return "Invalid host or domain name"
}

// Is reports whether err is a lookup failure of one of the given kinds.
func Is(err error, kinds ...Kind) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, k := range kinds {
		if e.Kind == k {
			return true
		}
	}
	return false
}

// IsTemporary reports whether err leaves open whether the name exists. Any
// error that is not an [*Error] does, too.
func IsTemporary(err error) bool {
	var e *Error
	return err != nil && (!errors.As(err, &e) || e.IsTemporary())
}

// ValidName reports whether s can be a host or domain name: labels of 1 to 63
// letters, digits, '-' and '_' that neither begin nor end with '-', at most
// 255 bytes, and not all numeric. A final dot is not part of it.
func ValidName(s string) bool {
	if s == "" || len(s) > maxNameLength {
		return false
	}
	numeric := true
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			c := label[i]
			switch {
			case '0' <= c && c <= '9':
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '-', c == '_':
				numeric = false
			default:
				return false
			}
		}
	}
	return !numeric
}

// ReverseName returns the name under which the address has its PTR record,
// "1.2.0.192.in-addr.arpa". With another suffix it makes the name of a DNS
// list entry, so the suffix is separate.
func ReverseName(addr netip.Addr) string {
	if addr.Unmap().Is4() {
		return ReverseLabels(addr) + ".in-addr.arpa"
	}
	return ReverseLabels(addr) + ".ip6.arpa"
}

// ReverseLabels returns the octets, or the nibbles, of an address in reverse
// order with dots between them.
func ReverseLabels(addr netip.Addr) string {
	addr = addr.Unmap()
	b := addr.AsSlice()
	var out strings.Builder
	for i := len(b) - 1; i >= 0; i-- {
		if out.Len() > 0 {
			out.WriteByte('.')
		}
		if addr.Is4() {
			fmt.Fprintf(&out, "%d", b[i])
		} else {
			fmt.Fprintf(&out, "%x.%x", b[i]&15, b[i]>>4)
		}
	}
	return out.String()
}
