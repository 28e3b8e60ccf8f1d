package dns_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/posthouse-mail/posthouse/pkg/dns"
	"github.com/posthouse-mail/posthouse/pkg/dns/dnstest"
)

const zone = `
example.test.     60 IN MX    20 mx2.example.test.
example.test.     60 IN MX    10 MX1.example.test.
example.test.     60 IN TXT   "v=spf1 " "-all \195\182"
mx1.example.test. 60 IN A     192.0.2.1
mx1.example.test. 60 IN AAAA  2001:db8::1
alias.test.       60 IN CNAME www.alias.test.
www.alias.test.   60 IN A     192.0.2.7
loop.test.        60 IN CNAME pool.test.
pool.test.        60 IN CNAME loop.test.
null.test.        60 IN MX    0 .
mixed.test.       60 IN MX    0 .
mixed.test.       60 IN MX    5 mx1.example.test.
badmx.test.       60 IN MX    5 bad\032name.test.
_25._tcp.mx1.example.test. 60 IN TLSA 3 1 1 0102
secure.test.      60 IN A     192.0.2.9
secure.test.      SECURE
down.test.        SERVFAIL
no.test.          REFUSED
mute.test.        TIMEOUT
garbage.test.     GARBAGE
badid.test.       WRONGID
badq.test.        WRONGQUESTION
big.test.         60 IN A     192.0.2.8
big.test.         TRUNCATE
bigdown.test.     NOTCP
mapped.test.      60 IN AAAA  ::ffff:127.0.0.1
1.2.0.192.in-addr.arpa. 60 IN PTR mx1.example.test.
2.2.0.192.in-addr.arpa. 60 IN PTR mx1.example.test.
3.2.0.192.in-addr.arpa. 60 IN PTR evil\027[2J.test.
4.2.0.192.in-addr.arpa. SERVFAIL
5.2.0.192.in-addr.arpa. 60 IN PTR down.test.
6.2.0.192.in-addr.arpa. 60 IN PTR absent.test.
`

func outcome(r *dns.Resolver, name string, t dns.Type) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := r.Lookup(ctx, name, t)
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, rec := range a.Records {
		switch {
		case rec.Addr.IsValid():
			out = append(out, rec.Addr.String())
		case t == dns.TypeMX:
			out = append(out, fmt.Sprintf("%d %s", rec.Pref, rec.Target))
		case t == dns.TypeTXT:
			out = append(out, rec.Text)
		case t == dns.TypeTLSA:
			out = append(out, fmt.Sprintf("%d %d %d %x", rec.Usage, rec.Selector, rec.Matching, rec.Data))
		default:
			out = append(out, rec.Target)
		}
	}
	if a.Final != strings.ToLower(name) {
		out = append(out, "final "+a.Final)
	}
	if a.Authenticated {
		out = append(out, "AD")
	}
	return strings.Join(out, ", ")
}

func nserr(name, typ, text string) string {
	return "Host or domain name not found. Name service error for name=" + name + " type=" + typ + ": " + text
}

