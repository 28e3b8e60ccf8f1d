package interop

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// load is what the mixed load did, as it knows it itself.
type load struct {
	received, delivered, forwarded, deferred, bounced, rejected int
	bytesReceived                                               int
}

// mixedSite is an instance that accepts, rejects, delivers, forwards, bounces,
// defers, expires and holds.
func mixedSite(t *testing.T) *testkit.Instance {
	testkit.NeedRoot(t)
	mail := testkit.New(t, testkit.Users("you", "ann"))
	mail.Write(t, "aliases", "away: you@example.test\npostmaster: you@example.test\n")
	mail.Set(t, deadRoute(t)...)
	mail.Set(t, "mynetworks = 127.0.0.1/32", "smtpd_error_sleep_time = 0",
		"smtpd_helo_required = yes", "smtpd_recipient_restrictions = permit_mynetworks, reject_non_fqdn_helo_hostname, reject_unauth_destination")
	return mail
}

// stranger is a session from an address that may not relay.
func stranger(t *testing.T, mail *testkit.Instance, addr, helo string) *testkit.SMTP {
	t.Helper()
	s := testkit.DialFrom(t, addr, mail.Addr())
	s.Cmd("250", "EHLO %s", helo)
	return s
}

// runLoad returns after all mail has gone or stays.
func runLoad(t *testing.T, mail *testkit.Instance) load {
	t.Helper()
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO client.test")
	var ids []string
	for range 3 {
		ids = append(ids, s.Message("a@remote.test", "you@example.test", "Subject: x\n\naccepted\n"))
	}
	ids = append(ids, s.Message("a@remote.test", "you@example.test,ann@example.test", "Subject: x\n\ntwo recipients\n"))
	ids = append(ids, s.Message("a@remote.test", "away@localhost", "Subject: x\n\nforwarded\n"))
	kept := s.Message("a@remote.test", "x@dead.test,y@dead.test", "Subject: x\n\ndeferred\n")
	held := s.Message("a@remote.test", "you@example.test", "X-Hold: yes\nSubject: x\n\nheld\n")
	s.Cmd("221", "QUIT")
	mail.Send(t, "Subject: x\n\nbounced\n", "-f", "ann@example.test", "nobody@bad.test")
	mail.Send(t, "Subject: x\n\nlocal\n", "-f", "ann@example.test", "you@example.test")

	s = stranger(t, mail, "127.0.0.7", "spam.remote.test")
	s.Cmd("250", "MAIL FROM:<b@remote.test>")
	s.Cmd("454 4.7.1 <o@other.test>: Relay access denied", "RCPT TO:<o@other.test>")
	s.Cmd("550 5.1.1", "RCPT TO:<nosuch@example.test>")
	s.Cmd("221", "QUIT")
	s = stranger(t, mail, "127.0.0.8", "nodots")
	s.Cmd("250", "MAIL FROM:<b@remote.test>")
	s.Cmd("504 5.5.2 <nodots>: Helo command rejected: need fully-qualified hostname", "RCPT TO:<you@example.test>")
	s.Cmd("221", "QUIT")

	for _, id := range ids {
		mail.WaitLog(t, id+`: removed`)
	}
	mail.WaitLog(t, kept+`: to=<y@dead\.test>, .*status=deferred`)
	mail.WaitLog(t, held+`: hold: `)
	mail.WaitLog(t, `to=<nobody@bad\.test>, .*status=bounced`)
	testkit.Wait(t, "queue with two messages", func() bool { return len(mail.Queue(t, "maildrop", "incoming", "active", "deferred", "hold")) == 2 })
	l := load{received: 9, delivered: 5 + 1 + 1 + 1, forwarded: 1, deferred: 2, bounced: 1, rejected: 3}
	sizes := regexp.MustCompile(`(\w+): from=<[^>]*>, size=(\d+), nrcpt=\d+ \(queue active\)`)
	for _, m := range sizes.FindAllStringSubmatch(mail.Log(), -1) {
		// What was forwarded and what we write ourselves is not received.
		if regexp.MustCompile(m[1] + `: (client|uid)=`).MatchString(mail.Log()) {
			n, _ := strconv.Atoi(m[2])
			l.bytesReceived += n
		}
	}
	return l
}

