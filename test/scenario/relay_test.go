package scenario

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/dns/dnstest"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// session opens a session of a client that has greeted.
func session(t *testing.T, mail *testkit.Instance) *testkit.SMTP {
	t.Helper()
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	return s
}

// withParams sends a message with parameters of MAIL and returns its queue id.
func withParams(s *testkit.SMTP, params, to, text string) string {
	s.Cmd("250", "MAIL FROM:<a@sender.test>%s", params)
	s.Cmd("250", "RCPT TO:<%s>", to)
	s.Cmd("354", "DATA")
	return strings.Fields(s.Cmd("250", "%s\r\n.", strings.ReplaceAll(text, "\n", "\r\n")))[5]
}

// relayHost makes an instance whose mail for others goes to the given hop.
func relayHost(t *testing.T, hop string, settings ...string) *testkit.Instance {
	t.Helper()
	mail := testkit.New(t)
	mail.Set(t, "relayhost = "+hop, "smtp_tls_security_level = none", "minimal_backoff_time = 1s", "queue_run_delay = 1s", "maximal_backoff_time = 2s")
	mail.Set(t, settings...)
	return mail
}

// TestTwoInstances: mail from one to the other, with and without TLS.
func TestTwoInstances(t *testing.T) {
	t.Parallel()
	b := testkit.New(t)
	b.Start(t)
	hop := fmt.Sprintf("[127.0.0.1]:%d", b.Port)
	a := testkit.New(t, testkit.Users("other"))
	a.Set(t, "relayhost = "+hop, "virtual_mailbox_domains = a.test", "smtp_tls_loglevel = 1",
		"myhostname = a.example.test", "minimal_backoff_time = 1s", "queue_run_delay = 1s", "maximal_backoff_time = 1s")
	a.Start(t)
	send := func(subject string) string {
		t.Helper()
		return session(t, a).Message("other@a.test", "you@example.test", "Subject: "+subject+"\n\nx\n")
	}

	id := send("may")
	a.WaitLog(t, id+`: to=<you@example\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, delay=.*, dsn=2\.0\.0, status=sent \(250 2\.0\.0 Ok: queued as [0-9A-F]+\)`)
	a.WaitLog(t, `(Untrusted|Trusted|Anonymous|Verified) TLS connection established to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: TLSv1\.3 with cipher`)
	got := b.WaitMailbox(t, "you", 1)[0]
	if !strings.Contains(got, "with ESMTPS id ") {
		t.Errorf("TLS is not in the Received header:\n%s", got)
	}

	a.Set(t, "smtp_tls_security_level = encrypt")
	control(t, a, 0, "", "reload")
	id = send("encrypt")
	a.WaitLog(t, id+`: to=.*status=sent`)

	b.Set(t, "smtpd_tls_security_level = none")
	control(t, b, 0, "", "reload")
	testkit.Wait(t, "B without STARTTLS", func() bool {
		return !strings.Contains(session(t, b).Cmd("250", "EHLO c"), "STARTTLS")
	})
	id = send("encrypt without STARTTLS")
	a.WaitLog(t, id+`: to=.*dsn=4\.7\.4, status=deferred \(TLS is required, but was not offered by host`)
	a.Set(t, "smtp_tls_security_level = may")
	control(t, a, 0, "", "reload")
	control(t, a, 0, "", "flush")
	a.WaitLog(t, id+`: to=.*status=sent`)
	b.WaitMailbox(t, "you", 3)
	if strings.Contains(strings.Join(b.Mailbox(t, "you"), ""), "other@a.test> SIZE") {
		t.Error("parameters in the envelope")
	}
}

// TestLoopEnds: two hosts that think that the other one is responsible. The
// message dies of old age in hops, with one notice.
func TestLoopEnds(t *testing.T) {
	t.Parallel()
	a, b := testkit.New(t), testkit.New(t)
	for _, x := range []struct{ from, to *testkit.Instance }{{a, b}, {b, a}} {
		x.from.Set(t, fmt.Sprintf("transport_maps = inline:{ { loop.test=smtp:[127.0.0.1]:%d } }", x.to.Port), "smtp_tls_security_level = none",
			"relay_domains = loop.test", "hopcount_limit = 12", "smtpd_client_event_limit_exceptions = static:all")
	}
	b.Set(t, "virtual_mailbox_domains =", fmt.Sprintf("relayhost = [127.0.0.1]:%d", a.Port), "myhostname = b.example.test")
	a.Start(t)
	b.Start(t)
	session(t, a).Message("you@example.test", "x@loop.test", "Subject: round and round\n\nx\n")
	notice := a.WaitMailbox(t, "you", 1)[0]
	d := parseDSN(t, notice)
	field(t, d.perRcpt[0], "Status", `5\.4\.0|5\.4\.6`)
	if !strings.Contains(notice, "too many hops") {
		t.Errorf("notice:\n%s", notice)
	}
	testkit.Wait(t, "empty queues", func() bool {
		return len(a.Queue(t, "incoming", "active", "deferred", "bounce"))+len(b.Queue(t, "incoming", "active", "deferred", "bounce")) == 0
	})
	time.Sleep(300 * time.Millisecond)
	if n := len(a.Mailbox(t, "you")); n != 1 {
		t.Errorf("%d notices", n)
	}
}

