package dns

import (
	"testing"

	mdns "github.com/miekg/dns"
)

// FuzzReply feeds a resolver whatever a server may send. It must not crash,
// and nothing that cannot be a name may come out as one.
func FuzzReply(f *testing.F) {
	types := []Type{TypeA, TypeAAAA, TypeMX, TypeTXT, TypePTR, TypeCNAME, TypeTLSA, TypeNS}
	for i, rr := range []string{
		"x.test. 60 IN A 192.0.2.1", "x.test. 60 IN AAAA ::1", "x.test. 60 IN MX 10 a.test.", `x.test. 60 IN TXT "a" "b\000"`,
		"x.test. 60 IN PTR a.test.", "x.test. 60 IN CNAME x.test.", "x.test. 60 IN TLSA 3 1 1 00", "x.test. 60 IN NS a.test.",
	} {
		r, err := mdns.NewRR(rr)
		if err != nil {
			f.Fatal(err)
		}
		m := new(mdns.Msg)
		m.SetQuestion("x.test.", uint16(types[i]))
		m.Response = true
		m.Answer = append(m.Answer, r)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), b)
		// RDATA of lengths 0 to 3, as in P12 of the catalogue.
		for n := 1; n < len(b) && n < 8; n++ {
			f.Add(byte(i), b[:len(b)-n])
		}
	}
	f.Fuzz(func(t *testing.T, n byte, b []byte) {
		typ := types[int(n)%len(types)]
		q := new(mdns.Msg)
		q.SetQuestion("x.test.", uint16(typ))
		if len(b) >= 2 {
			q.Id = uint16(b[0])<<8 | uint16(b[1])
		}
		m, err := parseReply(b, q)
		if err != nil {
			return
		}
		res := result{final: "x.test", ttl: maxTTL}
		res.collect(m.Answer, typ)
		if !validQuery(res.final) {
			t.Fatalf("final name %q", res.final)
		}
		for _, r := range res.records {
			switch typ {
			case TypeMX, TypePTR, TypeNS, TypeCNAME:
				if r.Target != "" && !ValidName(r.Target) {
					t.Fatalf("target %q", r.Target)
				}
			case TypeTLSA:
				if len(r.Data) == 0 {
					t.Fatal("TLSA without data")
				}
			}
		}
	})
}

// TestShortRdata cuts the RDATA of each type to every shorter length.
func TestShortRdata(t *testing.T) {
	for _, rr := range []string{
		"x.test. 60 IN A 192.0.2.1", "x.test. 60 IN AAAA 2001:db8::1", "x.test. 60 IN MX 10 a.test.", `x.test. 60 IN TXT "abc"`,
		"x.test. 60 IN PTR a.test.", "x.test. 60 IN CNAME y.test.", "x.test. 60 IN TLSA 3 1 1 00ff", "x.test. 60 IN SRV 1 2 3 a.test.",
	} {
		r, err := mdns.NewRR(rr)
		if err != nil {
			t.Fatal(err)
		}
		typ := Type(r.Header().Rrtype)
		m := new(mdns.Msg)
		m.SetQuestion("x.test.", uint16(typ))
		m.Id, m.Response = 7, true
		head, _ := m.Pack()
		m.Answer = []mdns.RR{r}
		whole, _ := m.Pack()
		rdlen := int(r.Header().Rdlength)
		// owner as packed without compression, type, class, ttl, rdlength
		start := len(whole) - rdlen
		for n := 0; n < rdlen; n++ {
			b := append([]byte(nil), whole[:start+n]...)
			b[start-2], b[start-1] = byte(n>>8), byte(n)
			q := new(mdns.Msg)
			q.SetQuestion("x.test.", uint16(typ))
			q.Id = 7
			reply, err := parseReply(b, q)
			if err != nil {
				continue // a temporary failure for the caller
			}
			res := result{final: "x.test", ttl: maxTTL}
			bad := res.collect(reply.Answer, typ)
			if typ != TypeTXT && len(res.records) > 0 && !(typ == TypeTLSA && n > 3) {
				t.Errorf("%s cut to %d of %d: %+v (bad %v, head %d)", typ, n, rdlen, res.records, bad, len(head))
			}
		}
	}
}
