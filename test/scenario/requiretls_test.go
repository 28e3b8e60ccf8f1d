package scenario

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestRequireTLS: mail that must go by TLS comes back when it cannot, by way of
// an alias too, and its notices have the header only (RFC 8689).
func TestRequireTLS(t *testing.T) {
	plain := newSink(t)
	i := testkit.New(t, testkit.Users("you"))
	submissionUsers(t, i, "you")
	i.Set(t, "auth_failure_delay = 0", "myorigin = example.test", "relayhost = "+plain.hop(), "smtp_tls_security_level = may",
		"virtual_alias_maps = inline:{{both@example.test=you@example.test, elsewhere@far.test}}")
	i.Start(t)
	c := dialSubmission(t, i)
	if ehlo := c.want("250", "EHLO client.test"); !strings.Contains(ehlo, "REQUIRETLS") {
		t.Errorf("EHLO gives %q", ehlo)
	}
	c.want("235", submitLogin)
	send := func(to string) {
		t.Helper()
		c.want("250", "MAIL FROM:<you@example.test> REQUIRETLS RET=FULL")
		c.want("250", "RCPT TO:<"+to+">")
		c.want("354", "DATA")
		c.want("250", "Subject: for few\r\n\r\nthe secret\r\n.")
	}
	send("a@far.test")
	i.WaitLog(t, `to=<a@far\.test>, relay=127\.0\.0\.1.*, dsn=5\.7\.10, status=bounced \(TLS is required, but was not offered by host`)
	notice := i.WaitMailbox(t, "you", 1)[0]
	if !strings.Contains(notice, "Status: 5.7.10") || !strings.Contains(notice, "Subject: for few") || strings.Contains(notice, "the secret") {
		t.Errorf("notice:\n%s", notice)
	}
	send("both@example.test")
	i.WaitLog(t, `to=<elsewhere@far\.test>, orig_to=<both@example\.test>, relay=127\.0\.0\.1.*, dsn=5\.7\.10, status=bounced`)
	i.WaitMailbox(t, "you", 3)
	// From the command line, where nothing is on a network yet.
	i.Send(t, "Subject: x\n\nx\n", "-O", "requiretls=yes", "-f", "you@example.test", "c@far.test")
	i.WaitLog(t, `to=<c@far\.test>, .*, dsn=5\.7\.10, status=bounced`)
	i.WaitMailbox(t, "you", 4)
	if got := plain.got(); len(got) > 0 {
		t.Errorf("the server without TLS got %d messages", len(got))
	}
}

// TestTLSRequiredNo: a message may say that it would rather go in clear than
// not at all.
func TestTLSRequiredNo(t *testing.T) {
	plain := newSink(t)
	i := relayHost(t, plain.hop(), "smtp_tls_security_level = encrypt")
	i.Start(t)
	i.Send(t, "Subject: waits\n\nx\n", "a@far.test")
	i.WaitLog(t, `to=<a@far\.test>, .*, dsn=4\.7\.4, status=deferred \(TLS is required, but was not offered by host`)
	i.Send(t, "Subject: goes\nTLS-Required: No\n\nx\n", "b@far.test")
	i.WaitLog(t, `to=<b@far\.test>, .*, dsn=2\.0\.0, status=sent`)
}

// TestRequireTLSInQueue: Debian's Postfix reads a queue file with the wish.
func TestRequireTLSInQueue(t *testing.T) {
	i := testkit.New(t)
	i.Set(t, "defer_transports = smtp")
	i.Start(t)
	i.Send(t, "Subject: x\n\nx\n", "-O", "requiretls=yes", "a@far.test")
	i.Send(t, "Subject: x\nTLS-Required: No\n\nx\n", "b@far.test")
	testkit.Wait(t, "two messages", func() bool { return len(i.Queue(t, "deferred")) == 2 })
	all := ""
	for _, id := range i.Queue(t, "deferred") {
		found, _ := filepath.Glob(i.Spool("deferred/" + id[:1] + "/" + id))
		f := strings.Join(append(found, i.Spool("deferred/"+id))[:1], "")
		out, err := refpostfix.Tool(t, "postcat", "-c", filepath.Dir(i.Etc("x")), f).CombinedOutput()
		if err != nil {
			t.Errorf("postcat %s: %v\n%s", f, err, out)
		}
		all += string(out)
	}
	for _, want := range []string{"named_attribute: requiretls=yes\n", "named_attribute: requiretls=no\n"} {
		if strings.Count(all, want) != 1 {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
}