// TestMX: preference, several hosts for one domain, no mail accepted, loops to
// ourselves, names that do not exist and servers that do not answer.
func TestMX(t *testing.T) {
	t.Parallel()
	best := newSink(t, "127.0.0.21:0")
	port := best.Port
	newSink(t, fmt.Sprintf("127.0.0.22:%d", port))
	only := newSink(t, fmt.Sprintf("127.0.0.23:%d", port))
	zone := dnstest.Start(t, `
pref.test.      60 IN MX 20 second.mx.test.
pref.test.      60 IN MX 10 best.mx.test.
best.mx.test.   60 IN A 127.0.0.21
second.mx.test. 60 IN A 127.0.0.22
down.test.      60 IN MX 10 dead.mx.test.
down.test.      60 IN MX 20 second.mx.test.
dead.mx.test.   60 IN A 127.0.0.29
null.test.      60 IN MX 0 .
self.test.      60 IN MX 10 mail.example.test.
self.test.      60 IN MX 20 second.mx.test.
backup.test.    60 IN MX 10 best.mx.test.
backup.test.    60 IN MX 20 mail.example.test.
mail.example.test. 60 IN A 127.0.0.1
host.test.      60 IN A 127.0.0.23
alias.test.     60 IN CNAME host.test.
gone.test.      60 IN MX 10 nohost.mx.test.
broken.test.    SERVFAIL
`)
	mail := testkit.New(t)
	zone.WriteResolvConf(t, mail.Etc(""))
	mail.Set(t, fmt.Sprintf("smtp_tcp_port = %d", port), "smtp_tls_security_level = none", "relay_domains = backup.test",
		"smtp_dns_support_level = enabled", "inet_interfaces = 127.0.0.1")
	mail.Start(t)
	for _, tc := range []struct{ name, domain, log string }{
		{"preference", "pref.test", `relay=best\.mx\.test\[127\.0\.0\.21\]:\d+, .*status=sent`},
		{"next host", "down.test", `relay=second\.mx\.test\[127\.0\.0\.22\]:\d+, .*status=sent`},
		{"address without MX", "host.test", `relay=host\.test\[127\.0\.0\.23\]:\d+, .*status=sent`},
		{"alias", "alias.test", `relay=\S+\[127\.0\.0\.23\]:\d+, .*status=sent`},
		{"null MX", "null.test", `relay=none, .*dsn=5\.1\.(0|10), status=bounced \(Domain null\.test does not accept mail \(nullMX\)\)`},
		{"we are a backup MX", "backup.test", `relay=best\.mx\.test\[127\.0\.0\.21\]:\d+, .*status=sent`},
		{"no such domain", "nodomain.test", `relay=none, .*dsn=5\.4\.4, status=bounced \(Host or domain name not found\. Name service error for name=nodomain\.test type=(A|AAAA): Host not found\)`},
		{"MX without address", "gone.test", `relay=none, .*dsn=5\.4\.4, status=bounced \(Host or domain name not found\. Name service error for name=nohost\.mx\.test type=(A|AAAA): Host not found\)`},
		{"name server fails", "broken.test", `relay=none, .*dsn=4\.4\.3, status=deferred \(Host or domain name not found\. Name service error for name=broken\.test type=MX: Host not found, try again\)`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id := session(t, mail).Message("a@example.test", "x@"+tc.domain, "Subject: "+tc.name+"\n\nx\n")
			mail.WaitLog(t, id+`: to=<x@`+regexp.QuoteMeta(tc.domain)+`>, `)
			if line := mail.WaitLog(t, id+`: to=<x@.*`)[0]; !regexp.MustCompile(tc.log).MatchString(line) {
				t.Errorf("log: %s\nwant %s", line, tc.log)
			}
		})
	}
	if n := len(only.got()); n != 2 {
		t.Errorf("%d messages for the host without MX", n)
	}

	// A server that says no for now hands over to the next; one that says
	// no for good does not.
	best.on(func(verb, line string) string {
		switch {
		case verb == "connect":
			return "421 4.3.2 closed for now"
		}
		return ""
	})
	id := session(t, mail).Message("a@example.test", "x@pref.test", "Subject: 421\n\nx\n")
	mail.WaitLog(t, id+`: to=<x@pref\.test>, relay=second\.mx\.test\[127\.0\.0\.22\]`)
	best.on(func(verb, line string) string {
		if verb == "RCPT" {
			return "550 5.7.1 no"
		}
		return ""
	})
	id = session(t, mail).Message("a@example.test", "x@pref.test", "Subject: 550\n\nx\n")
	mail.WaitLog(t, id+`: to=<x@pref\.test>, relay=best\.mx\.test\[127\.0\.0\.21\]:\d+, .*status=bounced`)
}

