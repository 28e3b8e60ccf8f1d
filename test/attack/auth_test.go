package attack

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// withUser makes the account me@example.test with the password "0pensesame".
func withUser(t *testing.T, mail *testkit.Instance) {
	t.Helper()
	mail.Must(t, "userdb", "me@example.test", "set", "uid=65534", "gid=65534", "home=/nonexistent")
	hash := mail.Command("userdbpw", "-scheme", "SSHA256")
	hash.Stdin = strings.NewReader("0pensesame\n")
	stored, err := hash.Output()
	if err != nil {
		t.Fatal(err)
	}
	set := mail.Command("userdb", "me@example.test", "set", "systempw")
	set.Stdin = strings.NewReader(string(stored))
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// submissionSite is a site with a user and without delays for guesses.
func submissionSite(t *testing.T, settings ...string) *testkit.Instance {
	t.Helper()
	mail := site(t, append([]string{"auth_failure_delay = 0", "auth_max_failures = 0", "submission_messages_per_hour = 0",
		"submission_connection_limit = 0", "myorigin = example.test"}, settings...)...)
	withUser(t, mail)
	mail.Start(t)
	return mail
}

func submissionPort(mail *testkit.Instance) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(mail.Port+1))
}

// mailUser is a client of the submission port inside TLS.
func mailUser(t *testing.T, mail *testkit.Instance) *client {
	t.Helper()
	c := hello(t, submissionPort(mail), stranger)
	c.startTLS()
	c.must("250", "EHLO x")
	return c
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// TestAuthGarbage: whatever stands in AUTH, nobody is logged in, nothing
// crashes, and the login of another goes on (AU5, AU6).
func TestAuthGarbage(t *testing.T) {
	mail := submissionSite(t)
	c := mailUser(t, mail)
	for _, line := range []string{
		"AUTH", "AUTH =", "AUTH PLAIN =", "AUTH PLAIN *", "AUTH PLAIN ====", "AUTH PLAIN AA=A", "AUTH PLAIN " + b64("a\x00b\x00c\x00d"),
		"AUTH PLAIN " + b64("\x00me@example.test\x00"), "AUTH PLAIN " + b64("\x00\x000pensesame"), "AUTH PLAIN " + b64("\x00\x00"),
		"AUTH PLAIN " + b64("other@example.test\x00me@example.test\x000pensesame"), "AUTH PLAIN " + b64("\x00me@example.test\x000pensesame\x00"),
		"AUTH PLAIN " + b64("\x00me@example.test\x00"+strings.Repeat("x", 5000)), "AUTH PLAIN " + strings.Repeat("A", 60000),
		"AUTH PLAIN " + b64("\x00"+strings.Repeat("a", 1000)+"\x000pensesame"), "AUTH plain x y", "AUTH PLAIN\x00 AA==",
		"AUTH PLAIN " + b64("\x00' or 1=1--\x000pensesame"), "AUTH PLAIN " + b64("\x00*)(uid=*\x000pensesame"), "AUTH PLAIN " + b64("\x00%u\x000pensesame"),
		"AUTH PLAIN " + b64("\x00me@example.test\tuid=0|x\x000pensesame"), "AUTH PLAIN " + b64("\x00me@example.test\nx\x000pensesame"),
		"AUTH PLAIN " + b64("\x00../me@example.test\x000pensesame"), "AUTH ANONYMOUS", "AUTH EXTERNAL =", "AUTH XOAUTH2 " + b64("user=me\x01auth=Bearer x\x01\x01"),
		"AUTH SCRAM-SHA-256 " + b64("n,,n=me@example.test,r="), "AUTH CRAM-MD5 AA==", "AUTH DIGEST-MD5", "AUTH ../../etc/passwd",
	} {
		reply := c.ask("%s", line)
		for strings.HasPrefix(reply, "334") {
			reply = c.ask("%s", b64("\x00\x00\xff"))
		}
		if reply == "" {
			c = mailUser(t, mail)
		} else if reply[0] != '5' && reply[0] != '4' {
			t.Fatalf("%.60q is answered with %q", line, reply)
		}
		if reply != "" && strings.HasPrefix(c.ask("MAIL FROM:<me@example.test>"), "2") {
			t.Fatalf("%.60q logs in", line)
		}
	}
	// Exchanges that are given up, and connections that end in one.
	for range 200 {
		c.want("334", c.ask("AUTH PLAIN"))
		c.want("501", c.ask("*"))
	}
	for range 30 {
		gone := mailUser(t, mail)
		gone.want("334", gone.ask("AUTH LOGIN"))
		gone.conn.Close()
	}
	c.want("235", c.ask("AUTH PLAIN %s", b64("\x00me@example.test\x000pensesame")))
	c.want("503", c.ask("AUTH PLAIN %s", b64("\x00me@example.test\x000pensesame")))
	alive(t, mail)
	if strings.Contains(mail.Log(), "0pensesame") || strings.Contains(mail.Log(), "panic") {
		t.Error("the log has a password, or a panic")
	}
}

// TestAuthDowngrade: no mechanism that shows the password without TLS (AU3),
// and no login that was made before TLS.
func TestAuthDowngrade(t *testing.T) {
	mail := submissionSite(t, "submission_tls_security_level = may", "auth_cleartext_networks =", "smtpd_sasl_auth_enable = yes", "smtpd_tls_auth_only = no")
	c := hello(t, submissionPort(mail), stranger)
	if ehlo := c.ask("EHLO x"); strings.Contains(ehlo, "AUTH") {
		t.Errorf("offered without TLS: %q", ehlo)
	}
	reply := c.ask("AUTH PLAIN %s", b64("\x00me@example.test\x000pensesame"))
	if reply[0] != '5' {
		t.Errorf("PLAIN without TLS: %q", reply)
	}
	c.want("530", c.ask("MAIL FROM:<me@example.test>"))
	// Port 25 of a site that wants no TLS still shows no password of a stranger.
	c = hello(t, mail.Addr(), stranger)
	if ehlo := c.ask("EHLO x"); strings.Contains(ehlo, "PLAIN") || strings.Contains(ehlo, "LOGIN") {
		t.Errorf("PLAIN without TLS is offered to a stranger: %q", ehlo)
	}
}

// TestAuthBruteForce: guesses on one connection end it (AU1), and each is
// logged in the form that fail2ban knows.
func TestAuthBruteForce(t *testing.T) {
	mail := submissionSite(t, "smtpd_hard_error_limit = 5")
	c := mailUser(t, mail)
	closed := false
	for i := range 10 {
		reply := c.ask("AUTH PLAIN %s", b64(fmt.Sprintf("\x00me@example.test\x00guess%d", i)))
		if reply == "" || strings.HasPrefix(reply, "421") {
			closed = true
			break
		}
		c.want("535 5.7.8", reply)
	}
	if !closed {
		t.Error("ten guesses on one connection")
	}
	mail.WaitLog(t, `warning: [-._\w]+\[127\.0\.0\.2\]: SASL PLAIN authentication failed: `)
	mail.WaitLog(t, `too many errors after AUTH from`)
}

// TestAuthdKilled: without authd nobody is logged in, and it is a temporary
// failure (AU10).
func TestAuthdKilled(t *testing.T) {
	testkit.NeedRoot(t)
	mail := submissionSite(t)
	c := mailUser(t, mail)
	c.want("334", c.ask("AUTH PLAIN"))
	pid, err := strconv.Atoi(mail.WaitLog(t, `authd\[(\d+)\]: jail`)[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if reply := c.ask("%s", b64("\x00me@example.test\x000pensesame")); !strings.HasPrefix(reply, "454 4.7.0") {
		t.Errorf("%q", reply)
	}
	c.want("530", c.ask("MAIL FROM:<me@example.test>"))
	testkit.Wait(t, "login after the restart of authd", func() bool {
		return strings.HasPrefix(c.ask("AUTH PLAIN %s", b64("\x00me@example.test\x000pensesame")), "235")
	})
}

// TestSubmissionInjection: what is no address stays out of envelope, header and
// log (HI1), Bcc does not leave (HI2), forged trace fields do no harm (HI3).
func TestSubmissionInjection(t *testing.T) {
	mail := submissionSite(t)
	c := mailUser(t, mail)
	c.must("235", "AUTH PLAIN %s", b64("\x00me@example.test\x000pensesame"))
	for _, line := range []string{"MAIL FROM:<me@example.test\rX: y>", "MAIL FROM:<me@example.test\x00>", "MAIL FROM:<me@example.test> AUTH=a+0Ab",
		"MAIL FROM:<me@example.test> HOLDUNTIL=2099-13-41T00:00:00Z", "MAIL FROM:<me@example.test> HOLDFOR=99999999999999999999",
		"MAIL FROM:<me@example.test> HOLDFOR=-1", "MAIL FROM:<me@example.test> HOLDFOR=999999999", "MAIL FROM:<me@example.test> MT-PRIORITY=10",
		"MAIL FROM:<me@example.test> MT-PRIORITY=", "MAIL FROM:<me@example.test> HOLDFOR=5 HOLDFOR=6"} {
		if reply := c.ask("%s", line); reply[0] != '5' {
			t.Errorf("%q is answered with %q", line, reply)
		}
	}
	send := func(text string) string {
		c.must("250", "MAIL FROM:<me@example.test>")
		c.must("250", "RCPT TO:<you@example.test>")
		c.must("354", "DATA")
		c.say(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n.\r\n")
		return c.reply()
	}
	many := strings.Repeat("\n x@y.test,", 4000)
	c.want("250", send("From: me@example.test\nTo: friends: a@b.test, c@d.test;\nBCC : hidden@x.test,\n\thidden2@x.test\nresent-bcc: hidden@x.test\nCc:"+many+" z@y.test\nReturn-Path: <forged@x.test>\nDelivered-To: x@y.test\nSubject: bare\rBcc: x\n\nbody\n"))
	text := mail.WaitMailbox(t, "you", 1)[0]
	for _, not := range []string{"hidden", "forged@x.test", "\r"} {
		if strings.Contains(text, not) {
			t.Errorf("%q in\n%.2000s", not, text)
		}
	}
	if strings.Count(text, "x@y.test,") != 4000 {
		t.Error("the long header was not kept")
	}
	c.want("554 5.4.0", send(strings.Repeat("Received: from x by y; now\n", 60)+"From: me@example.test\n\nx"))
	c.want("552 5.3.4", send("From: me@example.test\nX-Long: "+strings.Repeat("\n "+strings.Repeat("x", 900), 200)+"\n\nx"))
	c.want("552 5.3.4", send("From: me@example.test\n"+strings.Repeat("X-Many: x\n", 3000)+"\nx"))
	alive(t, mail)
}

// TestTicketsOfServices: a session ticket of one service does not resume at
// another (P11, ST12).
func TestTicketsOfServices(t *testing.T) {
	mail := submissionSite(t)
	cache := tls.NewLRUClientSessionCache(8)
	shake := func(port int, wrapper bool) bool {
		t.Helper()
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		if !wrapper {
			buf := make([]byte, 4096)
			for _, line := range []string{"", "EHLO x\r\n", "STARTTLS\r\n"} {
				conn.Write([]byte(line))
				if _, err := conn.Read(buf); err != nil {
					t.Fatal(err)
				}
			}
		}
		tc := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: "mail.example.test", ClientSessionCache: cache})
		if err := tc.Handshake(); err != nil {
			t.Fatal(err)
		}
		// The ticket comes with the first data.
		if !wrapper {
			tc.Write([]byte("NOOP\r\n"))
		}
		if _, err := tc.Read(make([]byte, 1)); err != nil && !os.IsTimeout(err) {
			t.Fatal(err)
		}
		return tc.ConnectionState().DidResume
	}
	if shake(mail.Port, false) || !shake(mail.Port, false) {
		t.Fatal("tickets do not work at all")
	}
	for name, resumed := range map[string]bool{"submission": shake(mail.Port+1, false), "submissions": shake(mail.Port+2, true)} {
		if resumed {
			t.Errorf("a ticket of port 25 resumes at %s", name)
		}
	}
}
