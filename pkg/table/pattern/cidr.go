package pattern

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/table/text"
)

// ReadCIDR reads a table of "network/length result".
func ReadCIDR(r io.Reader, warn Warn) (*Set, error) {
	p := &parser{warn: warn, orphan: "ENDIF without IF: skipping this rule"}
	p.rule = func(p *parser, line string, number int) *rule {
		r, result := cidrRule(p, line, number)
		if r == nil {
			return nil
		}
		if result == "" {
			p.warn(number, "no lookup result: skipping this rule")
			return nil
		}
		r.result = literal(result)
		return r
	}
	p.condition = func(p *parser, line string, number int) *rule {
		r, rest := cidrRule(p, line, number)
		if r != nil && rest != "" {
			p.warn(number, "extra text after pattern: \"%s\": ignoring this text", rest)
		}
		return r
	}
	p.set.accept = func(key string) bool {
		_, err := netip.ParseAddr(key)
		return err == nil
	}
	return p.read(r)
}

func cidrRule(p *parser, line string, number int) (*rule, string) {
	line, negate := negations(line)
	i := strings.IndexAny(line, text.Space)
	if i < 0 {
		i = len(line)
	}
	prefix, err := parsePrefix(line[:i])
	if err != nil {
		p.warn(number, "%v: skipping this rule", err)
		return nil, ""
	}
	// An address of the other family matches neither a pattern nor its
	// negation.
	applies := func(key string) bool {
		addr, err := netip.ParseAddr(key)
		return err == nil && addr.BitLen() == prefix.Addr().BitLen()
	}
	return &rule{negate: negate, match: network{prefix}, applies: applies}, strings.Trim(line[i:], text.Space)
}

// network matches the addresses of one network.
type network struct{ netip.Prefix }

func (n network) Match(key string) ([]string, bool, error) {
	addr, err := netip.ParseAddr(key)
	return nil, err == nil && n.Contains(addr), nil
}

func (network) Groups() int { return 0 }

func parsePrefix(s string) (netip.Prefix, error) {
	host, length, slash := strings.Cut(s, "/")
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("bad address pattern: \"%s\"", s)
	}
	addr = addr.WithZone("")
	if !slash {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	bits, err := strconv.ParseUint(length, 10, 8)
	if err != nil || int(bits) > addr.BitLen() {
		return netip.Prefix{}, fmt.Errorf("bad mask length in \"%s\"", s)
	}
	prefix := netip.PrefixFrom(addr, int(bits))
	if prefix.Masked() != prefix {
		return netip.Prefix{}, fmt.Errorf("non-null host address bits in \"%s\", perhaps you should use \"%s\" instead", s, prefix.Masked())
	}
	return prefix, nil
}
