package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// authSite is an instance with the user ann, whose password is secret, and a
// port and sockets where authgate answers. Its delays are off.
func authSite(t *testing.T) (mail *testkit.Instance, addr string) {
	t.Helper()
	testkit.NeedRoot(t)
	mail = testkit.New(t)
	box, err := user.Lookup("posthouse-box")
	if err != nil {
		t.Fatal(err)
	}
	record := fmt.Sprintf("ann@example.test\tuid=%s|gid=%s|home=%s/mail/ann|systempw={PLAIN}secret|quota=1000000S\n", box.Uid, box.Gid, mail.Dir)
	mail.WriteUserDB(t, record)
	home := filepath.Join(mail.Dir, "mail/ann/Maildir")
	for _, d := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(home, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chown", "-R", box.Uid+":"+box.Gid, filepath.Join(mail.Dir, "mail/ann")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = ln.Addr().String()
	ln.Close()
	mail.Set(t, "auth_failure_delay = 0")
	mail.Service(t,
		addr+" inet n - y - 1 authgate",
		"authdaemon unix n - y - 1 authgate -o authgate_protocol=authdaemon",
		"auth-exim unix n - y - 1 authgate",
		"auth-userdb unix n - y - 1 authgate -o authgate_protocol=dovecot-master")
	mail.Start(t)
	return mail, addr
}

// tryAuth logs in with swaks, and reports whether the server let it in.
func tryAuth(t *testing.T, addr, mechanism, login, password string) bool {
	t.Helper()
	testkit.NeedTool(t, "swaks")
	host, port, _ := net.SplitHostPort(addr)
	out, err := exec.Command("swaks", "--server", host, "--port", port, "--helo", "client.test", "--auth", mechanism, "--auth-user", login,
		"--auth-password", password, "--quit-after", "AUTH", "--timeout", "30").CombinedOutput()
	in := strings.Contains(string(out), "<~  235") || strings.Contains(string(out), "<-  235")
	if in != (err == nil) {
		t.Errorf("swaks: %v\n%s", err, out)
	}
	if !in && !strings.Contains(string(out), " 535") {
		t.Errorf("%s: no 535:\n%s", mechanism, out)
	}
	return in
}

// expectAuth tries good and bad passwords with each mechanism.
func expectAuth(t *testing.T, addr string, mechanisms ...string) {
	t.Helper()
	for _, m := range mechanisms {
		for _, tc := range []struct {
			login, password string
			in              bool
		}{{"ann@example.test", "secret", true}, {"ann@example.test", "wrong", false}, {"eve@example.test", "secret", false}} {
			if in := tryAuth(t, addr, m, tc.login, tc.password); in != tc.in {
				t.Errorf("%s %s %s: in %v", m, tc.login, tc.password, in)
			}
		}
	}
}

// TestPostfixLogsInWithUs: Debian's Postfix with smtpd_sasl_type = dovecot.
func TestPostfixLogsInWithUs(t *testing.T) {
	_, addr := authSite(t)
	theirs := refpostfix.Start(t, "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = inet:"+addr+
		"\nsmtpd_error_sleep_time = 0\nmyhostname = theirs.test\n")
	expectAuth(t, theirs.Addr, "PLAIN", "LOGIN", "CRAM-MD5")
	if log := theirs.Log(); !strings.Contains(log, "SASL PLAIN authentication failed") {
		t.Error("Postfix did not log the failure")
	}
}

// TestEximLogsInWithUs: Debian's Exim with driver = dovecot.
func TestEximLogsInWithUs(t *testing.T) {
	mail, _ := authSite(t)
	exim, err := exec.LookPath("exim4")
	if err != nil {
		t.Skip("SKIPPED: no exim4")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	ln.Close()
	dir, err := os.MkdirTemp("", "exim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o777)
	// Exim's user is no member of postdrop.
	os.Chmod(mail.Spool("public"), 0o711)
	os.Chmod(mail.Spool("public/auth-exim"), 0o666)
	var conf strings.Builder
	fmt.Fprintf(&conf, "primary_hostname = exim.test\nspool_directory = %s\nlog_file_path = %s/%%slog\nauth_advertise_hosts = *\ntls_advertise_hosts =\n"+
		"acl_smtp_rcpt = accept\nbegin acl\nbegin authenticators\n", dir, dir)
	for _, m := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
		fmt.Fprintf(&conf, "d_%s:\n  driver = dovecot\n  public_name = %s\n  server_socket = %s\n  server_set_id = $auth1\n",
			strings.ToLower(strings.ReplaceAll(m, "-", "")), m, mail.Spool("public/auth-exim"))
	}
	file := filepath.Join(dir, "exim.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exim, "-C", file, "-bdf", "-oX", "127.0.0.1."+port, "-oP", filepath.Join(dir, "pid"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if b, err := os.ReadFile(filepath.Join(dir, "mainlog")); err == nil && t.Failed() {
			t.Logf("Exim's log:\n%s", b)
		}
	})
	addr := "127.0.0.1:" + port
	testkit.Wait(t, "Exim", func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	expectAuth(t, addr, "PLAIN", "LOGIN", "CRAM-MD5")
}

// TestCourierAsksUs: the library of Debian's Courier looks users up and logs
// them in, through its authtest, with our socket where its own would be.
func TestCourierAsksUs(t *testing.T) {
	mail, _ := authSite(t)
	authtest := "/usr/sbin/authtest"
	if _, err := os.Stat(authtest); err != nil {
		t.Skip("SKIPPED: no courier-authlib: ", err)
	}
	run := func(args ...string) (string, error) {
		script := `mount -t tmpfs none /run/courier && mkdir /run/courier/authdaemon && ln -s "$0" /run/courier/authdaemon/socket && exec "$@"`
		cmd := exec.Command("unshare", append([]string{"-m", "sh", "-c", script, mail.Spool("public/authdaemon"), authtest, "-s", "imap"}, args...)...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	os.MkdirAll("/run/courier", 0o755)
	out, err := run("ann@example.test")
	if strings.Contains(out, "unshare") || strings.Contains(out, "mount:") {
		t.Skip("SKIPPED: no mount namespaces: ", out)
	}
	for _, want := range []string{"Authentication succeeded.", "Home Directory: " + mail.Dir + "/mail/ann", "Maildir: " + mail.Dir + "/mail/ann/Maildir", "Quota: 1000000S"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%q is not in the answer: %v\n%s", want, err, out)
		}
	}
	if strings.Contains(out, "secret") {
		t.Errorf("a password is told:\n%s", out)
	}
	if out, err := run("ann@example.test", "secret"); err != nil {
		t.Errorf("right: %v\n%s", err, out)
	}
	for _, args := range [][]string{{"ann@example.test", "wrong"}, {"eve@example.test"}, {"eve@example.test", "secret"}} {
		if out, err := run(args...); err == nil {
			t.Errorf("%v: in\n%s", args, out)
		}
	}
}
