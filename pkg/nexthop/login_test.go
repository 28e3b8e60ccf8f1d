package nexthop

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/smtpclient"
)

const withLogin = "smtp_sasl_auth_enable = yes\nsmtp_sasl_security_options = noanonymous\n"

// TestPassword: whose password is used for which server.
func TestPassword(t *testing.T) {
	c, _ := newClient(t, "smtp", withLogin+"smtp_sasl_password_maps = inline:{{next.test=host:1} {[next.test]:587=hop:2} {ann@b.test=ann:3} {@b.test=domain:4} {odd.test=nopassword}}")
	for _, tc := range []struct{ site, host, sender, want string }{
		{"[next.test]:587", "next.test", "", "host 1"}, // the name of the server comes first
		{"[next.test]:587", "other.test", "", "hop 2"},
		{"[next.test]:587", "next.test", "ann@b.test", "ann 3"},
		{"[next.test]:587", "next.test", "Ann@B.test", "ann 3"},
		{"[next.test]:587", "next.test", "bob@b.test", "domain 4"},
		{"[next.test]:587", "next.test", "bob@c.test", "host 1"},
		{"none.test", "none.test", "bob@c.test", " "},
		{"odd.test", "odd.test", "", "nopassword "},
	} {
		user, password, err := c.login.password(context.Background(), tc.site, tc.host, tc.sender)
		if got := user + " " + password; err != nil || got != tc.want {
			t.Errorf("%+v: %q, %v", tc, got, err)
		}
	}
}

// TestKey: where logins depend on the sender, one sender's session is not for
// another's mail.
func TestKey(t *testing.T) {
	plain, _ := newClient(t, "smtp")
	shared, _ := newClient(t, "smtp", withLogin+"smtp_sasl_password_maps = static:a:b")
	own, _ := newClient(t, "smtp", withLogin+"smtp_sasl_password_maps = static:a:b\nsmtp_sender_dependent_authentication = yes")
	for name, c := range map[string]*Client{"no login": plain, "one login": shared} {
		if c.Key("site", "ann@b.test") != c.Key("site", "bob@b.test") {
			t.Errorf("%s: senders do not share sessions", name)
		}
	}
	if own.Key("site", "ann@b.test") == own.Key("site", "bob@b.test") {
		t.Error("ann's session is used for bob's mail")
	}
	if own.Key("site", "ann@b.test") != own.Key("site", "Ann@B.test") {
		t.Error("one sender has two sessions")
	}
}

// TestAuthenticate logs in to a server, or does not.
func TestAuthenticate(t *testing.T) {
	plain := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00user\x00word"))
	const maps = "smtp_sasl_password_maps = inline:{next.test=user:word}\n"
	for _, tc := range []struct {
		name, settings, offer, answer string
		want                          string // the failure
		said                          string // of AUTH
	}{
		{name: "right", settings: withLogin + maps, offer: "AUTH PLAIN", answer: "235 2.7.0 ok", said: plain},
		{name: "wrong", settings: withLogin + maps, offer: "AUTH PLAIN", answer: "535 5.7.8 no", want: "4.7.8", said: plain},
		{name: "wrong for good", settings: withLogin + maps + "smtp_sasl_auth_soft_bounce = no\n", offer: "AUTH PLAIN", answer: "535 5.7.8 no", want: "5.7.8", said: plain},
		{name: "not offered", settings: withLogin + maps, offer: "SIZE"},
		{name: "no password for it", settings: withLogin + "smtp_sasl_password_maps = inline:{other.test=user:word}\n", offer: "AUTH PLAIN"},
		{name: "off", settings: maps, offer: "AUTH PLAIN"},
		{name: "nothing that is allowed in clear", settings: maps + "smtp_sasl_auth_enable = yes\n", offer: "AUTH PLAIN LOGIN", want: "4.7.0"},
		{name: "filtered", settings: withLogin + maps + "smtp_sasl_mechanism_filter = !plain, static:rest\n", offer: "AUTH PLAIN", want: "4.7.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _ := newClient(t, "smtp", tc.settings)
			target, heard := serve(t, "220 next.test ESMTP", map[string]string{"EHLO": "250-next.test\r\n250 " + tc.offer, "AUTH": tc.answer})
			s, _, err := open(t, c, target)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Authenticate(context.Background(), s, "[next.test]", "ann@b.test")
			code := ""
			var f *smtpclient.Failure
			if errors.As(err, &f) {
				code = f.Status.Code
			} else if err != nil {
				t.Fatal(err)
			}
			if code != tc.want {
				t.Errorf("%v, want %s", err, tc.want)
			}
			if said := heard()[1:]; strings.Join(said, "|") != tc.said {
				t.Errorf("the server heard %q, want %q", said, tc.said)
			}
		})
	}
}

// TestMistakes keep a client from its start, and name the parameter.
func TestMistakes(t *testing.T) {
	for settings, want := range map[string]string{
		"smtp_sasl_auth_enable = yes":                       "sasl_password_maps is empty",
		"smtp_tls_loglevel = loud":                          "smtp_tls_loglevel = loud: bad numerical value",
		"smtp_tls_policy_maps = nosuch:x":                   "tls_policy_maps",
		"smtp_discard_ehlo_keyword_address_maps = nosuch:x": "discard_ehlo_keyword_address_maps",
		withLogin + "smtp_sasl_password_maps = nosuch:x":    "sasl_password_maps",
		"smtp_sasl_auth_enable = yes\nsmtp_sasl_security_options = x\nsmtp_sasl_password_maps = static:a:b": "sasl_security_options",
	} {
		if _, _, err := tryClient(t, "smtp", settings); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", settings, err, want)
		}
	}
}
