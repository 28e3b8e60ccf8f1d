package attack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestInjectionBySMTP: control characters in commands make no header, no
// record and no line of their own (HI1, 8B).
func TestInjectionBySMTP(t *testing.T) {
	mail := site(t)
	mail.Start(t)
	for i, evil := range []string{"\r", "\n", "\x00", "\x1b[31m", "\x07", "\x7f", "\x80\x81", "\u202e", "\rX-Evil: 1", "\nX-Evil: 1", "\x00X-Evil: 1"} {
		c := dialFrom(t, mail.Addr(), stranger)
		c.say("EHLO he" + evil + "lo\r\n")
		c.say(fmt.Sprintf("RSET\r\nMAIL FROM:<s%sender%d@b.test>\r\n", evil, i))
		c.say("MAIL FROM:<plain@b.test>\r\n")
		c.say("RCPT TO:<you" + evil + "@example.test>\r\n")
		c.say("RCPT TO:<you@example.test> ORCPT=rfc822;y" + evil + "ou\r\n")
		c.say("RCPT TO:<you@example.test>\r\nNOOP end\r\n")
		for reply := c.reply(); reply != ""; reply = c.reply() {
			if strings.ContainsAny(strings.ReplaceAll(reply, "\r\n", ""), "\r\n\x00\x1b\x07") {
				t.Errorf("%q: reply %q", evil, reply)
			}
			c.conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
			if _, err := c.r.Peek(1); err != nil {
				break
			}
		}
		reply := c.ask("DATA")
		for strings.HasPrefix(reply, "250") {
			reply = c.reply()
		}
		if strings.HasPrefix(reply, "354") {
			c.say("S: x\r\n\r\nx\r\n.\r\n")
			c.reply()
		}
		c.conn.Close()
	}
	testkit.Wait(t, "empty queue", func() bool { return len(mail.Queue(t, "incoming", "active")) == 0 })
	for _, m := range mail.Mailbox(t, "you") {
		head, _, _ := strings.Cut(m, "\n\n")
		if strings.Contains(head, "\nX-Evil") || strings.ContainsAny(head, "\r\x00\x1b\x07") {
			t.Errorf("injected:\n%q", head)
		}
	}
	for line := range strings.Lines(mail.Log()) {
		if strings.HasPrefix(line, "X-Evil") || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\x00\x1b\x07\x7f") {
			t.Errorf("log line %q", line)
		}
	}
	alive(t, mail)
}

// TestInjectionBySendmail: the same by options, environment and names (HI1,
// P7).
func TestInjectionBySendmail(t *testing.T) {
	mail := site(t)
	mail.Start(t)
	run := func(env []string, text string, args ...string) error {
		cmd := mail.Command("sendmail", args...)
		cmd.Env = append(cmd.Env, env...)
		cmd.Stdin = strings.NewReader(text)
		return cmd.Run()
	}
	for _, evil := range []string{"\n", "\r", "\r\nX-Evil: 1", "\nX-Evil: 1"} {
		for name, args := range map[string][]string{
			"-f": {"-f", "a" + evil + "@b.test", "you@example.test"}, "-r": {"-r", "a" + evil + "@b.test", "you@example.test"},
			"-F": {"-F", "Full" + evil + "Name", "you@example.test"}, "recipient": {"-f", "a@b.test", "you" + evil + "@example.test"},
			"-V": {"-V", "id" + evil, "you@example.test"}, "-O": {"-O", "x" + evil + "y", "-f", "a@b.test", "you@example.test"},
			"-B": {"-B", "8BITMIME" + evil, "you@example.test"}, "-N": {"-N", "never" + evil, "you@example.test"}, "-X": {"-XV" + evil, "you@example.test"},
		} {
			err := run(nil, "Subject: "+name+"\n\nx\n", args...)
			if err == nil && name != "-F" && name != "-O" && name != "-N" {
				t.Errorf("%s with %q was accepted", name, evil)
			}
		}
		run([]string{"NAME=Na" + evil + "me", "LOGNAME=l" + evil, "USER=u" + evil, "MAIL_CONFIG=" + mail.Etc("")}, "Subject: env\n\nx\n", "you@example.test")
	}
	run(nil, "Subject: clean\n\nx\n", "-f", "a@b.test", "you@example.test")
	testkit.Wait(t, "clean message", func() bool {
		return strings.Contains(strings.Join(mail.Mailbox(t, "you"), ""), "Subject: clean")
	})
	for _, m := range mail.Mailbox(t, "you") {
		head, _, _ := strings.Cut(m, "\n\n")
		if strings.Contains(head, "\nX-Evil") || strings.Contains(head, "\r") {
			t.Errorf("injected:\n%q", head)
		}
	}
	alive(t, mail)
}

