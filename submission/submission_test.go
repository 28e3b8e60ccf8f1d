package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// one returns the message that must be the only one in the queue.
func (h *house) one() queued {
	h.t.Helper()
	list := h.queue()
	if len(list) != 1 {
		h.t.Fatalf("%d messages are queued, log:\n%s", len(list), h.log)
	}
	return list[0]
}

// field returns the value of the only header field of a name.
func (q *queued) field(t testing.TB, name string) string {
	t.Helper()
	var found []string
	for _, l := range q.lines {
		if l == "" {
			break
		}
		if rest, ok := strings.CutPrefix(l, name+":"); ok {
			found = append(found, strings.TrimSpace(rest))
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d fields %s in\n%s", len(found), name, strings.Join(q.lines, "\n"))
	}
	return found[0]
}

func TestEnvelopeAuthorship(t *testing.T) {
	for _, tc := range []struct{ from, want string }{
		{"joe@here.test", "250"}, {"JOE@HERE.test", "250"}, {"joe+list@here.test", "250"},
		{"joseph@here.test", "250"}, {"sales@here.test", "250"}, {"anything@joe.test", "250"}, {"", "250"}, {"joe", "250"},
		{"jim@here.test", "553 5.7.1 <jim@here.test>: Sender address rejected: not owned by user joe@here.test"},
		{"joe@there.test", "553"}, {"a@sub.joe.test", "553"}, {"joejoe@here.test", "553"},
		{`"joe@here.test"@there.test`, "553"},
	} {
		t.Run(tc.from, func(t *testing.T) {
			h := newHouse(t, "smtpd_delay_reject = yes", "recipient_delimiter = +")
			c := h.login(joe)
			c.want(tc.want, c.cmd("MAIL FROM:<"+tc.from+">"))
		})
	}
}

func TestEnvelopeRewrite(t *testing.T) {
	h := newHouse(t, "submission_authorship = rewrite")
	c := h.login(joe)
	c.want("250", c.send("jim@there.test", "From: Jim <jim@there.test>, joe@here.test\nSender: jim@there.test\nSubject: x\n\nx\n"))
	q := h.one()
	if q.sender != "joe@here.test" {
		t.Errorf("sender %q", q.sender)
	}
	if from := q.field(t, "From"); from != "Jim <joe@here.test>, joe@here.test" {
		t.Errorf("From: %q", from)
	}
	for _, want := range []string{"<jim@there.test> becomes <joe@here.test>", "header from from", "header sender from"} {
		if !strings.Contains(h.log.String(), want) {
			t.Errorf("no %q in the log:\n%s", want, h.log)
		}
	}
}

func TestHeaderAuthorship(t *testing.T) {
	const text = "\n\nx\n"
	for _, tc := range []struct{ header, want string }{
		{"From: joe@here.test", "250"},
		{"From: (comment) Joe <joe@\n here.test>", "250"},
		{"From: =?utf-8?q?jim=40there.test?= <joe@here.test>", "250"},
		{"From: joseph@here.test\nSender: joe@here.test", "250"},
		{"From: joe@here.test, sales@here.test\nSender: joe@here.test", "250"},
		{"From: joe", "250"}, // is completed before it is looked at
		{"From: jim@there.test", "553 5.7.1 <jim@there.test>: From address rejected: not owned by user joe@here.test"},
		{"From: joe@here.test, jim@there.test", "553"},
		{"From: friends: joe@here.test, jim@there.test;", "553"},
		{"From: joe@here.test\nSender: jim@there.test", "553 5.7.1 <jim@there.test>: Sender address rejected: not owned"},
		{"From: joe@here.test <jim@there.test>", "553"},
		{"From: \"joe@here.test\" <jim@there.test>", "553"},
		{"From: nobody:;", "554 5.6.0 Error: the header field From has no address"},
		{"From:", "554 5.6.0 Error: the header field From has no address"},
		{"From: joe@here.test\nFrom: jim@there.test", "554 5.6.0 Error: the message has more than one header field from"},
		{"from : jim@there.test\nFROM: joe@here.test", "554"},
		{"From : jim@there.test\nFROM: joe@here.test", "250"}, // the first line is that of a mailbox file
		{"From: " + strings.Repeat("joe@here.test, ", 100) + "joe@here.test", "554 5.6.0 Error: the header field From has more than 100"},
		{"From: joe@here.test\nResent-From: jim@there.test", "250"},
	} {
		t.Run(tc.header[:min(len(tc.header), 40)], func(t *testing.T) {
			h := newHouse(t)
			c := h.login(joe)
			c.want(tc.want, c.send("joe@here.test", tc.header+text))
			if n := len(h.queue()); (n == 1) != (tc.want == "250") {
				t.Errorf("%d messages are queued", n)
			}
		})
	}
}

// TestResent: where a site lets users pass mail on, the fields about that are
// the ones that must be theirs.
func TestResent(t *testing.T) {
	h := newHouse(t, "submission_resent = yes")
	c := h.login(joe)
	c.want("250", c.send("joe@here.test", "Resent-From: joe@here.test\nFrom: jim@there.test\n\nx\n"))
	q := h.one()
	if q.field(t, "From") != "jim@there.test" || q.field(t, "Resent-Date") == "" {
		t.Errorf("got %q", q.lines)
	}
	c.want("553", c.send("joe@here.test", "Resent-From: jim@there.test\nFrom: joe@here.test\n\nx\n"))
	c.want("553", c.send("joe@here.test", "From: jim@there.test\n\nx\n"))
}

func TestLoginMapsDecide(t *testing.T) {
	h := newHouse(t, "smtpd_sender_login_maps = inline:{{joe@here.test=jim}, {info@there.test=joe@here.test}}")
	c := h.login(joe)
	c.want("553", c.cmd("MAIL FROM:<joe@here.test>"))
	c.want("250", c.send("info@there.test", "From: info@there.test\n\nx\n"))
	c.want("553", c.send("info@there.test", "From: joe@here.test\n\nx\n"))
}

// TestLookupFails: who cannot be asked says neither yes nor no.
func TestLookupFails(t *testing.T) {
	h := newHouse(t, "smtpd_sender_login_maps = inline:{{other@here.test=jim}}")
	c := h.login(joe)
	h.set(func() { h.rewrite = func(string) string { return "" } })
	c.want("451 4.3.0", c.cmd("MAIL FROM:<joe@here.test>"))
	h.set(func() { h.rewrite = atHere })
	c.begin("joe@here.test")
	h.set(func() { h.rewrite = func(string) string { return "" } })
	fmt.Fprintf(c.conn, "From: sales@here.test\r\n\r\nx\r\n.\r\n")
	c.want("451 4.3.0 Error: the message cannot be processed now", c.reply())
	if n := len(h.queue()); n != 0 {
		t.Errorf("%d messages are queued", n)
	}
	h.auth.Down(true)
	c.mailUntil("451 4.3.0 Error: your account cannot be looked up")
}

// mailUntil says MAIL until the reply is the one that is wanted: what was known
// of the account counts for a second.
func (c *client) mailUntil(want string) {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		got := c.cmd("MAIL FROM:<joe@here.test>")
		if strings.HasPrefix(got, want) {
			return
		}
		if c.want("250", got); time.Now().After(end) {
			c.t.Fatalf("never %q", want)
		}
		c.want("250", c.cmd("RSET"))
	}
}

