package nexthop

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/dns"
)

// selfAddrs are the addresses on which this system receives mail, behind a
// proxy or not. It is made before the jail.
type selfAddrs struct {
	addrs    map[netip.Addr]bool
	loopback bool
	bind4    netip.Addr // the only address of inet_interfaces, if so
	bind6    netip.Addr
}

func newSelf(ctx context.Context, p *Params, r *dns.Resolver) *selfAddrs {
	s := &selfAddrs{addrs: map[netip.Addr]bool{}}
	named := true
	for _, name := range p.InetInterfaces {
		switch strings.ToLower(name) {
		case "all":
			s.addInterfaces()
			named = false
		case "loopback-only":
			s.loopback = true
		default:
			s.addHost(ctx, name, r)
		}
	}
	if named {
		s.findBind()
	}
	for _, name := range p.ProxyInterfaces {
		s.addHost(ctx, name, r)
	}
	for a := range s.addrs {
		s.loopback = s.loopback || a.IsLoopback()
	}
	return s
}

func (s *selfAddrs) addInterfaces() {
	list, err := net.InterfaceAddrs()
	if err != nil {
		s.loopback = true
		return
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			s.addrs[p.Addr().Unmap()] = true
		}
	}
}

func (s *selfAddrs) addHost(ctx context.Context, name string, r *dns.Resolver) {
	name = strings.Trim(name, "[]")
	addrs, err := r.Host(ctx, name, dns.AnyFamily)
	if err != nil {
		return
	}
	for _, a := range addrs {
		s.addrs[a] = true
	}
}

// findBind finds the address to send from: with one address of a family in
// inet_interfaces, Postfix uses that, so that the other side's checks of the
// name fit.
func (s *selfAddrs) findBind() {
	var n4, n6 int
	for a := range s.addrs {
		if a.Is4() {
			n4++
			s.bind4 = a
		} else {
			n6++
			s.bind6 = a
		}
	}
	if n4 != 1 || s.bind4.IsLoopback() {
		s.bind4 = netip.Addr{}
	}
	if n6 != 1 || s.bind6.IsLoopback() {
		s.bind6 = netip.Addr{}
	}
}

// has reports whether a connection to the address ends here. The unspecified
// address does so whatever the interfaces are.
func (s *selfAddrs) has(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return s.addrs[a] || a.IsUnspecified() || s.loopback && a.IsLoopback()
}