// TestSendmailT: recipients from headers, bounded, Bcc removed (HI2).
func TestSendmailT(t *testing.T) {
	next := newSink(t, nil)
	mail := site(t, "transport_maps = inline:{{sink.test="+next.to("smtp")+"}}")
	mail.Start(t)
	mail.Send(t, "To: Group: a@sink.test,\n b@sink.test;\nCc: \"x, y\" <c@sink.test> (d@sink.test)\nBcc: e@sink.test\nSubject: one\n\nx\n", "-t", "-f", "s@b.test")
	mail.Send(t, "Bcc: f@sink.test\nSubject: two\n\nx\n", "-t", "-f", "s@b.test")
	mail.Send(t, "To: never@sink.test\nResent-To: g@sink.test\nResent-Bcc: h@sink.test\nSubject: three\n\nx\n", "-t", "-f", "s@b.test")
	mail.Send(t, "To: i@sink.test,\r\r\n j@sink.test\nSubject: four\n\nx\n", "-t", "-f", "s@b.test")
	testkit.Wait(t, "four messages", func() bool { return len(next.messages()) >= 4 })
	want := map[string]string{"one": "abce", "two": "f", "three": "gh", "four": "ij"}
	for subject, letters := range want {
		m := next.find(t, "Subject: "+subject)
		if len(m.rcpts) != len(letters) {
			t.Errorf("%s: %q", subject, m.rcpts)
		}
		if strings.Contains(strings.ToLower(m.raw), "bcc:") || bare(m.raw) {
			t.Errorf("%s: %q", subject, m.raw)
		}
	}
	// Very many recipients: all or an error, never some.
	var to strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&to, "r%d@sink.test,\n ", i)
	}
	cmd := mail.Command("sendmail", "-t", "-f", "s@b.test")
	cmd.Stdin = strings.NewReader("To: " + to.String() + "last@sink.test\nSubject: many\n\nx\n")
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	t.Logf("3,000 recipients: %v %s %v", err, out, time.Since(begin))
	if used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); used > 10*time.Second {
		t.Errorf("it took %v of processor time", used)
	}
	testkit.Wait(t, "empty queue", func() bool { return len(mail.Queue(t, "maildrop", "incoming", "active")) == 0 })
	alive(t, mail)
}

// TestForgedHeaders: Return-Path, Delivered-To and Received of strangers
// (HI3), and From_ lines (HI4).
func TestForgedHeaders(t *testing.T) {
	testkit.NeedRoot(t)
	mail := site(t, "mydestination = localhost")
	box := testkit.NewAccount(t, mail.Dir, "phloop")
	spool := filepath.Join(mail.Dir, "var-mail")
	os.Mkdir(spool, 0o755)
	os.Chown(spool, 0, 8)
	os.Chmod(spool, 0o775)
	mail.Set(t, "mail_spool_directory = "+spool)
	mail.Start(t)
	c := hello(t, mail.Addr(), stranger)
	id := c.send("a@b.test", "phloop@localhost", "Return-Path: <forged@b.test>\nDelivered-To: other@localhost\nSubject: one\n\nFrom x\n\nFrom evil@b.test  Sat Nov 21 00:00:00 2026\nSubject: forged\n\n>From y")
	mail.WaitLog(t, id+`: to=<phloop@localhost>, .*status=sent`)
	id = c.send("a@b.test", "phloop@localhost", "Subject: two\n\nFrom z")
	waitRemoved(t, mail, id)
	text := readFile(t, filepath.Join(spool, box.Name))
	if n := strings.Count("\n"+text, "\n\nFrom ") + 1; n != 2 || strings.Contains(text, "forged@b.test") {
		t.Errorf("%d separators in\n%s", n, text)
	}
	id = c.send("a@b.test", "phloop@localhost", "Delivered-To: Phloop@LOCALHOST\nSubject: three\n\nx")
	mail.WaitLog(t, id+`: to=<phloop@localhost>, .*dsn=5\.4\.6, status=bounced`)
	id = c.send("", "phloop@localhost", strings.Repeat("Received: from x by y; Sat, 21 Nov 2026 00:00:00 +0000\n", 48)+"Subject: four\n\nx")
	mail.WaitLog(t, id+`: to=<phloop@localhost>, .*status=sent`)
	reply := c.data("a@b.test", "phloop@localhost", strings.Repeat("Received: from x by y; Sat, 21 Nov 2026 00:00:00 +0000\r\n", 60)+"Subject: five\r\n\r\nx\r\n.\r\n")
	c.want("554 5.4.0", reply)
}

