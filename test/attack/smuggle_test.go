package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// sequences are what attackers hope is an end of data somewhere: rows SM2 to
// SM13 of the catalogue. "\r\n" is added by whoever writes around them.
var sequences = []struct{ name, seq string }{
	{"SM2 LF.LF", "\n.\n"},
	{"SM3 LF.CRLF", "\n.\r\n"},
	{"SM4 CRLF.LF", "\r\n.\n"},
	{"SM5 CR.CR", "\r.\r"},
	{"SM6 CR.CRLF", "\r.\r\n"},
	{"SM7 CR.LF", "\r.\n"},
	{"SM7 LF.CR", "\n.\r"},
	{"SM8 CRLF.CRCRLF", "\r\n.\r\r\n"},
	{"SM9 CRCRLF.CRCRLF", "\r\r\n.\r\r\n"},
	{"SM10 NUL before", "\r\n\x00.\r\n"},
	{"SM10 NUL behind", "\r\n.\x00\r\n"},
	{"SM11 space before", "\r\n .\r\n"},
	{"SM11 space behind", "\r\n. \r\n"},
	{"SM11 tab behind", "\r\n.\t\r\n"},
	{"SM12 two dots", "\r\n..\r\n"},
	{"SM13 NEL", "\u0085.\u0085"},
	{"SM13 LS", "\u2028.\u2028"},
	{"SM13 VT", "\v.\v"},
	{"SM13 FF", "\f.\f"},
}

// smuggled is a second message in the first.
const smuggled = "MAIL FROM:<smuggled@evil.test>\r\nRCPT TO:<victim@sink.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n"

// normal is what must come out of content: a line ends at LF, and what else
// looks like a line end is a space.
func normal(content string) []string {
	lines := strings.Split(strings.TrimSuffix(content, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(strings.TrimSuffix(line, "\r"), "\r", " ")
	}
	return lines
}

// smuggleSite has a way out of each kind: SMTP, LMTP, a mailbox, a Maildir, a
// command, and an alias to the outside.
type smuggleSite struct {
	*testkit.Instance
	smtp, lmtp *sink
	box        string // mailbox file
	dir        string // where the command writes
}

func newSmuggleSite(t *testing.T) *smuggleSite {
	t.Helper()
	s := &smuggleSite{Instance: site(t), smtp: newSink(t, nil), lmtp: newSink(t, nil)}
	s.dir = filepath.Join(s.Dir, "out")
	os.Mkdir(s.dir, 0o777)
	os.Chmod(s.dir, 0o777)
	s.Write(t, "aliases", fmt.Sprintf("postmaster: you@example.test\nfile: %[1]s/file\ncmd: \"|cat > %[1]s/cmd.$$\"\nout: out@sink.test\n", s.dir))
	s.box = filepath.Join(s.dir, "file")
	s.Set(t, "local_recipient_maps =", "relay_domains = sink.test, lmtp.test", "header_checks = regexp:"+s.Etc("header_checks"),
		"transport_maps = inline:{{sink.test="+s.smtp.to("smtp")+"}, {lmtp.test="+s.lmtp.to("lmtp")+"}}")
	s.Write(t, "header_checks", "/^X-Add: (.*)/ PREPEND X-Added: $1\n")
	s.Start(t)
	return s
}

// recipients reach every way out.
const recipients = "a@sink.test,b@lmtp.test,you@example.test,file@localhost,cmd@localhost,out@localhost"

// check compares what came out of each way.
func (s *smuggleSite) check(t *testing.T, mark, from string, want []string) {
	t.Helper()
	testkit.Wait(t, mark+" at the sinks", func() bool {
		return count(s.smtp, mark) >= 2 && count(s.lmtp, mark) >= 1
	})
	for _, m := range append(s.smtp.messages(), s.lmtp.messages()...) {
		if !strings.Contains(m.raw, mark+"\r\n") {
			continue
		}
		if !strings.HasPrefix(m.mail, "MAIL FROM:<"+from+">") {
			t.Errorf("%s: %q", mark, m.mail)
		}
		if bare(m.raw) {
			t.Errorf("%s: bare CR or LF on the wire: %q", mark, m.raw)
		}
		if got := strings.Split(strings.TrimSuffix(m.body(), "\r\n"), "\r\n"); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: sink has\n%q, want\n%q", mark, got, want)
		}
	}
}

