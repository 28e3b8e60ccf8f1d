package nexthop

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// addresses looks a next hop up, and shows host and address of each target.
func addresses(t *testing.T, c *Client, nexthop string) (string, *LookupFailure) {
	t.Helper()
	d, err := Parse(nexthop, c.Params().TCPPort)
	if err != nil {
		t.Fatal(err)
	}
	list, fail := c.Targets(context.Background(), d)
	var words []string
	for _, one := range list {
		words = append(words, one.Host+"="+one.Addr.String())
	}
	return strings.Join(words, " "), fail
}

// TestTargets: the servers of a domain in the order of their preference, or why
// there are none, and whether that may change.
func TestTargets(t *testing.T) {
	c, log := newClient(t, "smtp")
	for _, tc := range []struct{ nexthop, want, code, text string }{
		{nexthop: "pref.test", want: "best.mx.test=192.0.2.1 second.mx.test=192.0.2.2 second.mx.test=2001:db8::2"},
		{nexthop: "host.test", want: "host.test=192.0.2.3"},
		{nexthop: "six.test", want: "six.test=2001:db8::3"},
		// In brackets there is no look for mail servers (RFC 5321 5.1 is about
		// domains).
		{nexthop: "[pref.test]", code: "5.4.4"},
		{nexthop: "[host.test]:24", want: "host.test=192.0.2.3"},
		{nexthop: "[192.0.2.7]", want: "192.0.2.7=192.0.2.7"},
		{nexthop: "192.0.2.7", want: "192.0.2.7=192.0.2.7"},
		{nexthop: "[IPv6:2001:db8::7]", want: "2001:db8::7=2001:db8::7"},
		{nexthop: "null.test", code: "5.1.10", text: "does not accept mail (nullMX)"},
		{nexthop: "nodomain.test", code: "5.4.4", text: "Host not found"},
		{nexthop: "gone.test", code: "5.4.4", text: "nohost.test"},
		{nexthop: "down.test", code: "4.4.3", text: "try again"},
		// One server that cannot be looked up now may be there later.
		{nexthop: "half.test", code: "4.4.3"},
		// Of servers that are ours, only better ones count (RFC 5321 5.1).
		{nexthop: "ours.test", want: "best.mx.test=192.0.2.1"},
		{nexthop: "self.test", code: "5.4.6", text: "loops back to myself"},
		{nexthop: "[192.0.2.99]", code: "5.4.6", text: "loops back to myself"},
		{nexthop: "lost.test", code: "4.4.4", text: "unable to find primary relay"},
		// On another port it may be another server.
		{nexthop: "[192.0.2.99]:2525", want: "192.0.2.99=192.0.2.99"},
	} {
		got, fail := addresses(t, c, tc.nexthop)
		switch {
		case tc.code == "" && (fail != nil || got != tc.want):
			t.Errorf("%s: %q, %v, want %q", tc.nexthop, got, fail, tc.want)
		case tc.code != "" && (fail == nil || fail.Status.Code != tc.code || !strings.Contains(fail.Error(), tc.text)):
			t.Errorf("%s: %q, %+v, want %s %s", tc.nexthop, got, fail, tc.code, tc.text)
		case tc.code != "" && fail.Loop != (tc.code == "5.4.6"):
			t.Errorf("%s: loop %v", tc.nexthop, fail.Loop)
		}
	}
	if !strings.Contains(log.String(), "no MX host for gone.test has a valid address record") {
		t.Errorf("log:\n%s", log)
	}
}

