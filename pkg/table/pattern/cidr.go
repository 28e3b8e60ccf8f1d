package pattern

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/table/text"
)

// ReadCIDR reads the table called name, of "network/length result".
func ReadCIDR(r io.Reader, name string, warn Warn) (*Set, error) {
	p := &parser{warn: warn, orphan: "ENDIF without IF: skipping this rule", extra: "garbage after ENDIF: skipping this rule", ignoreExtra: true}
	p.rule = func(p *parser, line string, number int) *rule {
		condition, negate := negations(line)
		i := strings.IndexAny(condition, text.Space)
		if i < 0 {
			i = len(condition)
		}
		r := networkRule(p, condition[:i], negate, number)
		if r == nil {
			return nil
		}
		result := strings.Trim(condition[i:], text.Space)
		if result == "" {
			p.warn(number, "no lookup result: skipping this rule")
			return nil
		}
		r.result = literal(result)
		return r
	}
	p.condition = func(p *parser, line string, number int) *rule {
		condition, negate := negations(line)
		return networkRule(p, condition, negate, number)
	}
	p.set.accept = func(key string) bool {
		_, ok := parseIP(key)
		return ok
	}
	return p.read(r, name)
}

func networkRule(p *parser, s string, negate bool, number int) *rule {
	prefix, problem := parsePrefix(s)
	if problem != "" {
		p.warn(number, "%s: skipping this rule", problem)
		return nil
	}
	// An address of the other family matches neither a pattern nor its
	// negation.
	applies := func(key string) bool {
		addr, ok := parseIP(key)
		return ok && addr.BitLen() == prefix.Addr().BitLen()
	}
	return &rule{negate: negate, match: network{prefix}, applies: applies}
}

// network matches the addresses of one network.
type network struct{ netip.Prefix }

func (n network) Match(key string) ([]string, bool, error) {
	addr, ok := parseIP(key)
	return nil, ok && n.Contains(addr), nil
}

func (network) Groups() int { return 0 }

// parseIP reads an address without a zone.
func parseIP(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	return addr, err == nil && addr.Zone() == ""
}

// parsePrefix reads a network, which may be in brackets with its length or
// without. problem is not empty where there is none.
func parsePrefix(s string) (prefix netip.Prefix, problem string) {
	if s == "" {
		return prefix, "no address pattern"
	}
	host, length, slash := strings.Cut(s, "/")
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return prefix, fmt.Sprintf("missing ']' character after \"%s\"", s)
		}
		s = s[1:end] + s[end+1:]
		host, length, slash = strings.Cut(s, "/")
	}
	addr, ok := parseIP(host)
	if !slash {
		if !ok {
			return prefix, fmt.Sprintf("bad address pattern: \"%s\"", s)
		}
		return netip.PrefixFrom(addr, addr.BitLen()), ""
	}
	if length == "" || strings.Trim(length, "0123456789") != "" {
		return prefix, fmt.Sprintf("bad mask value in \"%s\"", s)
	}
	if !ok {
		return prefix, fmt.Sprintf("bad network value in \"%s\"", s)
	}
	bits, err := strconv.ParseUint(length, 10, 8)
	if err != nil || int(bits) > addr.BitLen() {
		return prefix, fmt.Sprintf("bad mask length in \"%s\"", s)
	}
	prefix = netip.PrefixFrom(addr, int(bits))
	if prefix.Masked() != prefix {
		return prefix, fmt.Sprintf("non-null host address bits in \"%s\", perhaps you should use \"%s\" instead", s, prefix.Masked())
	}
	return prefix, ""
}
