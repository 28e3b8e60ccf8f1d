package nexthop

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
)

// open opens a session as an agent does.
func open(t *testing.T, c *Client, target Target) (*Session, bool, error) {
	t.Helper()
	policy, err := c.Policy(context.Background(), "next.test")
	if err != nil {
		t.Fatal(err)
	}
	s, established, fail := c.Open(context.Background(), "ID", target, policy, policy.Level)
	if fail != nil {
		return s, established, fmt.Errorf("%s %s", fail.Status.Code, fail.Text)
	}
	t.Cleanup(func() { s.Close() })
	return s, established, nil
}

// TestOpen: what a server says, and what becomes of the session.
func TestOpen(t *testing.T) {
	offer := map[string]string{"EHLO": "250-next.test\r\n250 STARTTLS"}
	for _, tc := range []struct {
		name, settings, greeting string
		replies                  map[string]string
		want                     string // the failure
	}{
		{name: "plain", greeting: "220 next.test ESMTP"},
		{name: "never", greeting: "554 5.7.1 no", want: "4.7.1 host"},
		{name: "never, and it counts", settings: "smtp_skip_5xx_greeting = no", greeting: "554 5.7.1 no", want: "5.7.1 host"},
		{name: "not now", greeting: "421 4.3.2 no", want: "4.3.2 host"},
		{name: "TLS that is not there", settings: "smtp_tls_security_level = encrypt", greeting: "220 next.test ESMTP",
			want: "4.7.4 TLS is required, but was not offered by host"},
		{name: "TLS that does not start", settings: "smtp_tls_security_level = encrypt", greeting: "220 next.test ESMTP",
			replies: map[string]string{"EHLO": offer["EHLO"], "STARTTLS": "454 4.7.0 later"}, want: "4.7.4 TLS is required, but host"},
		{name: "TLS that nobody needs", settings: "smtp_tls_security_level = may", greeting: "220 next.test ESMTP",
			replies: map[string]string{"EHLO": offer["EHLO"], "STARTTLS": "454 4.7.0 later"}},
		{name: "TLS that nobody wants", settings: "smtp_tls_security_level = none", greeting: "220 next.test ESMTP", replies: offer},
		{name: "keywords that are left out", settings: "smtp_tls_security_level = encrypt\nsmtp_discard_ehlo_keywords = starttls, silent-discard",
			greeting: "220 next.test ESMTP", replies: offer, want: "4.7.4 TLS is required, but was not offered by host"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _ := newClient(t, "smtp", tc.settings)
			target, heard := serve(t, tc.greeting, tc.replies)
			s, established, err := open(t, c, target)
			if !established {
				t.Error("a server answered")
			}
			if tc.want == "" {
				if err != nil || s.Target != target || s.TLS != nil {
					t.Errorf("%v, heard %q", err, heard())
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("%v, want %s", err, tc.want)
			}
		})
	}
}

