package interop

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// trouble is what a server does to its client: at a stage ("greeting", a verb,
// "body" or "end") it sends a reply, closes, or says nothing any more.
type trouble struct {
	name   string
	stage  string
	action string
	ehlo   string // features, beside none
}

var troubles = []trouble{
	{"g-close", "greeting", "close", ""},
	{"g-wait", "greeting", "wait", ""},
	{"g-421", "greeting", "421 4.3.2 not now", ""},
	{"g-521", "greeting", "521 5.3.2 never", ""},
	{"g-554", "greeting", "554 5.7.1 go away", ""},
	{"g-junk", "greeting", "hello there", ""},
	{"e-close", "EHLO", "close", ""},
	{"e-wait", "EHLO", "wait", ""},
	{"e-421", "EHLO", "421 4.3.2 busy", ""},
	{"e-550", "EHLO", "550 5.7.1 who", ""},
	{"m-close", "MAIL", "close", ""},
	{"m-wait", "MAIL", "wait", ""},
	{"m-421", "MAIL", "421 4.3.2 busy", ""},
	{"m-451", "MAIL", "451 4.3.0 later", ""},
	{"m-550", "MAIL", "550 5.1.8 no sender", ""},
	{"m-552", "MAIL", "552 5.3.4 too much", ""},
	{"r-close", "RCPT", "close", ""},
	{"r-wait", "RCPT", "wait", ""},
	{"r-421", "RCPT", "421 4.3.2 busy", ""},
	{"r-450", "RCPT", "450 4.2.1 grey", ""},
	{"r-552", "RCPT", "552 5.2.2 full", ""},
	{"r-550", "RCPT", "550-5.1.1 first line\r\n550 5.1.1 second line", ""},
	{"r-noenh", "RCPT", "550 no such user", ""},
	{"d-close", "DATA", "close", ""},
	{"d-wait", "DATA", "wait", ""},
	{"d-421", "DATA", "421 4.3.2 busy", ""},
	{"d-451", "DATA", "451 4.3.0 later", ""},
	{"d-550", "DATA", "550 5.7.1 no data", ""},
	{"x-close", "end", "close", ""},
	{"x-wait", "end", "wait", ""},
	{"x-421", "end", "421 4.3.2 busy", ""},
	{"x-451", "end", "451 4.3.0 later", ""},
	{"x-550", "end", "550 5.7.1 spam", ""},
	{"q-close", "QUIT", "close", ""},
	{"q-wait", "QUIT", "wait", ""},
	{"p-close", "RCPT", "close", "PIPELINING"},
	{"p-550", "RCPT", "550 5.1.1 unknown", "PIPELINING"},
	{"p-451", "DATA", "451 4.3.0 later", "PIPELINING"},
	{"z-size", "-", "-", "SIZE 100"},
	{"s-454", "STARTTLS", "454 4.7.0 no TLS now", "STARTTLS"},
	{"s-close", "STARTTLS", "close", "STARTTLS"},
	{"s-bad", "STARTTLS", "220 2.0.0 go\r\nrubbish", "STARTTLS"},
	{"s-good", "-", "-", "STARTTLS"},
	{"s-old", "-", "1.2", "STARTTLS"},
}

// badServer serves one kind of trouble; done counts the connections that are
// over.
func badServer(t *testing.T, tr trouble, cert tls.Certificate) int {
	t.Helper()
	ln := testkit.Serve(t, "tcp", "127.0.0.1:0", func(conn net.Conn) { tr.serve(conn, cert) })
	return ln.Addr().(*net.TCPAddr).Port
}

// at does what is due at a stage, and reports whether the session is over.
func (tr trouble) at(stage string, conn net.Conn, normal string) bool {
	if stage != tr.stage {
		fmt.Fprint(conn, normal+"\r\n")
		return false
	}
	switch tr.action {
	case "close":
		return true
	case "wait":
		// Until the client gives up.
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		buf := make([]byte, 4096)
		for {
			if _, err := conn.Read(buf); err != nil {
				return true
			}
		}
	}
	fmt.Fprint(conn, tr.action+"\r\n")
	return false
}

