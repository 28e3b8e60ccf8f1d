package scenario

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestMaps: who gets the mail, by the tables that decide it.
func TestMaps(t *testing.T) {
	t.Parallel()
	server := newSink(t)
	mail := testkit.New(t, testkit.Users("you", "other", "archive", "catch"))
	mail.Set(t, "recipient_delimiter = +", "smtp_tls_security_level = none",
		"virtual_alias_domains = alias.test",
		"virtual_alias_maps = inline:{ { team@alias.test = you@example.test, other@example.test }, { @alias.test = catch@example.test }, { loop@example.test = loop@example.test } }",
		"canonical_maps = inline:{ old@example.test=you@example.test }",
		"sender_canonical_maps = inline:{ me@inner.test=public@example.test }",
		"relocated_maps = inline:{ { gone@example.test = new@elsewhere.test } }",
		fmt.Sprintf("transport_maps = inline:{ { relay.test=smtp:%s }, { .sub.test=smtp:%[1]s } }", server.hop()),
		"always_bcc = archive@example.test")
	mail.Start(t)
	archived := 0
	for _, tc := range []struct{ name, to, box, header string }{
		{"plain", "you@example.test", "you", "Delivered-To: you@example.test"},
		{"extension", "you+lists@example.test", "you", "X-Original-To: you+lists@example.test"},
		{"alias with two", "team@alias.test", "other", "X-Original-To: team@alias.test"},
		{"catch-all", "whoever@alias.test", "catch", "X-Original-To: whoever@alias.test"},
		{"canonical", "old@example.test", "you", "Delivered-To: you@example.test"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id := session(t, mail).Message("s@sender.test", tc.to, "To: "+tc.to+"\nSubject: "+tc.name+"\n\nx\n")
			mail.WaitLog(t, id+`: removed`)
			archived++
			found := ""
			for _, text := range mail.Mailbox(t, tc.box) {
				if strings.Contains(text, "\nSubject: "+tc.name+"\n") {
					found = text
				}
			}
			if !strings.Contains(found, tc.header) {
				t.Errorf("no %q in\n%s", tc.header, found)
			}
			if tc.name == "canonical" && !strings.Contains(found, "\nTo: you@example.test\n") {
				t.Errorf("header is not rewritten:\n%s", found)
			}
		})
	}
	if n := len(mail.Mailbox(t, "archive")); n != archived {
		t.Errorf("always_bcc: %d copies of %d", n, archived)
	}
	s := session(t, mail)
	s.Cmd("250", "MAIL FROM:<s@sender.test>")
	s.Cmd("550 5.1.6 <gone@example.test>: Recipient address rejected: User has moved to new@elsewhere.test", "RCPT TO:<gone@example.test>")
	s.Cmd("550 5.1.1 <nosuch@example.test>: Recipient address rejected: User unknown in virtual mailbox table", "RCPT TO:<nosuch@example.test>")
	s.Cmd("250", "RSET")
	s.Message("me@inner.test", "x@relay.test,y@deep.sub.test", "From: me@inner.test\nSubject: out\n\nx\n")
	for _, got := range server.wait(t, 1) {
		if len(got.Rcpts) != 2 || !strings.HasPrefix(got.Mail, "MAIL FROM:<public@example.test>") || !strings.Contains(got.Text, "\nFrom: public@example.test\n") {
			t.Errorf("sender_canonical_maps: %s\n%s", got.Mail, got.Text)
		}
	}
	mail.Send(t, "Subject: moved\n\nx\n", "-f", "other@example.test", "gone@example.test")
	mail.WaitLog(t, `to=<gone@example\.test>, .*dsn=5\.1\.6, status=bounced \(User has moved to new@elsewhere\.test\)`)
}

