package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/sasl"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// rig is an authd on a socket of its own.
type rig struct {
	*server
	t    *testing.T
	path string
	dir  string
	*authclient.Client
}

func testParams() params {
	return params{
		Sources: []string{"userdb"}, Mechanisms: []string{"auto"}, Cleartext: []string{"127.0.0.0/8"},
		UsernameChars: "abcdefghijklmnopqrstuvwxyz0123456789.-_@+", Scheme: "SHA256", CacheTime: time.Hour, CacheSize: 1000,
		MailUID: "1001", MailGID: "1001", MailHome: "/home/%d/%n", MinimumUID: 100, Delimiter: "+", Hostname: "me.test",
	}
}

// startRig serves a user database with these lines.
func startRig(t *testing.T, change func(*params), lines ...string) *rig {
	t.Helper()
	dir := t.TempDir()
	p := testParams()
	p.UserdbPath = filepath.Join(dir, "userdb")
	if change != nil {
		change(&p)
	}
	r := &rig{t: t, dir: dir}
	r.write("userdb", lines...)
	s, err := newServer(p, maillog.NewWriter(testLog{t}, "authd"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.trusted = map[int]bool{os.Getuid(): true}
	if err := s.open(opening{log: s.log}); err != nil {
		t.Fatal(err)
	}
	r.server = s
	r.path = testkit.ServeSessions(t, s.session)
	r.Client = authclient.New(r.path)
	t.Cleanup(r.Client.Close)
	return r
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func (r *rig) write(name string, lines ...string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path+".new", []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		r.t.Fatal(err)
	}
}

// line is a record with a password.
func line(t *testing.T, login, scheme, secret, more string) string {
	t.Helper()
	h, err := password.Hash(scheme, secret)
	if err != nil {
		t.Fatal(err)
	}
	return login + "\tsystempw=" + h + more
}

// peer is a client under TLS.
func peer(service string) authclient.Peer {
	return authclient.Peer{Service: service, RemoteIP: "192.0.2.1", LocalIP: "192.0.2.2", TLS: true}
}

func (r *rig) plain(p authclient.Peer, login, secret string) authclient.Step {
	r.t.Helper()
	step, err := r.Plain(context.Background(), p, login, secret)
	if err != nil {
		r.t.Fatal(err)
	}
	return step
}

func TestPlainLogins(t *testing.T) {
	r := startRig(t, nil,
		line(t, "ann@d.test", "SHA512-CRYPT", "secret", "|uid=2000|gid=2000|home=/home/ann|aliases=a@d.test,ann|disabled=pop3|quota=1000S"),
		line(t, "net@d.test", "SHA256", "secret", "|networks=198.51.100.0/24"),
		line(t, "low@d.test", "SHA256", "secret", "|uid=10|gid=10"),
		"none@d.test\tuid=2000|gid=2000",
		"bad@d.test\tsystempw={NOSUCH}x")
	for _, tc := range []struct {
		name, service, login, secret string
		want                         authclient.Outcome
	}{
		{"right", "imap", "ann@d.test", "secret", authclient.OK},
		{"again, from the cache", "imap", "ann@d.test", "secret", authclient.OK},
		{"upper case", "smtp", "Ann@D.test", "secret", authclient.OK},
		{"alias", "smtp", "a@d.test", "secret", authclient.OK},
		{"wrong", "imap", "ann@d.test", "Secret", authclient.Failed},
		{"prefix", "imap", "ann@d.test", "secre", authclient.Failed},
		{"empty", "imap", "ann@d.test", "", authclient.Failed},
		{"unknown", "imap", "eve@d.test", "secret", authclient.Failed},
		{"disabled", "pop3", "ann@d.test", "secret", authclient.Disabled},
		{"disabled and wrong", "pop3", "ann@d.test", "x", authclient.Failed},
		{"other network", "imap", "net@d.test", "secret", authclient.Failed},
		{"without a password", "imap", "none@d.test", "", authclient.Failed},
		{"damaged record", "imap", "bad@d.test", "x", authclient.Failed},
		{"low uid", "imap", "low@d.test", "secret", authclient.Temporary},
		{"default home", "imap", "net@d.test", "x", authclient.Failed},
	} {
		step := r.plain(peer(tc.service), tc.login, tc.secret)
		if step.Outcome != tc.want {
			t.Errorf("%s: %+v", tc.name, step)
		}
		if step.Outcome == authclient.Failed && step.Text != authclient.TextFailed {
			t.Errorf("%s: the text tells why: %s", tc.name, step.Text)
		}
		if (step.Ticket != "") != (step.Outcome == authclient.OK && tc.service != "smtp") {
			t.Errorf("%s: ticket %q", tc.name, step.Ticket)
		}
	}
	u := r.plain(peer("imap"), "ann", "secret").User
	if u == nil || u.MailDir != "/home/ann/Maildir" || u.UID != 2000 || u.Quota != "1000S" {
		t.Errorf("user %+v", u)
	}
	p := peer("imap")
	p.RemoteIP = "::ffff:198.51.100.7"
	if u := r.plain(p, "net@d.test", "secret").User; u == nil || u.UID != 1001 || u.Home != "/home/d.test/net" {
		t.Errorf("user %+v", u)
	}
}

// TestCleartext: AU3.
func TestCleartext(t *testing.T) {
	r := startRig(t, nil, line(t, "ann@d.test", "SHA256", "secret", ""))
	p := peer("imap")
	p.TLS = false
	if step := r.plain(p, "ann@d.test", "secret"); step.Outcome != authclient.Failed {
		t.Errorf("without TLS: %+v", step)
	}
	if m, err := r.Client.Mechanisms(context.Background(), p); err != nil || len(m) != 0 {
		t.Errorf("offered %v %v", m, err)
	}
	if x, step, _ := r.Begin(context.Background(), p, "PLAIN", []byte("\x00ann@d.test\x00secret")); x != nil || step.Outcome != authclient.Failed {
		t.Errorf("PLAIN without TLS: %+v", step)
	}
	p.RemoteIP = "127.0.0.1"
	if step := r.plain(p, "ann@d.test", "secret"); step.Outcome != authclient.OK {
		t.Errorf("loopback: %+v", step)
	}
}

// TestOffers: what is stored decides.
func TestOffers(t *testing.T) {
	ctx := context.Background()
	offered := func(r *rig, p authclient.Peer) string {
		m, err := r.Client.Mechanisms(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(m, " ")
	}
	bound := peer("smtp")
	bound.TLSExporter, bound.CertName = []byte("x"), "ann@d.test"
	for _, tc := range []struct {
		name  string
		lines []string
		set   string
		peer  authclient.Peer
		want  string
	}{
		{"only hashes", []string{line(t, "a@d.test", "SHA256", "x", "")}, "auto", peer("smtp"), "PLAIN LOGIN"},
		{"keys", []string{line(t, "a@d.test", "SCRAM-SHA-256", "x", "")}, "auto", peer("smtp"), "SCRAM-SHA-256 PLAIN LOGIN"},
		{"keys of some", []string{line(t, "a@d.test", "SCRAM-SHA-256", "x", ""), line(t, "b@d.test", "SHA256", "x", "")}, "auto", peer("smtp"), "PLAIN LOGIN"},
		{"cleartext", []string{line(t, "a@d.test", "PLAIN", "x", "")}, "auto", peer("smtp"), "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN APOP"},
		{"binding", []string{line(t, "a@d.test", "SCRAM-SHA-256", "x", "")}, "auto", bound, "EXTERNAL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"},
		{"chosen", []string{line(t, "a@d.test", "SHA256", "x", "")}, "plain scram-sha-256", peer("smtp"), "SCRAM-SHA-256 PLAIN"},
		{"nobody", []string{"# empty"}, "auto", peer("smtp"), "PLAIN LOGIN"},
	} {
		r := startRig(t, func(p *params) { p.Mechanisms = strings.Fields(tc.set) }, tc.lines...)
		if got := offered(r, tc.peer); got != tc.want {
			t.Errorf("%s: %s", tc.name, got)
		}
	}
}

// TestMechanisms logs in with each.
func TestMechanisms(t *testing.T) {
	r := startRig(t, nil, line(t, "ann@d.test", "PLAIN", "secret", ""))
	ctx := context.Background()
	p := peer("smtp")
	p.TLSExporter, p.TLSEndpoint = []byte("exporter"), []byte("endpoint")
	for _, m := range []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"} {
		for _, tc := range []struct {
			login, secret string
			want          authclient.Outcome
		}{{"ann@d.test", "secret", authclient.OK}, {"ann@d.test", "other", authclient.Failed}, {"eve@d.test", "secret", authclient.Failed}} {
			o := sasl.ClientOptions{Login: tc.login, Password: tc.secret}
			if sasl.IsPlus(m) {
				o.Binding = sasl.Binding{Exporter: []byte("exporter")}
			}
			c, err := sasl.NewClient([]string{m}, o)
			if err != nil {
				t.Fatal(err)
			}
			_, ir, err := c.Start()
			if err != nil {
				t.Fatal(err)
			}
			x, step, err := r.Begin(ctx, p, m, ir)
			for err == nil && step.Outcome == authclient.Continue {
				var answer []byte
				if answer, err = c.Next(step.Challenge); err != nil {
					t.Errorf("%s: %v", m, err)
					x.Abort()
					break
				}
				step, err = x.Next(ctx, answer)
			}
			if err != nil || step.Outcome != tc.want || step.Outcome != authclient.Continue && step.Login != tc.login {
				t.Errorf("%s %s %s: %+v %v", m, tc.login, tc.secret, step, err)
			}
		}
	}
	p.CertName = "ann@d.test"
	if _, step, err := r.Begin(ctx, p, "EXTERNAL", []byte{}); err != nil || step.Outcome != authclient.OK {
		t.Errorf("EXTERNAL: %+v %v", step, err)
	}
	if _, step, _ := r.Begin(ctx, p, "EXTERNAL", []byte("eve@d.test")); step.Outcome != authclient.Failed {
		t.Errorf("EXTERNAL as another: %+v", step)
	}
	// A captured login server could name anybody, and open the mailbox.
	for _, service := range []string{"imap", "pop3", "sieve"} {
		captured := p
		captured.Service = service
		if _, step, _ := r.Begin(ctx, captured, "EXTERNAL", []byte{}); step.Outcome != authclient.Failed || step.Ticket != "" {
			t.Errorf("EXTERNAL for %s: %+v", service, step)
		}
	}
	if _, step, _ := r.Begin(ctx, p, "PLAIN", []byte("eve@d.test\x00ann@d.test\x00secret")); step.Outcome != authclient.Failed {
		t.Errorf("PLAIN as another: %+v", step)
	}
	// RFC 1939 7 has the form; the digest is of challenge and secret.
	if step, err := r.APOP(ctx, p, "ann@d.test", "<1896.697170952@dbc.mtview.ca.us>", "0"); err != nil || step.Outcome != authclient.Failed {
		t.Errorf("APOP: %+v %v", step, err)
	}
	if step, err := r.APOP(ctx, p, "ann@d.test", "<1896.697170952@dbc.mtview.ca.us>", md5hex("<1896.697170952@dbc.mtview.ca.us>secret")); err != nil || step.Outcome != authclient.OK {
		t.Errorf("APOP: %+v %v", step, err)
	}
}

// TestChangeCountsAtOnce: AU9.
func TestChangeCountsAtOnce(t *testing.T) {
	r := startRig(t, nil, line(t, "ann@d.test", "SHA256", "old", ""))
	p := peer("imap")
	if s := r.plain(p, "ann@d.test", "old"); s.Outcome != authclient.OK {
		t.Fatalf("%+v", s)
	}
	r.write("userdb", line(t, "ann@d.test", "SHA256", "new", ""))
	if s := r.plain(p, "ann@d.test", "old"); s.Outcome != authclient.Failed {
		t.Errorf("the old password: %+v", s)
	}
	if s := r.plain(p, "ann@d.test", "new"); s.Outcome != authclient.OK {
		t.Errorf("the new password: %+v", s)
	}
	r.write("userdb", line(t, "ann@d.test", "SHA256", "new", "|disabled=imap"))
	if s := r.plain(p, "ann@d.test", "new"); s.Outcome != authclient.Disabled {
		t.Errorf("disabled: %+v", s)
	}
	r.write("userdb", "# nobody")
	if s := r.plain(p, "ann@d.test", "new"); s.Outcome != authclient.Failed {
		t.Errorf("removed: %+v", s)
	}
	// A database that cannot be read says nothing about anybody.
	os.Chmod(filepath.Join(r.dir, "userdb"), 0o644)
	if s := r.plain(p, "ann@d.test", "new"); s.Outcome != authclient.Temporary {
		t.Errorf("unsafe database: %+v", s)
	}
}

func TestTickets(t *testing.T) {
	r := startRig(t, nil, line(t, "ann@d.test", "SHA256", "secret", ""))
	ctx := context.Background()
	ticket := r.plain(peer("imap"), "ann@d.test", "secret").Ticket
	if len(ticket) != 64 {
		t.Fatalf("ticket %q", ticket)
	}
	if _, err := r.Redeem(ctx, ticket, "pop3"); !errors.Is(err, authclient.ErrUnknown) {
		t.Errorf("another service: %v", err)
	}
	ticket = r.plain(peer("imap"), "ann@d.test", "secret").Ticket
	r.server.trusted = map[int]bool{}
	if _, err := r.Redeem(ctx, ticket, "imap"); !errors.Is(err, authclient.ErrUnknown) {
		t.Errorf("another user: %v", err)
	}
	r.server.trusted = map[int]bool{os.Getuid(): true}
	if u, err := r.Redeem(ctx, ticket, "imap"); err != nil || u.Login != "ann@d.test" {
		t.Errorf("%+v %v", u, err)
	}
	if _, err := r.Redeem(ctx, ticket, "imap"); !errors.Is(err, authclient.ErrUnknown) {
		t.Errorf("twice: %v", err)
	}
}

func TestRecipients(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "maildirsize"), []byte("100S\n60 1\n50 1\n"), 0o600)
	r := startRig(t, nil,
		"ann@d.test\taliases=a@d.test|uid=2000|gid=2000|home=/home/ann|quota=100S",
		"all@e.test\taliases=@e.test|uid=2000|gid=2000|home=/home/all",
		"full@d.test\tuid=2000|gid=2000|mail="+dir+"|quota=100S",
		"off@d.test\tdisabled=mail",
		"list@d.test\tforward=ann@d.test,b@f.test")
	ctx := context.Background()
	for addr, want := range map[string]string{
		"ann@d.test": "ann@d.test", "ANN@D.TEST": "ann@d.test", "a@d.test": "ann@d.test", "ann+x@d.test": "ann@d.test",
		"who@e.test": "all@e.test", "full@d.test": "full@d.test over", "list@d.test": "[ann@d.test b@f.test]",
		"off@d.test": "unknown user", "none@d.test": "unknown user", "@e.test": "unknown user", "who@f.test": "unknown user",
		"a\tb@d.test": "unknown user", "a|b@d.test": "unknown user", "uid=2000": "unknown user",
	} {
		got := ""
		switch rcpt, err := r.Recipient(ctx, addr); {
		case err != nil:
			got = err.Error()
		case rcpt.User == nil:
			got = fmt.Sprint(rcpt.Targets)
		default:
			if got = rcpt.User.Login; rcpt.OverQuota {
				got += " over"
			}
		}
		if got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
	for _, over := range []bool{true, false} {
		if err := r.SetQuota(ctx, "ann@d.test", over); err != nil {
			t.Fatal(err)
		}
		if rcpt, err := r.Recipient(ctx, "ann@d.test"); err != nil || rcpt.OverQuota != over {
			t.Errorf("told %v: %+v %v", over, rcpt, err)
		}
	}
}

// TestInjection: AU6. Nothing that a client says is more than a name.
func TestInjection(t *testing.T) {
	r := startRig(t, func(p *params) { p.UsernameChars = "" }, line(t, "ann@d.test", "SHA256", "secret", ""))
	for _, login := range []string{"ann@d.test\t", "ann@d.test\tuid=0", "ann@d.test|uid=0", "' or 1=1--", "*)(uid=*", "%00", "%u", "ann@d.test=",
		"uid=", "../ann@d.test", "\n", "ann@d.test\nann@d.test", "@d.test", strings.Repeat("a", 5000), "\xff\xfe", "ann@d.test ", " ann@d.test"} {
		if s := r.plain(peer("imap"), login, "secret"); s.Outcome != authclient.Failed {
			t.Errorf("%q: %+v", login, s)
		}
		if u, err := r.Lookup(context.Background(), login, ""); err == nil {
			t.Errorf("%q is %s", login, u.Login)
		}
	}
}

// TestGarbage: what a sibling sends ends at most its own session (AU5).
func TestGarbage(t *testing.T) {
	r := startRig(t, nil, line(t, "ann@d.test", "SHA256", "secret", ""))
	for _, bytes := range []string{"\x00", "x", strings.Repeat("A", 1<<20), "request\x00next\x00\x00", "request\x00begin\x00\x00",
		"request\x00begin\x00mechanism\x00PLAIN\x00tls\x001\x00initial\x00%%%\x00\x00", "request\x00begin\x00mechanism\x00PLAIN\x00tls\x001\x00rport\x00-1\x00\x00",
		"request\x00plain\x00login\x00ann@d.test\x00password\x00***\x00\x00", "AUTH\t1\tPLAIN\n", "request\x00redeem\x00\x00", "request\x00quota\x00\x00"} {
		c, err := net.Dial("unix", r.path)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(30 * time.Second))
		c.Write([]byte(bytes))
		c.(*net.UnixConn).CloseWrite()
		for b := make([]byte, 1024); ; {
			if _, err := c.Read(b); err != nil {
				break
			}
		}
		c.Close()
	}
	// Exchanges that nobody ends.
	for range 200 {
		x, step, err := r.Begin(context.Background(), peer("smtp"), "LOGIN", nil)
		if err != nil || step.Outcome != authclient.Continue {
			t.Fatalf("%+v %v", step, err)
		}
		x.Abort()
	}
	if s := r.plain(peer("imap"), "ann@d.test", "secret"); s.Outcome != authclient.OK {
		t.Errorf("%+v", s)
	}
}

// FuzzAnswer gives the server any request.
func FuzzAnswer(f *testing.F) {
	f.Add("request", "begin", "mechanism", "PLAIN", "initial", "AGEAYg==")
	f.Add("request", "plain", "login", "a", "password", "eA==")
	s, err := newServer(testParams(), nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	s.sources = []source{&absent{path: "/nonexistent"}}
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g string) {
		req := ipc.List{{Name: a, Value: b}, {Name: c, Value: d}, {Name: e, Value: g}, {Name: "tls", Value: "1"}}
		reply, x := s.answer(context.Background(), ipc.Cred{UID: -1}, nil, req)
		for range 3 {
			if reply.Value("outcome") == "ok" {
				t.Fatalf("in with %v", req)
			}
			if x == nil {
				return
			}
			reply, x = s.answer(context.Background(), ipc.Cred{UID: -1}, x, ipc.List{}.Str("request", "next").Str("response", g))
		}
	})
}