func (tr trouble) serve(conn net.Conn, cert tls.Certificate) {
	defer func() { conn.Close() }()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	if tr.at("greeting", conn, "220 bad.test ESMTP") {
		return
	}
	r := bufio.NewReader(conn)
	secure := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb := strings.ToUpper(strings.TrimSpace(line))
		if i := strings.IndexByte(verb, ' '); i > 0 {
			verb = verb[:i]
		}
		over := false
		switch verb {
		case "EHLO":
			reply := "250 bad.test"
			if tr.ehlo != "" && !(secure && tr.ehlo == "STARTTLS") {
				reply = "250-bad.test\r\n250 " + tr.ehlo
			}
			over = tr.at("EHLO", conn, reply)
		case "STARTTLS":
			if over = tr.at(verb, conn, "220 2.0.0 go"); tr.stage == verb || over {
				break
			}
			config := &tls.Config{Certificates: []tls.Certificate{cert}, CurvePreferences: []tls.CurveID{tls.X25519}}
			if tr.action == "1.2" {
				config.MaxVersion = tls.VersionTLS12
			}
			conn = tls.Server(conn, config)
			r, secure = bufio.NewReader(conn), true
		case "DATA":
			normal := "354 go on"
			if over = tr.at("DATA", conn, normal); over || tr.stage == "DATA" {
				break
			}
			for text := ""; text != ".\r\n"; {
				if text, err = r.ReadString('\n'); err != nil {
					return
				}
			}
			over = tr.at("end", conn, "250 2.0.0 taken")
		case "QUIT":
			tr.at("QUIT", conn, "221 2.0.0 bye")
			return
		default:
			over = tr.at(verb, conn, "250 2.0.0 ok")
		}
		if over {
			return
		}
	}
}

// receivedBy is the part of a Received header that has the name of the program and
// the time.
var receivedBy = regexp.MustCompile(`by mail\.example\.test \(Post\w+\) .* from`)

// sslError is followed by what the TLS library says; Postfix has OpenSSL's words in
// a line of their own. That a response was none has a line here alone.
var sslError = regexp.MustCompile(`(SSL_(?:connect|accept) error \S+ \S+) .*`)

// bdatBytes are counted in another way within a chunk.
var bdatBytes = regexp.MustCompile(`BDAT \(\d+ bytes\)`)

// messageSize is of the message with the name of the program in Received.
var messageSize = regexp.MustCompile(`message size \d+`)

// clientLines are the lines about deliveries, of which only the recipients'
// domains tell apart what happened.
func clientLines(log, side string) []string {
	var lines []string
	for _, line := range shapes(log, side) {
		line = sslError.ReplaceAllString(line, "$1 WHY")
		if strings.HasPrefix(line, "smtp: ") && !strings.Contains(line, "TLS library problem") && !strings.Contains(line, "non-SMTP response") {
			lines = append(lines, messageSize.ReplaceAllString(line, "message size N"))
		}
	}
	return lines
}

// TestClientTroubles: what servers do to both SMTP clients leaves the same
// lines in their logs.
func TestClientTroubles(t *testing.T) {
	cert := testkit.Certificate(t, "bad.test")
	var maps []string
	for _, tr := range troubles {
		maps = append(maps, fmt.Sprintf("{%s.test = smtp:[127.0.0.1]:%d}", tr.name, badServer(t, tr, cert)))
	}
	maps = append(maps, fmt.Sprintf("{refused.test = smtp:[127.0.0.1]:%d}", testkit.NewClosed(t).Port))
	p := newPair(t, "transport_maps = inline:{"+strings.Join(maps, ", ")+"}", "smtp_tls_security_level = may", "smtp_tls_loglevel = 1",
		"smtp_helo_timeout = 6s", "smtp_mail_timeout = 6s", "smtp_rcpt_timeout = 6s", "smtp_data_init_timeout = 6s",
		"smtp_data_done_timeout = 6s", "smtp_quit_timeout = 6s", "smtp_starttls_timeout = 6s", "alias_maps =", "notify_classes =",
		"default_process_limit = 10", "bounce_queue_lifetime = 0", "local_recipient_maps =")
	send := func(from func(text string, args ...string)) {
		for _, tr := range troubles {
			from("Subject: "+tr.name+"\n\n"+strings.Repeat("text\n", 100), "-f", "", "r@"+tr.name+".test")
		}
		from("Subject: two\n\nx\n", "-f", "", "one@r-450.test", "two@r-450.test", "one@refused.test")
	}
	n := len(troubles) + 3
	finished := func(log string) bool {
		return strings.Count(log, ", status=") >= n
	}
	p.theirs.Start(t)
	send(func(text string, args ...string) { p.sendmail(t, text, args...) })
	testkit.Wait(t, "Postfix's deliveries", func() bool { return finished(strings.Join(clientLines(p.theirs.Log(), "theirs"), "\n")) })
	theirs := clientLines(p.theirs.Settle(t), "theirs")
	p.theirs.Stop(t)
	p.ours.Must(t, "postsuper", "-d", "ALL")
	p.ours.Start(t)
	before := len(p.ours.Log())
	send(func(text string, args ...string) { p.ours.Send(t, text, args...) })
	testkit.Wait(t, "our deliveries", func() bool { return finished(strings.Join(clientLines(p.ours.Log()[before:], "ours"), "\n")) })
	ours := clientLines(p.ours.Log()[before:], "ours")
	if d := cmp.Diff(theirs, ours); d != "" {
		t.Errorf("the logs differ (-theirs +ours):\n%s", d)
	}
}