// TestHeaderChecks: each action, for mail by SMTP and by sendmail.
func TestHeaderChecks(t *testing.T) {
	t.Parallel()
	mail := testkit.New(t, testkit.Users("you", "other"))
	mail.Write(t, "header_checks", `
/^Subject: reject/   REJECT no such subjects
/^Subject: warn/     WARN seen
/^Subject: hold/     HOLD for a look
/^Subject: discard/  DISCARD away
/^Subject: redirect/ REDIRECT other@example.test
/^Subject: prepend/  PREPEND X-Prepended: yes
/^Subject: replace/  REPLACE Subject: replaced
/^X-Secret:/         IGNORE
/^Subject: info/     INFO noted
/^Subject: bcc/      BCC other@example.test
`)
	mail.Write(t, "body_checks", `
/^spam$/  REJECT no spam
/^drop$/  IGNORE
/^swap$/  REPLACE swapped
`)
	mail.Set(t, "header_checks = regexp:"+mail.Etc("header_checks"), "body_checks = regexp:"+mail.Etc("body_checks"))
	mail.Start(t)
	s := session(t, mail)
	refused := func(text, reply string) {
		t.Helper()
		s.Cmd("250", "MAIL FROM:<s@sender.test>")
		s.Cmd("250", "RCPT TO:<you@example.test>")
		s.Cmd("354", "DATA")
		s.Cmd(reply, "%s\r\n.", text)
	}
	refused("Subject: reject\r\n\r\nx", "550 5.7.1 no such subjects")
	mail.WaitLog(t, `: reject: header Subject: reject from localhost\[127\.0\.0\.1\]; from=<s@sender\.test> to=<you@example\.test> proto=ESMTP helo=<c\.test>: 5\.7\.1 no such subjects`)
	refused("Subject: ok\r\n\r\nspam", "550 5.7.1 no spam")
	mail.WaitLog(t, `: reject: body spam from localhost\[127\.0\.0\.1\]; `)

	id := s.Message("s@sender.test", "you@example.test", "Subject: discard\n\nx\n")
	mail.WaitLog(t, id+`: discard: header Subject: discard from .*: away`)
	id = s.Message("s@sender.test", "you@example.test", "Subject: warn\nX-Secret: 1\n\none\ndrop\nswap\n")
	mail.WaitLog(t, id+`: warning: header Subject: warn from localhost\[127\.0\.0\.1\]; from=<s@sender\.test> to=<you@example\.test> proto=ESMTP helo=<c\.test>: seen`)
	text := mail.WaitMailbox(t, "you", 1)[0]
	if strings.Contains(text, "X-Secret") || !strings.HasSuffix(strings.TrimRight(text, "\n"), "\none\nswapped") {
		t.Errorf("message\n%s", text)
	}
	id = s.Message("s@sender.test", "you@example.test", "Subject: redirect\n\nx\n")
	mail.WaitLog(t, id+`: to=<other@example\.test>, orig_to=<you@example\.test>, .*status=sent`)
	s.Message("s@sender.test", "you@example.test", "Subject: prepend\n\nx\n")
	s.Message("s@sender.test", "you@example.test", "Subject: replace\n\nx\n")
	s.Message("s@sender.test", "you@example.test", "Subject: bcc\n\nx\n")
	all := strings.Join(mail.WaitMailbox(t, "you", 4), "\n")
	for _, want := range []string{"\nX-Prepended: yes\nSubject: prepend\n", "\nSubject: replaced\n", "\nSubject: bcc\n"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	if strings.Contains(all, "Subject: redirect") {
		t.Error("REDIRECT delivered to the recipient")
	}
	mail.WaitMailbox(t, "other", 2) // REDIRECT and BCC

	mail.Send(t, "Subject: reject\n\nx\n", "-f", "you@example.test", "other@example.test")
	mail.WaitLog(t, `cleanup\[\d+\]: [0-9A-F]+: reject: header Subject: reject from local; from=<you@example\.test> to=<other@example\.test>: 5\.7\.1 no such subjects`)
	notice := ""
	for _, text := range mail.WaitMailbox(t, "you", 5) {
		if strings.Contains(text, "multipart/report") {
			notice = text
		}
	}
	field(t, parseDSN(t, notice).perRcpt[0], "Status", `5\.7\.1`)
}

// TestSizeLimit: message_size_limit by SIZE, by what really comes, and by
// sendmail.
func TestSizeLimit(t *testing.T) {
	t.Parallel()
	testkit.NeedRoot(t) // for its number in a message
	mail := testkit.New(t)
	mail.Set(t, "message_size_limit = 20000")
	mail.Start(t)
	s := session(t, mail)
	s.Cmd("552 5.3.4", "MAIL FROM:<s@sender.test> SIZE=20001")
	s.Cmd("250", "MAIL FROM:<s@sender.test>")
	s.Cmd("250", "RCPT TO:<you@example.test>")
	s.Cmd("354", "DATA")
	big := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 400)
	s.Cmd("552 5.3.4 Error: message file too big", "%s.", big)
	s.Cmd("250", "NOOP")
	cmd := mail.Command("sendmail", "-f", "you@example.test", "you@example.test")
	cmd.Stdin = strings.NewReader("Subject: big\n\n" + big)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 75 || !strings.Contains(string(out), "sendmail: fatal: you@example.test(0): message file too big") {
		t.Errorf("sendmail: %v %s", err, out)
	}
	testkit.Wait(t, "empty queue", func() bool { return len(mail.Queue(t, "maildrop", "incoming", "active", "hold", "deferred")) == 0 })
}

