package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

// answers is an Exchanger that has one answer for everything.
type answers struct {
	rrs     []mdns.RR
	trusted bool
}

func (a *answers) Exchange(_ context.Context, q *mdns.Msg) (*mdns.Msg, bool, error) {
	m := new(mdns.Msg)
	m.SetReply(q)
	m.AuthenticatedData = true
	m.Answer = a.rrs
	return m, a.trusted, nil
}

func rrs(t *testing.T, text string) []mdns.RR {
	t.Helper()
	var list []mdns.RR
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		rr, err := mdns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, rr)
	}
	return list
}

func with(t *testing.T, a *answers) *Resolver {
	t.Helper()
	cfg, err := ParseResolvConf(strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	return NewWith(cfg, a)
}

// TestAuthenticated: the AD bit counts only with a trusted server (DN4), and
// who is trusted depends on its address.
func TestAuthenticated(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		r := with(t, &answers{rrs(t, "x.test. 60 IN A 192.0.2.1"), trusted})
		a, err := r.Lookup(context.Background(), "x.test", TypeA)
		if err != nil || a.Authenticated != trusted {
			t.Errorf("trusted %v: %+v %v", trusted, a, err)
		}
	}
	for addr, want := range map[string]bool{"127.0.0.1:53": true, "127.0.0.53:53": true, "[::1]:53": true, "192.0.2.1:53": false, "[2001:db8::1]:53": false} {
		if got := isLoopback(netip.MustParseAddrPort(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

// TestLargeAnswers has answers that are legal and too large (DN1).
func TestLargeAnswers(t *testing.T) {
	var mx strings.Builder
	for i := range 4096 {
		fmt.Fprintf(&mx, "x.test. 60 IN MX %d mx%d.test.\n", i%7, i)
	}
	a, err := with(t, &answers{rrs: rrs(t, mx.String())}).Lookup(context.Background(), "x.test", TypeMX)
	if err != nil || len(a.Records) != maxRecords || a.Records[0].Pref != 0 {
		t.Errorf("MX: %v", err)
	}
	var chain strings.Builder
	for i := range 20 {
		fmt.Fprintf(&chain, "a%d.test. 60 IN CNAME a%d.test.\n", i, i+1)
	}
	chain.WriteString("a20.test. 60 IN A 192.0.2.1")
	if a, err := with(t, &answers{rrs: rrs(t, chain.String())}).Lookup(context.Background(), "a0.test", TypeA); err == nil && len(a.Records) > 0 && a.Final != "a20.test" {
		t.Errorf("chain: %+v", a)
	}
	txt := &mdns.TXT{Hdr: mdns.RR_Header{Name: "x.test.", Rrtype: mdns.TypeTXT, Class: mdns.ClassINET, Ttl: 60}}
	for range 300 {
		txt.Txt = append(txt.Txt, strings.Repeat("t", 255))
	}
	_, err = with(t, &answers{rrs: []mdns.RR{txt}}).Lookup(context.Background(), "x.test", TypeTXT)
	if !Is(err, Malformed) {
		t.Errorf("TXT: %v", err)
	}
}

// TestHostileNames: names that are none are left out (DN1).
func TestHostileNames(t *testing.T) {
	for _, name := range []string{`a\000b.test.`, `it\'s.test.`, `a\010b.test.`, `-a.test.`, `192.0.2.1.`, `a\.b.test.`, `\233.test.`} {
		_, err := with(t, &answers{rrs: rrs(t, "1.2.0.192.in-addr.arpa. 60 IN PTR "+name)}).
			Lookup(context.Background(), "1.2.0.192.in-addr.arpa", TypePTR)
		if !Is(err, Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCacheBounds(t *testing.T) {
	c := newCache(10)
	for i := range 100 {
		c.put(fmt.Sprint(i), TypeA, &Answer{Records: []Record{{TTL: maxTTL}}}, nil)
	}
	if len(c.m) > 10 {
		t.Errorf("%d entries", len(c.m))
	}
	c.put("zero", TypeA, &Answer{Records: []Record{{TTL: 0}}}, nil)
	if _, _, ok := c.get("zero", TypeA); ok {
		t.Error("an answer with TTL 0 was kept")
	}
	c.put("other", TypeA, nil, errors.New("not ours"))
	if _, _, ok := c.get("other", TypeA); ok {
		t.Error("an unknown error was kept")
	}
}
