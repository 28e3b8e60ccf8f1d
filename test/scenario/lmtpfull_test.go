package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// lmtpSend sends a message of so many bytes to a user and returns the reply to
// its end, or that to RCPT if it was refused there.
func lmtpSend(t *testing.T, mail *testkit.Instance, user string, size int) string {
	t.Helper()
	s := testkit.Dial(t, mail.LMTPAddr())
	defer s.Conn.Close()
	s.Cmd("250", "LHLO c.test")
	s.Cmd("250", "MAIL FROM:<a@example.org>")
	if reply := s.Cmd("", "RCPT TO:<%s@%s>", user, testkit.Domain); !strings.HasPrefix(reply, "250") {
		return "RCPT " + reply
	}
	s.Cmd("354", "DATA")
	line := strings.Repeat("x", 78) + "\r\n"
	return s.Cmd("", "Subject: x\r\n\r\n%s.", strings.Repeat(line, size/len(line)))
}

// TestLMTPQuota: over quota is told at the end of the message, and at RCPT from
// then on.
func TestLMTPQuota(t *testing.T) {
	for _, tempfail := range []bool{false, true} {
		mail := testkit.New(t)
		want := "552 5.2.2 "
		if tempfail {
			mail.Set(t, "quota_full_tempfail = yes")
			want = "452 4.2.2 "
		}
		mail.UserDB(t, "secret", []string{"you"}, "quota=20000S")
		mail.Start(t)
		if got := lmtpSend(t, mail, "you", 8000); !strings.HasPrefix(got, "250 2.0.0 ") {
			t.Fatalf("first message: %s", got)
		}
		if got := lmtpSend(t, mail, "you", 16000); !strings.HasPrefix(got, want) {
			t.Errorf("message beyond the quota: %s", got)
		}
		if got := lmtpSend(t, mail, "you", 16000); !strings.HasPrefix(got, "RCPT "+want) {
			t.Errorf("the next one: %s", got)
		}
		if n := len(files(t, mail, "you")); n != 1 {
			t.Errorf("%d messages", n)
		}
	}
}

// smallDisk gives the user small a mail directory with room for 256 kB, and
// returns it.
func smallDisk(t *testing.T, mail *testkit.Instance) string {
	t.Helper()
	dir := mail.Maildir("small")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	uid, gid := testkit.BoxOwner(t)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=256k,uid=%d,gid=%d,mode=700", uid, gid), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: cannot mount a small file system: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	return dir
}

// fillDisk writes to a file until there is no room, and returns its name.
func fillDisk(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(dir, "filling")
	if err := exec.Command("sh", "-c", "cat /dev/zero >"+name).Run(); err == nil {
		t.Fatal("the disk has no end")
	}
	return name
}

// withSmallDisk starts an instance whose user small has two messages on a disk
// of its own.
func withSmallDisk(t *testing.T) (mail *testkit.Instance, dir string) {
	t.Helper()
	testkit.NeedRoot(t)
	mail = testkit.New(t)
	dir = smallDisk(t, mail)
	mail.UserDB(t, "secret", []string{"small"})
	mail.Start(t)
	for range 2 {
		if got := lmtpSend(t, mail, "small", 20000); !strings.HasPrefix(got, "250") {
			t.Fatal(got)
		}
	}
	return mail, dir
}

