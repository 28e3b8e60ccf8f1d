package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// sink is go-smtp's server as an independent peer that keeps what it gets.
type sink struct {
	mu       sync.Mutex
	messages []string
	sessions int
	refuse   func(rcpt string) error
}

type sinkSession struct {
	*sink
	from string
	to   []string
}

func (s *sink) NewSession(*gosmtp.Conn) (gosmtp.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions++
	return &sinkSession{sink: s}, nil
}

func (s *sinkSession) Mail(from string, _ *gosmtp.MailOptions) error { s.from = from; return nil }
func (s *sinkSession) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if s.refuse != nil {
		if err := s.refuse(to); err != nil {
			return err
		}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, fmt.Sprintf("%s -> %s: %q", s.from, strings.Join(s.to, ","), b))
	return nil
}
func (s *sinkSession) Reset()        { s.to = nil }
func (s *sinkSession) Logout() error { return nil }

func startSink(t *testing.T) (*sink, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{}
	srv := gosmtp.NewServer(s)
	srv.Domain = "mx.test"
	srv.EnableDSN = true
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return s, port(l)
}

// startServer runs a function for each connection.
func startServer(t *testing.T, network, addr string, serve func(conn net.Conn, r *bufio.Reader)) net.Listener {
	t.Helper()
	return testkit.Serve(t, network, addr, func(conn net.Conn) {
		conn.SetDeadline(time.Now().Add(time.Minute))
		serve(conn, bufio.NewReader(conn))
	})
}

// replies answers each command by its first word, and the content with END.
func replies(m map[string]string) func(net.Conn, *bufio.Reader) {
	say := func(conn net.Conn, word, def string) bool {
		text, ok := m[word]
		if !ok {
			text = def
		}
		if text == "CLOSE" {
			return false
		}
		fmt.Fprintf(conn, "%s\r\n", text)
		return !strings.HasPrefix(text, "421")
	}
	return func(conn net.Conn, r *bufio.Reader) {
		if !say(conn, "GREETING", "220 mx.test ESMTP") {
			return
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			word := strings.ToUpper(strings.Fields(line + " x")[0])
			def := "250 ok"
			switch word {
			case "DATA":
				def = "354 go"
			case "QUIT":
				def = "221 bye"
			case "STARTTLS":
				def = "502 no"
			}
			if !say(conn, word, def) || word == "QUIT" {
				return
			}
			if word == "DATA" && !strings.HasPrefix(m["DATA"], "4") && !strings.HasPrefix(m["DATA"], "5") {
				for line != ".\r\n" {
					if line, err = r.ReadString('\n'); err != nil {
						return
					}
				}
				if !say(conn, "END", "250 2.0.0 queued") {
					return
				}
			}
		}
	}
}

const testZone = `
example.test. 60 IN MX 10 mx1.example.test.
example.test. 60 IN MX 20 mx2.example.test.
mx1.example.test. 60 IN A 127.0.0.1
mx2.example.test. 60 IN A 127.0.0.2
nomx.test. 60 IN A 127.0.0.1
null.test. 60 IN MX 0 .
self.test. 60 IN MX 10 mx1.example.test.
down.test. SERVFAIL
badmx.test. 60 IN MX 10 nowhere.test.
`

func TestSentToSink(t *testing.T) {
	s, p := startSink(t)
	h := newHarness(t, "smtp", testZone)
	req := h.request("example.test:"+p, "a@example.test", "b c@example.test")
	reply, log := h.deliver(req)
	if reply.Code != deliver.ReplyDone || h.marks(req) != "DD" {
		t.Errorf("reply %+v, marks %s", reply, h.marks(req))
	}
	want := []string{`sender@a.test -> a@example.test,b c@example.test: "Subject: test\r\n\r\nhello\r\n.dot\r\n"`}
	if diff := cmp.Diff(want, s.messages); diff != "" {
		t.Error(diff)
	}
	wantLog := []string{
		"ID: to=<a@example.test>, relay=mx1.example.test[127.0.0.1]:P, delay=D, dsn=2.0.0, status=sent (250 2.0.0 OK: queued)",
		`ID: to=<"b c"@example.test>, relay=mx1.example.test[127.0.0.1]:P, delay=D, dsn=2.0.0, status=sent (250 2.0.0 OK: queued)`,
	}
	if diff := cmp.Diff(wantLog, log); diff != "" {
		t.Error(diff)
	}
}

