package scenario

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// program runs a foreign program and fails the test if it fails.
func program(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestSwaks(t *testing.T) {
	testkit.NeedTool(t, "swaks")
	t.Parallel()
	mail := testkit.New(t)
	mail.Start(t)
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"plain", nil, "<-  250 2.0.0 Ok: queued as "},
		{"HELO", []string{"--protocol", "SMTP"}, "<-  250 2.0.0 Ok: queued as "},
		{"STARTTLS", []string{"--tls"}, "<~  250 2.0.0 Ok: queued as "},
		{"pipelining", []string{"--pipeline"}, "<-  250 2.0.0 Ok: queued as "},
		{"STARTTLS and pipelining", []string{"--tls", "--pipeline"}, "<~  250 2.0.0 Ok: queued as "},
		{"attachment", []string{"--attach", "/etc/hostname", "--header", "X-Test: swaks"}, "<-  250 2.0.0 Ok: queued as "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			args := append([]string{"--server", mail.Addr(), "--helo", "c.test", "--from", "s@sender.test", "--to", "you@example.test", "--header", "Subject: " + tc.name}, tc.args...)
			if out := program(t, "", "swaks", args...); !strings.Contains(out, tc.want) {
				t.Errorf("no %q in\n%s", tc.want, out)
			}
		})
	}
	got := strings.Join(mail.WaitMailbox(t, "you", 6), "\n")
	for _, want := range []string{"with ESMTPS id", "with SMTP id", "X-Test: swaks", "Subject: STARTTLS and pipelining"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	// A refusal makes swaks fail, with the class of the reply.
	cmd := exec.Command("swaks", "--server", mail.Addr(), "--from", "s@sender.test", "--to", "nosuch@example.test")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "<** 550 5.1.1 <nosuch@example.test>") {
		t.Errorf("unknown user: %v\n%s", err, out)
	}
}

// smtplibScript sends with the library of Python: with TLS, with several
// recipients of whom one is refused, with lines that begin with dots, and with
// addresses that are not ASCII.
const smtplibScript = `
import smtplib, ssl, sys
from email.message import EmailMessage
host, port = sys.argv[1], int(sys.argv[2])
s = smtplib.SMTP(host, port, local_hostname="c.test", timeout=20)
ctx = ssl.create_default_context(); ctx.check_hostname = False; ctx.verify_mode = ssl.CERT_NONE
s.starttls(context=ctx); s.ehlo()
assert s.has_extn("size") and s.has_extn("smtputf8") and s.has_extn("dsn") and s.has_extn("8bitmime")
m = EmailMessage()
m["From"], m["To"], m["Subject"] = "s@sender.test", "you@example.test", "dots"
m.set_content(".one\n..two\n.\nend\n")
refused = s.send_message(m, to_addrs=["you@example.test", "nosuch@example.test"])
assert list(refused) == ["nosuch@example.test"] and refused["nosuch@example.test"][0] == 550, refused
m = EmailMessage()
m["From"], m["To"], m["Subject"] = "grüße@sender.test", "you@example.test", "Grüße"
m.set_content("schöne Grüße\n", cte="8bit")
assert s.send_message(m) == {}
assert s.docmd("NOOP")[0] == 250 and s.verify("you@example.test")[0] in (250, 252)
try:
    s.sendmail("s@sender.test", ["x@elsewhere.test\r\nRCPT TO:<y@z>"], "Subject: x\n\nx")
except (ValueError, smtplib.SMTPException):
    s.rset() if s.sock else None
print("done", s.quit()[0] if s.sock else "")
`

func TestPythonSmtplib(t *testing.T) {
	testkit.NeedTool(t, "python3")
	t.Parallel()
	mail := testkit.New(t)
	mail.Start(t)
	if out := program(t, "", "python3", "-c", smtplibScript, "127.0.0.1", strings.Split(mail.Addr(), ":")[1]); !strings.HasPrefix(out, "done") {
		t.Errorf("smtplib: %s", out)
	}
	all := strings.Join(mail.WaitMailbox(t, "you", 2), "\n")
	for _, want := range []string{"\n.one\n..two\n.\nend\n", "\nschöne Grüße\n", "\nSubject: Grüße\n", "with UTF8SMTPS id"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
}

// TestMutt sends as a mail reader does: by sendmail, with its own options.
func TestMutt(t *testing.T) {
	testkit.NeedTool(t, "mutt")
	t.Parallel()
	mail := testkit.New(t)
	mail.Start(t)
	home := t.TempDir()
	sendmail := mail.Command("sendmail").Path
	rc := filepath.Join(home, "muttrc")
	text := "set sendmail=\"" + sendmail + " -C " + mail.Etc("") + " -oem -oi\"\nset use_envelope_from=yes\nset from=s@sender.test\nset realname=\"A. Sender\"\nset use_from=yes\nset copy=no\nset dsn_notify=failure,delay\nset dsn_return=hdrs\nset record=\"\"\n"
	if err := os.WriteFile(rc, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("mutt", "-n", "-F", rc, "-s", "from mutt", "-a", "/etc/hostname", "--", "you@example.test")
	cmd.Env = append(os.Environ(), "HOME="+home, "TERM=dumb")
	cmd.Stdin = strings.NewReader("Hello,\n.\nFrom here on.\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mutt: %v\n%s", err, out)
	}
	got := mail.WaitMailbox(t, "you", 1)[0]
	for _, want := range []string{"Return-Path: <s@sender.test>\n", "\nSubject: from mutt\n", "\nHello,\n.\nFrom here on.\n", "\nFrom: \"A. Sender\" <s@sender.test>\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
