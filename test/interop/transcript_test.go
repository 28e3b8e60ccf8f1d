package interop

import (
	"bufio"
	stdcmp "cmp"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// good sends a message.
var good = []string{"MAIL FROM:<a@remote.test>", "RCPT TO:<you@example.test>", "DATA", "Subject: x\r\n\r\nx\r\n."}

// transcripts are clients of which the postmaster is told, and how many times.
var transcripts = []struct {
	client
	notices int
}{
	{client{name: "fine", lines: []string{"EHLO c.test", "MAIL FROM:<a@remote.test>", "RCPT TO:<you@example.test>", "RSET", "QUIT", "WAIT"}}, 0},
	{client{name: "unknown command", lines: []string{"EHLO c.test", "FOO bar", "QUIT", "WAIT"}}, 1},
	{client{name: "wrong order", lines: []string{"HELO c.test", "RCPT TO:<you@example.test>", "MAIL FROM:<a@b", "CLOSE"}}, 1},
	{client{name: "too many errors", lines: []string{"EHLO c.test", "FOO", "FOO", "FOO", "FOO", "FOO", "WAIT"}}, 1},
	{client{name: "relay", lines: []string{"EHLO c.test", "MAIL FROM:<a@remote.test>", "RCPT TO:<" + strings.Repeat("x", 60) + "@other.test>", "QUIT", "WAIT"}}, 1},
	{client{name: "unknown user", lines: []string{"EHLO c.test", "MAIL FROM:<a@remote.test>", "RCPT TO:<nobody@example.test>", "QUIT", "WAIT"}}, 1},
	{client{name: "wrong table", lines: []string{"EHLO wrong.test", "MAIL FROM:<a@remote.test>", "RCPT TO:<you@example.test>", "QUIT", "WAIT"}}, 1},
	{client{name: "no recipients", lines: []string{"EHLO c.test", "MAIL FROM:<a@remote.test>", "DATA", "QUIT", "WAIT"}}, 0},
	{client{name: "too large", lines: []string{"EHLO c.test", "MAIL FROM:<a@remote.test>", "RCPT TO:<you@example.test>", "DATA",
		"+" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 400) + ".", "QUIT", "WAIT"}}, 1},
	{client{name: "refused text", lines: []string{"EHLO c.test", "MAIL FROM:<a@remote.test>", "RCPT TO:<you@example.test>", "DATA",
		"Subject: bad\r\n\r\nsecret text\r\n.", "QUIT", "WAIT"}}, 1},
	{client{name: "login", lines: []string{"EHLO c.test", "AUTH PLAIN AGEAc2VjcmV0", "QUIT", "WAIT"}}, 1},
	{client{name: "size", lines: []string{"EHLO c.test", "MAIL FROM:<a@remote.test> SIZE=99999999", "QUIT", "WAIT"}}, 1},
	{client{name: "error before mail", lines: slices.Concat([]string{"EHLO c.test", "FOO"}, good, []string{"QUIT", "WAIT"})}, 0},
	{client{name: "error after mail", lines: slices.Concat([]string{"EHLO c.test"}, good, []string{"FOO", "QUIT", "WAIT"})}, 1},
	{client{name: "errors around mail", lines: slices.Concat([]string{"EHLO c.test", "FOO"}, good, []string{"BAR", "QUIT", "WAIT"})}, 1},
	{client{name: "refused, then mail", lines: slices.Concat([]string{"EHLO c.test", "MAIL FROM:<a@remote.test>", "RCPT TO:<nobody@example.test>", "RSET"}, good, []string{"QUIT", "WAIT"})}, 0},
	{client{name: "refused in mail", lines: []string{"EHLO c.test", "MAIL FROM:<a@remote.test>", "RCPT TO:<nobody@example.test>", "RCPT TO:<you@example.test>", "DATA", "Subject: x\r\n\r\nx\r\n.", "QUIT", "WAIT"}}, 0},
	{client{name: "error, then mail that is refused", lines: []string{"EHLO c.test", "FOO", "MAIL FROM:<a@remote.test>", "RCPT TO:<you@example.test>", "DATA", "Subject: bad\r\n\r\ntext\r\n.", "QUIT", "WAIT"}}, 1},
	{client{name: "mail, then a lost connection", lines: slices.Concat([]string{"EHLO c.test", "FOO"}, good, []string{"CLOSE"})}, 0},
	{client{name: "early", lines: []string{"EHLO c.test", "+EHLO c.test\r\nNOOP\r\nRSET\r\nMAIL FROM:<a@remote.test>", "CLOSE"}}, 0},
}

