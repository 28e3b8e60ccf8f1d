package dialog

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestDovecotAuth: a main.cf that points at Debian's Dovecot, as many sites
// have it, just works.
func TestDovecotAuth(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "doveadm")
	bin := build(t)
	in := start(t, bin, []string{
		"smtpd_sasl_type = dovecot", "smtpd_sasl_path = private/auth", "smtpd_sasl_auth_enable = yes",
		"smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination",
	})
	startDovecot(t, filepath.Join(in.dir, "spool/private/auth"))
	d := &dialog{t: t, in: in, where: "dovecot"}
	defer d.disconnect()
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, step := range []string{
		"<~ 220", "-> EHLO x", "<... 250-AUTH ", "<... 250 CHUNKING",
		"-> AUTH PLAIN " + b64("\x00me\x00wrong"), "<~ 535 5.7.8 Error: authentication failed: ",
		"-> AUTH PLAIN " + b64("\x00nobody\x00secret"), "<~ 535 5.7.8 Error: authentication failed: ",
		"log SASL PLAIN authentication failed: ", "log sasl_username=nobody",
		"-> AUTH NTLM", "<- 535 5.7.8 Error: authentication failed: Invalid authentication mechanism",
		"-> AUTH LOGIN", "<- 334 VXNlcm5hbWU6", "-> " + b64("me"), "<- 334 UGFzc3dvcmQ6", "-> " + b64("secret"),
		"<- 235 2.7.0 Authentication successful",
		"-> MAIL FROM:<me@here.test>", "<~ 250", "-> RCPT TO:<x@elsewhere.test>", "<~ 250", "-> DATA", "<~ 354",
		"-> .", "<~ 250", "log sasl_method=LOGIN, sasl_username=me",
	} {
		d.step(step)
	}
	testMechanisms(t, in)
}

// testMechanisms logs in with each mechanism that swaks and Dovecot have.
func testMechanisms(t *testing.T, in *instance) {
	testkit.NeedTool(t, "swaks")
	for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
		out, err := exec.Command("swaks", "--server", in.addr, "--from", "me@here.test", "--to", "x@elsewhere.test",
			"--auth", mechanism, "--auth-user", "me", "--auth-password", "secret").CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", mechanism, err, out)
		}
	}
}

// startDovecot runs an auth server that listens on a socket.
func startDovecot(t *testing.T, socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "dovecot")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	t.Cleanup(func() { os.RemoveAll(dir) })
	owner := "root"
	if u, err := user.Lookup("daemon"); err == nil {
		owner = u.Username
	}
	conf := fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
passdb {
  driver = passwd-file
  args = scheme=plain username_format=%%u %[1]s/users
}
userdb {
  driver = static
  args = uid=1000 gid=1000 home=/nonexistent
}
service auth {
  unix_listener %[2]s {
    mode = 0660
    user = %[3]s
  }
}
`, dir, socket, owner)
	for name, text := range map[string]string{"dovecot.conf": conf, "users": "me:{PLAIN}secret::::::\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/usr/sbin/dovecot", "-F", "-c", filepath.Join(dir, "dovecot.conf"))
	out := &testkit.Log{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() })
	defer func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("Dovecot's log:\n%s\n%s", out.String(), log)
		}
	}()
	testkit.Wait(t, "Dovecot's socket", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
}