// TestMXIsUs: on the port of SMTP, a domain whose best server we are, without
// our configuration knowing the domain, comes back.
func TestMXIsUs(t *testing.T) {
	t.Parallel()
	zone := dnstest.Start(t, `
self.test.      60 IN MX 10 mail.example.test.
self.test.      60 IN MX 20 second.mx.test.
second.mx.test. 60 IN A 127.0.0.22
mail.example.test. 60 IN A 127.0.0.1
`)
	mail := testkit.New(t)
	zone.WriteResolvConf(t, mail.Etc(""))
	mail.Start(t)
	id := session(t, mail).Message("a@example.test", "x@self.test", "Subject: x\n\nx\n")
	mail.WaitLog(t, id+`: to=<x@self\.test>, relay=none, .*dsn=5\.4\.6, status=bounced \(mail for self\.test loops back to myself\)`)
}

// TestFallbackRelay: when nobody answers, the fallback relay has the mail.
func TestFallbackRelay(t *testing.T) {
	t.Parallel()
	fallback := newSink(t)
	mail := relayHost(t, testkit.NewClosed(t).Hop(), "smtp_fallback_relay = "+fallback.hop())
	mail.Start(t)
	id := session(t, mail).Message("a@example.test", "x@remote.test", "Subject: x\n\nx\n")
	mail.WaitLog(t, id+fmt.Sprintf(`: to=<x@remote\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:%d, .*status=sent`, fallback.Port))
}

// TestLMTP: each recipient has a result of its own.
func TestLMTP(t *testing.T) {
	t.Parallel()
	server := newSink(t)
	server.LMTP = true
	server.on(func(verb, line string) string {
		switch {
		case verb == "." && strings.Contains(line, "<full@"):
			return "452 4.2.2 mailbox full"
		case verb == "." && strings.Contains(line, "<gone@"):
			return "550 5.2.1 mailbox closed"
		case verb == "RCPT" && strings.Contains(line, "<no@"):
			return "550 5.1.1 no such user"
		}
		return ""
	})
	mail := testkit.New(t)
	mail.Set(t, fmt.Sprintf("mailbox_transport = lmtp:inet:127.0.0.1:%d", server.Port), fmt.Sprintf("transport_maps = inline:{ { lmtp.test=lmtp:inet:127.0.0.1:%d } }", server.Port))
	mail.Start(t)
	id := session(t, mail).Message("you@example.test", "ok@lmtp.test,full@lmtp.test,gone@lmtp.test,no@lmtp.test", "Subject: four\n\nx\n")
	for _, expr := range []string{
		`to=<ok@lmtp\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*dsn=2\.1\.5, status=sent \(250 2\.1\.5 Ok\)`,
		`to=<full@lmtp\.test>, .*dsn=4\.2\.2, status=deferred \(host .* said: 452 4\.2\.2 mailbox full \(in reply to end of DATA command\)\)`,
		`to=<gone@lmtp\.test>, .*dsn=5\.2\.1, status=bounced \(host .* said: 550 5\.2\.1 mailbox closed \(in reply to end of DATA command\)\)`,
		`to=<no@lmtp\.test>, .*dsn=5\.1\.1, status=bounced \(host .* said: 550 5\.1\.1 no such user \(in reply to RCPT TO command\)\)`,
	} {
		mail.WaitLog(t, id+`: `+expr)
	}
	if text := mail.Log(); !regexp.MustCompile(`postfix/lmtp\[\d+\]: ` + id).MatchString(text) {
		t.Error("the agent does not call itself lmtp")
	}
	d := parseDSN(t, mail.WaitMailbox(t, "you", 1)[0])
	if len(d.perRcpt) != 2 {
		t.Errorf("%d recipients in the notice", len(d.perRcpt))
	}
	if len(server.got()) != 1 || !strings.HasPrefix(server.said(), "LHLO mail.example.test") {
		t.Errorf("the server heard\n%s", server.said())
	}
}

