package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/table"
)

// localDomains decides for which domains this host is the final destination:
// those of mydestination, and literals with an address of its own.
type localDomains struct {
	names     *table.MatchList
	addresses map[netip.Addr]bool
}

func newLocalDomains(ctx context.Context, p *params, o table.ListOptions) (*localDomains, error) {
	o.Name, o.MatchParent = "mydestination", false
	names, err := table.NewStringList([]string{p.Mydestination}, o)
	if err != nil {
		return nil, err
	}
	l := &localDomains{names: names, addresses: map[netip.Addr]bool{}}
	if err := l.own(ctx, "inet_interfaces", p.InetInterfaces); err != nil {
		return nil, err
	}
	return l, l.own(ctx, "proxy_interfaces", p.ProxyInterfaces)
}

// own adds the addresses that a parameter lists.
func (l *localDomains) own(ctx context.Context, name string, list []string) error {
	for _, item := range list {
		switch strings.ToLower(item) {
		case "all":
			if err := l.interfaces(); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			continue
		case "loopback-only":
			l.addresses[netip.MustParseAddr("127.0.0.1")] = true
			l.addresses[netip.IPv6Loopback()] = true
			continue
		}
		item = strings.TrimSuffix(strings.TrimPrefix(item, "["), "]")
		if a, err := netip.ParseAddr(item); err == nil {
			l.addresses[a.Unmap()] = true
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", item)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, a := range found {
			l.addresses[a.Unmap()] = true
		}
	}
	return nil
}

func (l *localDomains) interfaces() error {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				l.addresses[ip.Unmap()] = true
			}
		}
	}
	return nil
}

// match reports whether domain is local. The domain may end in a dot.
func (l *localDomains) match(ctx context.Context, domain string) (bool, error) {
	if n := len(domain); n > 1 && domain[n-1] == '.' {
		domain = domain[:n-1]
	}
	if domain == "" {
		return false, nil
	}
	ok, err := l.names.Match(ctx, domain)
	if ok || err != nil {
		return ok, err
	}
	if domain[0] != '[' {
		return false, nil
	}
	a, ok := address.ParseLiteral(domain)
	return ok && l.addresses[a.Unmap()], nil
}