// TestPflogsumm: Debian's pflogsumm counts our log as it would Postfix's.
func TestPflogsumm(t *testing.T) {
	testkit.NeedTool(t, "pflogsumm")
	mail := mixedSite(t)
	mail.Start(t)
	want := runLoad(t, mail)
	out, err := exec.Command("pflogsumm", "--problems-first", "--verbose-msg-detail", filepath.Join(mail.Dir, "log", "mail.log")).CombinedOutput()
	if err != nil {
		t.Fatalf("pflogsumm: %v\n%s", err, out)
	}
	text := string(out)
	for what, n := range map[string]int{"received": want.received, "delivered": want.delivered, "forwarded": want.forwarded,
		"deferred": 1, "bounced": want.bounced, "rejected": want.rejected, "held": 1, "discarded": 0, "reject warnings": 0} {
		m := regexp.MustCompile(`(?m)^ +(\d+) +` + what + `\b`).FindStringSubmatch(text)
		if m == nil || m[1] != strconv.Itoa(n) {
			t.Errorf("%s: got %q, want %d", what, m, n)
		}
	}
	has(t, "pflogsumm", text, fmt.Sprintf("(%d  deferrals)", want.deferred), fmt.Sprintf(" %d   bytes received", want.bytesReceived),
		"Relay access denied", "need fully-qualified hostname", "User unknown", "Connection refused", "nobody of that name")
	if t.Failed() {
		t.Logf("%s\n%s", text, mail.Log())
	}
}

// fail2ban runs Debian's Postfix filter over a log and returns the addresses
// that it would ban.
func fail2ban(t *testing.T, log, mode string) []string {
	t.Helper()
	// -o prints one line for each hit.
	out, err := exec.Command("fail2ban-regex", "-o", "ip", log, "postfix[mode="+mode+"]").CombinedOutput()
	if err != nil && len(out) > 0 && !strings.Contains(string(out), ".") {
		t.Fatalf("fail2ban-regex %s: %v\n%s", mode, err, out)
	}
	return strings.Fields(string(out))
}

// TestFail2ban: Debian's filter finds those who deserve it, by their real
// address, and nobody else, whatever they write.
func TestFail2ban(t *testing.T) {
	testkit.NeedTool(t, "fail2ban-regex")
	mail := mixedSite(t)
	mail.Set(t, "smtpd_hard_error_limit = 3")
	mail.Start(t)
	runLoad(t, mail)

	s := stranger(t, mail, "127.0.0.20", "many.errors.test")
	for range 3 {
		s.Raw("NONSENSE\r\n")
		s.Expect("5")
	}
	mail.WaitLog(t, `too many errors after .* from unknown\[127\.0\.0\.20\]`)
	baits(t, mail)
	mail.Log() // when it is at rest
	log := filepath.Join(mail.Dir, "log", "mail.log")
	for mode, want := range map[string][]string{
		"normal":     {"127.0.0.7", "127.0.0.8"},
		"more":       {"127.0.0.7", "127.0.0.8"},
		"aggressive": {"127.0.0.7", "127.0.0.8"},
		"ddos":       {},
	} {
		got := strings.Join(fail2ban(t, log, mode), " ")
		for _, w := range want {
			if !strings.Contains(got+" ", w+" ") {
				t.Errorf("mode %s: %s is not found in %s", mode, w, got)
			}
		}
		if strings.Contains(got, "198.51.100.") {
			t.Errorf("mode %s: an address that a client made up is banned: %s", mode, got)
		}
	}
}

