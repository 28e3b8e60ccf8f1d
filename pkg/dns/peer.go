package dns

import (
	"context"
	"fmt"
	"net/netip"
)

// PeerStatus says what is known about a client's name. The numbers are those
// that Postfix uses in its restrictions' replies: 2, 4 and 5 as reply class.
type PeerStatus int

// The outcomes of looking up a client's name.
const (
	PeerOK     PeerStatus = 2
	PeerTemp   PeerStatus = 4 // a lookup failed for now
	PeerPerm   PeerStatus = 5 // there is no name
	PeerForged PeerStatus = 6 // the name has other addresses
)

// UnknownPeer is the name of a client that has none.
const UnknownPeer = "unknown"

// Peer is the result of a forward-confirmed reverse lookup.
type Peer struct {
	Name    string // confirmed name, or "unknown"
	Reverse string // name of the address, confirmed or not, or "unknown"

	NameStatus    PeerStatus
	ReverseStatus PeerStatus
	// Warning is what to log about it, or "". It is "hostname NAME does not
	// resolve to address ADDR", with a reason if the lookup failed.
	Warning string
}

// Peer looks up the name of a client's address, and then the addresses of
// that name: whoever holds an address block can give it any name, so a name
// counts only if it leads back.
func (r *Resolver) Peer(ctx context.Context, addr netip.Addr) Peer {
	addr = addr.Unmap().WithZone("")
	p := Peer{Name: UnknownPeer, Reverse: UnknownPeer, NameStatus: PeerPerm, ReverseStatus: PeerPerm}
	name, err := r.Reverse(ctx, addr)
	if err != nil {
		if IsTemporary(err) {
			p.NameStatus, p.ReverseStatus = PeerTemp, PeerTemp
		}
		return p
	}
	p.Reverse, p.ReverseStatus = name, PeerOK
	family := IPv4
	if addr.Is6() {
		family = IPv6
	}
	addrs, err := r.Host(ctx, name, family)
	if err != nil {
		p.Warning = fmt.Sprintf("hostname %s does not resolve to address %s: %s", name, addr, hostError(err))
		if IsTemporary(err) {
			p.NameStatus = PeerTemp
		} else {
			p.NameStatus = PeerForged
		}
		return p
	}
	for _, a := range addrs {
		if a == addr {
			p.Name, p.NameStatus = name, PeerOK
			return p
		}
	}
	p.NameStatus = PeerForged
	p.Warning = fmt.Sprintf("hostname %s does not resolve to address %s", name, addr)
	return p
}

// hostError is the C library's text for a failed host lookup, which is what
// Postfix shows there.
func hostError(err error) string {
	if IsTemporary(err) {
		return "Temporary failure in name resolution"
	}
	if Is(err, NoData) {
		return "No address associated with hostname"
	}
	return "Name or service not known"
}

// Reverse returns the name of an address, from the hosts file or the DNS. The
// name is valid, but whoever runs the address's zone has chosen it; see
// [Resolver.Peer].
func (r *Resolver) Reverse(ctx context.Context, addr netip.Addr) (string, error) {
	addr = addr.Unmap().WithZone("")
	file := ""
	if r.cfg.Files {
		if file = r.cfg.Hosts.Name(addr); !ValidName(file) {
			file = ""
		}
	}
	if file != "" && (r.cfg.FilesFirst || !r.cfg.DNS) {
		return file, nil
	}
	query := ReverseName(addr)
	if !r.cfg.DNS {
		return "", &Error{Name: query, Type: TypePTR, Kind: NotFound}
	}
	a, err := r.Lookup(ctx, query, TypePTR)
	if err == nil {
		return a.Records[0].Target, nil
	}
	if file != "" {
		return file, nil
	}
	return "", err
}