// TestTargetSettings: what main.cf changes about it.
func TestTargetSettings(t *testing.T) {
	for _, tc := range []struct{ settings, nexthop, want, code string }{
		{"disable_dns_lookups = yes\nsmtp_host_lookup = native", "192.0.2.7", "192.0.2.7=192.0.2.7", ""},
		{"inet_protocols = ipv4", "pref.test", "best.mx.test=192.0.2.1 second.mx.test=192.0.2.2", ""},
		{"inet_protocols = ipv4", "six.test", "", "5.4.4"},
		{"smtp_address_preference = ipv6", "pref.test", "best.mx.test=192.0.2.1 second.mx.test=2001:db8::2 second.mx.test=192.0.2.2", ""},
		{"smtp_address_preference = ipv4", "pref.test", "best.mx.test=192.0.2.1 second.mx.test=192.0.2.2 second.mx.test=2001:db8::2", ""},
		{"smtp_mx_address_limit = 1", "pref.test", "best.mx.test=192.0.2.1", ""},
		// The last place goes to the other kind of network.
		{"smtp_mx_address_limit = 2", "many.test", "a.many.test=192.0.2.11 b.many.test=2001:db8::11", ""},
		{"smtp_mx_address_limit = 2\nsmtp_balance_inet_protocols = no", "many.test", "a.many.test=192.0.2.11 a.many.test=192.0.2.12", ""},
		{"smtp_mx_address_limit = 0", "many.test", "a.many.test=192.0.2.11 a.many.test=192.0.2.12 a.many.test=192.0.2.13 a.many.test=192.0.2.14 b.many.test=2001:db8::11", ""},
		{"smtp_defer_if_no_mx_address_found = yes", "gone.test", "", "4.4.4"},
		{"inet_interfaces = 192.0.2.98\nproxy_interfaces = 192.0.2.99", "self.test", "", "5.4.6"},
		{"inet_interfaces = loopback-only", "[127.0.0.1]", "", "5.4.6"},
		{"inet_interfaces = loopback-only", "[0.0.0.0]", "", "5.4.6"},
		{"inet_interfaces = loopback-only", "self.test", "me.test=192.0.2.99 second.mx.test=192.0.2.2 second.mx.test=2001:db8::2", ""},
		{"smtp_host_lookup = dns", "host.test", "host.test=192.0.2.3", ""},
	} {
		c, _ := newClient(t, "smtp", tc.settings)
		got, fail := addresses(t, c, tc.nexthop)
		code := ""
		if fail != nil {
			code = fail.Status.Code
		}
		if code != tc.code || got != tc.want {
			t.Errorf("%s with %q: %q %v, want %q %s", tc.nexthop, tc.settings, got, fail, tc.want, tc.code)
		}
	}
}

// TestLMTPTargets: LMTP asks for no mail servers, and a server on this machine is
// the usual case.
func TestLMTPTargets(t *testing.T) {
	c, _ := newClient(t, "lmtp")
	for nexthop, want := range map[string]string{
		"host.test":    "host.test=192.0.2.3",
		"[192.0.2.99]": "192.0.2.99=192.0.2.99",
	} {
		if got, fail := addresses(t, c, nexthop); fail != nil || got != want {
			t.Errorf("%s: %q, %v", nexthop, got, fail)
		}
	}
	d, err := Parse("unix:private/lmtp", "24")
	if err != nil {
		t.Fatal(err)
	}
	list, fail := c.Targets(context.Background(), d)
	if fail != nil || len(list) != 1 || list[0].Unix != "private/lmtp" || list[0].Host != "me.test" {
		t.Errorf("socket: %+v, %v", list, fail)
	}
}

// TestNamed: REQUIRETLS may trust the name that somebody wrote down, or one that
// the DNS vouches for.
func TestNamed(t *testing.T) {
	c, _ := newClient(t, "smtp")
	for nexthop, want := range map[string]bool{"[host.test]": true, "host.test": true, "pref.test": false, "signed.test": true} {
		d, err := Parse(nexthop, "25")
		if err != nil {
			t.Fatal(err)
		}
		list, fail := c.Targets(context.Background(), d)
		if fail != nil || len(list) == 0 || list[0].Named != want {
			t.Errorf("%s: %+v, %v, want %v", nexthop, list, fail, want)
		}
	}
}

// TestRandomized: of servers of one preference none is always the first, and all
// are there.
func TestRandomized(t *testing.T) {
	c, _ := newClient(t, "smtp", "smtp_randomize_addresses = yes")
	first := map[string]bool{}
	for range 200 {
		got, fail := addresses(t, c, "a.many.test")
		if fail != nil || len(strings.Fields(got)) != 4 {
			t.Fatalf("%q, %v", got, fail)
		}
		first[strings.Fields(got)[0]] = true
	}
	if len(first) != 4 {
		t.Errorf("in 200 tries only these were the first: %v", fmt.Sprint(first))
	}
}
