package attack

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestStateAfterErrors: nothing of a transaction survives its end, whatever
// ended it (P1, P2, P4; P3 has no milter yet).
func TestStateAfterErrors(t *testing.T) {
	mail := site(t, "message_size_limit = 20000", "smtpd_recipient_limit = 10",
		"smtpd_end_of_data_restrictions = check_sender_access inline:{{bad@b.test = REJECT no}}")
	mail.Set(t, "header_checks = regexp:"+mail.Etc("checks"))
	mail.Write(t, "checks", "/^Subject: refuse/ REJECT no\n")
	mail.Start(t)
	big := strings.Repeat("0123456789\r\n", 2000)
	for _, tc := range []struct{ name, from, say, code string }{
		{"end-of-data restriction", "bad@b.test", "DATA\r\n|S: x\r\n\r\nx\r\n.\r\n", "554"},
		{"content check", "a@b.test", "DATA\r\n|Subject: refuse\r\n\r\nx\r\n.\r\n", "550"},
		{"size", "a@b.test", "DATA\r\n|" + big + ".\r\n", "552"},
		{"size by BDAT", "a@b.test", "BDAT " + strconv.Itoa(len(big)) + " LAST\r\n" + big, "552"},
		{"null chunk", "a@b.test", "BDAT 0\r\n", "551"},
		{"DATA after BDAT", "a@b.test", "BDAT 1\r\nxRSET\r\n||", "250"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := hello(t, mail.Addr(), stranger)
			c.must("250", "MAIL FROM:<%s>", tc.from)
			c.must("250", "RCPT TO:<you@example.test>")
			reply := ""
			for part := range strings.SplitSeq(tc.say, "|") {
				if part != "" {
					c.say(part)
				}
				reply = c.reply()
				if tc.name == "DATA after BDAT" && part == "" {
					break
				}
			}
			c.want(tc.code, reply)
			c.want("503", c.ask("RCPT TO:<you@example.test>"))
			if reply := c.ask("DATA"); reply[0] != '5' {
				t.Errorf("DATA: %q", reply)
			}
			c.want("5", c.ask("BDAT 0 LAST"))
			c.must("250", "MAIL FROM:<ok@b.test>")
			c.must("250", "RSET")
		})
	}
	if n := len(mail.Mailbox(t, "you")); n != 0 {
		t.Errorf("%d messages", n)
	}
	alive(t, mail)
}

// TestUTF8WithoutSMTPUTF8 in each order leaves sender and recipients together
// (P4).
func TestUTF8WithoutSMTPUTF8(t *testing.T) {
	mail := site(t)
	mail.Start(t)
	for _, order := range []string{"VRFY ü@example.test", "MAIL FROM:<ü@b.test>", "RCPT TO:<ü@example.test>", "RCPT TO:<you@exämple.test>", "EXPN ü", "HELO ü.test"} {
		c := hello(t, mail.Addr(), stranger)
		c.must("250", "MAIL FROM:<first@b.test>")
		c.must("250", "RCPT TO:<you@example.test>")
		if reply := c.ask("%s", order); reply[0] == '2' && !strings.HasPrefix(order, "HELO") {
			t.Errorf("%s: %q", order, reply)
		}
		reply := c.ask("DATA")
		if strings.HasPrefix(reply, "354") {
			c.say("X-Order: " + strings.Fields(order)[0] + "\r\n\r\nx\r\n.\r\n")
			id := queueID(t, c.reply())
			mail.WaitLog(t, id+`: from=<first@b\.test>, size=\d+, nrcpt=1 `)
		}
		// Without a transaction there is none afterwards either.
		c.ask("RSET")
		c.ask("%s", order)
		c.want("5", c.ask("DATA"))
	}
	alive(t, mail)
}