// TestOutcomes has the log lines of what may go wrong.
func TestOutcomes(t *testing.T) {
	closed := strconv.Itoa(testkit.NewClosed(t).Port)
	answers := func(m map[string]string) func(t *testing.T) string {
		return func(t *testing.T) string { return port(startServer(t, "tcp", "127.0.0.1:0", replies(m))) }
	}
	none := func(*testing.T) string { return "25" }
	tests := []struct {
		name     string
		server   func(t *testing.T) string
		nexthop  string // %s is the port
		settings []string
		marks    string
		site     string // code and text that the scheduler hears
		log      []string
	}{
		{"refused by all", func(*testing.T) string { return closed }, "example.test:%s", nil, "R",
			"4.4.1 connect to mx2.example.test[127.0.0.2]:" + closed + ": Connection refused", []string{
				"connect to mx1.example.test[127.0.0.1]:P: Connection refused",
				"connect to mx2.example.test[127.0.0.2]:P: Connection refused",
				"ID: to=<r@example.test>, relay=none, delay=D, dsn=4.4.1, status=deferred (connect to mx2.example.test[127.0.0.2]:P: Connection refused)"}},
		{"recipient 450, two servers", answers(map[string]string{"RCPT": "450 4.2.0 greylisted"}), "nomx.test:%s", nil, "R", "", []string{
			"ID: to=<r@example.test>, relay=nomx.test[127.0.0.1]:P, delay=D, dsn=4.2.0, status=deferred (host nomx.test[127.0.0.1] said: 450 4.2.0 greylisted (in reply to RCPT TO command))"}},
		{"recipient 550", answers(map[string]string{"RCPT": "550 5.1.1 who"}), "[127.0.0.1]:%s", nil, "D", "", []string{
			"ID: to=<r@example.test>, relay=127.0.0.1[127.0.0.1]:P, delay=D, dsn=5.1.1, status=bounced (host 127.0.0.1[127.0.0.1] said: 550 5.1.1 who (in reply to RCPT TO command))"}},
		{"soft_bounce", answers(map[string]string{"RCPT": "550 5.1.1 who"}), "[127.0.0.1]:%s", []string{"soft_bounce = yes"}, "R", "", []string{
			"ID: to=<r@example.test>, relay=127.0.0.1[127.0.0.1]:P, delay=D, dsn=4.1.1, status=SOFTBOUNCE (host 127.0.0.1[127.0.0.1] said: 550 5.1.1 who (in reply to RCPT TO command))"}},
		{"greeting 554 is for another day", answers(map[string]string{"GREETING": "554 5.7.1 no"}), "[127.0.0.1]:%s", nil, "R",
			"4.7.1 host 127.0.0.1[127.0.0.1] refused to talk to me: 554 5.7.1 no", []string{
				"ID: to=<r@example.test>, relay=127.0.0.1[127.0.0.1]:P, delay=D, dsn=4.7.1, status=deferred (host 127.0.0.1[127.0.0.1] refused to talk to me: 554 5.7.1 no)"}},
		{"greeting 554 as it is", answers(map[string]string{"GREETING": "554 5.7.1 no"}), "[127.0.0.1]:%s", []string{"smtp_skip_5xx_greeting = no"}, "D", "", []string{
			"ID: to=<r@example.test>, relay=127.0.0.1[127.0.0.1]:P, delay=D, dsn=5.7.1, status=bounced (host 127.0.0.1[127.0.0.1] refused to talk to me: 554 5.7.1 no)"}},
		{"closed after the end of data", answers(map[string]string{"END": "CLOSE"}), "example.test:%s", nil, "R",
			"4.4.2 lost connection with mx1.example.test[127.0.0.1] while sending end of data -- message may be sent more than once", []string{
				"ID: to=<r@example.test>, relay=mx1.example.test[127.0.0.1]:P, delay=D, dsn=4.4.2, status=deferred (lost connection with mx1.example.test[127.0.0.1] while sending end of data -- message may be sent more than once)"}},
		{"TLS required, not offered", answers(nil), "[127.0.0.1]:%s", []string{"smtp_tls_security_level = encrypt"}, "R",
			"4.7.4 TLS is required, but was not offered by host 127.0.0.1[127.0.0.1]", []string{
				"ID: to=<r@example.test>, relay=127.0.0.1[127.0.0.1]:P, delay=D, dsn=4.7.4, status=deferred (TLS is required, but was not offered by host 127.0.0.1[127.0.0.1])"}},
		{"TLS required, refused", answers(map[string]string{"EHLO": "250-mx.test\r\n250 STARTTLS", "STARTTLS": "454 4.7.0 later"}), "[127.0.0.1]:%s",
			[]string{"smtp_tls_security_level = encrypt"}, "R",
			"4.7.4 TLS is required, but host 127.0.0.1[127.0.0.1] refused to start TLS: 454 4.7.0 later", []string{
				"ID: to=<r@example.test>, relay=127.0.0.1[127.0.0.1]:P, delay=D, dsn=4.7.4, status=deferred (TLS is required, but host 127.0.0.1[127.0.0.1] refused to start TLS: 454 4.7.0 later)"}},
		{"TLS refused, may", answers(map[string]string{"EHLO": "250-mx.test\r\n250 STARTTLS"}), "[127.0.0.1]:%s",
			[]string{"smtp_tls_security_level = may"}, "D", "", []string{
				"ID: to=<r@example.test>, relay=127.0.0.1[127.0.0.1]:P, delay=D, dsn=2.0.0, status=sent (250 2.0.0 queued)"}},
		{"null MX", none, "null.test", nil, "D", "", []string{
			"ID: to=<r@example.test>, relay=none, delay=D, dsn=5.1.10, status=bounced (Domain null.test does not accept mail (nullMX))"}},
		{"no such domain", none, "absent.test", nil, "D", "", []string{
			"ID: to=<r@example.test>, relay=none, delay=D, dsn=5.4.4, status=bounced (Host or domain name not found. Name service error for name=absent.test type=A: Host not found)"}},
		{"no such domain as relayhost", none, "absent.test", []string{"relayhost = absent.test"}, "R",
			"4.3.5 Host or domain name not found. Name service error for name=absent.test type=A: Host not found", []string{
				"warning: relayhost configuration problem",
				"ID: to=<r@example.test>, relay=none, delay=D, dsn=4.3.5, status=deferred (Host or domain name not found. Name service error for name=absent.test type=A: Host not found)"}},
		{"name server fails", none, "down.test", nil, "R",
			"4.4.3 Host or domain name not found. Name service error for name=down.test type=MX: Host not found, try again", []string{
				"ID: to=<r@example.test>, relay=none, delay=D, dsn=4.4.3, status=deferred (Host or domain name not found. Name service error for name=down.test type=MX: Host not found, try again)"}},
		{"MX without address", none, "badmx.test", nil, "D", "", []string{
			"warning: no MX host for badmx.test has a valid address record",
			"ID: to=<r@example.test>, relay=none, delay=D, dsn=5.4.4, status=bounced (Host or domain name not found. Name service error for name=nowhere.test type=A: Host not found)"}},
		{"loops back", none, "self.test", nil, "D", "", []string{
			"ID: to=<r@example.test>, relay=none, delay=D, dsn=5.4.6, status=bounced (mail for self.test loops back to myself)"}},
		{"fallback relay", answers(nil), "absent.test", []string{"smtp_fallback_relay = [127.0.0.1]:%s"}, "D", "", []string{
			"ID: to=<r@example.test>, relay=127.0.0.1[127.0.0.1]:P, delay=D, dsn=2.0.0, status=sent (250 2.0.0 queued)"}},
		{"bad destination", none, "[127.0.0.1", nil, "R", "4.3.5 Server configuration error", []string{
			"warning: ID: missing ']' in destination: [127.0.0.1",
			"ID: to=<r@example.test>, relay=none, delay=D, dsn=4.3.5, status=deferred (Server configuration error)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.server(t)
			var settings []string
			for _, s := range tt.settings {
				settings = append(settings, strings.ReplaceAll(s, "%s", p))
			}
			h := newHarness(t, "smtp", testZone, settings...)
			req := h.request(strings.ReplaceAll(tt.nexthop, "%s", p), "r@example.test")
			reply, log := h.deliver(req)
			if diff := cmp.Diff(tt.log, log); diff != "" {
				t.Error(diff)
			}
			if got := h.marks(req); got != tt.marks {
				t.Errorf("marks %s, want %s", got, tt.marks)
			}
			site := ""
			if reply.Site != (status.Status{}) {
				site = reply.Site.Code + " " + reply.Site.Text
			}
			if site != tt.site {
				t.Errorf("scheduler hears %q, want %q", site, tt.site)
			}
		})
	}
}

