package interop

import (
	"bufio"
	"context"
	"fmt"
	"io"
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
	addr = mail.PortAddr(8)
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
	port := strconv.Itoa(mail.Port + 9)
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
		return courierRun(t, mail, "", append([]string{authtest, "-s", "imap"}, args...)...)
	}
	out, err := run("ann@example.test")
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

// courierCommand is a program of Courier's, with our socket where its own would be.
func courierCommand(ctx context.Context, mail *testkit.Instance, args ...string) *exec.Cmd {
	os.MkdirAll("/run/courier", 0o755)
	script := `mount -t tmpfs none /run/courier && mkdir /run/courier/authdaemon && ln -s "$0" /run/courier/authdaemon/socket && exec "$@"`
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"-m", "sh", "-c", script, mail.Spool("public/authdaemon")}, args...)...)
	// What couriertcpd and its configuration put there.
	cmd.Env = append(os.Environ(), "TCPREMOTEIP=127.0.0.1", "TCPLOCALIP=127.0.0.1", "TCPREMOTEPORT=4000", "TCPLOCALPORT=143", "AUTHMODULES=authdaemon",
		"IMAP_CAPABILITY=IMAP4rev1 UIDPLUS", "IMAP_STARTTLS=NO", "POP3_STARTTLS=NO")
	return cmd
}

// courierRun runs one to its end.
func courierRun(t *testing.T, mail *testkit.Instance, stdin string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := courierCommand(ctx, mail, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "unshare") || strings.Contains(string(out), "mount:") {
		t.Skipf("SKIPPED: no mount namespaces: %s", out)
	}
	return string(out), err
}

// courierTalk holds a conversation with a server that reads its standard input:
// each second word is what its answer to the one before has.
func courierTalk(t *testing.T, mail *testkit.Instance, args []string, talk ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := courierCommand(ctx, mail, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	lines := bufio.NewScanner(out)
	for i := 0; i < len(talk); i += 2 {
		io.WriteString(in, talk[i])
		for {
			if !lines.Scan() {
				t.Errorf("%s: the end before %q", args[len(args)-2], talk[i+1])
				return
			}
			if strings.Contains(lines.Text(), talk[i+1]) {
				break
			}
			if line := lines.Text(); strings.HasPrefix(line, "a NO") || strings.HasPrefix(line, "-ERR") {
				t.Errorf("%q: %s, want %q", talk[i], line, talk[i+1])
				return
			}
		}
	}
}

// TestCourierServersAskUs: Debian's maildrop delivers to our users, and its
// courier-imap and courier-pop log them in and show them the message.
func TestCourierServersAskUs(t *testing.T) {
	mail, _ := authSite(t)
	testkit.NeedTool(t, "maildrop")
	root := testkit.Courier(t)
	if out, err := courierRun(t, mail, "From: <a@b.test>\nSubject: by maildrop\n\nhello\n", "maildrop", "-d", "ann@example.test"); err != nil {
		t.Fatalf("maildrop: %v\n%s", err, out)
	}
	if found, _ := filepath.Glob(filepath.Join(mail.Dir, "mail/ann/Maildir/new/*")); len(found) != 1 {
		t.Fatalf("maildrop delivered %d messages", len(found))
	}
	if out, err := courierRun(t, mail, "Subject: x\n\nx\n", "maildrop", "-d", "eve@example.test"); err == nil {
		t.Errorf("maildrop for nobody:\n%s", out)
	}
	lib := "LD_LIBRARY_PATH=" + root + "/usr/lib"
	imap := []string{"env", lib, root + "/usr/lib/courier/courier/imaplogin", root + "/usr/bin/imapd", "Maildir"}
	pop3 := []string{"env", lib, root + "/usr/lib/courier/courier/courierpop3login", root + "/usr/lib/courier/courier/courierpop3d", "Maildir"}
	courierTalk(t, mail, imap, "", "* OK", "a LOGIN ann@example.test secret\r\n", "a OK", "b SELECT INBOX\r\n", "* 1 EXISTS",
		"c FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]\r\n", "Subject: by maildrop", "d LOGOUT\r\n", "d OK")
	courierTalk(t, mail, imap, "", "* OK", "a LOGIN ann@example.test wrong\r\n", "a NO", "b LOGIN eve@example.test secret\r\n", "b NO", "d LOGOUT\r\n", "d OK")
	courierTalk(t, mail, pop3, "", "+OK", "USER ann@example.test\r\n", "+OK", "PASS secret\r\n", "+OK", "TOP 1 0\r\n", "Subject: by maildrop", "QUIT\r\n", "+OK")
	courierTalk(t, mail, pop3, "", "+OK", "USER ann@example.test\r\n", "+OK", "PASS wrong\r\n", "-ERR", "QUIT\r\n", "+OK")
}
