package dns

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// collect takes the records of the wanted type from an answer section and
// follows the aliases in it. It reports whether there were records that it
// could not use.
func (res *result) collect(section []mdns.RR, t Type) (bad bool) {
	aliases := map[string]*mdns.CNAME{}
	if t != TypeCNAME {
		for _, rr := range section {
			if c, ok := rr.(*mdns.CNAME); ok {
				aliases[fold(c.Hdr.Name)] = c
			}
		}
	}
	seen := map[string]bool{}
	for range maxAliases {
		c, ok := aliases[res.final]
		if !ok {
			break
		}
		if seen[res.final] {
			return true
		}
		seen[res.final] = true
		target := fold(c.Target)
		if !validQuery(target) {
			return true
		}
		res.final = target
		res.ttl = min(res.ttl, ttl(&c.Hdr))
	}
	for _, rr := range section {
		if h := rr.Header(); Type(h.Rrtype) != t || h.Class != mdns.ClassINET || fold(h.Name) != res.final {
			continue
		}
		rec, ok := convert(rr)
		if !ok || len(res.records) == maxRecords {
			bad = true
			continue
		}
		rec.TTL = min(rec.TTL, res.ttl)
		res.records = append(res.records, rec)
	}
	return bad
}

// convert checks one record and brings it into our form. What a miekg/dns
// type holds after unpacking is not assumed to be complete.
func convert(rr mdns.RR) (Record, bool) {
	h := rr.Header()
	rec := Record{Name: fold(h.Name), Type: Type(h.Rrtype), TTL: ttl(h)}
	ok := false
	switch rr := rr.(type) {
	case *mdns.A:
		rec.Addr, ok = address(rr.A.To4())
	case *mdns.AAAA:
		rec.Addr, ok = address(rr.AAAA.To16())
		// A mapped address would become an IPv4 connection by the back door.
		ok = ok && !rec.Addr.Is4In6()
	case *mdns.MX:
		rec.Pref = rr.Preference
		// "." is the null MX.
		rec.Target, ok = target(rr.Mx)
		ok = ok || rr.Mx == "."
	case *mdns.CNAME:
		rec.Target, ok = target(rr.Target)
	case *mdns.PTR:
		rec.Target, ok = target(rr.Ptr)
	case *mdns.NS:
		rec.Target, ok = target(rr.Ns)
	case *mdns.TXT:
		rec.Text, ok = text(rr.Txt)
	case *mdns.TLSA:
		rec.Usage, rec.Selector, rec.Matching = rr.Usage, rr.Selector, rr.MatchingType
		data, err := hex.DecodeString(rr.Certificate)
		rec.Data, ok = data, err == nil && len(data) > 0
	}
	return rec, ok
}

func address(b []byte) (netip.Addr, bool) { return netip.AddrFromSlice(b) }

func target(name string) (string, bool) {
	name = strings.TrimSuffix(name, ".")
	return name, ValidName(name)
}

// validQuery reports whether a name may be asked for. Record names in list
// zones and TLSA owners begin with '_' or are numeric, so this is wider than
// ValidName; it holds what an alias may lead to as well.
func validQuery(name string) bool {
	if name == "" || len(name) > maxNameLength {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := 0; i < len(label); i++ {
			c := label[i]
			switch {
			case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			case c == '-', c == '_', c == '/', c == '+', c == '=':
			default:
				return false
			}
		}
	}
	return true
}

// text joins the strings of a TXT record (RFC 7208 3.3: without a space). The
// library hands them out with escapes, which are undone here.
func text(parts []string) (string, bool) {
	var b strings.Builder
	for _, p := range parts {
		for i := 0; i < len(p); i++ {
			c := p[i]
			if c == '\\' && i+3 < len(p) && isDigits(p[i+1:i+4]) {
				n := int(p[i+1]-'0')*100 + int(p[i+2]-'0')*10 + int(p[i+3]-'0')
				c = byte(n)
				i += 3
			} else if c == '\\' && i+1 < len(p) {
				i++
				c = p[i]
			}
			b.WriteByte(c)
		}
		if b.Len() > maxTextLength {
			return "", false
		}
	}
	return b.String(), true
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func ttl(h *mdns.RR_Header) time.Duration {
	// RFC 2181 section 8: a TTL with the top bit set is zero.
	if h.Ttl > 1<<31-1 {
		return 0
	}
	return min(time.Duration(h.Ttl)*time.Second, maxTTL)
}

// negativeTTL says how long an absence may be remembered (RFC 2308 section
// 5): the lesser of the SOA record's own TTL and its minimum field.
func negativeTTL(m *mdns.Msg) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*mdns.SOA); ok {
			t := min(ttl(&soa.Hdr), time.Duration(soa.Minttl)*time.Second)
			return min(t, maxNegativeTTL)
		}
	}
	return 0
}
