package scenario

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// dsn is a parsed delivery status notification (RFC 3464).
type dsn struct {
	header   message.Header
	text     string
	perMsg   message.Header
	perRcpt  []message.Header
	original string // the third part
	kind     string // its type
}

// parseDSN parses with a library that is not ours.
func parseDSN(t *testing.T, text string) *dsn {
	t.Helper()
	// A mailbox has lines of Unix.
	e, err := message.Read(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")))
	if err != nil {
		t.Fatalf("notice does not parse: %v\n%s", err, text)
	}
	kind, params, _ := e.Header.ContentType()
	// RFC 6522 3: the report type is the subtype of the second part.
	if kind != "multipart/report" || strings.TrimPrefix(params["report-type"], "global-") != "delivery-status" {
		t.Fatalf("notice has type %s %v", kind, params)
	}
	d := &dsn{header: e.Header}
	parts := e.MultipartReader()
	for n := 0; ; n++ {
		p, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("part %d of the notice: %v\n%s", n, err, text)
		}
		body, err := io.ReadAll(p.Body)
		if err != nil {
			t.Fatalf("part %d of the notice: %v", n, err)
		}
		kind, _, _ := p.Header.ContentType()
		switch {
		case n == 0:
			d.text = string(body)
		case kind == "message/delivery-status" || kind == "message/global-delivery-status":
			d.status(t, string(body))
		default:
			d.kind, d.original = kind, string(body)
		}
	}
	return d
}

func (d *dsn) status(t *testing.T, body string) {
	t.Helper()
	for n, group := range strings.Split(strings.TrimSpace(body), "\r\n\r\n") {
		e, err := message.Read(strings.NewReader(group + "\r\n\r\n"))
		if err != nil {
			t.Fatalf("fields of the notice: %v\n%s", err, body)
		}
		if n == 0 {
			d.perMsg = e.Header
		} else {
			d.perRcpt = append(d.perRcpt, e.Header)
		}
	}
}

// field compares a field of a header with an expression.
func field(t *testing.T, h message.Header, name, want string) {
	t.Helper()
	if got := h.Get(name); !regexp.MustCompile("^(?:" + want + ")$").MatchString(got) {
		t.Errorf("%s: %q, want %s", name, got, want)
	}
}

// once makes sure that a log line came exactly once, some time after the last
// thing that the test waited for.
func once(t *testing.T, mail *testkit.Instance, expr string) {
	t.Helper()
	time.Sleep(100 * time.Millisecond)
	if n := len(regexp.MustCompile("(?m)"+expr).FindAllString(mail.Log(), -1)); n != 1 {
		t.Errorf("%d log lines %s, want 1", n, expr)
	}
}