// client is one session with a server: what is sent after the greeting, and how it
// ends. "WAIT" waits for the server to close, "CLOSE" closes, "TLS" makes the
// connection secure; other lines are sent as they are, and their reply is
// awaited; what "EARLY" sends comes before the greeting.
type client struct {
	name  string
	lines []string
	from  string
	cert  tls.Certificate
}

var body = []string{"EHLO c.test", "MAIL FROM:<a@remote.test>", "RCPT TO:<you@example.test>", "DATA"}

var clients = []client{
	{name: "connect-close", lines: []string{"CLOSE"}},
	{name: "connect-wait", lines: []string{"WAIT"}},
	{name: "helo-close", lines: []string{"HELO c.test", "CLOSE"}},
	{name: "ehlo-wait", lines: []string{"EHLO c.test", "WAIT"}},
	{name: "noop-close", lines: []string{"NOOP", "CLOSE"}},
	{name: "rset-wait", lines: []string{"EHLO c.test", "RSET", "WAIT"}},
	{name: "mail-close", lines: append(body[:2:2], "CLOSE")},
	{name: "mail-wait", lines: append(body[:2:2], "WAIT")},
	{name: "rcpt-close", lines: append(body[:3:3], "CLOSE")},
	{name: "rcpt-wait", lines: append(body[:3:3], "WAIT")},
	{name: "rcpt-refused-close", lines: []string{"EHLO c.test", "MAIL FROM:<a@remote.test>", "RCPT TO:<x@other.test>", "CLOSE"}, from: "127.0.0.9"},
	{name: "data-close", lines: append(body[:4:4], "CLOSE")},
	{name: "data-wait", lines: append(body[:4:4], "WAIT")},
	{name: "text-close", lines: append(body[:4:4], "+Subject: x", "+", "+text", "CLOSE")},
	{name: "text-wait", lines: append(body[:4:4], "+Subject: x", "+", "+text", "WAIT")},
	{name: "end-close", lines: append(body[:4:4], "+Subject: x", "+", ".", "CLOSE")},
	{name: "end-wait", lines: append(body[:4:4], "+Subject: x", "+", ".", "WAIT")},
	{name: "quit", lines: []string{"QUIT", "WAIT"}},
	{name: "bdat-close", lines: append(body[:3:3], "+BDAT 100", "+part", "CLOSE")},
	{name: "bdat-wait", lines: append(body[:3:3], "+BDAT 100", "+part", "WAIT")},
	{name: "bdat-between", lines: append(body[:3:3], "BDAT 5\r\nabc", "CLOSE")},
	{name: "vrfy", lines: []string{"EHLO c.test", "VRFY x@other.test", "VRFY you@example.test", "CLOSE"}, from: "127.0.0.9"},
	{name: "etrn", lines: []string{"EHLO c.test", "ETRN example.test", "ETRN [1.2.3.4]", "CLOSE"}, from: "127.0.0.9"},
	{name: "unknown", lines: []string{"FOO bar", "EHLO c.test", "X", "", "QUIT", "WAIT"}},
	{name: "too-many", lines: []string{"A", "B", "C", "D", "E", "F", "WAIT"}},
	{name: "http", lines: []string{"GET / HTTP/1.0", "WAIT"}},
	{name: "syntax", lines: []string{"EHLO", "HELO", "MAIL", "MAIL FROM:<a b>", "RCPT TO:<x@y>", "QUIT", "WAIT"}},
	{name: "helo-bad", lines: []string{"HELO bad_name", "HELO [1.2.3", "QUIT", "WAIT"}, from: "127.0.0.9"},
	{name: "pipelining", lines: []string{"+HELO c.test\r\nMAIL FROM:<a@remote.test>\r\nRCPT TO:<you@example.test>", "WAIT"}, from: "127.0.0.9"},
	{name: "early", lines: []string{"EARLY HELO c.test", "WAIT"}, from: "127.0.0.9"},
	{name: "early-ehlo", lines: []string{"EARLY EHLO c.test", "CLOSE"}, from: "127.0.0.9"},
	{name: "early-more", lines: []string{"EARLY EHLO c.test\r\nMAIL FROM:<a@remote.test>\r\nRCPT TO:<you@example.test>\r\nRCPT TO:<two@example.test>\r\nDATA", "WAIT"}, from: "127.0.0.9"},
	{name: "early-binary", lines: []string{"EARLY NOOP \x16\x03\\\t\x7f", "WAIT"}, from: "127.0.0.9"},
	{name: "early-http", lines: []string{"EARLY GET / HTTP/1.0", "WAIT"}, from: "127.0.0.9"},
	{name: "after-greeting", lines: []string{"+EHLO c.test\r\nMAIL FROM:<a@remote.test>", "WAIT"}, from: "127.0.0.9"},
	{name: "tls", lines: []string{"EHLO c.test", "STARTTLS", "TLS", "EHLO c.test", "QUIT", "WAIT"}},
	{name: "tls-1.2", lines: []string{"EHLO c.test", "STARTTLS", "TLS12", "EHLO c.test", "QUIT", "WAIT"}},
	{name: "tls-cert", lines: append([]string{"EHLO c.test", "STARTTLS", "TLS-CERT"}, append(body[:4:4], "+Subject: cert", "+", ".", "QUIT", "WAIT")...)},
	{name: "tls-message", lines: append([]string{"EHLO c.test", "STARTTLS", "TLS"}, append(body[:4:4], "+Subject: TLS", "+", ".", "QUIT", "WAIT")...)},
	{name: "tls-close", lines: []string{"EHLO c.test", "STARTTLS", "CLOSE"}},
	{name: "tls-wait", lines: []string{"EHLO c.test", "STARTTLS", "WAIT"}},
	{name: "tls-junk", lines: []string{"EHLO c.test", "STARTTLS", "+rubbish", "WAIT"}},
	{name: "tls-lost", lines: []string{"EHLO c.test", "STARTTLS", "TLS", "EHLO c.test", "CLOSE"}},
	{name: "size", lines: []string{"EHLO c.test", "MAIL FROM:<a@remote.test> SIZE=99999999", "QUIT", "WAIT"}},
}

