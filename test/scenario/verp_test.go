package scenario

import (
	"slices"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestVERP: each recipient gets a message of its own, from an address that
// names it, and what cannot be delivered comes back there.
func TestVERP(t *testing.T) {
	t.Parallel()
	server := newSink(t)
	server.on(func(verb, line string) string {
		if verb == "RCPT" && strings.Contains(line, "<no") {
			return "550 5.1.1 nobody"
		}
		return ""
	})
	mail := testkit.New(t)
	mail.Set(t, "relayhost = "+server.hop(), "smtp_tls_security_level = none", "recipient_delimiter = +",
		"smtpd_authorized_verp_clients = 127.0.0.1")
	mail.Start(t)
	check := func(subject string, want ...string) {
		t.Helper()
		testkit.Wait(t, "messages "+subject, func() bool {
			n := 0
			for _, m := range server.got() {
				if strings.Contains(m.Text, "Subject: "+subject+"\n") {
					n++
				}
			}
			return n >= len(want)
		})
		var got []string
		for _, m := range server.got() {
			if strings.Contains(m.Text, "Subject: "+subject+"\n") {
				got = append(got, angle(m.Mail)+" "+angle(strings.Join(m.Rcpts, " ")))
			}
		}
		slices.Sort(got)
		if d := strings.Join(got, "\n"); d != strings.Join(want, "\n") {
			t.Errorf("%s: got\n%s", subject, d)
		}
	}

	mail.Send(t, "Subject: command\n\nx\n", "-XV", "-f", "you@example.test", "a@one.test", "b@two.test", "no@one.test")
	check("command", "you+a=one.test@example.test a@one.test", "you+b=two.test@example.test b@two.test")
	notice := mail.WaitMailbox(t, "you", 1)[0]
	if !strings.Contains(notice, "\nTo: you+no=one.test@example.test\n") || strings.Contains(notice, "a@one.test:") {
		t.Errorf("notice:\n%s", notice)
	}

	s := session(t, mail)
	if reply := s.Cmd("250", "EHLO c.test"); !strings.Contains(reply, "XVERP") {
		t.Errorf("XVERP is not offered: %s", reply)
	}
	s.Cmd("501 5.5.4", "MAIL FROM:<you@example.test> XVERP=+")
	s.Cmd("501 5.5.4", "MAIL FROM:<you@example.test> XVERP=ab")
	s.Cmd("503 5.5.4", "MAIL FROM:<> XVERP")
	s.Cmd("250", "MAIL FROM:<you@example.test> XVERP=-=")
	s.Cmd("250", "RCPT TO:<c@one.test>")
	s.Cmd("250", "RCPT TO:<d@one.test>")
	s.Cmd("354", "DATA")
	s.Cmd("250", "Subject: smtp\r\n\r\nx\r\n.")
	check("smtp", "you-c=one.test@example.test c@one.test", "you-d=one.test@example.test d@one.test")

	stranger := testkit.DialFrom(t, "127.0.0.2", mail.Addr())
	if reply := stranger.Cmd("250", "EHLO c.test"); strings.Contains(reply, "XVERP") {
		t.Errorf("XVERP is offered to a stranger: %s", reply)
	}
	stranger.Cmd("555 5.5.4", "MAIL FROM:<you@example.test> XVERP")
}

// angle returns what stands between the first "<" and the next ">".
func angle(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}
