package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/refdovecot"
	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// passOn is an instance whose submission agent sends everything to next.
func passOn(t *testing.T, next string, settings ...string) *testkit.Instance {
	t.Helper()
	i := testkit.New(t, testkit.Users("you", "other"))
	submissionUsers(t, i, "you")
	i.Set(t, append(settings, "auth_failure_delay = 0", "myorigin = example.test", "submission_relayhost = "+next)...)
	return i
}

// TestPassOn: the agent logs in to another one, over TLS, and its clients hear
// what that says.
func TestPassOn(t *testing.T) {
	home := testkit.New(t, testkit.Users("you", "other"))
	submissionUsers(t, home, "you")
	home.Set(t, "auth_failure_delay = 0")
	home.Start(t)
	next := fmt.Sprintf("[127.0.0.1]:%d", home.Port+1)
	i := passOn(t, next, "smtp_tls_security_level = encrypt", "smtp_sasl_auth_enable = yes",
		"smtp_sasl_tls_security_options = noanonymous")
	i.Set(t, "smtp_sasl_password_maps = texthash:"+i.Etc("passwords"))
	records := zone(i.Must(t, "posthouse", "dkim", "create", "example.test", "--selector", "one"))
	i.Write(t, "passwords", next+" you@example.test:wrong\n")
	os.Chmod(i.Etc("passwords"), 0o600)
	i.Start(t)
	c := dialSubmission(t, i)
	c.want("235", submitLogin)
	c.want("451 4.4.1 Error: the next mail server is not available", "MAIL FROM:<you@example.test>")
	i.WaitLog(t, `SASL authentication failed; server 127\.0\.0\.1\[127\.0\.0\.1\] said: 535 5\.7\.8 `)
	i.Write(t, "passwords", next+" you@example.test:secret\n")
	testkit.Wait(t, "a process that knows the password", func() bool {
		c.Close() // a user may have so many connections, and no more
		c = dialSubmission(t, i)
		c.want("235", submitLogin)
		return strings.HasPrefix(c.ask("MAIL FROM:<you@example.test> MT-PRIORITY=-2 RET=HDRS"), "250")
	})
	c.want("550 5.1.1 <nobody@example.test>: Recipient address rejected", "RCPT TO:<nobody@example.test>")
	c.want("250", "RCPT TO:<other@example.test> NOTIFY=NEVER")
	c.want("354", "DATA")
	c.want("250 2.0.0 Ok: ", "Subject: x\r\n\r\nx\r\n.")
	text := home.WaitMailbox(t, "other", 1)[0]
	if strings.Count(text, "with ESMTPSA id") != 2 || strings.Count(text, "(PRIORITY -2)") != 2 {
		t.Error(text)
	}
	good(t, text, records, 2)
	if q := i.Queue(t, "maildrop", "incoming", "active", "deferred", "hold"); len(q) > 0 {
		t.Errorf("in the queue: %v", q)
	}
	i.WaitLog(t, `to=<other@example\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, delay=.*, dsn=2\.0\.0, status=sent \(250 2\.0\.0 Ok: queued as `)

	// A message that is signed and does not fit into memory.
	c.message("250 2.0.0 Ok: ", "you@example.test", "other@example.test", "Subject: large\n\n"+strings.Repeat(strings.Repeat("y", 70)+"\n", 5000))
	good(t, home.WaitMailbox(t, "other", 2)[1], records, 2)

	// Nobody vouches for the certificate of the next server.
	c.want("550 5.7.10 Error: encryption needed", "MAIL FROM:<you@example.test> REQUIRETLS")

	// Without the next server nothing is taken, and nothing is lost.
	home.Stop(t)
	c = dialSubmission(t, i)
	c.want("235", submitLogin)
	c.want("451 4.4.1", "MAIL FROM:<you@example.test>")
}

// ask sends a command and returns the first line of the reply.
func (c *submitClient) ask(command string) string {
	c.t.Helper()
	c.conn.SetDeadline(time.Now().Add(time.Minute))
	c.PrintfLine("%s", command)
	line, err := c.ReadLine()
	if err != nil {
		c.t.Fatal(err)
	}
	return line
}