// talk plays a client and returns what the server said.
func (c client) talk(t *testing.T, addr string) (said []string) {
	t.Helper()
	d := net.Dialer{}
	if c.from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(c.from)}
	}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { conn.Close() }()
	conn.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(conn)
	rest := c.lines
	if early, ok := strings.CutPrefix(rest[0], "EARLY "); ok {
		fmt.Fprint(conn, early+"\r\n")
		rest = rest[1:]
	}
	reply := func() {
		for {
			line, err := r.ReadString('\n')
			if err == nil {
				said = append(said, line)
			}
			if err != nil || len(line) < 4 || line[3] != '-' {
				return
			}
		}
	}
	reply()
	for _, line := range rest {
		switch {
		case line == "CLOSE":
			return said
		case line == "WAIT":
			for {
				text, err := r.ReadString('\n')
				if err != nil {
					return said
				}
				said = append(said, text)
			}
		case strings.HasPrefix(line, "TLS"):
			config := &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}}
			if line == "TLS-CERT" {
				config.Certificates = []tls.Certificate{c.cert}
			}
			if line == "TLS12" {
				config.MaxVersion = tls.VersionTLS12
				config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
			}
			conn = tls.Client(conn, config)
			r = bufio.NewReader(conn)
		case strings.HasPrefix(line, "+"):
			fmt.Fprint(conn, line[1:]+"\r\n")
		default:
			fmt.Fprint(conn, line+"\r\n")
			reply()
		}
	}
	return said
}