// TestNextServer: a temporary failure of the first server leads to the
// second, and only for the recipients that it concerns.
func TestNextServer(t *testing.T) {
	l := startServer(t, "tcp", "127.0.0.1:0", replies(map[string]string{"MAIL": "451 4.3.0 later"}))
	startServer(t, "tcp", "127.0.0.2:"+port(l), replies(nil))
	h := newHarness(t, "smtp", testZone)
	_, log := h.deliver(h.request("example.test:"+port(l), "r@example.test"))
	want := []string{
		"ID: host mx1.example.test[127.0.0.1] said: 451 4.3.0 later (in reply to MAIL FROM command)",
		"ID: to=<r@example.test>, relay=mx2.example.test[127.0.0.2]:P, delay=D, dsn=2.0.0, status=sent (250 2.0.0 queued)",
	}
	if diff := cmp.Diff(want, log); diff != "" {
		t.Error(diff)
	}
}

// TestReuse keeps a connection when the queue manager has more, and goes on
// without a trace when the server has given up meanwhile.
func TestReuse(t *testing.T) {
	s, p := startSink(t)
	h := newHarness(t, "smtp", testZone)
	for i := range 3 {
		req := h.request("nomx.test:"+p, "r@nomx.test")
		req.Flags = deliver.FlagConnLoad | deliver.FlagConnStore
		_, log := h.deliver(req)
		use := ""
		if i > 0 {
			use = fmt.Sprintf(" conn_use=%d,", i+1)
		}
		want := "ID: to=<r@nomx.test>, relay=nomx.test[127.0.0.1]:P," + use + " delay=D, dsn=2.0.0, status=sent (250 2.0.0 OK: queued)"
		if diff := cmp.Diff([]string{want}, log); diff != "" {
			t.Error(diff)
		}
	}
	if s.sessions != 1 {
		t.Errorf("%d sessions, want 1", s.sessions)
	}
	once := startServer(t, "tcp", "127.0.0.1:0", func(conn net.Conn, r *bufio.Reader) {
		// One message, then silence and a close.
		replies(map[string]string{"END": "250 ok\r\n421 4.4.2 idle"})(conn, r)
	})
	for range 2 {
		req := h.request("nomx.test:"+port(once), "r@nomx.test")
		req.Flags = deliver.FlagConnLoad | deliver.FlagConnStore
		_, log := h.deliver(req)
		if len(log) != 1 || !strings.Contains(log[0], "status=sent (250 ok)") {
			t.Errorf("got %q", log)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestLMTPSocket(t *testing.T) {
	h := newHarness(t, "lmtp", testZone)
	startServer(t, "unix", "private/store", func(conn net.Conn, r *bufio.Reader) {
		fmt.Fprint(conn, "220 store LMTP\r\n")
		n := 0
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			switch strings.Fields(line)[0] {
			case "LHLO":
				fmt.Fprint(conn, "250-store\r\n250 PIPELINING\r\n")
			case "RCPT":
				n++
				fmt.Fprint(conn, "250 ok\r\n")
			case "DATA":
				fmt.Fprint(conn, "354 go\r\n")
				for line != ".\r\n" {
					if line, err = r.ReadString('\n'); err != nil {
						return
					}
				}
				fmt.Fprint(conn, "250 2.0.0 saved\r\n552 5.2.2 full\r\n"[:len("250 2.0.0 saved\r\n")+(n-1)*len("552 5.2.2 full\r\n")])
			default:
				fmt.Fprint(conn, "250 ok\r\n")
			}
		}
	})
	req := h.request("unix:private/store", "a@b.test", "c@b.test")
	_, log := h.deliver(req)
	want := []string{
		"ID: to=<a@b.test>, relay=me.test[private/store], delay=D, dsn=2.0.0, status=sent (250 2.0.0 saved)",
		"ID: to=<c@b.test>, relay=me.test[private/store], delay=D, dsn=5.2.2, status=bounced (host me.test[private/store] said: 552 5.2.2 full (in reply to end of DATA command))",
	}
	if diff := cmp.Diff(want, log); diff != "" {
		t.Error(diff)
	}
	if h.marks(req) != "DD" {
		t.Error(h.marks(req))
	}
}
