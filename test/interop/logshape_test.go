package interop

import (
	"net"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// differs are the lines that one side has and the other has not, by an
// expression of the normalised line, each with its reason.
var differs = []struct{ side, expr, why string }{
	{"ours", `^\w[-\w]*: jail `, "each daemon logs its rights once"},
	{"both", `^(master|anvil|postlogd|postfix-script): `, "start and stop differ; anvil reports when it ends"},
	{"theirs", `warning: .*main\.cf, line \d+: overriding earlier entry`, "each Postfix program says it; here check does"},
	{"theirs", `bounce: warning: (\[built-in\]: zero result in|please reduce time unit|for instructions see the bounce)`, "our own texts have no units that can be too large"},
	{"theirs", `cleanup: warning: (file system clock is|resetting file time stamps)`, "a busy machine"},
	{"theirs", `smtpd: (dis)?connect from localhost\[127\.0\.0\.1\]( quit=1 commands=1)?$`, "the start of the test looks whether the server answers"},
	{"ours", `smtpd: (dis)?connect from localhost\[127\.0\.0\.1\]( quit=1 commands=1)?$`, "the start of the test looks whether the server answers"},
}

var normal = []struct{ expr, to string }{
	{`^\w{3} [ \d]\d [\d:]{8} \S+ postfix/([-\w]+)\[\d+\]: `, "$1: "},
	{`\b[0-9A-F]{9,12}\b`, "ID"},
	{`<\d{14}\.ID@`, "<STAMP.ID@"},
	{`(127\.0\.0\.1\]):\d+`, "$1:PORT"},
	{`\bdelay=[\d.]+`, "delay=D"},
	{`\bdelays=[\d./]+`, "delays=D"},
	{`size=\d+`, "size=N"}, // Received: names the program
}

// shapes normalises a log and sorts it, since processes log side by side.
func shapes(log, side string) []string {
	var lines []string
next:
	for _, line := range strings.Split(strings.TrimSpace(log), "\n") {
		for _, n := range normal {
			line = regexp.MustCompile(n.expr).ReplaceAllString(line, n.to)
		}
		for _, d := range differs {
			if (d.side == side || d.side == "both") && regexp.MustCompile(d.expr).MatchString(line) {
				continue next
			}
		}
		lines = append(lines, line)
	}
	sort.Strings(lines)
	return lines
}

// dialogues is what both servers are made to log about.
func dialogues(t *testing.T, addr string) {
	s := testkit.DialFrom(t, "127.0.0.1", addr)
	s.Cmd("250", "EHLO client.test")
	s.Message("a@remote.test", "you@example.test", "Subject: accepted\n\nx\n")
	s.Message("a@remote.test", "x@dead.test", "Subject: deferred\n\nx\n")
	s.Message("a@remote.test", "you@example.test", "X-Hold: 1\nSubject: held\n\nx\n")
	s.Cmd("250", "RSET")
	s.Cmd("221", "QUIT")
	s = testkit.DialFrom(t, "127.0.0.9", addr)
	s.Cmd("250", "HELO client.test")
	s.Cmd("250", "MAIL FROM:<a@remote.test>")
	s.Cmd("454", "RCPT TO:<o@other.test>")
	s.Cmd("550", "RCPT TO:<nosuch@example.test>")
	s.Cmd("550", "RCPT TO:<nosuch@localhost>")
	s.Cmd("554", "DATA")
	s.Cmd("5", "NONSENSE")
	s.Cmd("503", "MAIL FROM:<a@b.test>")
	s.Cmd("221", "QUIT")
	for _, text := range []string{"", "EHLO client.test\r\n", "HELO c.test\r\nMAIL FROM:<a@remote.test>\r\n"} {
		s = testkit.DialFrom(t, "127.0.0.9", addr)
		if text != "" {
			for _, line := range strings.SplitAfter(text, "\r\n") {
				if line != "" {
					s.Raw(line)
					s.Expect("250")
				}
			}
		}
		s.Conn.Close()
	}
	// A finished message without QUIT, and an end within a message.
	s = testkit.DialFrom(t, "127.0.0.1", addr)
	s.Cmd("250", "EHLO client.test")
	s.Message("a@remote.test", "you@example.test", "Subject: no quit\n\nx\n")
	s.Conn.Close()
	s = testkit.DialFrom(t, "127.0.0.1", addr)
	s.Cmd("250", "EHLO client.test")
	s.Cmd("250", "MAIL FROM:<a@remote.test>")
	s.Cmd("250", "RCPT TO:<you@example.test>")
	s.Cmd("354", "DATA")
	s.Raw("Subject: cut\r\n")
	s.Conn.(*net.TCPConn).CloseWrite()
	s.Conn.Close()
}

// TestLogShapes: the same dialogues leave the same lines in both logs.
func TestLogShapes(t *testing.T) {
	p := newPair(t, append(deadRoute(t), "smtpd_error_sleep_time = 0", "local_recipient_maps = inline:{root=x}", "alias_maps =")...)
	// Postfix has no tables of users. Each parameter stands in its main.cf
	// once: its postlogd hangs when it has many warnings to send to itself.
	boxes := []string{"virtual_mailbox_domains = example.test", "virtual_mailbox_maps = inline:{you@example.test=example.test/you/}", "virtual_alias_maps ="}
	p.theirs.Set(t, boxes...)
	for _, line := range strings.Split(contents(t, p.ours.Etc("main.cf")), "\n") {
		name, _, _ := strings.Cut(line, " ")
		if strings.HasPrefix(name, "virtual_") && !slices.ContainsFunc(boxes, func(b string) bool { return strings.HasPrefix(b, name+" ") }) {
			p.theirs.Set(t, line)
		}
	}
	p.ours.Set(t, boxes...)
	p.ours.Set(t, "mynetworks = 127.0.0.1/32")
	p.theirs.Set(t, "mynetworks = 127.0.0.1/32")
	p.theirs.Start(t)
	dialogues(t, p.theirs.Addr)
	p.sendmail(t, "Subject: b\n\nx\n", "-f", "you@example.test", "nobody@bad.test")
	p.waitTheirs(t, `lost connection after DATA`)
	testkit.Wait(t, "four messages gone", func() bool { return strings.Count(p.theirs.Log(), ": removed") >= 4 })
	p.theirs.Stop(t)
	p.ours.Must(t, "postsuper", "-d", "ALL")
	before := len(p.ours.Log())
	p.ours.Start(t)
	dialogues(t, p.ours.Addr())
	p.ours.Send(t, "Subject: b\n\nx\n", "-f", "you@example.test", "nobody@bad.test")
	p.ours.WaitLog(t, `lost connection after DATA`)
	testkit.Wait(t, "four messages gone", func() bool {
		return strings.Count(p.ours.Log()[before:], "]: ") > 0 && strings.Count(p.ours.Log()[before:], ": removed") >= 4
	})
	p.ours.Stop(t)
	if d := cmp.Diff(shapes(p.theirs.Log(), "theirs"), shapes(p.ours.Log()[before:], "ours")); d != "" {
		t.Errorf("the logs differ (-theirs +ours):\n%s", d)
	}
}