// plainReply takes names of the program out of replies.
var (
	plainReply = strings.NewReplacer("ESMTP Postfix", "ESMTP", "ESMTP Posthouse", "ESMTP")
	queueID    = regexp.MustCompile(`\b[0-9A-F]{9,12}\b`)
)

// serverLines are the lines of smtpd, and where a client is told apart.
func serverLines(log, side string) []string {
	var lines []string
	for _, line := range shapes(log, side) {
		if strings.Contains(line, ": warning: header Received: ") && strings.Contains(line, "(using TLS") {
			lines = append(lines, receivedBy.ReplaceAllString(line, "by HOST id ID DATE from"))
		}
		if strings.HasPrefix(line, "smtpd: ") && !strings.Contains(line, "TLS library problem") {
			lines = append(lines, bdatBytes.ReplaceAllString(sslError.ReplaceAllString(line, "$1 WHY"), "BDAT (N bytes)"))
		}
	}
	return lines
}

// TestServerTroubles: each client leaves the same lines in both logs.
func TestServerTroubles(t *testing.T) {
	p := newPair(t, "smtpd_timeout = 4s", "smtpd_starttls_timeout = 4s", "smtpd_tls_security_level = may", "smtpd_tls_loglevel = 1",
		"smtpd_hard_error_limit = 5", "smtpd_error_sleep_time = 0", "alias_maps =", "local_recipient_maps =", "mynetworks = 127.0.0.1/32",
		"smtpd_helo_restrictions = reject_invalid_helo_hostname", "smtpd_data_restrictions = reject_unauth_pipelining",
		"transport_maps = inline:{{example.test = discard:}}", "message_size_limit = 100000", "smtpd_forbidden_commands = GET", "smtpd_tls_ask_ccert = yes", "smtpd_tls_received_header = yes",
		"header_checks = regexp:{{/^Received:/ WARN}}")
	p.ours.Set(t, "smtpd_forbid_unauth_pipelining = no", "smtpd_forbid_bare_newline = no")
	for _, name := range []string{"cert", "key"} {
		p.theirs.Set(t, fmt.Sprintf("smtpd_tls_%s_file = %s", name, p.ours.Etc("tls/"+name+".pem")))
	}
	p.theirs.Set(t, "virtual_mailbox_domains = example.test", "virtual_mailbox_maps = static:x")
	p.ours.Set(t, "virtual_mailbox_domains = example.test", "virtual_mailbox_maps = static:x")
	p.theirs.Start(t)
	cert := testkit.Certificate(t, "client.test")
	collect := func(addr, side string, settled func() string) map[string][]string {
		all := map[string][]string{}
		for _, c := range clients {
			c.cert = cert
			for try := 1; ; try++ {
				before := len(settled())
				var lines []string
				for _, line := range c.talk(t, addr) {
					if side == "ours" && line == "250-REQUIRETLS\r\n" {
						continue // newer than this Postfix
					}
					lines = append(lines, "said: "+plainReply.Replace(queueID.ReplaceAllString(line, "ID")))
				}
				testkit.Wait(t, side+" end of "+c.name, func() bool { return strings.Contains(settled()[before:], ": disconnect from ") })
				all[c.name] = append(lines, serverLines(settled()[before:], side)...)
				// A server may look before what is early has come.
				if try == 5 || !strings.HasPrefix(c.name, "early") || strings.Contains(settled()[before:], " after CONNECT from ") {
					break
				}
			}
		}
		return all
	}
	theirs := collect(p.theirs.Addr, "theirs", func() string { return p.theirs.Settle(t) })
	p.theirs.Stop(t)
	p.ours.Start(t)
	ours := collect(p.ours.Addr(), "ours", p.ours.Log)
	for _, c := range clients {
		if d := cmp.Diff(theirs[c.name], ours[c.name]); d != "" {
			t.Errorf("%s: the logs differ (-theirs +ours):\n%s", c.name, d)
		}
	}
}
