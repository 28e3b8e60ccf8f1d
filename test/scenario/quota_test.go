package scenario

import (
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// roomFor waits until smtpd answers RCPT TO for a mailbox in a way.
func roomFor(t *testing.T, mail *testkit.Instance, user, want string) {
	t.Helper()
	testkit.Wait(t, want+" to RCPT TO for "+user, func() bool {
		s := testkit.Dial(t, mail.Addr())
		defer s.Conn.Close()
		s.Cmd("250", "HELO c.test")
		s.Cmd("250", "MAIL FROM:<sender@example.org>")
		return strings.HasPrefix(s.Cmd("", "RCPT TO:<%s@example.test>", user), want)
	})
}

// fill stores messages of 8 kB by IMAP until there is no room.
func (c *imapClient) fill() {
	c.t.Helper()
	for range 10 {
		c.raw("f APPEND INBOX {8000+}\r\nSubject: x\r\n\r\n" + strings.Repeat("x", 8000-14) + "\r\n")
		lines := c.until("f")
		if last := lines[len(lines)-1]; strings.HasPrefix(last, "f NO [OVERQUOTA]") {
			return
		} else if !strings.HasPrefix(last, "f OK") {
			c.t.Fatal(last)
		}
	}
	c.t.Fatal("no quota")
}

// TestQuotaToldToSMTP: a mailbox that IMAP filled is refused by smtpd, which asks
// authd, which may not look into mailboxes; and accepted again after an EXPUNGE or
// a DELE. A reload forgets nothing.
func TestQuotaToldToSMTP(t *testing.T) {
	mail := hosting(t)
	mail.UserDB(t, "secret", []string{"you", "ann"}, "quota=20000S")
	mail.Start(t)
	roomFor(t, mail, "you", "250")
	c := dialIMAP(t, mail, false)
	c.login("you")
	c.cmd("OK", "SELECT INBOX")
	c.fill()
	roomFor(t, mail, "you", "552 5.2.2 <you@example.test>")
	roomFor(t, mail, "ann", "250")
	mail.Must(t, "posthouse", "reload")
	roomFor(t, mail, "you", "552 5.2.2 <you@example.test>")
	c.cmd("OK", `STORE 1 +FLAGS (\Deleted)`)
	c.cmd("OK", "EXPUNGE")
	roomFor(t, mail, "you", "250")
	c.fill()
	roomFor(t, mail, "you", "552 5.2.2 <you@example.test>")
	c.cmd("OK", "LOGOUT")

	p := dialPOP3(t, pop3Addr(mail, 5), false)
	p.login("you")
	p.cmd("+OK", "DELE 1")
	p.cmd("+OK", "QUIT")
	roomFor(t, mail, "you", "250")
}

// TestQuotaToldByDelivery: what virtual cannot deliver for want of room is refused
// from then on; a message that is too large for a mailbox with room is not the end
// for the others.
func TestQuotaToldByDelivery(t *testing.T) {
	mail := hosting(t)
	mail.UserDB(t, "secret", []string{"you", "ann"}, "quota=200000S")
	mail.Start(t)
	mail.Send(t, "Subject: large\n\n"+strings.Repeat(strings.Repeat("x", 70)+"\n", 3000), "you@example.test")
	mail.WaitLog(t, `to=<you@example.test>, .*dsn=5\.2\.2, status=bounced`)
	roomFor(t, mail, "you", "250")
	for range 3 {
		mail.Send(t, "Subject: usual\n\n"+strings.Repeat(strings.Repeat("x", 70)+"\n", 1200), "ann@example.test")
	}
	mail.WaitLog(t, `to=<ann@example.test>, .*dsn=5\.2\.2, status=bounced`)
	roomFor(t, mail, "ann", "552 5.2.2 <ann@example.test>")
}