// TestXtext: encoded NUL and line breaks in DSN parameters are refused (P6,
// HI9).
func TestXtext(t *testing.T) {
	mail := site(t)
	mail.Start(t)
	c := hello(t, mail.Addr(), stranger)
	for _, bad := range []string{"+00", "a+00b", "+0A", "+0D", "+0D+0AEvil: x", "+7F", "+", "+G0", "+4", "+0a"} {
		if reply := c.ask("MAIL FROM:<a@b.test> ENVID=%s", bad); reply[0] != '5' {
			t.Errorf("ENVID=%s: %q", bad, reply)
			c.ask("RSET")
		}
		c.must("250", "MAIL FROM:<a@b.test>")
		if reply := c.ask("RCPT TO:<you@example.test> ORCPT=rfc822;%s", bad); reply[0] != '5' {
			t.Errorf("ORCPT=%s: %q", bad, reply)
		}
		c.must("250", "RSET")
	}
	for _, bad := range []string{"RET=ALL", "RET=FULL RET=HDRS", "NOTIFY=NEVER", "BODY=x", "SIZE=-1", "SIZE=1x", "ENVID=", "=x", "X=y", "MT-PRIORITY=1", "SIZE=99999999999999999999999"} {
		if reply := c.ask("MAIL FROM:<a@b.test> %s", bad); reply[0] != '5' {
			t.Errorf("MAIL %s: %q", bad, reply)
			c.ask("RSET")
		}
	}
	c.must("250", "MAIL FROM:<a@b.test>")
	for _, bad := range []string{"NOTIFY=NEVER,SUCCESS", "NOTIFY=", "NOTIFY=x", "ORCPT=x", "ORCPT=;x", "ORCPT=rfc822;", "SIZE=1", "ORCPT=r+00;x"} {
		if reply := c.ask("RCPT TO:<you@example.test> %s", bad); reply[0] != '5' {
			t.Errorf("RCPT %s: %q", bad, reply)
		}
	}
}

// memory returns the resident size of a process in KiB.
func memory(t *testing.T, pid int) int {
	t.Helper()
	for line := range strings.Lines(readFile(t, fmt.Sprintf("/proc/%d/status", pid))) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// TestEndlessInput: lines without end, and chunks without end, cost no memory
// and end the session (P5, RS1).
func TestEndlessInput(t *testing.T) {
	mail := site(t, "message_size_limit = 10000000", "smtpd_hard_error_limit = 20", "smtpd_junk_command_limit = 100")
	mail.Start(t)
	alive(t, mail)
	pid := pidsOf(t, mail)["smtpd"][0]
	before := memory(t, pid)
	begin := time.Now()

	c := hello(t, mail.Addr(), stranger)
	block := strings.Repeat("A", 1<<16)
	for range 16 * 64 { // up to 64 MiB, should anybody read it
		c.conn.SetWriteDeadline(time.Now().Add(time.Minute))
		if _, err := c.conn.Write([]byte(block)); err != nil {
			break
		}
	}
	c.say("\r\n")
	if reply := c.reply(); reply != "" && reply[0] != '5' && reply[0] != '4' {
		t.Errorf("endless line: %q", reply)
	}
	c.conn.Close()

	c = hello(t, mail.Addr(), stranger)
	c.must("250", "MAIL FROM:<a@b.test>")
	c.must("250", "RCPT TO:<you@example.test>")
	go func() {
		chunk := strings.Repeat("BDAT 1\r\nx", 1000)
		for range 200 { // 200,000 chunks
			c.conn.SetWriteDeadline(time.Now().Add(time.Minute))
			if _, err := c.conn.Write([]byte(chunk)); err != nil {
				return
			}
		}
	}()
	for n := 0; n < 200000; n++ {
		reply := c.reply()
		if reply == "" || reply[:3] == "421" {
			break
		}
	}
	c.conn.Close()
	if grown := memory(t, pid) - before; grown > 30<<10 {
		t.Errorf("smtpd grew by %d KiB", grown)
	}
	t.Logf("%v, smtpd %d -> %d KiB", time.Since(begin), before, memory(t, pid))
	alive(t, mail)
}

// TestSizeCountsEverything: "From " lines at the start count (P18), and so do
// headers, dots and BDAT.
func TestSizeCountsEverything(t *testing.T) {
	mail := site(t, "message_size_limit = 20000")
	mail.Start(t)
	for name, content := range map[string]string{
		"From lines":    strings.Repeat("From evil  Sat Nov 21 00:00:00 2026\r\n", 1000),
		"escaped From":  strings.Repeat(">From evil\r\n", 2000),
		"headers":       strings.Repeat("X-Y: z\r\n", 3000),
		"empty lines":   strings.Repeat("\r\n", 20000),
		"one long line": strings.Repeat("x", 30000) + "\r\n",
		"dots":          strings.Repeat("..\r\n", 10000),
	} {
		c := hello(t, mail.Addr(), stranger)
		if reply := c.data("a@b.test", "you@example.test", content+".\r\n"); !strings.HasPrefix(reply, "552 5.3.4") {
			t.Errorf("%s: %q", name, reply)
		}
	}
	c := hello(t, mail.Addr(), stranger)
	c.want("552", c.ask("MAIL FROM:<a@b.test> SIZE=20001"))
	testkit.Wait(t, "empty incoming queue", func() bool { return len(mail.Queue(t, "incoming")) == 0 })
}