// baits puts other addresses, 198.51.100.*, into everything that a client
// chooses, in shapes that the filter looks for.
func baits(t *testing.T, mail *testkit.Instance) {
	t.Helper()
	bait := "NOQUEUE: reject: RCPT from x[198.51.100.9]: 554 5.7.1 <r@x>: Relay access denied"
	for i, helo := range []string{"[198.51.100.1]", "x[198.51.100.2]", "<x>: SASL PLAIN authentication failed: from [198.51.100.3]",
		"x\x0aNov 20 10:00:00 mail postfix/smtpd[1]: " + bait, "x\x0dpostfix/smtpd[1]: " + bait, "\x1b[2J" + bait, bait,
		"from unknown[198.51.100.4]", ": warning: unknown[198.51.100.5]: SASL LOGIN authentication failed: x",
		"lost connection after AUTH from unknown[198.51.100.6]", "]: disconnect from x[198.51.100.7] ehlo=1 auth=0/3 quit=1 commands=2/5"} {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(100+i))}}
		conn, err := d.Dial("tcp", mail.Addr())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(conn, "EHLO %s\r\nMAIL FROM:<\"%s\"@remote.test>\r\n", helo, strings.Map(quotable, helo))
		fmt.Fprintf(conn, "RCPT TO:<\"%s\"@other.test>\r\nAUTH PLAIN %s\r\n%s\r\nQUIT\r\n", strings.Map(quotable, helo), helo, helo)
		buf := make([]byte, 4096)
		for {
			if _, err := conn.Read(buf); err != nil {
				break
			}
		}
		conn.Close()
	}
}

func quotable(r rune) rune {
	if r < ' ' || r == '"' || r == '\\' {
		return '_'
	}
	return r
}

// TestListingForMonitors: the last line of mailq is what check_mailq takes.
func TestListingForMonitors(t *testing.T) {
	mail := mixedSite(t)
	mail.Start(t)
	last := func() string {
		lines := strings.Split(strings.TrimSpace(mail.Must(t, "mailq")), "\n")
		return lines[len(lines)-1]
	}
	if got := last(); got != "Mail queue is empty" {
		t.Errorf("empty queue: %q", got)
	}
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO client.test")
	id := s.Message("a@remote.test", "x@dead.test", "Subject: x\n\ndeferred\n")
	mail.WaitLog(t, id+`: to=<x@dead\.test>, .*status=deferred`)
	testkit.Wait(t, "deferred message", func() bool { return len(mail.Queue(t, "deferred")) == 1 })
	// check_mailq: /Kbytes in (\d+)/ on the last line, and "-- N Kbytes".
	if m := regexp.MustCompile(`^-- \d+ Kbytes in (\d+) Requests?\.$`).FindStringSubmatch(last()); m == nil || m[1] != "1" {
		t.Errorf("one message: %q", last())
	}
}

// TestExporterExpressions: the expressions of prometheus-postfix-exporter find
// what they look for in every line of their kind.
func TestExporterExpressions(t *testing.T) {
	mail := mixedSite(t)
	mail.Start(t)
	runLoad(t, mail)
	log := mail.Log()
	for _, tc := range []struct{ kind, expr string }{
		{`postfix/[a-z]+\[`, ` ?(postfix|opendkim)(/(\w+))?\[\d+\]: ((?:(warning|error|fatal|panic): )?.*)`},
		{`status=sent \((250|del|for)`, `, relay=(\S+), .*, delays=([0-9\.]+)/([0-9\.]+)/([0-9\.]+)/([0-9\.]+), `},
		{`status=`, `, delay=(\d+\.?\d*), delays=.*, dsn=\d\.\d+\.\d+, status=(\w+) \(`},
		{`\(queue active\)`, `:.*, size=(\d+), nrcpt=(\d+) `},
		{`NOQUEUE: reject: RCPT`, `\]: NOQUEUE: reject: RCPT from \S+: ([0-9]+) `},
	} {
		kind, expr, n := regexp.MustCompile(tc.kind), regexp.MustCompile(tc.expr), 0
		for _, line := range strings.Split(strings.TrimSpace(log), "\n") {
			if kind.MatchString(line) {
				n++
				if !expr.MatchString(line) {
					t.Errorf("%s is not in %s", tc.expr, line)
				}
			}
		}
		if n == 0 {
			t.Errorf("no line has %s", tc.kind)
		}
	}
}
