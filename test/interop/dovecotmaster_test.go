package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// dovecotTool returns a function that runs a tool of Debian's Dovecot, with a
// configuration that knows of no users but by our sockets.
func dovecotTool(t *testing.T, mail *testkit.Instance) func(stdin, name string, args ...string) (string, error) {
	t.Helper()
	testkit.NeedTool(t, "doveadm")
	conf := filepath.Join(mail.Dir, "dovecot.conf")
	text := fmt.Sprintf("base_dir = %s/dovecot\nstate_dir = %s/dovecot\nlog_path = /dev/stderr\nssl = no\nmail_location = maildir:~/Maildir\nfirst_valid_uid = 1\n"+
		"auth_socket_path = %s\nservice auth {\n}\n", mail.Dir, mail.Dir, mail.Spool("public/auth-userdb"))
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return func(stdin, name string, args ...string) (string, error) {
		cmd := exec.Command(name, append([]string{"-c", conf}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}

// TestDovecotAsksUs: Debian's doveadm and dovecot-lda find users by our
// auth-userdb socket, and doveadm tries passwords at our auth socket.
func TestDovecotAsksUs(t *testing.T) {
	mail, _ := authSite(t)
	tool := dovecotTool(t, mail)
	userdb, auth := mail.Spool("public/auth-userdb"), mail.Spool("private/auth")
	for _, tc := range []struct {
		args []string
		want string // of the answer; what begins with ! must not be in it
		ok   bool
	}{
		{[]string{"user", "-a", userdb, "ann@example.test"}, "home\t" + mail.Dir + "/mail/ann", true},
		{[]string{"user", "-a", userdb, "ann@example.test"}, "!secret", true},
		{[]string{"user", "-a", userdb, "-f", "quota_rule", "ann@example.test"}, "*:bytes=1000000", true},
		{[]string{"user", "-a", userdb, "eve@example.test"}, "doesn't exist", false},
		{[]string{"user", "-a", userdb, "*"}, "", false},
		{[]string{"auth", "lookup", "-a", userdb, "ann@example.test"}, "ann@example.test", true},
		{[]string{"auth", "lookup", "-a", userdb, "ann@example.test"}, "!secret", true},
		{[]string{"auth", "lookup", "-a", userdb, "eve@example.test"}, "doesn't exist", false},
		{[]string{"auth", "test", "-a", auth, "-x", "service=imap", "-x", "rip=127.0.0.1", "ann@example.test", "secret"}, "auth succeeded", true},
		{[]string{"auth", "test", "-a", auth, "-x", "service=imap", "-x", "rip=127.0.0.1", "ann@example.test", "wrong"}, "auth failed", false},
	} {
		out, err := tool("", "doveadm", tc.args...)
		not, without := strings.CutPrefix(tc.want, "!")
		if (err == nil) != tc.ok || strings.Contains(out, not) == without {
			t.Errorf("%v: %v, want %q\n%s", tc.args, err, tc.want, out)
		}
	}
	const lda = "/usr/lib/dovecot/dovecot-lda"
	if _, err := os.Stat(lda); err != nil {
		t.Skip("SKIPPED: no dovecot-lda: ", err)
	}
	message := "From: <a@b.test>\nSubject: by dovecot-lda\n\nhello\n"
	if out, err := tool(message, lda, "-d", "ann@example.test"); err != nil {
		t.Errorf("dovecot-lda: %v\n%s", err, out)
	}
	found, _ := filepath.Glob(filepath.Join(mail.Dir, "mail/ann/Maildir/new/*"))
	if len(found) != 1 {
		t.Errorf("dovecot-lda delivered %d messages", len(found))
	}
	if out, err := tool(message, lda, "-d", "eve@example.test"); err == nil || err.Error() != "exit status 67" {
		t.Errorf("dovecot-lda for nobody: %v\n%s", err, out)
	}
}
