package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient/authtest"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// lmtpInstance is a running instance with an authd of the test's own, which
// knows its mailboxes.
func lmtpInstance(t *testing.T, settings ...string) (*testkit.Instance, *authtest.Server) {
	t.Helper()
	mail := testkit.New(t, testkit.Users("you", "ann", "full"))
	mail.Set(t, append(settings, "virtual_minimum_uid = 1")...)
	text, err := os.ReadFile(mail.Etc("master.cf"))
	if err != nil {
		t.Fatal(err)
	}
	mail.Write(t, "master.cf", strings.ReplaceAll(string(text), "\nauthd ", "\n#authd "))
	uid, gid := testkit.BoxOwner(t)
	var accounts []authtest.Account
	for _, name := range []string{"you", "ann", "full"} {
		dir := filepath.Join(mail.Dir, "mail", testkit.Domain, name)
		accounts = append(accounts, authtest.Account{OverQuota: name == "full", Password: "secret", User: authclient.User{
			Login: name + "@" + testkit.Domain, UID: uid, GID: gid, Home: dir, MailDir: dir}})
	}
	accounts = append(accounts, authtest.Account{User: authclient.User{Login: "root@" + testkit.Domain, MailDir: "/root/Maildir"}})
	mail.Start(t)
	auth := authtest.New(t, accounts...)
	auth.Listen(t, mail.Spool("private/authd"))
	auth.Alias("sales@"+testkit.Domain, "ann@"+testkit.Domain)
	auth.Alias("list@"+testkit.Domain, "ann@"+testkit.Domain, "you@"+testkit.Domain)
	return mail, auth
}

// TestLMTPServer has a conversation with the LMTP server and looks into the
// mailboxes.
func TestLMTPServer(t *testing.T) {
	mail, _ := lmtpInstance(t, "recipient_delimiter = +", "message_size_limit = 20000")
	s := testkit.Dial(t, mail.LMTPAddr())
	if got := s.Cmd("250", "LHLO c.test"); strings.Contains(got, "DSN") || !strings.Contains(got, "PIPELINING") {
		t.Errorf("LHLO: %s", got)
	}
	s.Cmd("250", "MAIL FROM:<sender@example.org>")
	s.Cmd("250", "RCPT TO:<you+folder@example.test>")
	s.Cmd("550 5.1.1 <nobody@example.test>", "RCPT TO:<nobody@example.test>")
	s.Cmd("552 5.2.2 <full@example.test>", "RCPT TO:<full@example.test>")
	s.Cmd("451 4.3.5 <root@example.test>", "RCPT TO:<root@example.test>")
	s.Cmd("250", "RCPT TO:<sales@example.test>")
	s.Cmd("354", "DATA")
	s.Raw("Subject: two\r\n\r\n..dot\r\nend\r\n.\r\n")
	s.Expect("250 2.0.0 <you+folder@example.test>")
	s.Expect("250 2.0.0 <sales@example.test>")
	// The message is there with the reply, not later.
	for user, rcpt := range map[string]string{"you": "you+folder", "ann": "sales"} {
		box := mail.Mailbox(t, user)
		if len(box) != 1 {
			t.Fatalf("%s has %d messages", user, len(box))
		}
		head, body, _ := strings.Cut(box[0], "\n\n")
		if want := "Return-Path: <sender@example.org>\nDelivered-To: " + rcpt + "@example.test\nReceived: from c.test (unknown [127.0.0.1])\n\tby "; !strings.HasPrefix(head, want) {
			t.Errorf("%s: header\n%s\nwants\n%s", user, head, want)
		}
		if body != ".dot\nend\n" {
			t.Errorf("%s: body %q", user, body)
		}
	}
	// Two replies to the last chunk, and none of the message is kept when it
	// is too big.
	s.Cmd("250", "MAIL FROM:<>")
	s.Cmd("250", "RCPT TO:<you@example.test>")
	s.Cmd("250", "RCPT TO:<ann@example.test>")
	s.Raw("BDAT 4\r\na: bBDAT 15000\r\n" + strings.Repeat("x", 15000) + "BDAT 10000 LAST\r\n" + strings.Repeat("y", 10000))
	s.Expect("250 2.0.0 Ok: 4 bytes")
	s.Expect("250")
	s.Expect("552 5.3.4")
	s.Expect("552 5.3.4")
	s.Cmd("503", "DATA")
	s.Cmd("221", "QUIT")
	if n := len(mail.Mailbox(t, "you")); n != 1 {
		t.Errorf("%d messages", n)
	}
	mail.WaitLog(t, `posthouse/deposit|deposit\[\d+\]: [0-9A-Z]{12}: lmtp\(ann@example\.test\): from=<sender@example\.org>, to=<sales@example\.test>, size=\d+, saved mail to INBOX`)
}

