package transcript

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
)

func notifier(names ...string) *Notifier {
	p := Params{Classes: names, ErrorTo: "errors", BounceTo: "bounces", DoubleSender: "double-bounce", Origin: "example.test",
		Hostname: "mail.example.test", MailName: "Posthouse", FromFormat: "standard"}
	return New(p, Server, inject.NewClient(ipc.NewPool("nowhere/cleanup", time.Second)), maillog.Discard())
}

// TestWanted: only sessions with an error of a class that is wanted are
// reported, and none of them forever.
func TestWanted(t *testing.T) {
	if n := notifier("bounce-not", "2bounce", "delay"); n != nil || n.Start() != nil || n.Wanted(nil) {
		t.Error("there is a log that nobody can want")
	}
	for _, tc := range []struct {
		name    string
		classes []string
		do      func(*Log)
		want    Class
	}{
		{"nothing", []string{"policy"}, func(l *Log) { l.Sent("220 x") }, 0},
		{"other class", []string{"policy"}, func(l *Log) { l.Erred(Protocol) }, 0},
		{"the class", []string{"Policy", "resource"}, func(l *Log) { l.Erred(Policy | Software) }, Policy},
		{"before a pause", []string{"policy"}, func(l *Log) { l.Erred(Policy); l.Sent("x"); l.Pause(0) }, Policy},
		{"forgiven", []string{"policy"}, func(l *Log) { l.Erred(Policy); l.Sent("x"); l.Pause(0); l.Erred(Policy); l.Forgive() }, 0},
		{"notice under way", []string{"policy"}, func(l *Log) { l.Sender("Double-Bounce@example.test"); l.Erred(Policy) }, 0},
		{"other sender", []string{"policy"}, func(l *Log) { l.Sender("a@example.test"); l.Erred(Policy) }, Policy},
	} {
		l := notifier(tc.classes...).Start()
		tc.do(l)
		if got := l.wanted(); got != tc.want {
			t.Errorf("%s: %b, want %b", tc.name, got, tc.want)
		}
	}
}

// TestPause: what came before a pause without an error is forgotten, and what
// had one is kept.
func TestPause(t *testing.T) {
	l := notifier("policy").Start()
	said := func(n int, text string) {
		for range n {
			l.Sent(text)
		}
	}
	said(3, "good")
	l.Pause(3)
	said(1, "good")
	l.Pause(3)
	said(4, "bad")
	l.Erred(Policy)
	l.Pause(3)
	said(4, "fine")
	l.Erred(Protocol)
	l.Pause(3)
	said(1, "end")
	if got, want := string(l.buf), strings.Repeat("Out: bad\n", 4)+"Out: end\n"; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
}

// TestBound: a long session keeps its beginning and its end, and says how much
// is left out.
func TestBound(t *testing.T) {
	l := notifier("policy").Start()
	const all = 20000
	for i := range all {
		l.Got(fmt.Sprintf("line %d %s", i, strings.Repeat("x", i%3000)))
		if i == 3 {
			l.Erred(Policy)
			l.Pause(2)
		}
		if len(l.buf) > maxLog || l.mark > len(l.buf) || l.cut > len(l.buf) || cap(l.buf) > 2*maxLog {
			t.Fatalf("after %d lines: %d bytes of %d, mark %d, cut %d", i, len(l.buf), cap(l.buf), l.mark, l.cut)
		}
	}
	lines := l.show(nil)
	text := strings.Join(lines, "\n")
	for _, w := range []string{" In:  line 0\n", " In:  line 3 ", fmt.Sprintf(" ... %d lines are left out ...", l.gone), fmt.Sprintf("line %d\n", all-1)} {
		if !strings.Contains(text+" ", w) {
			t.Errorf("%q is missing", w)
		}
	}
	if left := strings.Count(string(l.buf), "\n"); left+l.gone != all {
		t.Errorf("%d lines are there and %d are not, of %d", left, l.gone, all)
	}
}

