package scenario

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// submissionUsers adds users with the password "secret", stored for all
// mechanisms.
func submissionUsers(t *testing.T, i *testkit.Instance, names ...string) {
	t.Helper()
	// The passwords that init made would keep mechanisms from being offered.
	for _, n := range []string{"you", "other"} {
		i.Must(t, "userdb", n+"@"+testkit.Domain, "unset", "systempw")
	}
	for _, n := range names {
		name := n + "@" + testkit.Domain
		i.Must(t, "userdb", name, "set", "gecos=Joe \"X\" Ümlaut")
		for _, kind := range []struct{ field, option, scheme string }{{field: "systempw", option: "-scheme", scheme: "SSHA256"}, {field: "hmac-md5pw", option: "-hmac-md5"},
			{"scram-sha-1pw", "-scheme", "SCRAM-SHA-1"}, {"scram-sha-256pw", "-scheme", "SCRAM-SHA-256"}} {
			make := i.Command("userdbpw", strings.Fields(kind.option+" "+kind.scheme)...)
			make.Stdin = strings.NewReader("secret\n")
			stored, err := make.Output()
			if err != nil {
				t.Fatal(err)
			}
			set := i.Command("userdb", name, "set", kind.field)
			set.Stdin = strings.NewReader(string(stored))
			if out, err := set.CombinedOutput(); err != nil {
				t.Fatalf("userdb: %v\n%s", err, out)
			}
		}
	}
}

// submit is a client of the submission port that has logged in.
type submitClient struct {
	*textproto.Conn
	t    *testing.T
	conn net.Conn
}

func submissionAddr(i *testkit.Instance) string { return fmt.Sprintf("127.0.0.1:%d", i.Port+1) }

func dialSubmission(t *testing.T, i *testkit.Instance) *submitClient {
	t.Helper()
	c, _ := dialSubmissionTLS(t, i, &tls.Config{})
	return c
}

func dialSubmissionTLS(t *testing.T, i *testkit.Instance, cfg *tls.Config) (*submitClient, tls.ConnectionState) {
	t.Helper()
	return dialSecure(t, submissionAddr(i), cfg)
}

// dialSecure starts a session with TLS.
func dialSecure(t *testing.T, addr string, cfg *tls.Config) (*submitClient, tls.ConnectionState) {
	t.Helper()
	c, state := startSecure(t, addr, cfg)
	c.want("250", "EHLO client.test")
	return c, state
}

// startSecure ends with the handshake.
func startSecure(t *testing.T, addr string, cfg *tls.Config) (*submitClient, tls.ConnectionState) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &submitClient{textproto.NewConn(conn), t, conn}
	c.want("220", "")
	c.want("250", "EHLO client.test")
	c.want("220", "STARTTLS")
	cfg.InsecureSkipVerify = true
	tc := tls.Client(conn, cfg)
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	c.Conn, c.conn = textproto.NewConn(tc), tc
	t.Cleanup(func() { c.Close() })
	return c, tc.ConnectionState()
}

func (c *submitClient) want(prefix, command string) string {
	c.t.Helper()
	c.conn.SetDeadline(time.Now().Add(time.Minute))
	if command != "" {
		c.PrintfLine("%s", command) // a server that hung up shows in its reply
	}
	var text []string
	for {
		line, err := c.ReadLine()
		if err != nil {
			c.t.Fatalf("after %q: %v %q", command, err, text)
		}
		text = append(text, line)
		if len(line) < 4 || line[3] != '-' {
			break
		}
	}
	all := strings.Join(text, "\n")
	if !strings.HasPrefix(text[len(text)-1], prefix) {
		c.t.Fatalf("%q is answered with %q, want %s", command, all, prefix)
	}
	return all
}

// login is PLAIN for you@example.test with "secret".
const submitLogin = "AUTH PLAIN AHlvdUBleGFtcGxlLnRlc3QAc2VjcmV0"