// TestLookup asks the same questions over the network and without one.
func TestLookup(t *testing.T) {
	s := dnstest.Start(t, zone)
	cfg, err := dns.ParseResolvConf(strings.NewReader("nameserver " + s.Addr.String() + "\noptions timeout:1 attempts:1\n"))
	if err != nil {
		t.Fatal(err)
	}
	over := map[string]*dns.Resolver{"network": dns.New(cfg), "fake": dnstest.Resolver(t, zone)}
	const again = "Host not found, try again"
	tests := []struct {
		name string
		t    dns.Type
		want string
	}{
		{"Example.test", dns.TypeMX, "10 MX1.example.test, 20 mx2.example.test"},
		{"example.test", dns.TypeTXT, "v=spf1 -all \u00f6"},
		{"mx1.example.test", dns.TypeA, "192.0.2.1"},
		{"mx1.example.test", dns.TypeAAAA, "2001:db8::1"},
		{"mx2.example.test", dns.TypeA, nserr("mx2.example.test", "A", "Host not found")},
		{"mx1.example.test", dns.TypeMX, nserr("mx1.example.test", "MX", "Host found but no data record of requested type")},
		{"alias.test", dns.TypeA, "192.0.2.7, final www.alias.test"},
		{"loop.test", dns.TypeA, nserr("loop.test", "A", "Malformed or unexpected name server reply")},
		{"null.test", dns.TypeMX, "Domain null.test does not accept mail (nullMX)"},
		{"mixed.test", dns.TypeMX, "5 mx1.example.test"},
		{"badmx.test", dns.TypeMX, nserr("badmx.test", "MX", "Malformed or unexpected name server reply")},
		{"_25._tcp.mx1.example.test", dns.TypeTLSA, "3 1 1 0102"},
		{"secure.test", dns.TypeA, "192.0.2.9, AD"},
		{"down.test", dns.TypeA, nserr("down.test", "A", again)},
		{"no.test", dns.TypeMX, nserr("no.test", "MX", again)},
		{"mute.test", dns.TypeA, nserr("mute.test", "A", again)},
		{"badid.test", dns.TypeA, nserr("badid.test", "A", again)},
		{"badq.test", dns.TypeA, nserr("badq.test", "A", again)},
		{"big.test", dns.TypeA, "192.0.2.8"},
		{"bigdown.test", dns.TypeA, nserr("bigdown.test", "A", again)},
		{"a b.test", dns.TypeA, "Name service error for a b.test: invalid host or domain name"},
		{"", dns.TypeMX, "Name service error for : invalid host or domain name"},
		{strings.Repeat("a", 64) + ".test", dns.TypeA, "Name service error for " + strings.Repeat("a", 64) + ".test: invalid host or domain name"},
	}
	for how, r := range over {
		for _, tt := range tests {
			t.Run(how+"/"+tt.name+"/"+tt.t.String(), func(t *testing.T) {
				t.Parallel()
				if got := outcome(r, tt.name, tt.t); got != tt.want {
					t.Errorf("got  %q\nwant %q", got, tt.want)
				}
			})
		}
	}
	t.Run("network/garbage", func(t *testing.T) {
		t.Parallel()
		_, err := over["network"].Lookup(context.Background(), "garbage.test", dns.TypeA)
		if !dns.Is(err, dns.Malformed) || !dns.IsTemporary(err) {
			t.Errorf("got %v", err)
		}
	})
}

func TestADOnlyFromTrusted(t *testing.T) {
	s := dnstest.Start(t, zone)
	for _, tt := range []struct {
		options string
		want    bool
	}{{"", true}, {"options trust-ad\n", true}} {
		cfg, _ := dns.ParseResolvConf(strings.NewReader("nameserver " + s.Addr.String() + "\n" + tt.options))
		a, err := dns.New(cfg).Lookup(context.Background(), "secure.test", dns.TypeA)
		if err != nil || a.Authenticated != tt.want {
			t.Errorf("%q: %v %v", tt.options, a, err)
		}
	}
}