// TestBackscatter: unknown recipients are refused before the content in each
// class of address (HI5), and a bounce of a bounce stops (HI6).
func TestBackscatter(t *testing.T) {
	next := newSink(t, func(verb, line string) string {
		if verb == "RCPT" {
			return "550 5.1.1 unknown\r\n"
		}
		return ""
	})
	mail := site(t, "mydestination = localhost", "relay_domains = relay.test", "relay_recipient_maps = inline:{r@relay.test=x}",
		"virtual_alias_domains = alias.test", "virtual_alias_maps = inline:{a@alias.test=you@example.test}",
		"transport_maps = inline:{{away.test="+next.to("smtp")+"}}", "bounce_notice_recipient = you@example.test", "2bounce_notice_recipient = you@example.test", "notify_classes =")
	mail.Start(t)
	c := hello(t, mail.Addr(), stranger)
	for _, from := range []string{"a@away.test", ""} {
		for _, unknown := range []string{"nobody-here@localhost", "nobody-here@example.test", "x@relay.test", "x@alias.test", "nobody-here"} {
			c.must("250", "MAIL FROM:<%s>", from)
			if reply := c.ask("RCPT TO:<%s>", unknown); !strings.HasPrefix(reply, "5") {
				t.Errorf("%s: %q", unknown, reply)
			}
			c.must("250", "RSET")
		}
	}
	friend := hello(t, mail.Addr(), "127.0.0.1")
	id := friend.send("victim@away.test", "u@away.test", "Subject: first\n\nx")
	m := mail.WaitLog(t, id+`: sender non-delivery notification: ([0-9A-F]+)`)
	waitRemoved(t, mail, m[1])
	id = friend.send("", "u@away.test", "Subject: second\n\nx")
	waitRemoved(t, mail, id)
	time.Sleep(100 * time.Millisecond)
	testkit.Wait(t, "empty queue", func() bool { return len(mail.Queue(t, "incoming", "active", "deferred")) == 0 })
	for _, line := range next.commands() {
		if strings.HasPrefix(line, "RCPT TO:<>") {
			t.Error("mail to the null sender")
		}
	}
	if n := strings.Count(mail.Log(), "sender non-delivery notification"); n != 1 {
		t.Errorf("%d notifications to senders", n)
	}
}