// TestLMTPServerHops: what was relayed too often is refused for each recipient.
func TestLMTPServerHops(t *testing.T) {
	mail, auth := lmtpInstance(t)
	s := testkit.Dial(t, mail.LMTPAddr())
	s.Cmd("250", "LHLO c.test")
	s.Cmd("250", "MAIL FROM:<>")
	s.Cmd("250", "RCPT TO:<you@example.test>")
	s.Cmd("354", "DATA")
	s.Raw(strings.Repeat("Received: x\r\n", 60) + "\r\n.\r\n")
	s.Expect("554 5.4.0")
	// Nothing is known of a user while authd is away.
	auth.Down(true)
	s.Cmd("250", "MAIL FROM:<>")
	s.Cmd("451 4.3.0", "RCPT TO:<you@example.test>")
	auth.Down(false)
	s.Cmd("250", "RCPT TO:<you@example.test>")
	s.Cmd("354", "DATA")
	auth.Down(true)
	s.Raw("Subject: lost?\r\n\r\n.\r\n")
	s.Expect("451 4.3.0 <you@example.test>")
	if n := len(mail.Mailbox(t, "you")); n != 0 {
		t.Errorf("%d messages", n)
	}
}

// TestLMTPTranscripts: the postmaster is told of sessions with the errors that
// notify_classes names, and of no others.
func TestLMTPTranscripts(t *testing.T) {
	mail, _ := lmtpInstance(t, "notify_classes = protocol, bounce", "error_notice_recipient = you@example.test", "bounce_notice_recipient = ann@example.test")
	talk := func(commands ...string) {
		s := testkit.Dial(t, mail.LMTPAddr())
		for _, c := range append(append([]string{"LHLO c.test"}, commands...), "QUIT") {
			s.Cmd("", "%s", c)
		}
	}
	has := func(user string, n int, wants ...string) {
		t.Helper()
		box := mail.WaitMailbox(t, user, n)
		for _, want := range wants {
			if !strings.Contains(box[n-1], want) {
				t.Errorf("%s: no %q in\n%s", user, want, box[n-1])
			}
		}
	}
	talk("MAIL FROM:<a@remote.test>", "RCPT TO:<you@example.test>", "RSET")
	talk("MAIL FROM:<a@remote.test>", "RCPT TO:<nobody@example.test>")
	has("ann", 1, "Subject: Posthouse SMTP server: errors from unknown[127.0.0.1]", "\n In:  RCPT TO:<nobody@example.test>\n Out: 550 5.1.1 <nobody@example.test> ")
	talk("FOO")
	has("you", 1, "\n In:  FOO\n Out: 5")
	talk("MAIL FROM:<double-bounce@mail.example.test>", "RCPT TO:<full@example.test>")
	talk("MAIL FROM:<a@remote.test>", "RCPT TO:<full@example.test>")
	has("ann", 2, "<full@example.test>")
	if n := len(mail.Mailbox(t, "you")); n != 1 {
		t.Errorf("%d notices of errors", n)
	}
}

// TestLMTPServerTransport uses Dovecot's socket name from main.cf.
func TestLMTPServerTransport(t *testing.T) {
	mail, _ := lmtpInstance(t, "virtual_transport = lmtp:unix:private/dovecot-lmtp", "quota_full_tempfail = yes")
	mail.Send(t, "Subject: by way of LMTP\n\nx\n", "you@example.test", "ann@example.test", "full@example.test")
	for _, user := range []string{"you", "ann"} {
		mail.WaitMailbox(t, user, 1)
		mail.WaitLog(t, `to=<`+user+`@example\.test>, relay=mail\.example\.test\[private/dovecot-lmtp\], .*dsn=2\.0\.0, status=sent \(250 2\.0\.0 <`+user+`@example\.test> [0-9A-Z]+ Saved\)`)
	}
	mail.WaitLog(t, `to=<full@example\.test>, .*dsn=4\.2\.2, status=deferred`)
}