// TestPassOnPostfix: the server behind is Debian's Postfix.
func TestPassOnPostfix(t *testing.T) {
	postfix := refpostfix.Start(t, "virtual_mailbox_domains = example.org\nvirtual_mailbox_maps = inline:{a@example.org=a}\n"+
		"virtual_transport = discard:\nmynetworks = 127.0.0.0/8\nsmtpd_relay_restrictions = permit_mynetworks,reject\n"+
		"header_checks = regexp:{{/^Subject: spam/ REJECT we do not like it}}\n")
	host, port, _ := strings.Cut(postfix.Addr, ":")
	i := passOn(t, "smtp:["+host+"]:"+port)
	i.Start(t)
	c := dialSubmission(t, i)
	c.want("235", submitLogin)
	c.want("250", "MAIL FROM:<you@example.test> BODY=8BITMIME")
	c.want("550 5.1.1 <b@example.org>: Recipient address rejected", "RCPT TO:<b@example.org>")
	c.want("250", "RCPT TO:<a@example.org>")
	c.want("354", "DATA")
	c.want("250 2.0.0 Ok: ", "Subject: good\r\n\r\n"+strings.Repeat("\xc3\xbc\r\n..\r\n", 5000)+".")
	c.message("550 5.7.1 we do not like it", "you@example.test", "a@example.org", "Subject: spam\n\nx")
	testkit.Wait(t, "the delivery of the first message", func() bool { return strings.Contains(postfix.Log(), "status=sent") })
	if log := postfix.Settle(t); strings.Count(log, "status=sent") != 1 || !strings.Contains(log, "from=<you@example.test>") {
		t.Errorf("log of Postfix:\n%s", log)
	}
}

// TestPassOnLMTP: Dovecot's LMTP server has a word for each recipient. What it
// refuses after it took the message for others goes into the queue.
func TestPassOnLMTP(t *testing.T) {
	refdovecot.Need(t)
	dir, err := os.MkdirTemp("", "dc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	uid, gid := testkit.BoxOwner(t)
	users := map[string]refdovecot.User{}
	for _, name := range []string{"a", "b"} {
		home := filepath.Join(dir, "mail", name)
		if err := os.MkdirAll(home, 0o755); err != nil {
			t.Fatal(err)
		}
		os.Chown(home, uid, gid)
		users[name+"@example.org"] = refdovecot.User{Password: "x", Home: home, MailDir: filepath.Join(home, "Maildir")}
	}
	os.Chmod(filepath.Join(dir, "mail"), 0o755)
	dovecot := refdovecot.Start(t, refdovecot.Options{Users: users, UID: uid, GID: gid, Dir: dir})
	i := passOn(t, "lmtp:inet:"+dovecot.LMTP)
	i.Start(t)
	c := dialSubmission(t, i)
	c.want("235", submitLogin)
	c.want("250", "MAIL FROM:<you@example.test>")
	c.want("550 5.1.1 <nobody@example.org>", "RCPT TO:<nobody@example.org>")
	c.want("250", "RCPT TO:<a@example.org>")
	c.want("250", "RCPT TO:<b@example.org>")
	c.want("354", "DATA")
	c.want("250 2.0.0 Ok: ", "Subject: both\r\n\r\nx\r\n.")
	stored := func(name string) int {
		list, _ := filepath.Glob(filepath.Join(dir, "mail", name, "Maildir", "new", "*"))
		return len(list)
	}
	if stored("a") != 1 || stored("b") != 1 {
		t.Fatalf("a has %d messages, b %d", stored("a"), stored("b"))
	}
	// A file in the place of b's mailbox.
	if err := os.RemoveAll(users["b@example.org"].MailDir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(users["b@example.org"].MailDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.want("250", "MAIL FROM:<you@example.test>")
	c.want("250", "RCPT TO:<a@example.org>")
	c.want("250", "RCPT TO:<b@example.org>")
	c.want("354", "DATA")
	c.want("250 2.0.0 Ok: ", "Subject: one\r\n\r\nx\r\n.")
	if stored("a") != 2 {
		t.Errorf("a has %d messages", stored("a"))
	}
	i.WaitLog(t, `to=<b@example\.org>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*dsn=4\.\d\.\d, status=rejected`)
	i.WaitLog(t, `to=<b@example\.org>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*dsn=4\.\d\.\d, status=deferred`)
	if log := i.Log(); strings.Contains(log, "to=<a@example.org>, relay=") && strings.Count(log, "to=<a@example.org>") != 2 {
		t.Errorf("a's messages were sent more than once:\n%s", log)
	}
	// To b alone, the client is told.
	c.message("451 4.", "you@example.test", "b@example.org", "Subject: none\n\nx")
}

// TestPassOnToLMTPD: the agent in front of our own mail store, by its socket.
func TestPassOnToLMTPD(t *testing.T) {
	i := passOn(t, "lmtp:unix:private/dovecot-lmtp")
	i.Start(t)
	c := dialSubmission(t, i)
	c.want("235", submitLogin)
	c.message("250 2.0.0 Ok: ", "you@example.test", "other@example.test", "Subject: here\n\nx")
	if n := len(i.Mailbox(t, "other")); n != 1 {
		t.Errorf("%d messages", n)
	}
	c.want("250", "MAIL FROM:<you@example.test>")
	c.want("550 5.1.1", "RCPT TO:<nobody@example.test>")
}
