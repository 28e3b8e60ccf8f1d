package attack

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/dns/dnstest"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// baits are what an attacker would like to read in a log.
func baits() []string {
	now := time.Now().Format("Jan _2 15:04:05")
	return []string{
		"\x1b[2J", "\a", "\x00", "\u202e", "\u009b31m", "\xff\xfe", "%s%n%x", "\t",
		"x]: SASL PLAIN authentication failed: from [192.0.2.99]",
		"x: from unknown[192.0.2.99]: 554 5.7.1 Relay access denied",
		now + " host postfix/smtpd[1]: warning: unknown[192.0.2.99]: SASL LOGIN authentication failed: x",
		"NOQUEUE: reject: RCPT from bad[192.0.2.99]: 554 5.7.1 <x>: Relay access denied; from=<x> to=<x> proto=ESMTP helo=<x>",
		"lost connection after AUTH from unknown[192.0.2.99]", "rip=192.0.2.99", strings.Repeat("A", 1900),
	}
}

// TestLogInjection puts baits into everything that is logged: one line for
// each event, nothing unprintable, and fail2ban never bans the address in the
// bait but the true one (section 2.8).
func TestLogInjection(t *testing.T) {
	next := newSink(t, func(verb, line string) string {
		switch {
		case verb == "RCPT" && strings.Contains(line, "reply"):
			return "550 5.1.1 \x1b[2J\x00\a bad\rNOQUEUE: reject: RCPT from bad[192.0.2.99]: 554 5.7.1\u202e %s%n\n second line of [192.0.2.99]\r\n"
		case verb == "RCPT" && strings.Contains(line, "multi"):
			return "550-5.1.1 one\x1b\r\n550-5.1.1 Nov 21 00:00:00 host postfix/smtpd[1]: warning: unknown[192.0.2.99]: SASL LOGIN authentication failed: x\r\n550 5.1.1 " + strings.Repeat("y", 1500) + "\r\n"
		}
		return ""
	})
	mail := site(t, "relay_domains = away.test", "transport_maps = inline:{{away.test="+next.to("smtp")+"}}", "smtpd_soft_error_limit = 1000")
	mail.Start(t)
	for _, bait := range baits() {
		c := dialFrom(t, mail.Addr(), stranger)
		c.conn.SetDeadline(time.Now().Add(time.Minute))
		for _, cmd := range []string{"EHLO " + bait, "HELO " + bait, "EHLO x", bait, "AUTH PLAIN " + bait, "VRFY " + bait, "STARTTLS " + bait,
			"MAIL FROM:<" + bait + "@b.test>", "RSET", `MAIL FROM:<"` + bait + `"@b.test>`, "RSET", "MAIL FROM:<a@b.test> ENVID=" + bait,
			"RSET", "MAIL FROM:<a@b.test>", "RCPT TO:<" + bait + "@foreign.test>", `RCPT TO:<"` + bait + `"@foreign.test>`, "RCPT TO:<u@" + bait + ">", "RCPT TO:<you@example.test>"} {
			c.ask("%s", cmd)
		}
		if strings.HasPrefix(c.ask("DATA"), "354") {
			c.say("Message-ID: <" + bait + ">\r\nSubject: " + bait + "\r\nFrom: " + bait + "\r\n\r\nx\r\n.\r\n")
			c.reply()
		}
		c.conn.Close()
	}
	friend := hello(t, mail.Addr(), "127.0.0.1")
	for _, to := range []string{"reply@away.test", "multi@away.test"} {
		id := friend.send("you@example.test", to, "Subject: x\n\nx")
		waitRemoved(t, mail, id)
	}
	testkit.Wait(t, "bounces", func() bool { return strings.Count(strings.Join(mail.Mailbox(t, "you"), ""), "MAILER-DAEMON") >= 2 })
	checkLog(t, mail.Log())
	for _, m := range mail.Mailbox(t, "you") {
		if strings.Contains(m, "Delivery Status") || strings.Contains(m, "MAILER-DAEMON") {
			if strings.ContainsAny(m, "\x1b\x00\a\r") {
				t.Errorf("control characters in a bounce:\n%q", m)
			}
		}
	}
	out := mail.Must(t, "postqueue", "-p") + mail.Must(t, "postqueue", "-j")
	if strings.ContainsAny(out, "\x1b\x00\a\r") {
		t.Errorf("mailq: %q", out)
	}
	t.Run("fail2ban", func(t *testing.T) { fail2ban(t, mail) })
	alive(t, mail)
}