// TestLMTPServerSwaks lets another client send, over both kinds of socket.
func TestLMTPServerSwaks(t *testing.T) {
	testkit.NeedTool(t, "swaks")
	mail, _ := lmtpInstance(t)
	for i, server := range [][]string{
		{"--server", "127.0.0.1", "--port", strconv.Itoa(mail.Port + 7)},
		{"--socket", mail.Spool("private/dovecot-lmtp")},
	} {
		args := append(server, "--protocol", "LMTP", "--from", "a@example.org", "--to", "you@example.test,ann@example.test", "--body", fmt.Sprint("number ", i))
		if out, err := exec.Command("swaks", args...).CombinedOutput(); err != nil {
			t.Fatalf("swaks %v: %v\n%s", server, err, out)
		}
		for _, user := range []string{"you", "ann"} {
			if n := len(mail.Mailbox(t, user)); n != i+1 {
				t.Errorf("%s has %d messages after swaks %d", user, n, i)
			}
		}
	}
}

// TestLMTPServerStrangers: who is in no network of lmtpd_client_networks is not
// served.
func TestLMTPServerStrangers(t *testing.T) {
	mail, _ := lmtpInstance(t, "lmtpd_client_networks = 127.0.0.9")
	out, _ := exec.Command("timeout", "60", "bash", "-c",
		fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d; cat <&3", mail.Port+7)).CombinedOutput()
	if got := string(out); !strings.HasPrefix(got, "521 5.7.1 ") {
		t.Errorf("greeting %q", got)
	}
}

// TestLMTPAlias: an alias for several addresses gets the message into the
// queue for them; the other recipients have it with the reply, as always.
func TestLMTPAlias(t *testing.T) {
	mail, _ := lmtpInstance(t, "virtual_alias_maps =", "virtual_transport = lmtp:unix:private/dovecot-lmtp", "lmtp_line_length_limit = 0")
	s := testkit.Dial(t, mail.LMTPAddr())
	s.Cmd("250", "LHLO c.test")
	s.Cmd("250", "MAIL FROM:<sender@example.org> BODY=8BITMIME")
	s.Cmd("250", "RCPT TO:<you@example.test>")
	s.Cmd("250", "RCPT TO:<list@example.test>")
	s.Cmd("250", "RCPT TO:<ann@example.test>")
	s.Cmd("354", "DATA")
	long := strings.Repeat("\xc3\xbc", 40000)
	s.Raw("Subject: three\r\n\r\n..dot\r\n" + long + "\r\nend\r\n.\r\n")
	s.Expect("250 2.0.0 <you@example.test>")
	if got := s.Expect("250 2.0.0 <list@example.test>"); !strings.Contains(got, " queued as ") || !strings.Contains(got, " for 2 addresses") {
		t.Error(got)
	}
	s.Expect("250 2.0.0 <ann@example.test>")
	for _, user := range []string{"you", "ann"} {
		for _, m := range mail.WaitMailbox(t, user, 2) {
			if !strings.HasSuffix(m, "\n\n.dot\n"+long+"\nend\n") || !strings.Contains(m, "Return-Path: <sender@example.org>\n") {
				t.Errorf("%s: %.300q", user, m)
			}
		}
	}
	mail.WaitLog(t, `to=<ann@example\.test>, orig_to=<list@example\.test>, relay=.*private/dovecot-lmtp\], .*status=sent`)
	// The alias alone, by BDAT, and with nobody to queue it.
	s.Cmd("250", "MAIL FROM:<>")
	s.Cmd("250", "RCPT TO:<list@example.test>")
	s.Raw("BDAT 12 LAST\r\nSubject: x\r\n")
	s.Expect("250 2.0.0 <list@example.test>")
	mail.WaitMailbox(t, "you", 3)
}