// farewells are what the clients differ in when all is over.
var farewells = regexp.MustCompile(`( Out: RSET\r\n In:  250 2.0.0 ok\r\n)? Out: QUIT\r\n`)

var portOf = regexp.MustCompile(`\]:\d+`)

// noticeText is what both systems must have in common of a notice.
func noticeText(text string) []string {
	envelope, text, _ := strings.Cut(text, "\r\n\r\n")
	header, body, _ := strings.Cut(text, "\r\n\r\n")
	lines := strings.Split(envelope+"\r\n"+header, "\r\n")
	lines = slices.DeleteFunc(lines, func(l string) bool {
		return !regexp.MustCompile(`^(MAIL|RCPT|From:|To:|Subject:)`).MatchString(l)
	})
	for i, l := range lines {
		lines[i] = regexp.MustCompile(` (SIZE|BODY)=\S+`).ReplaceAllString(l, "")
	}
	body = farewells.ReplaceAllString(body, "")
	for _, l := range strings.Split(body, "\r\n") {
		if l != " Out: 250-REQUIRETLS" { // newer than this Postfix
			lines = append(lines, strings.Replace(l, "AGEAc2VjcmV0", "(not shown)", 1))
		}
	}
	for i, l := range lines {
		lines[i] = plainMail(portOf.ReplaceAllString(l, "]:PORT"))
	}
	return lines
}

// TestTranscripts: the postmaster is told of the same sessions in the same form.
func TestTranscripts(t *testing.T) {
	k := newTaker(t)
	p := newPair(t, "notify_classes = policy, protocol, data, resource, software, bounce", "error_notice_recipient = errors@notice.test",
		"bounce_notice_recipient = errors@notice.test", "default_transport = smtp:[127.0.0.1]:"+fmt.Sprint(k.port), "alias_maps =",
		"virtual_mailbox_domains = example.test", "virtual_mailbox_maps = inline:{you@example.test=x}", "virtual_transport = discard:", "mynetworks =", "in_flow_delay = 0",
		"smtpd_hard_error_limit = 4", "smtpd_error_sleep_time = 0", "message_size_limit = 20000", "smtp_tls_security_level = none", "smtpd_tls_security_level = none",
		"header_checks = regexp:{{/^Subject: bad/ REJECT bad subject}}", "smtpd_relay_restrictions = reject_unauth_destination", "smtpd_sasl_auth_enable = no",
		"smtpd_recipient_restrictions = check_helo_access inline:{wrong.test=rejct_all}")
	collect := func(s side, addr string) map[string][][]string {
		s.start()
		defer s.stop()
		all := map[string][][]string{}
		for _, c := range transcripts {
			c.talk(t, addr)
			var got []string
			testkit.Wait(t, s.name+": notices of "+c.name, func() bool {
				got = append(got, k.taken()...)
				return len(got) >= c.notices
			})
			all[c.name] = [][]string{}
			for _, n := range got {
				if s.name == "ours" && strings.Contains(n, "AGEAc2VjcmV0") || strings.Contains(n, "secret text") {
					t.Errorf("%s, %s: a notice with a secret:\n%s", s.name, c.name, n)
				}
				all[c.name] = append(all[c.name], noticeText(n))
			}
		}
		return all
	}
	sides := p.sides(t)
	theirs := collect(sides[0], p.theirs.Addr)
	ours := collect(sides[1], p.ours.Addr())
	for _, c := range transcripts {
		if len(theirs[c.name]) != c.notices {
			t.Errorf("%s: Postfix sent %d notices, want %d", c.name, len(theirs[c.name]), c.notices)
		}
		if d := cmp.Diff(theirs[c.name], ours[c.name]); d != "" {
			t.Errorf("%s: (-theirs +ours)\n%s", c.name, d)
		}
	}
}