// TestOldServers: what a server does not offer is done without, or comes back.
func TestOldServers(t *testing.T) {
	t.Parallel()
	server := newSink(t)
	mail := relayHost(t, server.hop())
	mail.Start(t)

	server.offer("PIPELINING") // neither 8BITMIME nor SMTPUTF8 nor SIZE
	id := withParams(session(t, mail), " BODY=8BITMIME", "x@remote.test",
		"Subject: eight\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße\n")
	mail.WaitLog(t, id+`: .*status=sent`)
	got := server.wait(t, 1)[0]
	if !strings.Contains(got.Text, "quoted-printable") || !strings.Contains(got.Text, "Gr=C3=BC=C3=9Fe") || strings.Contains(got.Mail, "BODY") {
		t.Errorf("8BITMIME downgrade: %s\n%s", got.Mail, got.Text)
	}
	s := session(t, mail)
	s.Cmd("250", "MAIL FROM:<grüße@sender.test> SMTPUTF8")
	s.Cmd("250", "RCPT TO:<x@remote.test>")
	s.Cmd("354", "DATA")
	id = strings.Fields(s.Cmd("250", "Subject: x\r\n\r\nx\r\n."))[5]
	mail.WaitLog(t, id+`: to=<x@remote\.test>, .*dsn=5\.6\.7, status=bounced \(SMTPUTF8 is required, but was not offered by host 127\.0\.0\.1\[127\.0\.0\.1\]`)

	server.offer("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 100")
	s.Cmd("250", "MAIL FROM:<grüße@sender.test> SMTPUTF8 BODY=8BITMIME")
	s.Cmd("250", "RCPT TO:<ä@remote.test>")
	s.Cmd("354", "DATA")
	id = strings.Fields(s.Cmd("250", "Subject: Ü\r\n\r\nx\r\n."))[5]
	mail.WaitLog(t, id+`: to=<ä@remote\.test>, .*dsn=5\.3\.4, status=bounced \(message size \d+ exceeds size limit 100 of server 127\.0\.0\.1\[127\.0\.0\.1\]\)`)
	server.offer("8BITMIME", "SMTPUTF8", "SIZE 100000")
	s.Cmd("250", "MAIL FROM:<grüße@sender.test> SMTPUTF8 BODY=8BITMIME")
	s.Cmd("250", "RCPT TO:<ä@remote.test>")
	s.Cmd("354", "DATA")
	id = strings.Fields(s.Cmd("250", "Subject: Ü\r\n\r\nx\r\n."))[5]
	mail.WaitLog(t, id+`: to=<ä@remote\.test>, .*status=sent`)
	got = server.find(t, "Subject: Ü\n")
	if !strings.Contains(got.Mail, "SMTPUTF8") || !strings.Contains(got.Mail, "BODY=8BITMIME") || !strings.Contains(got.Mail, "SIZE=") || !strings.Contains(got.Text, "Subject: Ü\n") {
		t.Errorf("SMTPUTF8: %s\n%s", got.Mail, got.Text)
	}

	// A server of 1982.
	server.on(func(verb, _ string) string {
		if verb == "EHLO" {
			return "502 what?"
		}
		return ""
	})
	id = session(t, mail).Message("a@sender.test", "x@remote.test", "Subject: HELO\n\n..dot\n")
	mail.WaitLog(t, id+`: .*status=sent`)
	if got = server.find(t, "Subject: HELO\n"); !strings.HasSuffix(got.Text, "\n.dot\n") && !strings.HasSuffix(got.Text, "\n.dot\n\n") {
		t.Errorf("text %q", got.Text)
	}
}

