package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// hosting is an instance whose users are those of the user database.
func hosting(t *testing.T, settings ...string) *testkit.Instance {
	t.Helper()
	mail := testkit.New(t)
	mail.Set(t, append([]string{
		"virtual_mailbox_domains = example.test, example.net",
		"virtual_mailbox_maps = authd:mailbox", "virtual_alias_maps = authd:alias",
		"virtual_minimum_uid = 1", "recipient_delimiter = +", "smtpd_tls_security_level = none",
	}, settings...)...)
	return mail
}

// addUser makes a record with Courier's tool.
func addUser(t *testing.T, mail *testkit.Instance, login string, fields ...string) {
	t.Helper()
	uid, gid := testkit.BoxOwner(t)
	name, domain, _ := strings.Cut(login, "@")
	home := filepath.Join(mail.Dir, "mail", domain, name)
	args := []string{domain + "/" + login, "set", fmt.Sprintf("uid=%d", uid), fmt.Sprintf("gid=%d", gid), "home=" + home, "mail=" + home}
	mail.Must(t, "userdb", append(args, fields...)...)
}

func userdbDir(t *testing.T, mail *testkit.Instance) {
	t.Helper()
	os.RemoveAll(mail.Etc("userdb"))
	if err := os.Mkdir(mail.Etc("userdb"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// waitNew waits for messages in a Maildir that the first of them makes.
func waitNew(t *testing.T, mail *testkit.Instance, name string, n int) {
	t.Helper()
	testkit.Wait(t, fmt.Sprintf("%d messages for %s", n, name), func() bool {
		files, _ := filepath.Glob(filepath.Join(mail.Dir, "mail", testkit.Domain, name, "new", "*"))
		return len(files) >= n
	})
}

// TestHostedUsers: smtpd knows who has a mailbox, and virtual whose and where it
// is, from the user database; and what is edited there counts at once.
func TestHostedUsers(t *testing.T) {
	mail := hosting(t)
	userdbDir(t, mail)
	addUser(t, mail, "you@example.test", "aliases=me@example.test,@example.net")
	addUser(t, mail, "full@example.test", "quota=1000S")
	addUser(t, mail, "list@example.test", "forward=you@example.test,ann@example.test")
	addUser(t, mail, "ann@example.test", "quota=1000000S")
	full := filepath.Join(mail.Dir, "mail/example.test/full")
	for _, dir := range []string{full, full + "/cur", full + "/new", full + "/tmp"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	uid, gid := testkit.BoxOwner(t)
	if err := os.WriteFile(full+"/maildirsize", []byte("1000S\n1200 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Dir(full), full, full + "/cur", full + "/new", full + "/tmp", full + "/maildirsize"} {
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(filepath.Dir(full), 0o755)
	mail.Start(t)
	// As docs/users.md has it, from wherever one is.
	if got := mail.Must(t, "postmap", "-q", "full@example.test", "authd:mailbox"); !strings.HasPrefix(got, full) {
		t.Errorf("postmap -q: %q", got)
	}
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	s.Cmd("250", "MAIL FROM:<sender@example.org>")
	s.Cmd("550 5.1.1", "RCPT TO:<nobody@example.test>")
	s.Cmd("552 5.2.2 <full@example.test>", "RCPT TO:<full@example.test>")
	s.Cmd("250", "RCPT TO:<You+x@example.test>")
	s.Cmd("250", "RCPT TO:<me@example.test>")
	s.Cmd("250", "RCPT TO:<anybody@example.net>")
	s.Cmd("250", "RCPT TO:<list@example.test>")
	s.Cmd("354", "DATA")
	s.Cmd("250", "Subject: hosted\r\n\r\nhello\r\n.")
	waitNew(t, mail, "ann", 1)
	waitNew(t, mail, "you", 2)
	testkit.Wait(t, "an empty queue", func() bool { return len(mail.Queue(t, "active", "incoming", "deferred")) == 0 })
	for _, m := range mail.Mailbox(t, "you") {
		if !strings.Contains(m, "Delivered-To: you@example.test\n") && !strings.Contains(m, "Delivered-To: you+x@example.test\n") &&
			!strings.Contains(m, "Delivered-To: You+x@example.test\n") {
			t.Errorf("delivered to somebody else:\n%s", m)
		}
	}
	s.Cmd("250", "MAIL FROM:<sender@example.org>")
	addUser(t, mail, "nobody@example.test")
	s.Cmd("250", "RCPT TO:<nobody@example.test>")
	mail.Must(t, "userdb", "example.test/nobody@example.test", "del")
	s.Cmd("550 5.1.1", "RCPT TO:<nobody@example.test>")
	s.Cmd("221", "QUIT")
}