// message sends one and wants the reply to begin so.
func (c *submitClient) message(reply, from, to, text string) {
	c.t.Helper()
	c.want("250", "MAIL FROM:<"+from+">")
	c.want("250", "RCPT TO:<"+to+">")
	c.want("354", "DATA")
	c.want(reply, strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")+"\r\n.")
}

func TestSubmission(t *testing.T) {
	i := testkit.New(t, testkit.Users("you", "other"))
	submissionUsers(t, i, "you", "other")
	i.Set(t, "auth_failure_delay = 0", "submission_messages_per_hour = 6", "recipient_delimiter = +",
		"smtpd_sender_login_maps = inline:{team@example.test=other@example.test}", "myorigin = example.test")
	i.Start(t)

	// Nothing goes without TLS and login.
	conn, err := net.Dial("tcp", submissionAddr(i))
	if err != nil {
		t.Fatal(err)
	}
	plain := &submitClient{textproto.NewConn(conn), t, conn}
	plain.want("220", "")
	if ehlo := plain.want("250", "EHLO x"); strings.Contains(ehlo, "AUTH") {
		t.Errorf("AUTH without TLS: %q", ehlo)
	}
	plain.want("530 5.7.0", "MAIL FROM:<you@example.test>")
	plain.want("530 5.7.0", submitLogin)
	plain.Close()

	c := dialSubmission(t, i)
	c.want("530 5.7.0", "MAIL FROM:<you@example.test>")
	c.want("535 5.7.8", "AUTH PLAIN AHlvdUBleGFtcGxlLnRlc3QAd3Jvbmc=")
	c.want("235", submitLogin)

	// Authorship.
	c.want("553 5.7.1", "MAIL FROM:<other@example.test>")
	c.want("553 5.7.1", "MAIL FROM:<team@example.test>")
	c.message("553 5.7.1", "you@example.test", "other@example.test", "From: other@example.test\n\nx")
	c.message("553 5.7.1", "you@example.test", "other@example.test", "From: you@example.test, ceo@example.test\n\nx")
	c.message("553 5.7.1", "you@example.test", "other@example.test", "From: you@example.test\nSender: ceo@example.test\n\nx")
	c.message("554 5.6.0", "you@example.test", "other@example.test", "From: you@example.test\nFrom: ceo@example.test\n\nx")
	c.message("554 5.6.0", "you@example.test", "other@example.test", "From: you@example.test\nthis is no header\n\nx")

	// Grooming.
	c.message("250", "you+news@example.test", "other@example.test",
		"Subject:  kept   as it is \nTo: other, \"A, B\" <x@y.test>\nBcc: secret@example.test\n\nbody \n..dot\n")
	text := i.WaitMailbox(t, "other", 1)[0]
	for _, want := range []string{"Subject:  kept   as it is \n", "To: other@example.test, \"A, B\" <x@y.test>\n", "\nDate: ", "\nMessage-ID: <",
		"\nMIME-Version: 1.0\n", "\nFrom: =?utf-8?q?Joe_", "<you+news@example.test>\n", "\n\nbody \n.dot\n", "with ESMTPSA id "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(strings.ToLower(text), "bcc") {
		t.Errorf("Bcc is there:\n%s", text)
	}

	// The limit, and the notice about it.
	if got := c.want("450 4.7.1", "MAIL FROM:<you@example.test>"); !strings.Contains(got, "6 messages per hour") {
		t.Errorf("%q", got)
	}
	c.want("450 4.7.1", "MAIL FROM:<you@example.test>")
	i.WaitLog(t, `sending limit reached: 6 messages per hour by user you@example.test`)
	i.WaitLog(t, `to=<postmaster@`)
	if n := strings.Count(i.Log(), "to=<postmaster@"); n != 1 {
		t.Errorf("%d notices", n)
	}

	// The count survives a restart.
	i.Stop(t)
	i.Start(t)
	c = dialSubmission(t, i)
	c.want("235", submitLogin)
	c.want("450 4.7.1", "MAIL FROM:<you@example.test>")

	// An account on hold stops in the middle of its session.
	i.Must(t, "userdb", "other@example.test", "set", "sendas=@lists.test,boss@example.test")
	c = dialSubmission(t, i)
	c.want("235", "AUTH PLAIN AG90aGVyQGV4YW1wbGUudGVzdABzZWNyZXQ=")
	c.message("250", "other@example.test", "you@example.test", "From: any@lists.test\n\nx")
	c.message("250", "team@example.test", "you@example.test", "From: boss@example.test\n\nx")
	i.Must(t, "userdb", "other@example.test", "set", "held=1")
	testkit.Wait(t, "effect of the hold", func() bool {
		got := c.want("", "MAIL FROM:<other@example.test>")
		c.want("250", "RSET")
		return strings.HasPrefix(got, "550 5.7.1 Error: your account is on hold")
	})
}

// TestSubmissionRewrite: the setting that helps instead of refusing, and
// without the client's address.
func TestSubmissionRewrite(t *testing.T) {
	i := testkit.New(t, testkit.Users("you", "other"))
	submissionUsers(t, i, "you")
	i.Set(t, "submission_authorship = rewrite", "submission_received_address = no", "submission_resent = yes")
	i.Start(t)
	c := dialSubmission(t, i)
	c.want("235", submitLogin)
	c.message("250", "ceo@corp.test", "other@example.test", "From: \"The CEO\" <ceo@corp.test>\nSender: ceo@corp.test\nSubject: x\n\nx")
	text := i.WaitMailbox(t, "other", 1)[0]
	for _, want := range []string{"Return-Path: <you@example.test>", "From: \"The CEO\" <you@example.test>\n", "Received: by mail.example.test "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, not := range []string{"127.0.0.1", "client.test", "Sender: ", "ceo@"} {
		if strings.Contains(text, not) {
			t.Errorf("%q in\n%s", not, text)
		}
	}
	c.message("250", "you@example.test", "other@example.test", "From: friend@else.test\nResent-From: you@example.test\nSubject: y\n\ny")
	text = strings.Join(i.WaitMailbox(t, "other", 2), "\n")
	if !strings.Contains(text, "From: friend@else.test\n") || !strings.Contains(text, "Resent-Date: ") {
		t.Errorf("resent message\n%s", text)
	}
}

// TestSubmissionClients sends with real clients and each mechanism.
func TestSubmissionClients(t *testing.T) {
	testkit.NeedTool(t, "swaks", "msmtp", "mutt")
	i := testkit.New(t, testkit.Users("you", "other"))
	submissionUsers(t, i, "you")
	i.Start(t)
	n := 0
	run := func(what string, cmd *exec.Cmd, input string) {
		t.Helper()
		cmd.Stdin = strings.NewReader(input)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", what, err, out)
			return
		}
		n++
		i.WaitMailbox(t, "other", n)
	}
	for _, m := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
		run("swaks STARTTLS "+m, exec.Command("swaks", "--server", submissionAddr(i), "--tls", "--auth", m, "--auth-user", "you@example.test",
			"--auth-password", "secret", "--from", "you@example.test", "--to", "other@example.test"), "")
		run("swaks TLS "+m, exec.Command("swaks", "--server", fmt.Sprintf("127.0.0.1:%d", i.Port+2), "--tls-on-connect", "--auth", m,
			"--auth-user", "you@example.test", "--auth-password", "secret", "--from", "you@example.test", "--to", "other@example.test"), "")
	}
	dir := t.TempDir()
	for _, m := range []string{"plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256"} {
		rc := filepath.Join(dir, "msmtprc")
		text := fmt.Sprintf("account default\nhost 127.0.0.1\nport %d\nfrom you@example.test\nuser you@example.test\npassword secret\n"+
			"auth %s\ntls on\ntls_starttls on\ntls_certcheck off\n", i.Port+1, m)
		if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run("msmtp "+m, exec.Command("msmtp", "-C", rc, "other@example.test"), "From: you@example.test\nSubject: "+m+"\n\nx\n")
	}
	muttrc := filepath.Join(dir, "muttrc")
	// By itself, Debian's mutt takes SCRAM-SHA-256-PLUS, for which its GNU SASL
	// finds no channel binding.
	text := fmt.Sprintf("set smtp_authenticators=scram-sha-256\nset from=you@example.test\nset use_envelope_from\nset smtp_url=\"smtp://you@example.test@127.0.0.1:%d/\"\nset smtp_pass=secret\n"+
		"set ssl_starttls=yes\nset ssl_verify_host=no\nset ssl_verify_dates=no\nset certificate_file=%s/etc/tls/cert.pem\nset copy=no\n", i.Port+1, i.Dir)
	if err := os.WriteFile(muttrc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("mutt", "-n", "-F", muttrc, "-s", "by mutt", "other@example.test")
	cmd.Env = append(os.Environ(), "HOME="+dir)
	run("mutt", cmd, "text\n")
}

// TestFutureRelease: mail that is to leave later waits, whatever happens
// meanwhile (RFC 4865). It leaves at its time: the next queue run is far.
func TestFutureRelease(t *testing.T) {
	const hold = 20 * time.Second
	i := testkit.New(t, testkit.Users("you", "other"))
	submissionUsers(t, i, "you")
	i.Set(t, "queue_run_delay = 3h")
	i.Start(t)
	c := dialSubmission(t, i)
	if ehlo := c.want("250", "EHLO x"); !strings.Contains(ehlo, "FUTURERELEASE 2592000 20") || !strings.Contains(ehlo, "MT-PRIORITY") {
		t.Errorf("%q", ehlo)
	}
	c.want("235", submitLogin)
	begin := time.Now()
	c.want("250", fmt.Sprintf("MAIL FROM:<you@example.test> HOLDFOR=%d MT-PRIORITY=3", hold/time.Second))
	c.want("250", "RCPT TO:<other@example.test>")
	c.want("354", "DATA")
	c.want("250", "Subject: later\r\n\r\nx\r\n.")
	c.message("250", "you@example.test", "other@example.test", "Subject: now\n\nx\n")
	i.WaitMailbox(t, "other", 1)
	i.WaitLog(t, `from=<you@example.test>, held until .* as its sender asked`)
	i.Must(t, "posthouse", "-c", i.Etc(""), "flush")
	i.Stop(t)
	i.Start(t)
	i.Must(t, "posthouse", "-c", i.Etc(""), "flush")
	time.Sleep(2 * time.Second)
	if n := len(i.Mailbox(t, "other")); n != 1 && time.Since(begin) < hold {
		t.Errorf("%d messages after %v", n, time.Since(begin))
	}
	testkit.Wait(t, "release", func() bool { return time.Since(begin) > hold })
	all := strings.Join(i.WaitMailbox(t, "other", 2), "\n")
	if !strings.Contains(all, "Subject: later") || !strings.Contains(all, "(PRIORITY 3);") {
		t.Error(all)
	}
}

// TestSubmissionByMasterCf: the way of a Postfix master.cf, smtpd with -o, works
// as well.
func TestSubmissionByMasterCf(t *testing.T) {
	testkit.NeedTool(t, "swaks")
	i := testkit.New(t, testkit.Users("you", "other"))
	submissionUsers(t, i, "you")
	i.Set(t, "virtual_mailbox_domains = example.test, own.test", "smtpd_sender_login_maps = inline:{you@example.test=you@example.test}")
	addr := fmt.Sprintf("127.0.0.1:%d", i.Port+8)
	i.Service(t, addr+" inet n - y - - smtpd", "  -o syslog_name=postfix/submission", "  -o smtpd_tls_security_level=encrypt",
		"  -o smtpd_sasl_auth_enable=yes", "  -o smtpd_tls_auth_only=yes", "  -o smtpd_sasl_type=cyrus", "  -o smtpd_reject_unlisted_recipient=no",
		"  -o smtpd_client_restrictions=", "  -o smtpd_helo_restrictions=", "  -o smtpd_sender_restrictions=reject_sender_login_mismatch",
		"  -o smtpd_relay_restrictions=", "  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject", "  -o milter_macro_daemon_name=ORIGINATING")
	i.Start(t)
	send := func(from string, more ...string) (string, error) {
		args := append([]string{"--server", addr, "--tls", "--from", from, "--to", "other@example.test"}, more...)
		out, err := exec.Command("swaks", args...).CombinedOutput()
		return string(out), err
	}
	login := []string{"--auth", "PLAIN", "--auth-user", "you@example.test", "--auth-password", "secret"}
	if out, err := send("you@example.test", login...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	i.WaitMailbox(t, "other", 1)
	i.WaitLog(t, `postfix/submission/?[^ ]*smtpd\[\d+\]: [0-9A-F]+: client=.*, sasl_method=PLAIN, sasl_username=you@example.test`)
	if out, err := send("other@example.test", login...); err == nil || !strings.Contains(out, "Sender address rejected: not owned by user you@example.test") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := send("you@example.test"); err == nil {
		t.Errorf("without login:\n%s", out)
	}
}

// TestRelayOnly: an agent in front of another mail system, to which it logs in.
func TestRelayOnly(t *testing.T) {
	home := testkit.New(t, testkit.Users("you", "other"))
	submissionUsers(t, home, "you")
	home.Set(t, "auth_failure_delay = 0")
	home.Start(t)
	i := testkit.New(t, testkit.Users("you"))
	submissionUsers(t, i, "you")
	next := fmt.Sprintf("[127.0.0.1]:%d", home.Port+1)
	i.Set(t, "virtual_mailbox_domains =", "relayhost = "+next, "smtp_tls_security_level = encrypt", "smtp_sasl_auth_enable = yes",
		"smtp_sasl_tls_security_options = noanonymous", "smtp_sasl_password_maps = texthash:"+i.Etc("passwords"), "queue_run_delay = 1s", "minimal_backoff_time = 1s")
	i.Write(t, "passwords", next+" you@example.test:wrong\n")
	os.Chmod(i.Etc("passwords"), 0o600)
	i.Start(t)
	c := dialSubmission(t, i)
	c.want("235", submitLogin)
	c.want("250", "MAIL FROM:<you@example.test> MT-PRIORITY=-2")
	c.want("250", "RCPT TO:<other@example.test>")
	c.want("354", "DATA")
	c.want("250", "Subject: x\r\n\r\nx\r\n.")
	i.WaitLog(t, `status=deferred \(SASL authentication failed; server 127\.0\.0\.1\[127\.0\.0\.1\] said: 535 5\.7\.8 `)
	i.Write(t, "passwords", next+" you@example.test:secret\n")
	text := home.WaitMailbox(t, "other", 1)[0]
	// The priority goes along: both servers name it.
	if strings.Count(text, "with ESMTPSA id") != 2 || strings.Count(text, "(PRIORITY -2)") != 2 {
		t.Error(text)
	}
	home.WaitLog(t, `sasl_method=SCRAM-SHA-256, sasl_username=you@example.test|sasl_method=SCRAM-SHA-256-PLUS, sasl_username=you@example.test`)
}

// TestAutoconf asks as Thunderbird does, over HTTP and TLS.
func TestAutoconf(t *testing.T) {
	i := testkit.New(t)
	web, secure := fmt.Sprintf("127.0.0.1:%d", i.Port+8), fmt.Sprintf("127.0.0.1:%d", i.Port+9)
	i.Service(t, web+" inet n - y - 1 autoconf", secure+" inet n - y - 1 autoconf -o smtpd_tls_wrappermode=yes")
	i.Set(t, fmt.Sprintf("autoconf_submission_port = %d", i.Port+1))
	i.Start(t)
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for _, url := range []string{"http://" + web + "/mail/config-v1.1.xml?emailaddress=you%40example.test",
		"https://" + secure + "/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=you%40example.test"} {
		reply, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if err != nil || reply.StatusCode != http.StatusOK || !strings.Contains(string(text), "<hostname>mail.example.test</hostname>") ||
			!strings.Contains(string(text), fmt.Sprintf("<port>%d</port>", i.Port+1)) {
			t.Errorf("%s: %s %v\n%s", url, reply.Status, err, text)
		}
	}
	i.WaitLog(t, `autoconf\[\d+\]: jail login`)
}
