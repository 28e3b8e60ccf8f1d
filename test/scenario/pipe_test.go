package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestPipe: commands of master.cf get the message, with their user's rights,
// and what they say becomes of it.
func TestPipe(t *testing.T) {
	testkit.NeedRoot(t)
	t.Parallel()
	mail := testkit.New(t)
	alice := testkit.NewAccount(t, mail.Dir, "phpipe")
	out := filepath.Join(alice.Home, "out")
	keep := fmt.Sprintf("#!/bin/sh\nshift 0\nfor a; do echo \"[$a]\"; done >%[1]s.args; id -un >%[1]s.id; pwd >>%[1]s.id; env >%[1]s.env; cat >%[1]s.msg; ls -l /proc/self/fd >%[1]s.fds\n", out)
	fate := "#!/bin/sh\ncase $1 in ok) echo fine; exit 0;; temp) exit 75;; gone) exit 67;; code) echo '4.2.2 full for now'; exit 1;; slow) sleep 300;; esac\n"
	for name, text := range map[string]string{"keep": keep, "fate": fate} {
		mail.Write(t, name, text)
		os.Chmod(mail.Etc(name), 0o755)
	}
	mail.Set(t, "recipient_delimiter = +", "one_destination_recipient_limit = 1", "fate_destination_recipient_limit = 1", "fate_time_limit = 8s",
		"relay_domains = keep.test, one.test, fate.test, small.test, many.test, root.test",
		"transport_maps = inline:{ keep.test=many:, many.test=many:, {one.test=one:Hop.Test}, fate.test=fate:, small.test=small:, root.test=root: }")
	mail.Service(t,
		"many unix - n n - 10 pipe\n  user=phpipe null_sender=\n  argv="+mail.Etc("keep")+" -f ${sender} ${extension} -- ${recipient}",
		"one unix - n n - 10 pipe\n  flags=DORFXhuq.> user=phpipe:mail eol=\\r\\n directory="+alice.Home+" argv="+mail.Etc("keep")+" { $user@$nexthop } $original_recipient",
		"fate unix - n n - 10 pipe\n  user=phpipe argv="+mail.Etc("fate")+" ${user}",
		"small unix - n n - 10 pipe\n  user=phpipe size=300 argv="+mail.Etc("fate")+" ok",
		"root unix - n n - 10 pipe\n  user=root argv=/bin/cat")
	mail.Start(t)
	s := session(t, mail)

	id := s.Message("a@sender.test", "u1@keep.test,u2+ext@keep.test", "Subject: both\n\nFrom here\n..dot\n")
	mail.WaitLog(t, id+`: to=<u1@keep\.test>, relay=many, .*dsn=2\.0\.0, status=sent \(delivered via many service\)`)
	mail.WaitLog(t, id+`: to=<u2\+ext@keep\.test>, relay=many, .*status=sent`)
	if got := read(t, out+".args"); got != "[-f]\n[a@sender.test]\n[]\n[ext]\n[--]\n[u1@keep.test]\n[u2+ext@keep.test]\n" {
		t.Errorf("arguments\n%s", got)
	}
	if got := read(t, out+".id"); got != "phpipe\n"+mail.Spool("")+"\n" && got != "phpipe\n"+strings.TrimSuffix(mail.Spool(""), "/")+"\n" {
		t.Errorf("ran as %s", got)
	}
	if got := read(t, out+".msg"); !strings.HasPrefix(got, "Received: ") || !strings.Contains(got, "\n\nFrom here\n.dot\n") {
		t.Errorf("message\n%s", got)
	}
	if env := read(t, out+".env"); strings.Contains(env, "MAIL_CONFIG="+mail.Etc("")+"x") || !strings.Contains(env, "PATH=/usr/bin:/bin") {
		t.Errorf("environment\n%s", env)
	}

	id = s.Message("Send.Er@sender.test", "Some.One@One.test", "Subject: one\n\nFrom here\n..dot\n")
	mail.WaitLog(t, id+`: to=<Some\.One@One\.test>, relay=one, .*status=sent`)
	if got := read(t, out+".args"); got != "[some.one@hop.test]\n[some.one@one.test]\n" {
		t.Errorf("arguments\n%s", got)
	}
	got := read(t, out+".msg")
	for _, want := range []string{"From Send.Er@sender.test  ", "\r\nReturn-Path: <Send.Er@sender.test>\r\nX-Original-To: Some.One@One.test\r\nDelivered-To: some.one@one.test\r\nReceived: ", "\r\n\r\n>From here\r\n..dot\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	id = s.Message("a@sender.test", "some.one@one.test", "Delivered-To: some.one@one.test\nSubject: loop\n\nx\n")
	mail.WaitLog(t, id+`: to=<some\.one@one\.test>, relay=one, .*status=bounced \(.*mail forwarding loop`)

	for user, want := range map[string]string{
		"ok":   `dsn=2\.0\.0, status=sent \(delivered via fate service \(fine\)\)`,
		"temp": `dsn=4\.3\.0, status=deferred \(temporary failure\)`,
		"gone": `dsn=5\.1\.1, status=bounced \(user unknown\)`,
		"code": `dsn=4\.2\.2, status=deferred \(full for now\)`,
		"slow": `dsn=5\.3\.0, status=bounced \(Command time limit exceeded: `,
	} {
		id := s.Message("a@sender.test", user+"@fate.test", "Subject: x\n\nx\n")
		mail.WaitLog(t, id+`: to=<`+user+`@fate\.test>, relay=fate, .*`+want)
	}
	id = s.Message("a@sender.test", "x@small.test", "Subject: x\n\n"+strings.Repeat("x\n", 500))
	mail.WaitLog(t, id+`: to=<x@small\.test>, .*dsn=5\.2\.3, status=bounced \(message size \d+ exceeds size limit 300 for transport small\)`)
	s.Message("a@sender.test", "x@root.test", "Subject: x\n\nx\n")
	mail.WaitLog(t, `pipe\[\d+\]: fatal: .*user=root: must not be root`)
}

// TestProbeOnly: sendmail -bv asks where mail would go, and none goes there.
func TestProbeOnly(t *testing.T) {
	testkit.NeedRoot(t)
	mail, alice, _ := localSite(t)
	flag := filepath.Join(alice.Home, "ran")
	mail.Write(t, "aliases", "postmaster: you@example.test\ncmd: \"|touch "+flag+"\"\nfile: "+flag+"\naway: you@example.test\n")
	mail.Set(t, "transport_maps = inline:{ pipe.test=pp: }", "relay_domains = pipe.test")
	mail.Service(t, "pp unix - n n - 10 pipe\n  user=phalice argv=/usr/bin/touch "+flag)
	mail.Start(t)
	mail.Send(t, "", "-bv", "-f", "you@example.test", "other@example.test", "you@example.test", "phalice@localhost", "cmd@localhost", "file@localhost", "away@localhost", "x@pipe.test")
	for who, want := range map[string]string{
		"you@example.test": `deliverable \(delivers to maildir\)`, "phalice@localhost": `deliverable \(delivers to mailbox\)`,
		"cmd@localhost": `deliverable \(delivers to command: touch .*\)`, "file@localhost": `deliverable \(delivers to file: .*\)`,
		"away@localhost": `deliverable \(forwards to you@example\.test\)`, "x@pipe.test": `deliverable \(delivers to command: /usr/bin/touch\)`,
		"other@example.test": `undeliverable \(unknown user: "other@example\.test"\)`,
	} {
		mail.WaitLog(t, `to=<`+who+`>, .*status=`+want)
	}
	report := mail.WaitMailbox(t, "you", 1)[0]
	if !strings.Contains(report, "Mail Delivery Status Report") {
		t.Errorf("report\n%s", report)
	}
	testkit.Wait(t, "empty queue", func() bool { return len(mail.Queue(t, "maildrop", "incoming", "active", "deferred")) == 0 })
	if n := len(mail.Mailbox(t, "you")); n != 1 {
		t.Errorf("%d messages", n)
	}
	if _, err := os.Stat(flag); err == nil {
		t.Error("a command ran, or a file was written")
	}
	if _, err := os.Stat(filepath.Join(mail.Dir, "var-mail", "phalice")); err == nil {
		t.Error("a mailbox was written")
	}
}