// TestSecrets: nothing of a login is in a log.
func TestSecrets(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{"AUTH PLAIN c2VjcmV0", "AUTH PLAIN (not shown)"},
		{"auth login", "auth login"},
		{"AUTH", "AUTH"},
		{" \tAUTH  PLAIN  c2VjcmV0 more", "AUTH PLAIN (not shown)"},
		{"AUTH c2VjcmV0", "AUTH (not shown)"},
		{"AUTH\tPLAIN\tc2VjcmV0", "AUTH PLAIN (not shown)"},
		{"AUTH PLAINc2VjcmV0", "AUTH (not shown)"},
		{"AUTHPLAIN c2VjcmV0", "AUTH (not shown)"},
		{"AUTH SECRET c2VjcmV0", "AUTH (not shown)"},
	} {
		l := notifier("protocol").Start()
		l.GotCommand("MAIL FROM:<a@b>", true)
		l.GotCommand("not a command", false)
		l.GotCommand(tc.line, true)
		l.SentReply(334, false, "VXNlcm5hbWU6")
		l.GotSecret()
		l.SentReply(535, false, "5.7.8 no")
		l.GotCommand("c2VjcmV0", false)
		l.GotCommand("QUIT", true)
		want := "In:  MAIL FROM:<a@b>\nIn:  not a command\nIn:  " + tc.want + "\nOut: 334 (not shown)\nIn:  (not shown)\n" +
			"Out: 535 5.7.8 no\nIn:  (not shown)\nIn:  QUIT\n"
		if got := string(l.buf); got != want {
			t.Errorf("%q: %q, want %q", tc.line, got, want)
		}
	}
}

// TestText: what a peer says can neither become a header nor a line of its
// own, and all is US-ASCII.
func TestText(t *testing.T) {
	n := notifier("protocol", "bounce")
	l := n.Start()
	l.Got("a\r\nFrom: me\x00\xff")
	l.Got("")
	l.SentReply(250, true, "é "+strings.Repeat("word ", 30)+"end")
	l.Erred(Protocol)
	lines := n.text(l, Session{Peer: "h\n[192.0.2.1]", Reason: "lost connection"}, "you@example.test", "ABC")
	for _, want := range []string{"From: Mail Delivery System <MAILER-DAEMON>", "To: Postmaster <you@example.test>",
		"Subject: Posthouse SMTP server: errors from h?[192.0.2.1]", "Transcript of session follows.", " In:  a??From: me??",
		" In:", "Session aborted, reason: lost connection", "For other details, see the local mail logfile"} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in\n%s", want, strings.Join(lines, "\n"))
		}
	}
	for _, line := range lines {
		if strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && (r < ' ' || r > '~') }) || len(line) > 79 {
			t.Errorf("line %q", line)
		}
	}
	n.p.FromFormat = "obsolete"
	if got := n.mailbox("Postmaster", "x@y"); got != "x@y (Postmaster)" {
		t.Errorf("address %q", got)
	}
}

// TestFinishWithoutCleanup: a notice that cannot be sent holds nobody up.
func TestFinishWithoutCleanup(t *testing.T) {
	n := notifier("protocol")
	l := n.Start()
	l.Got("x")
	l.Erred(Protocol)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	n.Finish(ctx, l, Session{Peer: "x[y]"})
	n.Finish(ctx, nil, Session{})
}

func TestOf(t *testing.T) {
	for bits, want := range map[inject.Status]Class{0: 0, inject.StatSize: Bounce, inject.StatHops: Bounce, inject.StatCont: Policy,
		inject.StatWrite: Resource, inject.StatBad: Software, inject.StatWrite | inject.StatCont: Resource | Policy} {
		if got := Of(inject.Result{Status: bits}); got != want {
			t.Errorf("status %d: %b, want %b", bits, got, want)
		}
	}
}

// TestCost: a session like most costs no allocation.
func TestCost(t *testing.T) {
	n := notifier("resource", "software")
	session := func() {
		l := n.Start()
		l.SentReply(220, false, "mail.example.test ESMTP")
		l.GotCommand("EHLO client.test", true)
		for range 9 {
			l.SentReply(250, true, "ENHANCEDSTATUSCODES")
		}
		for range 50 {
			l.GotCommand("MAIL FROM:<sender@client.test> SIZE=1000", true)
			l.Sender("sender@client.test")
			l.SentReply(250, false, "2.1.0 Ok")
			l.Pause(100)
		}
		n.Finish(context.Background(), l, Session{Peer: "x[y]"})
	}
	session()
	if got := testing.AllocsPerRun(100, session); got > 3 {
		t.Errorf("%v allocations for a session", got)
	}
}

func FuzzLog(f *testing.F) {
	f.Add("AUTH PLAIN x", "QUIT", 30)
	f.Fuzz(func(t *testing.T, a, b string, times int) {
		n := notifier("protocol")
		l := n.Start()
		l.Erred(Protocol)
		for i := range min(times, 100) {
			l.GotCommand(a, true)
			l.GotCommand(b, false)
			l.SentReply(250, i%2 == 0, b)
			if i%7 == 0 {
				l.Pause(i % 5)
			}
		}
		if len(l.buf) > maxLog {
			t.Errorf("%d bytes", len(l.buf))
		}
		for _, line := range n.text(l, Session{Peer: a, Reason: b}, "you", "ID") {
			if strings.ContainsAny(line, "\r\n\x00") {
				t.Errorf("line %q", line)
			}
		}
	})
}