// TestBounces: what comes back for mail that a server refuses.
func TestBounces(t *testing.T) {
	t.Parallel()
	server := newSink(t)
	server.on(func(verb, line string) string {
		switch {
		case verb == "RCPT" && strings.Contains(line, "<no"):
			return "550-5.1.1 <no> does not live here,\r\n550 5.1.1 ask elsewhere"
		case verb == "RCPT" && strings.Contains(line, "<later"):
			return "450 4.2.1 come back"
		}
		return ""
	})
	mail := testkit.New(t)
	mail.Set(t, "relayhost = "+server.hop(), "smtp_tls_security_level = none")
	mail.Start(t)
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	send := func(params, rcpt, rcptParams, subject string) string {
		t.Helper()
		s.Cmd("250", "MAIL FROM:<you@example.test>%s", params)
		s.Cmd("250", "RCPT TO:<%s>%s", rcpt, rcptParams)
		s.Cmd("354", "DATA")
		reply := s.Cmd("250", "Subject: %s\r\n\r\nbody of %[1]s\r\n.", subject)
		return strings.Fields(reply)[5]
	}
	seen := map[string]bool{}
	lastBox := func(n int) *dsn {
		t.Helper()
		for _, text := range mail.WaitMailbox(t, "you", n) {
			if !seen[text] {
				seen[text] = true
				return parseDSN(t, text)
			}
		}
		t.Fatal("no new message")
		return nil
	}

	id := send(" ENVID=abc+2B RET=FULL", "no@remote.test", " ORCPT=rfc822;first@remote.test", "one")
	d := lastBox(1)
	mail.WaitLog(t, id+`: to=<no@remote\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*dsn=5\.1\.1, status=bounced \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 550-5\.1\.1 <no> does not live here, 550 5\.1\.1 ask elsewhere \(in reply to RCPT TO command\)\)`)
	field(t, d.header, "From", `Mail Delivery System <MAILER-DAEMON@mail\.example\.test>`)
	field(t, d.header, "To", `you@example\.test`)
	field(t, d.header, "Subject", `Undelivered Mail Returned to Sender`)
	field(t, d.header, "Auto-Submitted", `auto-replied`)
	field(t, d.header, "Return-Path", `<>`)
	field(t, d.perMsg, "Reporting-MTA", `dns; mail\.example\.test`)
	field(t, d.perMsg, "Original-Envelope-Id", `abc\+`)
	field(t, d.perMsg, "X-Postfix-Queue-Id", id)
	field(t, d.perMsg, "Arrival-Date", `\w+, .*`)
	if len(d.perRcpt) != 1 {
		t.Fatalf("%d recipients in the notice", len(d.perRcpt))
	}
	r := d.perRcpt[0]
	field(t, r, "Final-Recipient", `rfc822; no@remote\.test`)
	field(t, r, "Original-Recipient", `rfc822; ?first@remote\.test`)
	field(t, r, "Action", `failed`)
	field(t, r, "Status", `5\.1\.1`)
	field(t, r, "Remote-MTA", `dns; 127\.0\.0\.1`)
	field(t, r, "Diagnostic-Code", `smtp; 550-5\.1\.1 <no> does not live here,\s+550 5\.1\.1 ask elsewhere`)
	if d.kind != "message/rfc822" || !strings.Contains(d.original, "\r\nbody of one") {
		t.Errorf("returned as %s:\n%s", d.kind, d.original)
	}
	if !strings.Contains(d.text, "<no@remote.test>") {
		t.Errorf("text of the notice:\n%s", d.text)
	}
	once(t, mail, id+`: sender non-delivery notification: `)
	once(t, mail, id+`: removed`)

	send(" RET=HDRS", "no@remote.test", "", "two")
	if d = lastBox(2); d.kind != "text/rfc822-headers" || strings.Contains(d.original, "body of two") || !strings.Contains(d.original, "Subject: two") {
		t.Errorf("RET=HDRS returned %s:\n%s", d.kind, d.original)
	}
	id = send("", "no@remote.test", " NOTIFY=NEVER", "three")
	mail.WaitLog(t, id+`: removed`)
	if strings.Contains(mail.Log(), id+": sender") {
		t.Error("NOTIFY=NEVER: a notice")
	}

	// The sink speaks DSN, so success is its business; without, we say
	// that the mail went where reports end.
	id = send("", "yes@remote.test", " NOTIFY=SUCCESS,FAILURE", "four")
	mail.WaitLog(t, id+`: removed`)
	if said := server.said(); !strings.Contains(said, "NOTIFY=SUCCESS,FAILURE") {
		t.Errorf("NOTIFY was not passed on:\n%s", said)
	}
	id = send("", "you@example.test", " NOTIFY=SUCCESS", "five")
	mail.WaitLog(t, id+`: sender delivery status notification: `)
	testkit.Wait(t, "message and report", func() bool { return len(mail.Mailbox(t, "you")) == 4 })
	for _, text := range mail.Mailbox(t, "you") {
		if strings.Contains(text, "Successful") {
			d = parseDSN(t, text)
		}
	}
	field(t, d.header, "Subject", "Successful Mail Delivery Report")
	field(t, d.perRcpt[0], "Action", "delivered")
	field(t, d.perRcpt[0], "Status", `2\.\d\.\d`)

	// A bounce that bounces ends; the postmaster hears of it if he wants.
	s.Cmd("250", "MAIL FROM:<>")
	s.Cmd("250", "RCPT TO:<no@remote.test>")
	s.Cmd("354", "DATA")
	id = strings.Fields(s.Cmd("250", "Subject: six\r\n\r\nx\r\n."))[5]
	mail.WaitLog(t, id+`: removed`)
	if strings.Contains(mail.Log(), id+": sender non-delivery") {
		t.Error("a bounce of a bounce")
	}
	if n := len(mail.Mailbox(t, "you")); n != 4 {
		t.Errorf("%d messages", n)
	}
}

// refuseRCPT is a server without users.
func refuseRCPT(verb, _ string) string {
	if verb == "RCPT" {
		return "550 5.1.1 no"
	}
	return ""
}

