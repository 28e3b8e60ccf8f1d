package table

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// inTable asks a pattern's table for a key.
func (p *listItem) inTable(ctx context.Context, key string) (bool, error) {
	if key == "" {
		return false, nil
	}
	_, found, err := p.table.Lookup(ctx, key)
	if err != nil {
		return false, fmt.Errorf("%s: table lookup: %w", p.spec, err)
	}
	return found, nil
}

func matchString(ctx context.Context, _ *MatchList, s string, p *listItem) (bool, error) {
	if p.table != nil {
		return p.inTable(ctx, s)
	}
	return s == p.text, nil
}

// matchHostname matches a domain or host name. A table is asked for the name
// and then for its parents, with or without the leading dot.
func matchHostname(ctx context.Context, l *MatchList, name string, p *listItem) (bool, error) {
	if p.table != nil {
		return matchParents(ctx, l, name, p)
	}
	if name == p.text {
		return true, nil
	}
	rest, ok := strings.CutSuffix(name, p.text)
	if !ok || rest == "" || p.text == "" {
		return false, nil
	}
	if l.o.MatchParent {
		return strings.HasSuffix(rest, "."), nil
	}
	return p.text[0] == '.', nil
}

func matchParents(ctx context.Context, l *MatchList, name string, p *listItem) (bool, error) {
	whole := IsPattern(p.table)
	for key := name; key != ""; {
		if key == name || !whole {
			hit, err := p.inTable(ctx, key)
			if hit || err != nil {
				return hit, err
			}
		}
		// The next key starts at the first dot after its first byte, so
		// that ".example.com" leads to ".com".
		i := strings.IndexByte(key[1:], '.')
		if i < 0 {
			break
		}
		key = key[1+i:]
		if l.o.MatchParent {
			key = key[1:]
		}
	}
	return false, nil
}

func matchAddress(ctx context.Context, l *MatchList, s string, p *listItem) (bool, error) {
	if p.table != nil {
		return p.inTable(ctx, s)
	}
	if p.bad != nil {
		l.o.warn("%s: %v", l.o.Name, p.bad)
		return false, p.bad
	}
	if s == p.text {
		return s != "", nil
	}
	if !p.prefix.IsValid() {
		return false, nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return false, nil
	}
	return p.prefix.Contains(addr), nil
}

// parseNetwork reads "192.0.2.1", "192.0.2.0/24", "[2001:db8::1]" or
// "[2001:db8::]/32". What has not the form of an address is no network and
// no error; what has it and is wrong is an error.
func parseNetwork(s string) (netip.Prefix, error) {
	host, length, slash := strings.Cut(s, "/")
	if strings.HasPrefix(host, "[") {
		inner, ok := strings.CutSuffix(host[1:], "]")
		if !ok {
			return netip.Prefix{}, fmt.Errorf("bad net/mask pattern: %q", s)
		}
		host = inner
	} else if strings.Trim(host, "0123456789.") != "" && !strings.Contains(host, ":") {
		return netip.Prefix{}, nil // a host name
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		if !slash {
			return netip.Prefix{}, nil
		}
		return netip.Prefix{}, fmt.Errorf("bad net/mask pattern: %q", s)
	}
	if !slash {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	bits, err := strconv.ParseUint(length, 10, 8)
	if err != nil || int(bits) > addr.BitLen() {
		return netip.Prefix{}, fmt.Errorf("bad net/mask pattern: %q", s)
	}
	prefix := netip.PrefixFrom(addr, int(bits))
	if prefix.Masked() != prefix {
		return netip.Prefix{}, fmt.Errorf("non-null host address bits in %q, perhaps you should use %q instead", s, prefix.Masked())
	}
	return prefix, nil
}
