package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/table"
)

// testResolver makes a resolver of main.cf text.
func testResolver(t testing.TB, text string) *resolver {
	t.Helper()
	m, err := config.ParseMain(strings.NewReader("compatibility_level = 3.6\nmyhostname = mail.here.test\nmydomain = here.test\ninet_interfaces = 127.0.0.1\n"+text), "main.cf")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.New("/etc/posthouse", m)
	var p params
	if err := cfg.Fill(&p); err != nil {
		t.Fatal(err)
	}
	r, err := newResolver(context.Background(), cfg, &p, table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// relayTricks are addresses that have opened relays, and other odd ones. In
// the tests here.test is local.
var relayTricks = []string{
	"", "user", "user@here.test", "user@other.test", "User@Here.Test", "user@HERE.test.",
	`u%other.test@here.test`, `"u@other.test"@here.test`, `u@other.test@here.test`,
	`other.test!u@here.test`, `other.test!u`, `@here.test:u@other.test`,
	`@a.test,@b.test:u@other.test`, `"u@other.test"`, `u%other.test`, `u@[198.51.100.1]`,
	`u@198.51.100.1`, `u@[IPv6:2001:db8::1]`, `u@other.test `, `u@other.test.`,
	`u@HERE.TEST.other.test`, `"u"@other.test`, `u\@other.test@here.test`, `+ext@other.test`,
	`u@other.test(comment)`, `(c)u@other.test`, `u@here.test@other.test`, `u@`, `@here.test`,
	`@`, `postmaster`, `postmaster@`, `postmaster@here.test`, `POSTMASTER@HERE.TEST`,
	strings.Repeat("l", 70) + "@here.test", `u@here.test..`, `u@.here.test`, `u@here..test`,
	`u@-here.test`, `u@[127.0.0.1]`, `u@[127.0.0.2]`, `u@[here.test]`, `u@[300.1.1.1]`,
	`u@[]`, `a!b!c`, `a!b%c`, `a%b%c`, `a%b@here.test`, `a!b@other.test`, `a%b@other.test`,
	`a@b@other.test`, `"a b"@here.test`, `"a b"@other.test`, `a b@other.test`, `"a%other.test"@here.test`,
	`"other.test!a"@here.test`, `"a\"b"@here.test`, `-user@here.test`, `-user@other.test`, `-`,
	`u@123`, `u@1.2.3`, `u@under_score.test`, `user+ext@here.test`, `user+ext`, `u@@here.test`,
	`u@other.test@`, `<u@other.test>`, `u;v@here.test`, `u,v@here.test`,
	`u:v@here.test`, `.u@here.test`, `u.@here.test`, `u..v@here.test`, `u@a.virtual.test`,
	`u@valias.test`, `u@vmbox.test`, `u@relay.test`, `u@sub.relay.test`, `moved@here.test`,
	`moved@other.test`, `u@trans.test`, `u@sub.trans.test`, `special@other.test`, `special+x@other.test`, `hop@other.test`,
	`null@other.test`, `u@localhost`, `u@mail.here.test`, `!`, `%`, `a!`, `!a`, `a%`, `%a`, `a@b%c@here.test`,
	`"@here.test`, `\`, `a\`, `"x@y`, `u@x--y.test`, `u@xn--bcher-kva.test`,
	`@nodot`, `u@nodot`, `u@[192.0.2.7]`, `u@tab.test`, `u@no.test`, `owner-x@here.test`, `moved+x@here.test`, `moved`, `ü@other.test`, `u@[IPv6:::1]`,
}

var referenceConfigs = []struct{ name, text string }{
	{"plain", `mydestination = $myhostname, here.test, localhost`},
	{"classes", `mydestination = here.test
virtual_alias_domains = valias.test
virtual_alias_maps = inline:{a@valias.test=b}
virtual_mailbox_domains = vmbox.test
virtual_mailbox_maps = inline:{a@vmbox.test=b}
relay_domains = relay.test
relayhost = [gw.test]:2525
virtual_transport = lmtp:unix:/x
relay_transport = relay:fixed.test
parent_domain_matches_subdomains = relay_domains, transport_maps
transport_maps = inline:{trans.test=slow:,.trans.test=:[hop.test],{special@other.test=error:5.2.0 no}, hop@other.test=:hop.only, null@other.test=:}
relocated_maps = inline:{moved@here.test=new@x.test, moved@other.test=there}`},
	{"old ways", `mydestination = here.test
resolve_dequoted_address = no
swap_bangpath = no
allow_percent_hack = no
resolve_null_domain = yes
resolve_numeric_domain = yes
append_dot_mydomain = yes
allow_min_user = yes
local_transport = local:$myhostname
remote_header_rewrite_domain = domain.invalid`},
	{"defaults", `mydestination = here.test, inline:{tab.test=x}, !no.test
myorigin = $mydomain
virtual_alias_maps = inline:{valias.test=anything}
virtual_mailbox_maps = inline:{vmbox.test=x}
virtual_transport = virtual
recipient_delimiter = +-
default_transport = smtp:[d.test]
relayhost = gw.test
proxy_interfaces = 192.0.2.7
compatibility_level = 0
relocated_maps = inline:{moved=local.new@x.test,@trans.test=gone}
transport_maps = inline:{special=byname:, user@here.test=lmtp:unix:/var/run/lmtp, here.test=local:$myhostname}`},
	{"senders", `mydestination = here.test
append_at_myorigin = no
myorigin = origin.test
recipient_delimiter = +
sender_dependent_relayhost_maps = inline:{s@x.test=[s.test],@y.test=yhop, <>=nullhop}
sender_dependent_default_transport_maps = inline:{s@x.test=fast:fasthop,@y.test=yt, <>=nt}
relayhost = all.test
empty_address_recipient = nobody-here
show_user_unknown_table_name = no
virtual_alias_domains = valias.test
transport_maps = inline:{*=star:, other.test=:}`},
}

var update = flag.Bool("update", false, "write testdata/golden.txt from the reference Postfix")

// senders are those that a configuration is tried with.
func senders(config string) []string {
	if config == "senders" {
		return []string{"s@x.test", "", "q@y.test", "other@z.test"}
	}
	return []string{"s@x.test"}
}

// answers returns a line for each question, with its answer.
func answers(config string, rewrite func(rule, addr string) string, resolve func(sender, addr string) string) []string {
	var lines []string
	for _, addr := range relayTricks {
		for _, rule := range []string{"local", "remote"} {
			lines = append(lines, fmt.Sprintf("%s: rewrite %s %q = %q", config, rule, addr, rewrite(rule, addr)))
		}
		for _, sender := range senders(config) {
			lines = append(lines, fmt.Sprintf("%s: resolve %q %q = %s", config, sender, addr, resolve(sender, addr)))
		}
	}
	return lines
}

func ours(t *testing.T, config, text string) []string {
	r := testResolver(t, text)
	return answers(config, r.rewriter.rewrite, func(sender, addr string) string { return ourResolve(r, sender, addr) })
}

// TestReference compares each answer with that of a running Postfix.
func TestReference(t *testing.T) {
	var golden []string
	for _, cfg := range referenceConfigs {
		t.Run(cfg.name, func(t *testing.T) {
			ref := refpostfix.Start(t, "myhostname = mail.here.test\nmydomain = here.test\n"+cfg.text)
			want := answers(cfg.name, func(rule, addr string) string {
				return ref.Call(t, "private/rewrite", ipc.List{}.Str("request", "rewrite").Str("rule", rule).Str("address", addr)).Value("address")
			}, func(sender, addr string) string { return refResolve(t, ref, sender, addr) })
			if d := cmp.Diff(want, ours(t, cfg.name, cfg.text)); d != "" {
				t.Errorf("-Postfix +ours\n%s", d)
			}
			golden = append(golden, want...)
		})
	}
	if *update && !t.Failed() {
		os.MkdirAll("testdata", 0o755)
		if err := os.WriteFile("testdata/golden.txt", []byte(strings.Join(golden, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGolden compares with the answers of Postfix that were kept.
func TestGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, cfg := range referenceConfigs {
		got = append(got, ours(t, cfg.name, cfg.text)...)
	}
	if d := cmp.Diff(strings.Split(strings.TrimSpace(string(text)), "\n"), got); d != "" {
		t.Errorf("-Postfix +ours\n%s", d)
	}
}

func refResolve(t *testing.T, ref *refpostfix.Instance, sender, addr string) string {
	t.Helper()
	l := ref.Call(t, "private/rewrite", ipc.List{}.Str("request", "resolve").Str("sender", sender).Str("address", addr))
	transport, nexthop := l.Value("transport"), l.Value("nexthop")
	// The first attribute named flags belongs to the protocol.
	flags := l[len(l)-1]
	if n, _ := strconv.Atoi(flags.Value); n&4 != 0 {
		// Not set, or to be ignored.
		transport, nexthop = "error", "5.1.3 bad address syntax"
	}
	return fmt.Sprintf("%s %s:%s %q", flags.Value, transport, nexthop, l.Value("recipient"))
}

func ourResolve(r *resolver, sender, addr string) string {
	res, err := r.resolve(context.Background(), r.mail, sender, addr)
	if err != nil {
		return "fail: " + err.Error()
	}
	// The reference has no answers for whole domains.
	return fmt.Sprintf("%d %s:%s %q", res.Flags&^rewrite.WholeDomain, res.Transport, res.NextHop, res.Recipient)
}
