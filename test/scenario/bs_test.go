package scenario

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestSendmailBS speaks SMTP with sendmail -bs, as root and as an ordinary
// user, while the mail system is down; it is delivered when that comes up.
func TestSendmailBS(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "swaks")
	t.Parallel()
	mail := testkit.Installed(t)
	user := testkit.NewAccount(t, mail.Dir, "phbs")
	// Whatever keeps the network out must not matter.
	mail.Set(t, "smtpd_client_restrictions = reject", "smtpd_tls_security_level = encrypt")
	sendmail := filepath.Join(mail.Dir, "usr/sbin/sendmail") + " -bs"

	swaks := []string{"--pipe", sendmail, "--from", "a@sender.test", "--to", "you@example.test", "--body", "by pipe"}
	asUser := asAccount(mail, user, "sendmail")
	asUser.Path, asUser.Args = "/usr/bin/swaks", append([]string{"swaks"}, swaks...)
	asRoot := exec.Command("swaks", swaks...)
	asRoot.Env = append(asRoot.Environ(), "MAIL_CONFIG="+mail.Etc(""))
	for name, cmd := range map[string]*exec.Cmd{"user": asUser, "root": asRoot} {
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "250 2.0.0 Ok: queued as ") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}

	// All at once, as a script writes it: what is not finished is not sent.
	script := asAccount(mail, user, "sendmail", "-bs")
	script.Stdin = strings.NewReader("HELO c.test\r\nMAIL FROM:<a@sender.test>\r\nRCPT TO:<you@example.test>\r\nDATA\r\nSubject: script\r\n\r\nx\r\n.\r\n" +
		"MAIL FROM:<>\r\nRCPT TO:<you@example.test>\r\nRSET\r\nXCLIENT ADDR=192.0.2.1\r\n" +
		"MAIL FROM:<>\r\nRCPT TO:<you@example.test>\r\nDATA\r\nhalf a message\r\n")
	out, err := script.CombinedOutput()
	if text := string(out); err != nil || strings.Count(text, "queued as") != 1 || !strings.Contains(text, "550 5.7.0 ") {
		t.Errorf("script: %v\n%s", err, out)
	}
	if n := len(mail.Queue(t, "maildrop")); n != 3 {
		t.Errorf("%d messages in maildrop, want 3", n)
	}

	mail.Start(t)
	for _, text := range mail.WaitMailbox(t, "you", 3) {
		if !strings.Contains(text, "(localhost [127.0.0.1])") || !strings.Contains(text, ", from userid ") || strings.Contains(text, "half") {
			t.Errorf("message %q", text)
		}
	}
	mail.WaitLog(t, `pickup\[\d+\]: [0-9A-F]+: uid=`+strconv.Itoa(user.UID)+` from=<a@sender\.test>`)
	mail.WaitLog(t, `pickup\[\d+\]: [0-9A-F]+: uid=0 from=<a@sender\.test>`)
}

// TestSendmailBSUnauthorized: authorized_submit_users holds for -bs too.
func TestSendmailBSUnauthorized(t *testing.T) {
	testkit.NeedRoot(t)
	t.Parallel()
	mail := testkit.Installed(t)
	user := testkit.NewAccount(t, mail.Dir, "phbsno")
	mail.Set(t, "authorized_submit_users = root")
	cmd := asAccount(mail, user, "sendmail", "-bs")
	cmd.Stdin = strings.NewReader("HELO c.test\r\nMAIL FROM:<a@sender.test>\r\nRCPT TO:<you@example.test>\r\nDATA\r\nQUIT\r\n")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "is not allowed to submit mail") || !strings.Contains(string(out), "\n550 5.7.1 ") {
		t.Errorf("%v\n%s", err, out)
	}
	if n := len(mail.Queue(t, "maildrop")); n != 0 {
		t.Errorf("%d messages in maildrop", n)
	}
}
