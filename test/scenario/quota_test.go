package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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

// TestQuotaWarningByLMTP: who gets mail by LMTP is warned, once for each level,
// in the same mailbox, and the warnings count like other mail.
func TestQuotaWarningByLMTP(t *testing.T) {
	mail := testkit.New(t)
	mail.Set(t, "quota_warning_levels = 50, 80%")
	mail.UserDB(t, "secret", []string{"you", "ann"}, "quota=100000S,20C")
	mail.Start(t)
	send := func(user string, size int) {
		t.Helper()
		if got := lmtpSend(t, mail, user, size); !strings.HasPrefix(got, "250 2.0.0 ") {
			t.Fatal(got)
		}
	}
	warnings := func(user string) (subjects []string) {
		for _, text := range mail.Mailbox(t, user) {
			for line := range strings.Lines(text) {
				if s, ok := strings.CutPrefix(line, "Subject: Your mailbox is "); ok {
					subjects = append(subjects, strings.TrimSpace(s))
					if !strings.Contains(text, "\nTo: <"+user+"@example.test>\n") || !strings.Contains(text, "\nAuto-Submitted: auto-generated\n") {
						t.Errorf("warning %q", text)
					}
				}
			}
		}
		slices.Sort(subjects)
		return subjects
	}
	send("you", 20000)
	send("ann", 5000)
	send("you", 20000)
	if got := warnings("you"); len(got) > 0 {
		t.Errorf("at 40%%: %v", got)
	}
	send("you", 20000)
	send("you", 5000)
	if got := warnings("you"); !slices.Equal(got, []string{"50% full"}) {
		t.Errorf("at 65%%: %v", got)
	}
	send("you", 20000)
	if got := warnings("you"); !slices.Equal(got, []string{"50% full", "80% full"}) {
		t.Errorf("at 85%%: %v", got)
	}
	if got := warnings("ann"); len(got) > 0 {
		t.Errorf("ann: %v", got)
	}
	c := dialIMAP(t, mail, false)
	c.login("you")
	if got := c.cmd("OK", "GETQUOTAROOT INBOX"); !strings.Contains(got, "MESSAGE 7 20)") {
		t.Errorf("5 messages and 2 warnings are counted as %s", got)
	}
	c.cmd("OK", "SELECT INBOX")
	c.cmd("OK", `STORE 1:* +FLAGS.SILENT (\Deleted)`)
	c.cmd("OK", "EXPUNGE")
	for range 3 { // the level is reached again on the same day
		send("you", 20000)
	}
	if got := warnings("you"); len(got) > 0 {
		t.Errorf("again: %v", got)
	}
}

// TestExpireByAge: what mail_expire says goes at the first login of a day, and
// nothing else does.
func TestExpireByAge(t *testing.T) {
	mail := testkit.New(t)
	mail.Set(t, "mail_expire = Trash=30, Junk=7d")
	mail.UserDB(t, "secret", []string{"you"})
	mail.Start(t)
	login := func() *imapClient {
		c := dialIMAP(t, mail, false)
		c.login("you")
		return c
	}
	c := login()
	for _, name := range []string{"Trash", "Trash/Work", "Junk"} {
		c.cmd("OK", "CREATE %s", name)
	}
	c.cmd("OK", "LOGOUT")
	root := mail.Maildir("you")
	for _, age := range []int{1, 10, 40} {
		for _, sub := range []string{"", ".Trash", ".Trash.Work", ".Junk"} {
			path := filepath.Join(root, sub, "cur", fmt.Sprintf("%d.age%d.host:2,S", time.Now().AddDate(0, 0, -age).Unix(), age))
			writeBox(t, path, fmt.Sprintf("Subject: %d days\n\ntext\n", age), time.Now().AddDate(0, 0, -age))
		}
	}
	count := func(c *imapClient) string {
		c.t.Helper()
		var all []string
		for _, name := range []string{"INBOX", "Trash", "Trash/Work", "Junk"} {
			line := c.cmd("OK", "STATUS %s (MESSAGES)", name)
			_, n, _ := strings.Cut(line, "(MESSAGES ")
			n, _, _ = strings.Cut(n, ")")
			all = append(all, n)
		}
		c.cmd("OK", "LOGOUT")
		return strings.Join(all, " ")
	}
	if got := count(login()); got != "3 3 3 3" {
		t.Errorf("on the same day: %s", got)
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(filepath.Join(root, "posthouse-expired"), yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	if got := count(login()); got != "3 2 2 1" {
		t.Errorf("a day later: %s", got)
	}
}

// writeBox makes a file of the mailboxes' owner.
func writeBox(t *testing.T, path, text string, at time.Time) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if uid, gid := testkit.BoxOwner(t); os.Geteuid() == 0 {
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}