func TestPeer(t *testing.T) {
	r := dnstest.Resolver(t, zone)
	tests := []struct {
		name, addr string
		want       dns.Peer
	}{
		{"confirmed", "192.0.2.1", dns.Peer{Name: "mx1.example.test", Reverse: "mx1.example.test", NameStatus: dns.PeerOK, ReverseStatus: dns.PeerOK}},
		{"mapped", "::ffff:192.0.2.1", dns.Peer{Name: "mx1.example.test", Reverse: "mx1.example.test", NameStatus: dns.PeerOK, ReverseStatus: dns.PeerOK}},
		{"forged", "192.0.2.2", dns.Peer{Name: "unknown", Reverse: "mx1.example.test", NameStatus: dns.PeerForged, ReverseStatus: dns.PeerOK,
			Warning: "hostname mx1.example.test does not resolve to address 192.0.2.2"}},
		{"escape sequence in name", "192.0.2.3", dns.Peer{Name: "unknown", Reverse: "unknown", NameStatus: dns.PeerTemp, ReverseStatus: dns.PeerTemp}},
		{"server down", "192.0.2.4", dns.Peer{Name: "unknown", Reverse: "unknown", NameStatus: dns.PeerTemp, ReverseStatus: dns.PeerTemp}},
		{"forward down", "192.0.2.5", dns.Peer{Name: "unknown", Reverse: "down.test", NameStatus: dns.PeerTemp, ReverseStatus: dns.PeerOK,
			Warning: "hostname down.test does not resolve to address 192.0.2.5: Temporary failure in name resolution"}},
		{"forward absent", "192.0.2.6", dns.Peer{Name: "unknown", Reverse: "absent.test", NameStatus: dns.PeerForged, ReverseStatus: dns.PeerOK,
			Warning: "hostname absent.test does not resolve to address 192.0.2.6: Name or service not known"}},
		{"no name", "192.0.2.77", dns.Peer{Name: "unknown", Reverse: "unknown", NameStatus: dns.PeerPerm, ReverseStatus: dns.PeerPerm}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, r.Peer(context.Background(), netip.MustParseAddr(tt.addr))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAddressesAndMapped(t *testing.T) {
	r := dnstest.Resolver(t, zone)
	a, err := r.Addresses(context.Background(), "mx1.example.test", dns.AnyFamily)
	if err != nil || len(a.Addrs) != 2 {
		t.Errorf("got %v %v", a, err)
	}
	for families, want := range map[dns.Family]string{dns.IPv4: "type=A: Host not found", dns.AnyFamily: "type=AAAA: Host not found"} {
		if _, err := r.Addresses(context.Background(), "absent.test", families); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("no such host: %v, want %s", err, want)
		}
	}
	// DN2: a mapped address is not an IPv6 address.
	if _, err := r.Lookup(context.Background(), "mapped.test", dns.TypeAAAA); !dns.Is(err, dns.Malformed) {
		t.Errorf("mapped: got %v", err)
	}
}

func TestCache(t *testing.T) {
	z, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	r := dnstest.ResolverFor(t, z)
	for range 3 {
		if got := outcome(r, "mx1.example.test", dns.TypeA); got != "192.0.2.1" {
			t.Fatal(got)
		}
		outcome(r, "down.test", dns.TypeA)
	}
	var n, down int
	for _, q := range z.Asked() {
		if q == "mx1.example.test. A" {
			n++
		} else {
			down++
		}
	}
	if n != 1 || down != 3 {
		t.Errorf("asked %d times for a good name, %d for a failing one; want 1 and 3", n, down)
	}
}

func TestParseResolvConf(t *testing.T) {
	c, err := dns.ParseResolvConf(strings.NewReader(`# comment
; comment
nameserver 192.0.2.1
nameserver 127.0.0.1:5353
nameserver [2001:db8::1]:53
nameserver 192.0.2.4
nameserver nonsense
search a.test b.test
options ndots:3 timeout:99 attempts:9 rotate trust-ad use-vc timeout:x
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &dns.Config{
		Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("127.0.0.1:5353"),
			netip.MustParseAddrPort("[2001:db8::1]:53")},
		Search: []string{"a.test", "b.test"}, NDots: 3, Timeout: 30 * time.Second, Attempts: 5,
		Rotate: true, UseTCP: true, TrustAD: true, Files: true, FilesFirst: true, DNS: true,
	}
	if diff := cmp.Diff(want, c, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmpopts.IgnoreFields(dns.Config{}, "Hosts")); diff != "" {
		t.Error(diff)
	}
}

func TestHost(t *testing.T) {
	dir := t.TempDir()
	s := dnstest.Start(t, "both.test. IN A 192.0.2.1\n")
	s.WriteResolvConf(t, dir)
	writeFile(t, dir+"/hosts", "127.0.0.1 localhost\n::1 localhost\n192.0.2.50 both.test alias # comment\nbroken line\n")
	cfg, err := dns.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Files, cfg.FilesFirst, cfg.DNS = true, true, true
	r := dns.New(cfg)
	got, err := r.Host(context.Background(), "localhost", dns.AnyFamily)
	if err != nil || len(got) != 2 {
		t.Errorf("localhost: %v %v", got, err)
	}
	got, err = r.Host(context.Background(), "Both.test", dns.IPv4)
	if err != nil || got[0] != netip.MustParseAddr("192.0.2.50") {
		t.Errorf("files first: %v %v", got, err)
	}
	cfg.FilesFirst = false
	got, err = r.Host(context.Background(), "both.test", dns.IPv4)
	if err != nil || got[0] != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("dns first: %v %v", got, err)
	}
	got, err = r.Host(context.Background(), "alias", dns.IPv4)
	if err != nil || got[0] != netip.MustParseAddr("192.0.2.50") {
		t.Errorf("dns fails, files has it: %v %v", got, err)
	}
	if name, err := r.Reverse(context.Background(), netip.MustParseAddr("192.0.2.50")); err != nil || name != "both.test" {
		t.Errorf("reverse: %q %v", name, err)
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "a.b-c.d_e": true, "xn--a.test": true, "1a.2": true,
		"": false, ".": false, "a..b": false, "a.": false, "-a": false, "a-": false, "a b": false,
		"a\x00": false, "1.2.3.4": false, "\u00e4.test": false, "it's": false, strings.Repeat("a.", 128): false,
	} {
		if got := dns.ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v", name, got)
		}
	}
}

func TestReverseName(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1":        "1.2.0.192.in-addr.arpa",
		"::ffff:192.0.2.1": "1.2.0.192.in-addr.arpa",
		"2001:db8::1":      "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		if got := dns.ReverseName(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}