// TestDiscardByServer: a table leaves keywords out for one server.
func TestDiscardByServer(t *testing.T) {
	c, _ := newClient(t, "smtp", "smtp_discard_ehlo_keywords = dsn", "smtp_discard_ehlo_keyword_address_maps = inline:{{192.0.2.1=pipelining chunking}}")
	for addr, want := range map[string][]string{"192.0.2.1": {"CHUNKING", "PIPELINING"}, "192.0.2.2": {"DSN"}} {
		var got []string
		for word := range c.discard(context.Background(), Target{Addr: netip.MustParseAddr(addr)}) {
			got = append(got, word)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}

// TestNobodyThere: the reason is in the C library's words, and no server was
// reached.
func TestNobodyThere(t *testing.T) {
	c, _ := newClient(t, "smtp")
	closed := testkit.NewClosed(t)
	_, established, err := open(t, c, Target{Host: "next.test", Addr: netip.MustParseAddr("127.0.0.1"), Port: closed.Port})
	want := fmt.Sprintf("4.4.1 connect to next.test[127.0.0.1]:%d: Connection refused", closed.Port)
	if established || err == nil || err.Error() != want {
		t.Errorf("%v %v, want %s", established, err, want)
	}
	_, established, err = open(t, c, Target{Host: "me.test", Unix: t.TempDir() + "/none"})
	if established || err == nil || !strings.HasPrefix(err.Error(), "4.4.1 connect to me.test[") || !strings.HasSuffix(err.Error(), "No such file or directory") {
		t.Errorf("socket: %v %v", established, err)
	}
}

// TestBind: where a connection comes from.
func TestBind(t *testing.T) {
	four, six := Target{Addr: netip.MustParseAddr("192.0.2.1")}, Target{Addr: netip.MustParseAddr("2001:db8::1")}
	here := Target{Addr: netip.MustParseAddr("127.0.0.1")}
	for _, tc := range []struct {
		program, settings string
		target            Target
		want              string
	}{
		{"smtp", "", four, "192.0.2.99:0"}, // the only address of inet_interfaces
		{"smtp", "", here, ""},
		{"smtp", "", six, ""},
		{"smtp", "inet_interfaces = 192.0.2.98, 192.0.2.99", four, ""},
		{"smtp", "smtp_bind_address = 127.0.0.7", four, "127.0.0.7:0"},
		{"smtp", "smtp_bind_address = 127.0.0.7", here, "127.0.0.7:0"},
		{"smtp", "smtp_bind_address6 = [2001:db8::7]", six, "[2001:db8::7]:0"},
		{"smtp", "smtp_bind_address = everywhere", four, "malformed smtp_bind_address parameter: everywhere"},
		{"smtp", "smtp_bind_address6 = everywhere", six, "malformed smtp_bind_address6 parameter: everywhere"},
		{"lmtp", "lmtp_bind_address = everywhere", four, "malformed lmtp_bind_address parameter: everywhere"},
	} {
		c, _ := newClient(t, tc.program, tc.settings)
		addr, err := c.bindAddress(tc.target)
		got := ""
		switch {
		case err != nil:
			got = err.Error()
		case addr != nil:
			got = addr.String()
		}
		if got != tc.want {
			t.Errorf("%s to %s: %q, want %q", tc.settings, tc.target.Addr, got, tc.want)
		}
	}
}

// TestWished: a sender may ask for more TLS than the site, and for less only
// where no password would be in it.
func TestWished(t *testing.T) {
	required := envelope.Sender{Address: "a@b.test", TLS: envelope.TLSRequired}
	optional := envelope.Sender{Address: "a@b.test", TLS: envelope.TLSOptional}
	login := "smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = inline:{next.test=user:word}\n"
	for _, tc := range []struct {
		name, settings string
		from           envelope.Sender
		target         Target
		want           tlspolicy.Level
	}{
		{"nothing asked", "smtp_tls_security_level = may", envelope.Sender{}, Target{}, tlspolicy.LevelMay},
		{"more", "smtp_tls_security_level = may", required, Target{Named: true}, tlspolicy.LevelVerify},
		{"more, and the name is not sure", "smtp_tls_security_level = may", required, Target{}, tlspolicy.LevelSecure},
		{"more for a notice", "smtp_tls_security_level = may", envelope.Sender{TLS: envelope.TLSRequired}, Target{}, tlspolicy.LevelMay},
		{"more on a socket", "smtp_tls_security_level = may", required, Target{Unix: "x"}, tlspolicy.LevelMay},
		{"less", "smtp_tls_security_level = encrypt", optional, Target{}, tlspolicy.LevelMay},
		{"less, with a login", login + "smtp_tls_security_level = encrypt", optional, Target{}, tlspolicy.LevelEncrypt},
		{"less, forbidden", "tls_required_enable = no\nsmtp_tls_security_level = encrypt", optional, Target{}, tlspolicy.LevelEncrypt},
	} {
		c, _ := newClient(t, "smtp", tc.settings)
		policy, err := c.Policy(context.Background(), "next.test")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Wished(policy, tc.target, tc.from).Level; got != tc.want {
			t.Errorf("%s: level %v, want %v", tc.name, got, tc.want)
		}
	}
}
