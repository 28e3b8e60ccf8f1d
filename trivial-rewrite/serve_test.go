package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

func serveTest(t testing.TB, r *resolver) *ipc.Pool {
	t.Helper()
	s := &server{resolver: r, log: maillog.Discard()}
	pool := ipc.NewPool(testkit.ServeSessions(t, s.session), time.Minute)
	t.Cleanup(func() { pool.Close() })
	return pool
}

func TestServe(t *testing.T) {
	c := rewrite.NewClient(serveTest(t, testResolver(t, "mydestination = here.test\nrelay_domains = fail:x")))
	ctx := context.Background()
	if got, err := c.Rewrite(ctx, rewrite.Local, "joe"); err != nil || got != "joe@mail.here.test" {
		t.Errorf("rewrite: %q, %v", got, err)
	}
	r, err := c.Resolve(ctx, "", "joe@here.test")
	if err != nil || r.Transport != "local" || r.Class() != rewrite.ClassLocal {
		t.Errorf("resolve: %+v, %v", r, err)
	}
	// A table that does not work is no answer.
	if r, err := c.Verify(ctx, "", "joe@far.test"); err == nil || r.Flags&rewrite.Fail == 0 {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

// TestServeStandard: one request gives what a rewrite and a resolve give.
func TestServeStandard(t *testing.T) {
	c := rewrite.NewClient(serveTest(t, testResolver(t, "mydestination = here.test\nswap_bangpath = yes")))
	ctx := context.Background()
	for _, addr := range append([]string{"joe", "joe@here.test", "", `"a b"@far`, "far!joe", "@x:joe%far"}, relayTricks...) {
		for _, rule := range []string{rewrite.Local, rewrite.Remote} {
			full, err := c.Rewrite(ctx, rule, address.Quote(addr))
			if err != nil {
				t.Fatal(err)
			}
			want, err := c.Resolve(ctx, "", address.Unquote(full))
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Standard(ctx, rule, "", address.Quote(addr))
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("%q, %s: %v\n%s", addr, rule, err, d)
			}
		}
	}
}

func TestServeRefuses(t *testing.T) {
	pool := serveTest(t, testResolver(t, ""))
	for _, req := range []ipc.List{
		{},
		ipc.List{}.Str("request", "shutdown").Str("address", "x"),
		ipc.List{}.Str("request", "rewrite").Str("rule", "other").Str("address", "x"),
		ipc.List{}.Str("request", "rewrite").Str("address", "x"),
		ipc.List{}.Str("request", "resolve").Str("rule", "other").Str("address", "x"),
		ipc.List{}.Str("request", "resolve").Str("address", strings.Repeat("x", 60000)),
	} {
		if reply, err := pool.Call(context.Background(), req); err == nil {
			t.Errorf("request %.100v got %v", req, reply)
		}
	}
}

func TestChanged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "transport")
	if err := os.WriteFile(file, []byte("a.test slow:\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := testResolver(t, "transport_maps = texthash:"+file)
	if r.changed() {
		t.Error("changed at once")
	}
	if got := ourResolve(r, "", "u@a.test"); got != `4096 slow:a.test "u@a.test"` {
		t.Error(got)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(file, later, later); err != nil {
		t.Fatal(err)
	}
	if !r.changed() {
		t.Error("change not seen")
	}
}

// TestNoRelay checks that no spelling of an address that names a foreign
// domain is resolved as one of ours, and that no spelling of one of ours
// leaves the host with routing in it that is not flagged.
func TestNoRelay(t *testing.T) {
	r := testResolver(t, "mydestination = here.test")
	for _, addr := range relayTricks {
		res, err := r.resolve(context.Background(), r.mail, "", addr)
		if err != nil {
			t.Errorf("%q: %v", addr, err)
			continue
		}
		local, _, _ := strings.Cut(res.Recipient, "@")
		if res.Class() == rewrite.ClassLocal && res.Flags&rewrite.Error == 0 && strings.Contains(local, "other.test") {
			t.Errorf("%q is local as %q", addr, res.Recipient)
		}
		if res.Class() != rewrite.ClassLocal && strings.ContainsAny(local, "%!@") && res.Flags&(rewrite.Routed|rewrite.Error) == 0 {
			t.Errorf("%q leaves as %q unflagged", addr, res.Recipient)
		}
	}
}

func FuzzResolve(f *testing.F) {
	for _, addr := range relayTricks {
		f.Add(addr)
	}
	r := testResolver(f, "mydestination = here.test\nappend_dot_mydomain = yes\nremote_header_rewrite_domain = remote.test")
	f.Fuzz(func(t *testing.T, addr string) {
		if len(addr) > 4096 {
			return
		}
		for _, rule := range []string{"local", "remote"} {
			if out := r.rewriter.rewrite(rule, addr); out != addr && address.Complete(addr) {
				t.Errorf("%q becomes %q, and nobody asks for it", addr, out)
			}
		}
		res, err := r.resolve(context.Background(), r.mail, "", addr)
		if err != nil {
			t.Fatalf("%q: %v", addr, err)
		}
		if res.Transport == "" || res.NextHop == "" || res.Class() == 0 {
			t.Errorf("%q: %+v", addr, res)
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	c := rewrite.NewClient(serveTest(b, testResolver(b, "mydestination = here.test\ntransport_maps = inline:{a.test=b:}")))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Resolve(context.Background(), "s@x.test", "user@other.test"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestComplete: nobody asks about complete addresses, so no rule may
// change one.
func TestComplete(t *testing.T) {
	addrs := append([]string{"a!b@c.test", "a%b@c.test", "x=y+z@c.test", "a@b.c", "A.B@C-d.Test", "123you@example.test"}, relayTricks...)
	complete := 0
	for _, text := range []string{"", "append_dot_mydomain = yes", "remote_header_rewrite_domain = remote.test\nallow_percent_hack = yes\nswap_bangpath = yes", "append_at_myorigin = no"} {
		r := testResolver(t, text)
		for _, addr := range addrs {
			if !address.Complete(addr) {
				continue
			}
			complete++
			for _, rule := range []string{"local", "remote"} {
				if out := r.rewriter.rewrite(rule, addr); out != addr {
					t.Errorf("%q: %q becomes %q by rule %s", text, addr, out, rule)
				}
			}
		}
	}
	if complete < 40 {
		t.Errorf("only %d addresses were complete", complete)
	}
	for _, addr := range []string{"", "u", "u@here", "u@here.", "@here.test", "u@@here.test", "u@a.test.", `"u"@here.test`, "u@[192.0.2.1]", "ü@here.test", "a b@here.test", "u@h@x.test", "u@.test", "u.@a.test"} {
		if address.Complete(addr) {
			t.Errorf("%q is taken for complete", addr)
		}
	}
}

// TestWholeDomain: an answer that is said to be that of a domain is what the
// domain's other plain addresses get, for other senders too.
func TestWholeDomain(t *testing.T) {
	const domains = "mydestination = here.test, 192.0.2.1\nrelay_domains = relay.test\nvirtual_alias_domains = valias.test\nvirtual_mailbox_domains = vmbox.test\n"
	others := []string{"x", "postmaster", "a.b", "user+ext", "moved", "special", "root", "0"}
	for text, never := range map[string]bool{
		domains: false,
		domains + "resolve_numeric_domain = yes\nrelayhost = [hub.test]\nlocal_transport = lmtp:unix:x\nallow_min_user = yes": false,
		domains + "transport_maps = inline:{special@other.test=smtp:[x]}":                                                     true,
		domains + "relocated_maps = inline:{moved@other.test=away@x.test}":                                                    true,
		domains + "sender_dependent_relayhost_maps = inline:{s@x.test=[x]}":                                                   true,
		domains + "sender_dependent_default_transport_maps = inline:{s@x.test=smtp:x}":                                        true,
	} {
		r := testResolver(t, text)
		said := 0
		for _, addr := range append([]string{"u@vmbox.test", "u@1.2.3.4", "u@192.0.2.1"}, relayTricks...) {
			res, err := r.resolve(context.Background(), r.mail, "s@x.test", addr)
			if err != nil || res.Flags&rewrite.WholeDomain == 0 {
				continue
			}
			said++
			domain, ok := rewrite.Plain(addr)
			if !ok || never || res.Recipient != addr {
				t.Errorf("%s: said of %q: %+v", text, addr, res)
			}
			for _, local := range others {
				other := local + "@" + domain
				want := res
				want.Recipient = other
				got, err := r.resolve(context.Background(), r.mail, "", other)
				if d := cmp.Diff(want, got); err != nil || d != "" {
					t.Errorf("%s: %q, %q: %v\n%s", text, addr, other, err, d)
				}
			}
		}
		if !never && said < 20 {
			t.Errorf("%s: said of %d addresses only", text, said)
		}
	}
}
