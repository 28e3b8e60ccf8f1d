package dialog

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestRelayTricks tries each address as recipient, in several ways. A refusal
// is a reply of class 5: mail that is taken and bounced later is backscatter.
func TestRelayTricks(t *testing.T) {
	text, err := os.ReadFile("relay/tricks.txt")
	if err != nil {
		t.Fatal(err)
	}
	in := start(t, build(t), []string{"smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination",
		"smtpd_hard_error_limit = 100000", "smtpd_junk_command_limit = 100000"})
	tried := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		addr, err := strconv.Unquote(`"` + line + `"`)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for _, form := range []struct{ mail, rcpt string }{
			{"MAIL FROM:<a@b.test>", "RCPT TO:<" + addr + ">"},
			{"MAIL FROM:<>", "RCPT TO:<" + addr + ">"},
			{"MAIL FROM:<a@b.test> SMTPUTF8", "RCPT TO:<" + addr + ">"},
			{"MAIL FROM:<u@here.test> SIZE=1", "RCPT TO: <" + addr + "> ORCPT=rfc822;u@here.test"},
			{"MAIL FROM:<a@b.test>", "RCPT TO:" + addr},
		} {
			if !strings.Contains(form.rcpt, "<") && strings.ContainsAny(addr, "\r\n") {
				continue // the line break is the end of a good command
			}
			tried++
			tryRelay(t, in, form.mail, form.rcpt)
		}
	}
	if n := len(in.cleanup.all()); n != 0 {
		t.Errorf("%d messages were accepted", n)
	}
	t.Logf("%d tries", tried)
}

// tryRelay gives one recipient on a connection of its own. Line breaks inside
// make further commands; none of their replies may accept a recipient.
func tryRelay(t *testing.T, in *instance, mail, rcpt string) {
	t.Helper()
	d := &dialog{t: t, in: in, where: strconv.Quote(rcpt)}
	d.connect()
	defer d.disconnect()
	d.read()
	d.send("EHLO x\r\n")
	for got := d.read(); !strings.HasPrefix(got, "250 "); got = d.read() {
	}
	d.send(mail + "\r\n")
	d.read()
	d.send(rcpt + "\r\nQUIT\r\n")
	for {
		got := d.read()
		if strings.HasPrefix(got, "221") {
			return
		}
		if !strings.HasPrefix(got, "5") {
			t.Errorf("%s %q: %q", mail, rcpt, got)
		}
		if strings.HasPrefix(got, "521") || strings.HasPrefix(got, "554 5.5.0") {
			return
		}
	}
}