// TestDoubleBounce: with notify_classes, postmaster gets the notices that
// cannot be delivered, and copies.
func TestDoubleBounce(t *testing.T) {
	t.Parallel()
	mail := testkit.New(t, testkit.Users("you", "postmaster"))
	server := newSink(t)
	server.on(refuseRCPT)
	mail.Set(t, "relayhost = "+server.hop(), "smtp_tls_security_level = none", "notify_classes = 2bounce, bounce",
		"2bounce_notice_recipient = postmaster@example.test", "bounce_notice_recipient = postmaster@example.test")
	mail.Start(t)
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	s.Message("a@error.test", "b@error.test", "Subject: nowhere\n\nx\n")
	got := mail.WaitMailbox(t, "postmaster", 2)
	all := strings.Join(got, "\n")
	for _, want := range []string{"Postmaster Copy: Undelivered Mail", "X-Postfix-Sender: rfc822; a@error.test", "X-Postfix-Sender: rfc822; MAILER-DAEMON@", "Return-Path: <double-bounce@mail.example.test>"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	for _, text := range got {
		if !strings.Contains(text, "multipart/report") {
			t.Errorf("no report:\n%s", text)
		}
	}
	testkit.Wait(t, "empty queue", func() bool { return len(mail.Queue(t, "incoming", "active", "deferred", "bounce", "defer")) == 0 })
	time.Sleep(200 * time.Millisecond)
	if n := len(mail.Mailbox(t, "postmaster")); n != 2 {
		t.Errorf("%d notices", n)
	}
}

// TestDelayAndExpiry: a delay notice, once; then the end of the lifetime.
func TestDelayAndExpiry(t *testing.T) {
	t.Parallel()
	mail := testkit.New(t)
	mail.Set(t, "relayhost = "+testkit.NewClosed(t).Hop(), "smtp_tls_security_level = none",
		"delay_warning_time = 1s", "maximal_queue_lifetime = 15s", "bounce_queue_lifetime = 15s", "minimal_backoff_time = 1s", "maximal_backoff_time = 1s", "queue_run_delay = 1s")
	mail.Start(t)
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	s.Cmd("250", "MAIL FROM:<you@example.test>")
	s.Cmd("250", "RCPT TO:<a@remote.test>")
	s.Cmd("250", "RCPT TO:<b@remote.test> NOTIFY=FAILURE")
	s.Cmd("354", "DATA")
	id := strings.Fields(s.Cmd("250", "Subject: slow\r\n\r\nbody of slow\r\n."))[5]
	mail.WaitLog(t, id+`: to=<a@remote\.test>, relay=none, .*dsn=4\.4\.1, status=deferred \(connect to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: Connection refused\)`)
	mail.WaitLog(t, id+`: sender delay notification: `)
	d := parseDSN(t, mail.WaitMailbox(t, "you", 1)[0])
	field(t, d.header, "Subject", `Delayed Mail \(still being retried\)`)
	if len(d.perRcpt) != 1 {
		t.Fatalf("%d recipients in the delay notice; the other one asked for none", len(d.perRcpt))
	}
	field(t, d.perRcpt[0], "Action", "delayed")
	field(t, d.perRcpt[0], "Status", `4\.4\.1`)
	field(t, d.perRcpt[0], "Will-Retry-Until", `\w+, .*`)
	if strings.Contains(d.original, "body of slow") {
		t.Error("the delay notice has the whole message")
	}
	mail.WaitLog(t, id+`: from=<you@example\.test>, status=expired, returned to sender`)
	mail.WaitLog(t, id+`: removed`)
	for _, text := range mail.WaitMailbox(t, "you", 2) {
		if strings.Contains(text, "Undelivered") {
			d = parseDSN(t, text)
		}
	}
	if len(d.perRcpt) != 2 {
		t.Errorf("%d recipients in the last notice", len(d.perRcpt))
	}
	field(t, d.perRcpt[0], "Action", "failed")
	once(t, mail, id+`: sender delay notification: `)
	once(t, mail, id+`: sender non-delivery notification: `)
	if left := mail.Queue(t, "deferred", "defer", "bounce", "active"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestSoftBounce: nothing comes back while the site tries its configuration.
func TestSoftBounce(t *testing.T) {
	t.Parallel()
	server := newSink(t)
	server.on(refuseRCPT)
	mail := testkit.New(t)
	mail.Set(t, "soft_bounce = yes", "relayhost = "+server.hop(), "smtp_tls_security_level = none", "local_recipient_maps = inline:{root=x}")
	mail.Start(t)
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	s.Cmd("250", "MAIL FROM:<you@example.test>")
	s.Cmd("450 4.1.1", "RCPT TO:<nosuch@localhost>")
	s.Cmd("250", "RSET")
	id := s.Message("you@example.test", "a@remote.test", "Subject: x\n\nx\n")
	mail.WaitLog(t, id+`: to=<a@remote\.test>, .*dsn=4\.1\.1, status=SOFTBOUNCE \(host .* said: 550 5\.1\.1 no`)
	mail.Must(t, "postqueue", "-p")
	// The agent logs before the queue manager moves the file.
	testkit.Wait(t, "message among the deferred", func() bool { return len(mail.Queue(t, "deferred")) == 1 })
}

// TestUTF8Notice: a notice about an address that is not ASCII needs SMTPUTF8's
// types (RFC 6533).
func TestUTF8Notice(t *testing.T) {
	t.Parallel()
	mail := testkit.New(t)
	server := newSink(t)
	server.on(refuseRCPT)
	mail.Set(t, "relayhost = "+server.hop(), "smtp_tls_security_level = none")
	mail.Start(t)
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	s.Cmd("250", "MAIL FROM:<you@example.test> SMTPUTF8 BODY=8BITMIME")
	s.Cmd("250", "RCPT TO:<grüße@error.test>")
	s.Cmd("354", "DATA")
	s.Cmd("250", "Subject: Grüße\r\n\r\nx\r\n.")
	text := mail.WaitMailbox(t, "you", 1)[0]
	d := parseDSN(t, text)
	field(t, d.perRcpt[0], "Final-Recipient", `utf-?8; grüße@error\.test`)
	if !strings.Contains(text, "Content-Type: message/global-delivery-status") || d.kind != "message/global" {
		t.Errorf("types of the notice: %s\n%s", d.kind, text)
	}
}
