package attack

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// relayTricks reads the list of addresses that test/dialog keeps.
func relayTricks(t *testing.T) []string {
	t.Helper()
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "test/dialog/relay/tricks.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		addr, err := strconv.Unquote(`"` + line + `"`)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, addr)
	}
	if len(list) < 60 {
		t.Fatalf("%d forms only", len(list))
	}
	return list
}

// relaySite serves the domains of the list of tricks.
func relaySite(t *testing.T, settings ...string) (*testkit.Instance, *sink) {
	next := newSink(t, nil)
	mail := site(t, "mydestination = here.test, localhost", "local_recipient_maps = inline:{u=x}", "relay_domains = relay.test",
		"relay_recipient_maps = inline:{r@relay.test=x}", "transport_maps = inline:{{*="+next.to("smtp")+"}, {here.test=discard:}, {relay.test=discard:}}")
	mail.Set(t, settings...)
	return mail, next
}

// TestRelayTricks gives each form to a whole system, whose next hop for
// everything foreign is a sink: nothing may reach it, and nothing may be
// accepted. The forms are recipients with several senders and parameters,
// before and after STARTTLS; then senders.
func TestRelayTricks(t *testing.T) {
	mail, next := relaySite(t, "resolve_dequoted_address = yes")
	mail.Start(t)
	tricks := relayTricks(t)
	for _, way := range []struct {
		name, mail, parameters string
		tls                    bool
	}{
		{"plain", "MAIL FROM:<a@b.test>", "", false},
		{"null sender", "MAIL FROM:<>", "", false},
		{"own sender", "MAIL FROM:<u@here.test>", "", false},
		{"ORCPT and SIZE", "MAIL FROM:<u@here.test> SIZE=100", " ORCPT=rfc822;u@here.test NOTIFY=SUCCESS", false},
		{"SMTPUTF8", "MAIL FROM:<u@here.test> SMTPUTF8", "", false},
		{"after STARTTLS", "MAIL FROM:<a@b.test>", "", true},
	} {
		t.Run(way.name, func(t *testing.T) {
			for _, addr := range tricks {
				c := hello(t, mail.Addr(), stranger)
				if way.tls {
					c.startTLS()
					c.must("250", "EHLO x")
				}
				c.must("250", "%s", way.mail)
				c.say("RCPT TO:<" + addr + ">" + way.parameters + "\r\nQUIT\r\n")
				for refused := false; ; refused = true {
					reply := c.reply()
					if strings.HasPrefix(reply, "221") || reply == "" {
						if !refused {
							t.Errorf("%q: no reply", addr)
						}
						break
					}
					if reply[0] != '5' {
						t.Errorf("%q: %q", addr, reply)
					}
				}
				c.conn.Close()
			}
		})
	}
	for _, addr := range tricks {
		asSender(t, mail.Addr(), addr)
	}
	for _, addr := range tricks {
		if reply := vrfy(t, mail.Addr(), addr); strings.HasPrefix(reply, "250") {
			t.Errorf("VRFY %q: %q", addr, reply)
		}
	}
	if got := next.commands(); len(got) != 0 {
		t.Errorf("the next hop was talked to: %q", got)
	}
	if strings.Contains(mail.Log(), "panic") {
		t.Error("panic in the log")
	}
}

// asSender uses a form as sender: foreign recipients stay refused, and own
// ones may be taken or not.
func asSender(t *testing.T, addr, trick string) {
	t.Helper()
	c := hello(t, addr, stranger)
	defer c.conn.Close()
	c.say("MAIL FROM:<" + trick + ">\r\nRCPT TO:<v@other.test>\r\nRCPT TO:<u%other.test@here.test>\r\nQUIT\r\n")
	for first := true; ; first = false {
		reply := c.reply()
		if strings.HasPrefix(reply, "221") || reply == "" {
			return
		}
		if reply[0] == '2' && !first || reply[0] == '4' {
			t.Errorf("with sender %q: %q", trick, reply)
		}
	}
}

func vrfy(t *testing.T, addr, trick string) string {
	t.Helper()
	if strings.ContainsAny(trick, "\r\n") {
		return ""
	}
	c := hello(t, addr, stranger)
	defer c.conn.Close()
	return c.ask("VRFY %s", trick)
}

// TestRelayOtherWays: what gives a client another face must not work for
// strangers.
func TestRelayOtherWays(t *testing.T) {
	mail, next := relaySite(t, "smtpd_authorized_xclient_hosts = 127.0.0.9", "smtpd_authorized_xforward_hosts = 127.0.0.9")
	mail.Start(t)
	for _, lie := range []string{
		"XCLIENT ADDR=127.0.0.1", "XCLIENT NAME=localhost ADDR=127.0.0.1 LOGIN=u", "XFORWARD ADDR=127.0.0.1 NAME=localhost",
		"PROXY TCP4 127.0.0.1 127.0.0.1 5 25", "ETRN other.test", "EXPN u", "TURN", "AUTH PLAIN AHUAdQ==", "AUTH LOGIN",
		"MAIL FROM:<a@b.test> AUTH=<>", "HELO localhost", "EHLO [127.0.0.1]", "HELP", "SEND FROM:<a@b.test>", "SAML FROM:<a@b.test>",
	} {
		c := hello(t, mail.Addr(), stranger)
		c.ask("%s", lie)
		c.ask("RSET")
		if reply := c.ask("MAIL FROM:<a@b.test>"); reply != "" && !strings.HasPrefix(reply, "250") {
			continue
		}
		if reply := c.ask("RCPT TO:<u@other.test>"); reply != "" && !strings.HasPrefix(reply, "554 5.7.1") {
			t.Errorf("after %s: %q", lie, reply)
		}
		c.conn.Close()
	}
	c := hello(t, mail.Addr(), stranger)
	for _, own := range []string{"postmaster", "Postmaster", "u@here.test", "u@HERE.TEST", "r@relay.test"} {
		c.must("250", "MAIL FROM:<a@b.test>")
		c.must("250", "RCPT TO:<%s>", own)
		c.must("250", "RSET")
	}
	// A friend may relay, so the refusals above were no accident.
	friend := hello(t, mail.Addr(), "127.0.0.1")
	id := friend.send("a@b.test", "u@other.test", "Subject: friend\n\nx")
	waitRemoved(t, mail, id)
	next.find(t, "Subject: friend")
}