func count(s *sink, mark string) int {
	n := 0
	for _, m := range s.messages() {
		if strings.Contains(m.raw, mark+"\r\n") {
			n++
		}
	}
	return n
}

// bare reports a CR or LF that is not part of CR LF.
func bare(s string) bool {
	return strings.ContainsAny(strings.ReplaceAll(s, "\r\n", ""), "\r\n")
}

// TestSmuggling sends each sequence by DATA, BDAT and sendmail to each way
// out, and counts what arrives, byte for byte (SM2 to SM16, P13).
func TestSmuggling(t *testing.T) {
	s := newSmuggleSite(t)
	c := hello(t, s.Addr(), "127.0.0.1")
	sent := 0
	for i, row := range sequences {
		head := fmt.Sprintf("Subject: x\r\nX-Mark: data%d.\r\n\r\n", i)
		body := "one" + row.seq + smuggled
		s.envelope(c)
		c.must("354", "DATA")
		c.say(head + body)
		sent++
		queueID(t, c.askRaw(".\r\n"))
		// What the client stuffed with dots comes out without.
		want := normal(unstuff(body))
		s.check(t, fmt.Sprintf("X-Mark: data%d.", i), "a@remote.test", want)

		s.envelope(c)
		text := strings.Replace(head, "data", "bdat", 1) + body
		sent++
		queueID(t, c.askRaw(fmt.Sprintf("BDAT %d LAST\r\n%s", len(text), text)))
		s.check(t, fmt.Sprintf("X-Mark: bdat%d.", i), "a@remote.test", normal(body))

		unix := strings.ReplaceAll(strings.Replace(head, "data", "mail", 1), "\r\n", "\n")
		s.Send(t, unix+body, append([]string{"-i", "-f", "a@remote.test"}, strings.Split(recipients, ",")...)...)
		sent++
		s.check(t, fmt.Sprintf("X-Mark: mail%d.", i), "a@remote.test", normalUnix(body))
	}
	// SM1: the real end ends, and what follows are commands.
	s.envelope(c)
	c.must("354", "DATA")
	c.say("X-Mark: real.\r\n\r\none\r\n.\r\nNOOP\r\n")
	queueID(t, c.reply())
	c.want("250", c.reply())
	sent++
	s.check(t, "X-Mark: real.", "a@remote.test", []string{"one"})
	s.counts(t, sent)
}

func (s *smuggleSite) envelope(c *client) {
	c.must("250", "MAIL FROM:<a@remote.test>")
	for rcpt := range strings.SplitSeq(recipients, ",") {
		c.must("250", "RCPT TO:<%s>", rcpt)
	}
}

// counts compares all numbers of messages.
func (s *smuggleSite) counts(t *testing.T, sent int) {
	t.Helper()
	testkit.Wait(t, "empty queue", func() bool { return len(s.Queue(t, "incoming", "active", "deferred", "maildrop")) == 0 })
	commands, _ := filepath.Glob(filepath.Join(s.dir, "cmd.*"))
	box := readFile(t, s.box)
	for what, got := range map[string][2]int{
		"SMTP":    {len(s.smtp.messages()), 2 * sent},
		"LMTP":    {len(s.lmtp.messages()), sent},
		"Maildir": {len(s.Mailbox(t, "you")), sent},
		"command": {len(commands), sent},
		"mailbox": {strings.Count("\n"+box, "\nFrom a@remote.test "), sent},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %d messages, want %d", what, got[0], got[1])
		}
	}
	for _, m := range s.Mailbox(t, "you") {
		if strings.Contains(m, "\r") {
			t.Errorf("CR in the Maildir: %q", m)
		}
	}
	for _, line := range append(s.smtp.commands(), s.lmtp.commands()...) {
		if strings.Contains(line, "smuggled") || strings.Contains(line, "victim") {
			t.Errorf("smuggled command: %q", line)
		}
	}
}

func (c *client) askRaw(text string) string {
	c.say(text)
	return c.reply()
}

// unstuff removes the first dot of lines, as a server does. A line of one dot
// that did not end the message is text.
func unstuff(body string) string {
	lines := strings.SplitAfter(body, "\n")
	for i, line := range lines {
		if i > 0 && strings.TrimRight(line, "\r\n") != "." || strings.HasPrefix(line, ".\r\r") {
			lines[i] = strings.TrimPrefix(line, ".")
		}
	}
	return strings.Join(lines, "")
}