// TestLMTPFullDisk: a full disk is a temporary failure, whatever was promised to
// others, and leaves nothing behind.
func TestLMTPFullDisk(t *testing.T) {
	testkit.NeedRoot(t)
	mail := testkit.New(t)
	dir := smallDisk(t, mail)
	mail.UserDB(t, "secret", []string{"you", "small"})
	mail.Start(t)
	if got := lmtpSend(t, mail, "small", 20000); !strings.HasPrefix(got, "250") {
		t.Fatalf("small message: %s", got)
	}
	for range 3 {
		if got := lmtpSend(t, mail, "small", 400000); !strings.HasPrefix(got, "4") || strings.HasPrefix(got, "RCPT") {
			t.Errorf("message larger than the disk: %s", got)
		}
	}
	if got := lmtpSend(t, mail, "you", 400000); !strings.HasPrefix(got, "250") {
		t.Errorf("another mailbox: %s", got)
	}
	if got := lmtpSend(t, mail, "small", 20000); !strings.HasPrefix(got, "250") {
		t.Errorf("small message after that: %s", got)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) > 0 {
		t.Errorf("%d files are left in tmp", len(left))
	}
	if n := len(files(t, mail, "small")); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

// TestLMTPFromPostfix: Debian's Postfix hands mail to the LMTP server, as a site
// has it that changes its store first.
func TestLMTPFromPostfix(t *testing.T) {
	mail := testkit.New(t, testkit.Users("you", "ann"))
	mail.UserDB(t, "secret", []string{"you", "ann"})
	mail.Start(t)
	postfix := refpostfix.Start(t, "virtual_mailbox_domains = example.test\nvirtual_mailbox_maps = static:x\nmynetworks = 127.0.0.0/8\n"+
		"virtual_transport = lmtp:inet:"+mail.LMTPAddr()+"\nlmtp_tls_security_level = none\n")
	s := testkit.Dial(t, postfix.Addr)
	s.Cmd("250", "EHLO c.test")
	s.Cmd("250", "MAIL FROM:<a@example.org> BODY=8BITMIME")
	for _, to := range []string{"you", "ann", "nobody"} {
		s.Cmd("250", "RCPT TO:<%s@example.test>", to)
	}
	s.Cmd("354", "DATA")
	s.Cmd("250", "Subject: from Postfix\r\n\r\n..dot\r\ngr\xc3\xbc\xc3\x9fe\r\n.")
	for _, user := range []string{"you", "ann"} {
		if box := mail.WaitMailbox(t, user, 1); !strings.HasSuffix(box[0], "\n\n.dot\ngr\xc3\xbc\xc3\x9fe\n") {
			t.Errorf("%s has %q", user, box[0])
		}
	}
	mail.WaitLog(t, `reject: RCPT from .*: 550 5\.1\.1 <nobody@example\.test>`)
}

// TestLMTPNewMailbox: the first message makes the mailbox of a virtual user.
func TestLMTPNewMailbox(t *testing.T) {
	mail := testkit.New(t)
	mail.UserDB(t, "secret", []string{"fresh"})
	mail.Set(t, "lmtp_save_to_detail_mailbox = yes", "recipient_delimiter = +", "lda_mailbox_autocreate = yes", "lda_mailbox_autosubscribe = yes")
	mail.Start(t)
	for _, to := range []string{"fresh", "fresh+Lists/Go", "fresh+../../x"} {
		if got := lmtpSend(t, mail, to, 100); !strings.HasPrefix(got, "250") {
			t.Errorf("%s: %s", to, got)
		}
	}
	if n := len(files(t, mail, "fresh")); n != 2 {
		t.Errorf("%d messages in the inbox, want 2: that with a name which is none went there, too", n)
	}
	if entries, err := os.ReadDir(filepath.Join(mail.Maildir("fresh"), ".Lists.Go", "new")); err != nil || len(entries) != 1 {
		t.Errorf("folder: %d messages, %v", len(entries), err)
	}
	c := dialPOP3(t, pop3Addr(mail, 5), false)
	c.login("fresh")
	c.cmd("+OK 2 ", "STAT")
}

// TestPOP3FullDisk: who has a full disk can still read and delete mail.
func TestPOP3FullDisk(t *testing.T) {
	mail, dir := withSmallDisk(t)
	// A mailbox that was in use before; one that is opened for the first time
	// needs room for its UIDVALIDITY.
	first := dialPOP3(t, pop3Addr(mail, 5), false)
	first.login("small")
	first.cmd("+OK", "QUIT")
	// Fill it to the last byte.
	fillDisk(t, dir)
	c := dialPOP3(t, pop3Addr(mail, 5), false)
	c.login("small")
	c.cmd("+OK 2 ", "STAT")
	c.cmd("+OK", "UIDL")
	ids := c.lines()
	c.cmd("+OK", "RETR 1")
	if n := len(c.lines()); n < 250 {
		t.Errorf("RETR: %d lines", n)
	}
	c.cmd("+OK", "DELE 1")
	c.cmd("+OK Logging out, messages deleted.", "QUIT")
	c = dialPOP3(t, pop3Addr(mail, 5), false)
	c.login("small")
	c.cmd("+OK 1 ", "STAT")
	c.cmd("+OK 1 "+strings.TrimPrefix(ids[1], "2 "), "UIDL 1")
}

// TestFirstOpenFullDisk: a mailbox that was never opened cannot be while there is
// no room for its UIDVALIDITY; who tries is told so, and finds all of it later.
func TestFirstOpenFullDisk(t *testing.T) {
	mail, dir := withSmallDisk(t)
	filling := fillDisk(t, dir)
	c := dialIMAP(t, mail, false)
	c.login("small")
	const reason = "The mail server's disk is full. This mailbox can be opened for the first time when there is room"
	for _, cmd := range []string{"SELECT INBOX", "EXAMINE INBOX", "STATUS INBOX (MESSAGES)"} {
		c.cmd("NO [UNAVAILABLE] "+reason, "%s", cmd)
	}
	p := dialPOP3(t, pop3Addr(mail, 5), false)
	p.cmd("+OK", "USER small@%s", testkit.Domain)
	p.cmd("-ERR [SYS/TEMP] "+reason, "PASS secret")
	mail.WaitLog(t, "no room on disk for the mailbox's first index: .*no space left on device")
	if n := len(files(t, mail, "small")); n != 2 {
		t.Errorf("%d messages", n)
	}
	if err := os.Remove(filling); err != nil {
		t.Fatal(err)
	}
	if got := c.cmd("OK", "SELECT INBOX"); !strings.Contains(got, "* 2 EXISTS") {
		t.Error(got)
	}
}