var logLine = regexp.MustCompile(`^[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} \S+ postfix/[a-z-]+(/[a-z-]+)?\[[0-9]+\]: `)

func checkLog(t *testing.T, log string) {
	t.Helper()
	for line := range strings.Lines(log) {
		line = strings.TrimSuffix(line, "\n")
		if !logLine.MatchString(line) {
			t.Errorf("no log line: %q", line)
		}
		for _, r := range line {
			if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x202e || r == 0xfffd {
				t.Errorf("unprintable %U in %q", r, line)
				break
			}
		}
		if len(line) > 8000 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

// fail2ban runs the real filters over the log.
func fail2ban(t *testing.T, mail *testkit.Instance) {
	testkit.NeedTool(t, "fail2ban-regex")
	// A real offence that must be found.
	c := hello(t, mail.Addr(), stranger)
	c.must("250", "MAIL FROM:<a@b.test>")
	c.want("554", c.ask("RCPT TO:<u@foreign.test>"))
	mail.Log() // when it is at rest
	log := filepath.Join(mail.Dir, "log", "mail.log")
	for _, mode := range []string{"normal", "auth", "aggressive", "ddos", "extra"} {
		out, err := exec.Command("fail2ban-regex", "-v", "--print-all-matched", log, "postfix[mode="+mode+"]").CombinedOutput()
		if err != nil {
			t.Fatalf("fail2ban-regex: %v\n%s", err, out)
		}
		banned := regexp.MustCompile(`(?m)^\|\s+([0-9.]+|\S+)\s+\w{3} \w{3}`).FindAllStringSubmatch(string(out), -1)
		found := map[string]bool{}
		for _, b := range banned {
			found[b[1]] = true
		}
		if found["192.0.2.99"] {
			t.Errorf("mode %s: the address in the bait would be banned\n%.3000s", mode, out)
		}
		if mode == "normal" && !found[stranger] {
			t.Errorf("the true address is not found\n%.3000s", out)
		}
	}
}

// TestHostileNames: what reverse DNS says is checked and cleaned (DN1, DN3),
// and gives no rights.
func TestHostileNames(t *testing.T) {
	zone := dnstest.Start(t, "")
	mail := site(t, "mynetworks = 192.0.2.0/24, .here.test, localhost", "relay_domains = here.test",
		"smtpd_client_restrictions = check_client_access inline:{{here.test=REJECT named}, {localhost=REJECT named}, {mail.example.test=REJECT named}}")
	zone.WriteResolvConf(t, mail.Etc(""))
	mail.Write(t, "hosts", "")
	long := strings.Repeat("a23456789.", 24)
	names := map[string]string{
		"11": "here.test.", "12": "localhost.", "13": `ev\027\[2Jil\010x.test.`, "14": `a\'b\"c.test.`, "15": long + "test.", "16": "127.0.0.1.",
		"17": `\[127.0.0.1\].`, "18": "mail.example.test.", "19": "good.test.", "20": "wild.test.", "21": "-.test.", "22": ".",
	}
	text := "here.test. IN A 192.0.2.1\nmail.example.test. IN A 127.0.0.1\ngood.test. IN A 127.0.0.19\nwild.test. IN A 127.0.0.20\nlocalhost. IN A 127.0.0.1\n"
	for last, name := range names {
		text += last + ".0.0.127.in-addr.arpa. IN PTR " + name + "\n"
	}
	if err := zone.Set(text + "30.0.0.127.in-addr.arpa. SERVFAIL\n31.0.0.127.in-addr.arpa. GARBAGE\n"); err != nil {
		t.Fatal(err)
	}
	mail.Start(t)
	for last := range names {
		from := "127.0.0." + last
		c := hello(t, mail.Addr(), from)
		c.must("250", "MAIL FROM:<a@b.test>")
		reply := c.ask("RCPT TO:<u@foreign.test>")
		if !strings.HasPrefix(reply, "554 5.7.1 <u@foreign.test>: Relay access denied") {
			t.Errorf("%s (%s): %q", from, names[last], reply)
		}
		want := "unknown"
		if last == "19" || last == "20" {
			want = map[string]string{"19": "good.test", "20": "wild.test"}[last]
		}
		mail.WaitLog(t, regexp.QuoteMeta("connect from "+want+"["+from+"]"))
		c.conn.Close()
	}
	for _, last := range []string{"30", "31"} {
		hello(t, mail.Addr(), "127.0.0."+last).conn.Close()
	}
	checkLog(t, mail.Log())
}

// TestHostileDNS: answers that are wrong, broken, huge or lead back here
// (DN1, DN2, P12).
func TestHostileDNS(t *testing.T) {
	next := newSink(t, nil)
	zone := dnstest.Start(t, "")
	mail := site(t, "myhostname = mail.example.test", "inet_interfaces = 127.0.0.1, 127.0.0.2", "smtp_tcp_port = x", "smtp_connect_timeout = 3s", "smtp_helo_timeout = 3s")
	text := readFile(t, mail.Etc("main.cf"))
	mail.Write(t, "main.cf", strings.ReplaceAll(text, "smtp_tcp_port = x\n", ""))
	zone.WriteResolvConf(t, mail.Etc(""))
	mail.Write(t, "hosts", "127.0.0.1 localhost\n127.0.0.2 stranger.test\n")
	var b strings.Builder
	chain := func(name string, n int) {
		for i := range n {
			fmt.Fprintf(&b, "%s%d.test. IN CNAME %s%d.test.\n", name, i, name, i+1)
		}
	}
	chain("deep", 30)
	fmt.Fprintf(&b, "null.test. IN MX 0 .\nnull.test. IN A 127.0.0.1\nloop.test. IN CNAME loop2.test.\nloop2.test. IN CNAME loop.test.\nmxcname.test. IN MX 10 alias.test.\nalias.test. IN CNAME gone.test.\n"+
		"nomx.test. IN TXT \"x\"\nself.test. IN MX 10 mail.example.test.\nmail.example.test. IN A 127.0.0.1\nlocal.test. IN MX 10 lo.test.\nlo.test. IN A 127.0.0.1\nzero.test. IN MX 10 z.test.\nz.test. IN A 0.0.0.0\nmulti.test. IN MX 10 m.test.\nm.test. IN A 224.0.0.1\nbroad.test. IN MX 10 bc.test.\nbc.test. IN A 255.255.255.255\n"+
		"tcpno.test. IN MX 10 lo.test.\nbigtxt.test. IN MX 10 gone.test.\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "many.test. IN MX 10 m%d.gone.test.\n", i)
	}
	words := "servfail.test. SERVFAIL\nrefused.test. REFUSED\ngarbage.test. GARBAGE\nwrongid.test. WRONGID\nwrongq.test. WRONGQUESTION\nsilent.test. TIMEOUT\ntcpno.test. NOTCP\n"
	if err := zone.Set(b.String() + words); err != nil {
		t.Fatal(err)
	}
	mail.Start(t)
	c := hello(t, mail.Addr(), "127.0.0.1")
	want := map[string]string{
		"null": `dsn=5\.1\.10, status=bounced`, "loop": "dsn=[45]\\.", "deep0": "dsn=[45]\\.", "mxcname": "dsn=[45]\\.", "nomx": "dsn=[45]\\.", "self": `dsn=5\.4\.6, status=bounced \(mail for self\.test loops back to myself\)`,
		"local": `dsn=5\.4\.6, status=bounced \(mail for local\.test loops back to myself\)`, "zero": "dsn=[45]\\.", "multi": "dsn=4\\.", "broad": "dsn=4\\.", "many": "dsn=[45]\\.",
		"servfail": `dsn=4\.\d\.\d, status=deferred`, "refused": `dsn=4\.\d\.\d, status=deferred`, "garbage": `dsn=4\.\d\.\d, status=deferred`,
		"wrongid": `dsn=4\.\d\.\d, status=deferred`, "wrongq": `dsn=4\.\d\.\d, status=deferred`, "silent": `dsn=4\.\d\.\d, status=deferred`, "tcpno": `dsn=4\.\d\.\d, status=deferred`, "nxdomain": `dsn=5\.4\.4, status=bounced`,
	}
	begin := time.Now()
	for name := range want {
		c.send("", "u@"+name+".test", "Subject: x\n\nx")
	}
	for name, expr := range want {
		m := mail.WaitLog(t, `to=<u@`+name+`\.test>, .*(dsn=.*)$`)
		if !regexp.MustCompile("^" + expr).MatchString(m[1]) {
			t.Errorf("%s: %s", name, m[1])
		}
	}
	t.Logf("%v", time.Since(begin))
	if len(next.commands()) != 0 {
		t.Error("somebody was talked to")
	}
	checkLog(t, mail.Log())
	alive(t, mail)
}

// TestHostileServer: replies of the next hop are bounded and cleaned: endless
// lines, endless multi-line replies, replies out of order, silence.
func TestHostileServer(t *testing.T) {
	servers := map[string]func(verb, line string) string{
		"endless": func(string, string) string { return "220 " + strings.Repeat("x", 5<<20) },
		"lines":   func(string, string) string { return strings.Repeat("220-more\r\n", 500000) },
		"early": func(verb, _ string) string {
			return map[string]string{"CONNECT": "220 x\r\n250 x\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n250 stolen\r\n"}[verb]
		},
		"code":  func(verb, _ string) string { return map[string]string{"MAIL": "999 what\r\n"}[verb] },
		"text":  func(verb, _ string) string { return map[string]string{"MAIL": "\x00\xff\xfegarbage\r\n"}[verb] },
		"eof":   func(verb, _ string) string { return map[string]string{"DATA": "35"}[verb] },
		"mixed": func(verb, _ string) string { return map[string]string{"RCPT": "250-x\r\n550-y\r\n250 z\r\n"}[verb] },
		"size": func(verb, _ string) string {
			return map[string]string{"EHLO": "250-x\r\n250-SIZE -99999999999999999999\r\n250-\r\n250 AUTH " + strings.Repeat("X", 5000) + "\r\n"}[verb]
		},
	}
	maps, domains := "", ""
	for name, answer := range servers {
		maps += " {" + name + ".test=" + newSink(t, answer).to("smtp") + "}"
		domains += " " + name + ".test"
	}
	mail := site(t, "transport_maps = inline:{"+maps+"}", "relay_domains ="+domains, "smtp_helo_timeout = 4s", "smtp_data_init_timeout = 4s", "smtp_data_done_timeout = 4s")
	mail.Start(t)
	c := hello(t, mail.Addr(), stranger)
	for name := range servers {
		c.send("", "u@"+name+".test", "Subject: x\n\nx")
	}
	for name := range servers {
		m := mail.WaitLog(t, `to=<u@`+name+`\.test>, .*status=(\S+)`)
		t.Logf("%s: %s", name, m[1])
		if strings.Contains("endless lines code text eof", name) && m[1] == "sent" {
			t.Errorf("%s: sent", name)
		}
	}
	if pids := pidsOf(t, mail)["smtp"]; len(pids) == 1 {
		if kib := memory(t, pids[0]); kib > 60<<10 {
			t.Errorf("smtp has %d KiB", kib)
		}
	}
	checkLog(t, mail.Log())
	alive(t, mail)
}