// normalUnix is normal for sendmail's standard input, where LF ends a line, with
// any number of CR before it.
func normalUnix(body string) []string {
	for strings.Contains(body, "\r\r\n") {
		body = strings.ReplaceAll(body, "\r\r\n", "\r\n")
	}
	return normal(body)
}

// TestSmugglingSplit: the end of data at every byte boundary of packets, and
// around the edges of buffers (SM14), is one message.
func TestSmugglingSplit(t *testing.T) {
	s := newSmuggleSite(t)
	c := hello(t, s.Addr(), "127.0.0.1")
	sent := 0
	send := func(chunks ...string) {
		c.must("250", "MAIL FROM:<a@remote.test>")
		c.must("250", "RCPT TO:<a@sink.test>")
		c.must("354", "DATA")
		for i, chunk := range chunks {
			if i > 0 {
				time.Sleep(2 * time.Millisecond)
			}
			c.say(chunk)
		}
		queueID(t, c.reply())
		sent++
	}
	const end = "x\r\n.\r\n"
	for cut := 1; cut < len(end); cut++ {
		send("S: x\r\n\r\n"+end[:cut], end[cut:])
	}
	send(strings.Split("S: x\r\n\r\nbody\r\n.\r\n", "")...)
	for _, size := range []int{2048, 4096, 8192, 16384, 32768, 65536} {
		for off := -4; off <= 4; off++ {
			const head = "S: x\r\n\r\n"
			text := head + strings.Repeat("0123456789abcde\r\n", size/17+1)[:size+off-len(head)-2] + "\r\n"
			send(text[:size/2], text[size/2:]+".\r\n")
		}
	}
	testkit.Wait(t, "all at the sink", func() bool { return len(s.smtp.messages()) >= sent })
	time.Sleep(50 * time.Millisecond)
	if got := len(s.smtp.messages()); got != sent {
		t.Errorf("%d messages, want %d", got, sent)
	}
}

// TestSmugglingInHeaders: bare line ends in headers, those that a header
// check adds, those of bounces, and those behind aliases (SM16, SM17).
func TestSmugglingInHeaders(t *testing.T) {
	s := newSmuggleSite(t)
	c := hello(t, s.Addr(), "127.0.0.1")
	for i, row := range sequences {
		mark := fmt.Sprintf("X-Mark: head%d.", i)
		c.must("250", "MAIL FROM:<bounces@sink.test> RET=FULL ENVID=x%s", "+2E")
		c.must("250", "RCPT TO:<a@sink.test>")
		c.must("250", "RCPT TO:<nobody@nowhere.invalid>")
		c.must("354", "DATA")
		c.say(mark + "\r\nX-Add: v" + row.seq + "w\r\nFrom: a@b.test\r\nSubject: one\rFrom: evil@b.test\r\n\r\nbody\r\n.\r\n")
		queueID(t, c.reply())
	}
	testkit.Wait(t, "messages and bounces", func() bool { return len(s.smtp.messages()) >= 2*len(sequences) })
	testkit.Wait(t, "empty queue", func() bool { return len(s.Queue(t, "incoming", "active")) == 0 })
	if got := len(s.smtp.messages()); got != 2*len(sequences) {
		t.Errorf("%d messages, want %d", got, 2*len(sequences))
	}
	for _, m := range s.smtp.messages() {
		if bare(m.raw) {
			t.Errorf("bare CR or LF: %q", m.raw)
		}
		if strings.Contains(m.content(), "\r\nFrom: evil@b.test") {
			t.Errorf("a CR became a line end: %q", m.raw)
		}
	}
}

// TestBareNewlineReject: smtpd_forbid_bare_newline = reject refuses, from
// everybody but the exclusion list.
func TestBareNewlineReject(t *testing.T) {
	mail := site(t, "smtpd_forbid_bare_newline = reject", "smtpd_forbid_bare_newline_exclusions = 127.0.0.1")
	mail.Start(t)
	for _, seq := range []string{"\n.\n", "\n.\r\n", "a\nb"} {
		c := hello(t, mail.Addr(), stranger)
		reply := c.data("a@b.test", "you@example.test", "S: x\r\n\r\nx"+seq+"\r\n.\r\n")
		c.want("521 5.5.2", reply)
		if more := c.reply(); more != "" {
			t.Errorf("after the refusal: %q", more)
		}
	}
	hello(t, mail.Addr(), "127.0.0.1").data("a@b.test", "you@example.test", "S: x\r\n\r\na\nb\r\n.\r\n")
	mail.WaitMailbox(t, "you", 1)
}