// TestLoops: aliases in a circle, two hosts that send to each other, and a
// host that is its own next hop end with exactly one bounce (HI7).
func TestLoops(t *testing.T) {
	mail, other := site(t), site(t)
	mail.Write(t, "aliases", "postmaster: you@example.test\nsender: you@example.test\na: b\nb: a\nself: self@localhost\nfar: far@two.test\n")
	other.Write(t, "aliases", "postmaster: you@example.test\nfar: far@one.test\n")
	for _, m := range []*testkit.Instance{mail, other} {
		m.Set(t, "hopcount_limit = 12", "local_recipient_maps =")
	}
	mail.Set(t, "mydestination = localhost, one.test", fmt.Sprintf("transport_maps = inline:{{two.test=smtp:[127.0.0.1]:%d}}", other.Port))
	other.Set(t, "mydestination = two.test", "relay_domains = one.test", fmt.Sprintf("transport_maps = inline:{{one.test=smtp:[127.0.0.1]:%d}}", mail.Port))
	other.Set(t, "relay_domains = one.test, localhost", fmt.Sprintf("transport_maps = inline:{{one.test=smtp:[127.0.0.1]:%[1]d}, {localhost=smtp:[127.0.0.1]:%[1]d}}", mail.Port))
	mail.Start(t)
	other.Start(t)
	c := hello(t, mail.Addr(), "127.0.0.1")
	for i, to := range []string{"far@localhost", "far@one.test"} {
		c.send("sender@localhost", to, fmt.Sprintf("Subject: loop %d\n\nx", i))
		mail.WaitMailbox(t, "you", i+1)
	}
	for _, to := range []string{"a@localhost", "self@localhost"} {
		id := c.send("sender@localhost", to, "Subject: circle\n\nx")
		waitRemoved(t, mail, id)
	}
	time.Sleep(300 * time.Millisecond)
	for _, m := range []*testkit.Instance{mail, other} {
		testkit.Wait(t, "empty queue", func() bool { return len(m.Queue(t, "incoming", "active", "deferred")) == 0 })
	}
	if n := len(mail.Mailbox(t, "you")); n < 2 || n > 4 {
		t.Errorf("%d messages to the sender", n)
	}
	for subject := range 2 {
		n := 0
		for _, m := range mail.Mailbox(t, "you") {
			if strings.Contains(m, fmt.Sprintf("Subject: loop %d", subject)) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("loop %d: %d bounces", subject, n)
		}
	}
}

// TestNotifications: NOTIFY=NEVER and RET=HDRS hold, and a large original is
// cut (HI9, HI10).
func TestNotifications(t *testing.T) {
	next := newSink(t, func(verb, _ string) string {
		if verb == "RCPT" {
			return "550 5.1.1 no\r\n"
		}
		return ""
	})
	mail := site(t, "bounce_size_limit = 5000", "transport_maps = inline:{{no.test="+next.to("smtp")+"}}", "relay_domains = no.test")
	mail.Start(t)
	send := func(mailParams, rcptParams, subject string, lines int) {
		c := hello(t, mail.Addr(), stranger)
		c.must("250", "MAIL FROM:<you@example.test> %s", mailParams)
		c.must("250", "RCPT TO:<u@no.test> %s", rcptParams)
		c.must("354", "DATA")
		c.say("Subject: " + subject + "\r\n\r\n" + strings.Repeat("secret body line\r\n", lines) + ".\r\n")
		waitRemoved(t, mail, queueID(t, c.reply()))
	}
	send("", "NOTIFY=NEVER", "never", 1)
	send("", "NOTIFY=SUCCESS", "success only", 1)
	send("RET=HDRS ENVID=an+2Bid", "NOTIFY=FAILURE ORCPT=rfc822;orig+2Binal@x.test", "headers", 1)
	send("RET=FULL", "", "large", 2000)
	mail.WaitMailbox(t, "you", 2)
	time.Sleep(200 * time.Millisecond)
	boxes := mail.Mailbox(t, "you")
	if len(boxes) != 2 {
		t.Fatalf("%d bounces", len(boxes))
	}
	for _, m := range boxes {
		switch {
		case strings.Contains(m, "Subject: headers"):
			if strings.Contains(m, "secret body") || !strings.Contains(m, "\nOriginal-Envelope-Id: an+id\n") || !strings.Contains(m, "\nOriginal-Recipient: rfc822;orig+inal@x.test\n") {
				t.Errorf("RET=HDRS:\n%s", m)
			}
		case strings.Contains(m, "Subject: large"):
			if len(m) > 12000 {
				t.Errorf("a bounce of %d bytes", len(m))
			}
		default:
			t.Errorf("unexpected:\n%s", m)
		}
	}
}

// exitCode runs a program and returns its exit code.
func exitCode(cmd *exec.Cmd) int {
	err := cmd.Run()
	if err == nil {
		return 0
	}
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	return -1
}