// replies are servers, by the domain that mail for them goes to: what they say
// to a command.
var replies = map[string]map[string]string{
	"syntax.test":  {"MAIL": "501 5.5.4 what is that?"},
	"policy.test":  {"RCPT": "550 5.7.1 not here, and this is a long text that goes on for more than one line"},
	"early.test":   {"DATA": "250 2.0.0 what you like"},
	"odd.test":     {"RCPT": "555 5.5.4 no such parameter"},
	"refusal.test": {"EHLO": "500 5.5.1 no", "HELO": "502 5.5.1 no"},
	"end.test":     {".": "503 5.5.1 no message"},
}

// badReplies is a server that says something else to one command.
func badReplies(t *testing.T, odd map[string]string) int {
	ln := testkit.Serve(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		r := bufio.NewReader(conn)
		fmt.Fprint(conn, "220 odd.test ESMTP\r\n")
		usual := map[string]string{"EHLO": "250-odd.test\r\n250 8BITMIME", "DATA": "354 go on", "QUIT": "221 bye"}
		for text := false; ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			if text && verb != "." {
				continue
			}
			answer := stdcmp.Or(odd[verb], usual[verb], "250 2.0.0 ok")
			text = strings.HasPrefix(answer, "354")
			if fmt.Fprint(conn, answer+"\r\n"); verb == "QUIT" {
				return
			}
		}
	})
	return ln.Addr().(*net.TCPAddr).Port
}

// TestClientTranscripts: the postmaster is told of the same servers.
func TestClientTranscripts(t *testing.T) {
	k := newTaker(t)
	routes, domains := "", slices.Sorted(maps.Keys(replies))
	for _, domain := range domains {
		routes += fmt.Sprintf("{%s=smtp:[127.0.0.1]:%d} ", domain, badReplies(t, replies[domain]))
	}
	p := newPair(t, "notify_classes = protocol", "error_notice_recipient = errors@notice.test", "transport_maps = inline:{"+routes+"}",
		"default_transport = smtp:[127.0.0.1]:"+fmt.Sprint(k.port), "alias_maps =", "in_flow_delay = 0", "smtp_tls_security_level = none",
		"smtp_connection_cache_on_demand = no")
	collect := func(s side) map[string][][]string {
		s.start()
		defer s.stop()
		all := map[string][][]string{}
		for _, domain := range domains {
			s.send("Subject: x\n\nsecret text\n", "-f", "sender@x.test", "--", "you@"+domain)
			s.count(t, 1, "to=<you@"+domain+">, .* status=(bounced|deferred|sent)")
			want := 2 // the notice and the bounce
			if domain == "policy.test" {
				want = 1
			}
			var got []string
			testkit.Wait(t, s.name+": mail about "+domain, func() bool {
				got = append(got, k.taken()...)
				return len(got) >= want
			})
			all[domain] = [][]string{}
			for _, n := range got {
				if strings.Contains(n, "errors@notice.test") {
					all[domain] = append(all[domain], noticeText(n))
				}
			}
		}
		return all
	}
	sides := p.sides(t)
	theirs, ours := collect(sides[0]), collect(sides[1])
	if d := cmp.Diff(theirs, ours); d != "" {
		t.Errorf("(-theirs +ours)\n%s", d)
	}
	for domain, n := range ours {
		if len(n) != 1 && domain != "policy.test" {
			t.Errorf("%s: %d notices", domain, len(n))
		}
	}
}