// TestQueueTools: a message through the hands of the postmaster.
func TestQueueTools(t *testing.T) {
	t.Parallel()
	server := newSink(t)
	server.on(func(verb, _ string) string {
		if verb == "RCPT" {
			return "450 4.2.0 later"
		}
		return ""
	})
	mail := testkit.New(t)
	mail.Write(t, "header_checks", "/^Subject: hold/ HOLD for a look\n")
	mail.Set(t, "header_checks = regexp:"+mail.Etc("header_checks"), "relayhost = "+server.hop(), "smtp_tls_security_level = none", "virtual_alias_maps = texthash:"+mail.Etc("valias"))
	mail.Write(t, "valias", "")
	mail.Start(t)
	if out := mail.Must(t, "mailq"); out != "Mail queue is empty\n" {
		t.Errorf("mailq: %q", out)
	}
	s := session(t, mail)
	held := s.Message("s@sender.test", "you@example.test", "Subject: hold\n\nbody of held\n")
	mail.WaitLog(t, held+`: hold: header Subject: hold from .*: for a look`)
	later := s.Message("s@sender.test", "x@remote.test,y@remote.test", "Subject: later\n\nbody of later\n")
	mail.WaitLog(t, later+`: to=<y@remote\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*status=deferred \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 450 4\.2\.0 later \(in reply to RCPT TO command\)\)`)
	testkit.Wait(t, "deferred message", func() bool { return len(mail.Queue(t, "deferred")) == 1 })

	out := mail.Must(t, "mailq")
	date := `\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d  s@sender\.test\n`
	for _, want := range []string{
		`^-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n`,
		`\n` + held + `! +\d+ ` + date + ` +you@example\.test\n\n`,
		`\n` + later + `  +\d+ ` + date + `\(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 450 4\.2\.0 later \(in reply to RCPT TO command\)\)\n +x@remote\.test\n +y@remote\.test\n\n`,
		`\n-- \d+ Kbytes in 2 Requests\.\n$`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("mailq: no %s in\n%s", want, out)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(mail.Must(t, "postqueue", "-j")), "\n") {
		var m struct {
			QueueName  string `json:"queue_name"`
			QueueID    string `json:"queue_id"`
			Recipients []struct {
				Address string `json:"address"`
				Reason  string `json:"delay_reason"`
			} `json:"recipients"`
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("postqueue -j: %v\n%s", err, line)
		}
		if m.QueueID == held && m.QueueName != "hold" || m.QueueID == later && (m.QueueName != "deferred" || len(m.Recipients) != 2 || !strings.Contains(m.Recipients[0].Reason, "450 4.2.0 later")) {
			t.Errorf("postqueue -j: %s", line)
		}
	}
	cat := mail.Must(t, "postcat", "-q", held)
	for _, part := range []string{"*** ENVELOPE RECORDS hold/", "sender: s@sender.test", "recipient: you@example.test", "*** MESSAGE CONTENTS hold/", "Subject: hold", "body of held", "*** MESSAGE FILE END hold/"} {
		if !strings.Contains(cat, part) {
			t.Errorf("postcat: no %q in\n%s", part, cat)
		}
	}
	if body := mail.Must(t, "postcat", "-bq", held); strings.TrimSpace(body) != "body of held" {
		t.Errorf("postcat -b: %q", body)
	}

	if out := mail.Must(t, "postsuper", "-H", held); !strings.Contains(out, "postsuper: Released from hold: 1 message") {
		t.Errorf("postsuper -H: %s", out)
	}
	tried := strings.Count(mail.Log(), later+": to=<y@remote.test>")
	mail.Must(t, "postqueue", "-f") // it is in the deferred queue now
	mail.WaitMailbox(t, "you", 1)
	testkit.Wait(t, "another try of the other message", func() bool {
		return strings.Count(mail.Log(), later+": to=<y@remote.test>") > tried
	})
	testkit.Wait(t, "deferred message", func() bool { return len(mail.Queue(t, "deferred")) == 1 })
	// Requeued mail passes cleanup, and so the tables, once more.
	mail.Write(t, "valias", "x@remote.test you@example.test\n")
	old := logged(mail, "cleanup", "pickup")
	control(t, mail, 0, "", "reload")
	testkit.Wait(t, "end of the processes that know the old table", func() bool {
		return !slices.ContainsFunc(old, func(pid int) bool { return syscall.Kill(pid, 0) == nil })
	})
	if out := mail.Must(t, "postsuper", "-r", later); !strings.Contains(out, "Requeued: 1 message") {
		t.Errorf("postsuper -r: %s", out)
	}
	mail.Must(t, "postqueue", "-f")
	mail.WaitMailbox(t, "you", 2)
	mail.WaitLog(t, `to=<you@example\.test>, orig_to=<x@remote\.test>, .*status=sent`)
	var id string
	testkit.Wait(t, "the rest to be deferred", func() bool {
		left := mail.Queue(t, "deferred")
		if len(left) == 1 {
			id = left[0]
		}
		return len(left) == 1
	})
	n := strings.Count(mail.Log(), "status=deferred")
	mail.Must(t, "postqueue", "-i", id)
	testkit.Wait(t, "another try", func() bool { return strings.Count(mail.Log(), "status=deferred") > n })
	testkit.Wait(t, "deferred again", func() bool { return len(mail.Queue(t, "deferred")) == 1 })
	if out := mail.Must(t, "postsuper", "-h", id); !strings.Contains(out, "Placed on hold: 1 message") {
		t.Errorf("postsuper -h: %s", out)
	}
	if out := mail.Must(t, "postsuper", "-d", id); !strings.Contains(out, "Deleted: 1 message") {
		t.Errorf("postsuper -d: %s", out)
	}
	if out := mail.Must(t, "postqueue", "-p"); out != "Mail queue is empty\n" {
		t.Errorf("postqueue -p: %q", out)
	}
	if left := mail.Queue(t, "hold", "deferred", "bounce", "active", "incoming", "maildrop"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// logged returns the processes of programs that have logged something.
func logged(mail *testkit.Instance, programs ...string) (pids []int) {
	re := regexp.MustCompile(`postfix/(?:` + strings.Join(programs, "|") + `)\[(\d+)\]`)
	for _, m := range re.FindAllStringSubmatch(mail.Log(), -1) {
		if pid, err := strconv.Atoi(m[1]); err == nil && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}