// TestDeadDestination: a destination that does not answer is left alone, and
// its mail is deferred without a look, until a flush brings it back. That it
// comes back by itself is pkg/sched's to show, where the clock is ours.
func TestDeadDestination(t *testing.T) {
	t.Parallel()
	var open atomic.Bool
	var tries atomic.Int32
	server := newSink(t)
	server.on(func(verb, _ string) string {
		if verb == "connect" {
			tries.Add(1)
			if !open.Load() {
				return "close"
			}
		}
		return ""
	})
	mail := relayHost(t, server.hop(),
		"default_destination_concurrency_failed_cohort_limit = 1", "smtp_connection_cache_on_demand = no", "smtp_destination_recipient_limit = 2",
		// No second try before the flush, however long the first one takes.
		"minimal_backoff_time = 1000s", "maximal_backoff_time = 1000s")
	mail.Start(t)
	var to []string
	for n := range 40 {
		to = append(to, fmt.Sprintf("x%d@remote.test", n))
	}
	id := session(t, mail).Message("a@sender.test", strings.Join(to, ","), "Subject: 0\n\nx\n")
	mail.WaitLog(t, id+`: to=<\S+>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*status=deferred \(lost connection with 127\.0\.0\.1\[127\.0\.0\.1\] while receiving the initial server greeting\)`)
	mail.WaitLog(t, id+`: to=<\S+>, relay=none, .*status=deferred \(delivery temporarily suspended: lost connection with`)
	testkit.Wait(t, "end of the first try", func() bool {
		return strings.Count(mail.Log(), "status=deferred") == 40 && len(mail.Queue(t, "deferred")) == 1
	})
	if n := tries.Load(); n > 9 {
		t.Errorf("%d connections to a dead destination", n)
	}
	open.Store(true)
	mail.Must(t, "postqueue", "-f")
	server.wait(t, 20)
	mail.WaitLog(t, id+`: removed`)
}

// TestConcurrencyAndReuse: no more connections at once than allowed, and one
// connection for several messages while there is a backlog.
func TestConcurrencyAndReuse(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	// Nothing is answered before all messages wait, nor one alone before
	// there is a second.
	queued, second := make(chan struct{}), make(chan struct{})
	var once sync.Once
	server := newSink(t)
	server.on(func(verb, _ string) string {
		if verb == "." {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-queued
			if n > 1 {
				once.Do(func() { close(second) })
			} else if len(server.got()) > 10 {
				// The window has grown by then.
				select {
				case <-second:
				case <-time.After(30 * time.Second):
				}
			}
			now.Add(-1)
		}
		return ""
	})
	mail := relayHost(t, server.hop(), "smtp_destination_concurrency_limit = 3", "initial_destination_concurrency = 1")
	mail.Start(t)
	s := session(t, mail)
	for n := range 40 {
		s.Message("a@sender.test", fmt.Sprintf("x%d@remote.test", n), "Subject: x\n\nx\n")
	}
	close(queued)
	server.wait(t, 40)
	if n := most.Load(); n > 3 || n < 2 {
		t.Errorf("%d messages at once", n)
	}
	if n := server.connections(); n > 30 {
		t.Errorf("%d connections for 40 messages", n)
	}
	mail.WaitLog(t, `status=sent.*(?s:.*)conn_use=\d+|conn_use=\d+, .*status=sent`)
}

// TestOneMessageManyRecipients: the limit of recipients for a transaction, and
// a server that takes some of them.
func TestOneMessageManyRecipients(t *testing.T) {
	t.Parallel()
	server := newSink(t)
	server.on(func(verb, line string) string {
		if verb == "RCPT" && strings.Contains(line, "<busy") {
			return "450 4.2.0 later"
		}
		return ""
	})
	mail := relayHost(t, server.hop(), "smtp_destination_recipient_limit = 10", "minimal_backoff_time = 100s")
	mail.Start(t)
	var to []string
	for n := range 24 {
		to = append(to, fmt.Sprintf("r%d@remote.test", n))
	}
	to = append(to, "busy@remote.test")
	id := session(t, mail).Message("a@sender.test", strings.Join(to, ","), "Subject: x\n\nx\n")
	server.wait(t, 3)
	mail.WaitLog(t, id+`: to=<busy@remote\.test>, .*status=deferred`)
	testkit.Wait(t, "all recipients", func() bool { return strings.Count(mail.Log(), "status=sent") == 24 })
	for _, m := range server.got() {
		if len(m.Rcpts) > 10 {
			t.Errorf("%d recipients in a transaction", len(m.Rcpts))
		}
	}
	// The agent logs before it marks a recipient in the queue file.
	testkit.Wait(t, "list of the one that is left", func() bool {
		out := mail.Must(t, "postqueue", "-p")
		return strings.Contains(out, "busy@remote.test") && strings.Count(out, "@remote.test") == 1
	})
}