// TestHeld: a session that is open already learns it too.
func TestHeld(t *testing.T) {
	h := newHouse(t)
	c := h.login(joe)
	c.want("250", c.send("joe@here.test", "From: joe@here.test\n\nx\n"))
	held := joe
	held.Held = true
	h.auth.Set(held)
	c.mailUntil("550 5.7.1 Error: your account is on hold")
	h.auth.Set()
	c.want("550 5.7.1 Error: your account may not send mail any more", c.cmd("MAIL FROM:<joe@here.test>"))
}

func TestStrangers(t *testing.T) {
	h := newHouse(t)
	c := h.dial()
	c.want("530 5.7.0 Authentication required", c.cmd("MAIL FROM:<joe@here.test>"))
	c.want("530 5.7.0 Authentication required", c.cmd("VRFY joe@here.test"))
	c.want("503", c.cmd("RCPT TO:<a@b.test>"))
}

func TestGroomed(t *testing.T) {
	h := newHouse(t, "recipient_delimiter = +")
	c := h.login(joe)
	const body = "\n trailing blank \n.\n\xe4\x00 8bit \n\n"
	c.want("250", c.send("joe+x@here.test", "To: a, b@branch, \"Me\" <c@[192.0.2.1]>, d@e.test\nBcc: secret@there.test\nBCC : also@there.test\n"+
		"Return-Path: <x@y.test>\nResent-Bcc: x@y.test\nX-Odd:no blank,\n\tand  folded \n"+body))
	q := h.one()
	for name, want := range map[string]string{
		"To": `a@here.test, b@branch.here.test, "Me" <c@[192.0.2.1]>, d@e.test`, "MIME-Version": "1.0", "From": "Joe Doe <joe+x@here.test>"} {
		if got := q.field(t, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if id := q.field(t, "Message-ID"); !regexp.MustCompile(`^<\d{14}\.ABCDEF1@mail\.here\.test>$`).MatchString(id) {
		t.Errorf("Message-ID: %q", id)
	}
	q.field(t, "Date")
	all := strings.Join(q.lines, "\n") + "\n"
	if !strings.Contains(all, "\nX-Odd:no blank,\n\tand  folded \n") || !strings.HasSuffix(all, "\n"+body) {
		t.Errorf("bytes were changed:\n%q", all)
	}
	for _, gone := range []string{"secret@there", "also@there", "Return-Path", "x@y.test"} {
		if strings.Contains(all, gone) {
			t.Errorf("%s is still there:\n%s", gone, all)
		}
	}
}

// TestUntouched: a header that is complete stays as it is, byte by byte.
func TestUntouched(t *testing.T) {
	h := newHouse(t)
	c := h.login(joe)
	const message = "DATE:  Sat, 28 Nov 2026 20:00:00 +0000\nfrom:\"J.\" <joe@here.test>\nMessage-Id: <1@x>\nMime-Version: 1.0\nto: a@b.test  (x)\n\nbody\n"
	c.want("250", c.send("joe@here.test", message))
	q := h.one()
	all := strings.Join(q.lines, "\n") + "\n"
	if !strings.HasPrefix(all, "Received: from c.test ") || !strings.HasSuffix(all, "\n"+message) {
		t.Errorf("got\n%s", all)
	}
}

func TestGroomOff(t *testing.T) {
	h := newHouse(t, "submission_groom = no", "submission_received_address = no")
	c := h.login(joe)
	c.want("250", c.send("joe@here.test", "To: a\n\nx\n"))
	q := h.one()
	all := strings.Join(q.lines, "\n") + "\n"
	if !strings.HasSuffix(all, "\nTo: a\n\nx\n") || !strings.HasPrefix(all, "Received: by mail.here.test ") || strings.Contains(all, "c.test") {
		t.Errorf("got\n%s", all)
	}
}

func TestNamesInFrom(t *testing.T) {
	for name, want := range map[string]string{
		"":           "joe@here.test",
		"Joe Doe":    "Joe Doe <joe@here.test>",
		"Doe, Joe":   `"Doe, Joe" <joe@here.test>`,
		"J\xc3\xbc":  "=?utf-8?q?J=C3=BC?= <joe@here.test>",
		"Joe\nBcc:x": "joe@here.test",
	} {
		h := newHouse(t)
		a := joe
		a.Name = name
		h.auth.Set(a)
		c := h.login(a)
		c.want("250", c.send("joe@here.test", "Subject: x\n\nx\n"))
		q := h.one()
		if got := q.field(t, "From"); got != want {
			t.Errorf("%q gives %q, want %q", name, got, want)
		}
	}
}

// TestHeaderWords: what is wrong is told so that its writer can mend it.
func TestHeaderWords(t *testing.T) {
	const from = "From: joe@here.test\n"
	for _, tc := range []struct{ message, want string }{
		{from + "no field\n\nx\n", `554 5.6.0 Error: line 2 of the header is no header field: "no field"; there must be an empty line before the text`},
		{from + "X: y\nText without an empty line \x1b[31m" + strings.Repeat("x", 100) + "\n", "554 5.6.0 Error: line 3 of the header is no header field: \"Text without"},
		{from + "Subject: a\nSubject: b\n\nx\n", "554 5.6.0 Error: the message has more than one header field subject, which must stand once"},
		{from + "X-Long: " + strings.Repeat("x", 2000) + "\n\nx\n", "552 5.3.4 Error: the header field x-long is longer than 1024 bytes"},
		{from + strings.Repeat("X: y\n", 2001) + "\nx\n", "552 5.3.4 Error: the header of the message is too long: more than 2000 fields"},
		{from + "X: y\n\nno field\n", "250"},
	} {
		h := newHouse(t, "header_size_limit = 1024")
		c := h.login(joe)
		got := c.send("joe@here.test", tc.message)
		c.want(tc.want, got)
		if strings.ContainsAny(got, "\x1b") || len(got) > 512 {
			t.Errorf("a reply of %q", got)
		}
		if n := len(h.queue()); (n == 1) != (tc.want == "250") {
			t.Errorf("%d messages are queued for %q", n, tc.want)
		}
		c.want("250", c.send("joe@here.test", from+"\nthe next one\n"))
	}
}

func TestLimits(t *testing.T) {
	h := newHouse(t, "submission_messages_per_hour = 5", "submission_recipients_per_day = 7")
	own := joe
	own.Limits.MessagesHour, own.Limits.RecipientsHour = 50, 60
	h.auth.Set(own)
	c := h.login(own)
	c.want("250", c.send("joe@here.test", "From: joe@here.test\n\nx\n"))
	if q := h.one(); len(q.recipients) != 1 {
		t.Errorf("recipients %q", q.recipients)
	}
	var counted [2]int64
	h.set(func() {
		for _, req := range h.spent {
			for i, name := range []string{"messages", "recipients"} {
				n, _ := req.GetInt(name)
				counted[i] += n
			}
			for name, want := range map[string]string{"ident": "joe@here.test", "messages_hour": "50", "recipients_hour": "60",
				"messages_day": "2000", "recipients_day": "7"} {
				if got := req.Value(name); got != want {
					t.Errorf("%s is %s, want %s", name, got, want)
				}
			}
		}
		h.verdict = ipc.List{}.Int("status", 0).Str("over", "recipients_day").Int("limit", 7)
	})
	if counted != [2]int64{1, 1} {
		t.Errorf("counted %v", counted)
	}
	got := c.cmd("MAIL FROM:<joe@here.test>")
	c.want("450 4.7.1", got)
	if !strings.Contains(got, "Error: you have reached your limit of 7 recipients per day; please try again later, or ask your postmaster") {
		t.Errorf("got %q", got)
	}
	if n := len(h.queue()); n != 0 {
		t.Errorf("%d notices, and it was not the first time", n)
	}
	// Without anvil there are no limits, and so no mail.
	h.set(func() { h.verdict = ipc.List{}.Int("status", -1) })
	c.want("451 4.3.0", c.cmd("MAIL FROM:<joe@here.test>"))
}

func TestLimitNotice(t *testing.T) {
	h := newHouse(t)
	c := h.login(joe)
	h.set(func() {
		h.verdict = ipc.List{}.Int("status", 0).Str("over", "messages_hour").Int("limit", 500).Str("first", "1")
	})
	c.want("450 4.7.1", c.cmd("MAIL FROM:<joe@here.test>"))
	q := h.one()
	if q.sender != "" || len(q.recipients) != 1 || q.recipients[0] != "postmaster" {
		t.Errorf("from %q to %q", q.sender, q.recipients)
	}
	if s := q.field(t, "Subject"); s != "Sending limit reached: joe@here.test" {
		t.Errorf("subject %q", s)
	}
	all := strings.Join(q.lines, "\n")
	for _, want := range []string{"the limit of 500 messages per hour", "posthouse user hold joe@here.test", "No further notice is sent for this hour."} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
}

func TestConnectionLimit(t *testing.T) {
	h := newHouse(t, "submission_connection_limit = 3")
	h.set(func() { h.count = 3 })
	h.login(joe)
	h.set(func() { h.count = 4 })
	c := h.dial()
	c.want("421 4.7.0 mail.here.test Error: too many connections of this user", c.cmd("AUTH PLAIN AGpvZUBoZXJlLnRlc3QAc2VjcmV0"))
}

// keywords returns what a reply to EHLO offers.
func keywords(t testing.TB, ehlo string) map[string]bool {
	t.Helper()
	lines := strings.Split(ehlo, "\n")
	offered := make(map[string]bool)
	for _, l := range lines[1:] {
		word, _, _ := strings.Cut(l, " ")
		offered[word] = true
	}
	if !offered["PIPELINING"] {
		t.Fatalf("EHLO gives %q", ehlo)
	}
	return offered
}

// TestOffersWhatItServes: ETRN is for port 25. What needs the queue is not
// offered where messages go past it.
func TestOffersWhatItServes(t *testing.T) {
	const verp = "smtpd_authorized_verp_clients = 127.0.0.1"
	h := newHouse(t, verp)
	c := h.login(joe)
	if offered := keywords(t, c.cmd("EHLO c.test")); offered["ETRN"] || !offered["XVERP"] || !offered["FUTURERELEASE"] {
		t.Errorf("EHLO offers %v", offered)
	}
	c.want("502 5.5.1 Error: command not implemented", c.cmd("ETRN here.test"))
	c.want("502 5.5.1 Error: command not implemented", c.cmd("etrn"))
	c.want("250", c.cmd("MAIL FROM:<joe@here.test> XVERP HOLDFOR=60"))
	c.want("221", c.cmd("QUIT"))

	n := &nextServer{ehlo: []string{"PIPELINING"}}
	h = newHouse(t, verp, "submission_relayhost = "+n.start(t))
	c = h.login(joe)
	if offered := keywords(t, c.cmd("EHLO c.test")); offered["ETRN"] || offered["XVERP"] || offered["FUTURERELEASE"] {
		t.Errorf("EHLO offers %v", offered)
	}
	for _, what := range []string{"XVERP", "XVERP=+=", "HOLDFOR=60"} {
		c.want("555 5.5.4 Unsupported option: "+what, c.cmd("MAIL FROM:<joe@here.test> "+what))
	}
	c.want("221", c.cmd("QUIT"))
}
