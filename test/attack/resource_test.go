package attack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// cpu returns the processor time that all daemons of an instance have used.
func cpu(t *testing.T, mail *testkit.Instance, program string) time.Duration {
	t.Helper()
	var ticks time.Duration
	for _, pid := range pidsOf(t, mail)[program] {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))
		var user, system int
		fmt.Sscan(f[12], &user)
		fmt.Sscan(f[13], &system)
		ticks += time.Duration(user+system) * 10 * time.Millisecond
	}
	return ticks
}

// TestCommandFloods: what a client can make the server do is limited (RS1).
func TestCommandFloods(t *testing.T) {
	mail := site(t, "smtpd_hard_error_limit = 20", "smtpd_soft_error_limit = 10", "smtpd_junk_command_limit = 100", "smtpd_recipient_limit = 1000")
	mail.Start(t)
	for _, tc := range []struct {
		name, line string
		max        int // replies before the end
	}{
		{"NOOP", "NOOP\r\n", 150}, {"RSET", "RSET\r\n", 150}, {"VRFY", "VRFY x\r\n", 150}, {"unknown", "FOO\r\n", 40}, {"HELP", "HELP\r\n", 150},
		{"ETRN", "ETRN x\r\n", 150}, {"empty", "\r\n", 150}, {"long EHLO", "EHLO " + strings.Repeat("x", 1800) + "\r\n", 2500}, {"invalid RCPT", "RCPT TO:<nobody@example.test>\r\n", 40},
	} {
		c := hello(t, mail.Addr(), stranger)
		if tc.name == "invalid RCPT" {
			c.must("250", "MAIL FROM:<a@b.test>")
		}
		n := 0
		for ; n < 3000; n++ {
			reply := c.ask("%s", strings.TrimSuffix(tc.line, "\r\n"))
			if reply == "" || strings.HasPrefix(reply, "421") {
				break
			}
		}
		if n > tc.max {
			t.Errorf("%s: %d replies", tc.name, n)
		}
		c.conn.Close()
	}
	c := hello(t, mail.Addr(), stranger)
	c.must("250", "MAIL FROM:<a@b.test>")
	taken := 0
	for range 2500 {
		reply := c.ask("RCPT TO:<you@example.test>")
		if strings.HasPrefix(reply, "250") {
			taken++
		} else if !strings.HasPrefix(reply, "452 4.5.3") {
			break
		}
	}
	if taken > 1000 {
		t.Errorf("%d recipients", taken)
	}
	alive(t, mail)
}

// TestHostileMessages: contents that are built to be expensive cost little and
// arrive as they are (RS2, RS3).
func TestHostileMessages(t *testing.T) {
	mail := site(t, "virtual_mailbox_limit = 0", "mailbox_size_limit = 0")
	mail.Set(t, "header_checks = regexp:"+mail.Etc("checks"), "body_checks = regexp:"+mail.Etc("checks"))
	mail.Write(t, "checks", "/^X-Never-There: .*(a+)+$/ REJECT\n")
	mail.Start(t)
	var nested, parts strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&nested, "Content-Type: multipart/mixed; boundary=\"b%d\"\n\n--b%d\n", i, i)
	}
	parts.WriteString("Content-Type: multipart/mixed; boundary=b\n\n")
	for range 100000 {
		parts.WriteString("--b\n\nx\n")
	}
	rows := map[string]string{
		"one header of 5 MB": "X-Long: " + strings.Repeat("a", 5<<20) + "\n\nx", "many headers": strings.Repeat("X-Y: zzzz\n", 100000) + "\nx",
		"folded": "X-Fold: a" + strings.Repeat("\n a", 200000) + "\n\nx", "many addresses": "To: " + strings.Repeat("a@b.test, ", 100000) + "c@d.test\n\nx",
		"comments": "To: " + strings.Repeat("(", 100000) + " a@b.test\n\nx", "quotes": "From: " + strings.Repeat("\"", 99999) + "\n\nx", "angles": "From: " + strings.Repeat("<", 100000) + "\n\nx",
		"parameters": "Content-Type: text/plain" + strings.Repeat("; a*1*=b", 100000) + "\n\nx", "encoded words": "Subject: " + strings.Repeat("=?utf-8?q?a?= ", 100000) + "\n\nx",
		"nested": nested.String(), "parts": parts.String(), "long boundary": "Content-Type: multipart/mixed; boundary=\"" + strings.Repeat("b", 10240) + "\"\n\n--" + strings.Repeat("b", 10240) + "\n\nx",
		"messages in messages": strings.Repeat("Content-Type: message/rfc822\n\n", 1000) + "x", "no end": "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n--b--\nx",
		"colons": strings.Repeat(":", 100000) + "\n\nx", "one line": "S: x\n\n" + strings.Repeat("y", 3<<20),
	}
	for name, text := range rows {
		before := cpu(t, mail, "cleanup") + cpu(t, mail, "smtpd")
		c := hello(t, mail.Addr(), stranger)
		reply := c.data("a@remote.test", "you@example.test", strings.ReplaceAll(text, "\n", "\r\n")+"\r\n.\r\n")
		c.conn.Close()
		if used := cpu(t, mail, "cleanup") + cpu(t, mail, "smtpd") - before; used > 6*time.Second {
			t.Errorf("%s: %v of processor time", name, used)
		}
		if !strings.HasPrefix(reply, "250") {
			t.Logf("%s: %.100q", name, reply)
			continue
		}
		waitRemoved(t, mail, queueID(t, reply))
	}
	for _, program := range []string{"cleanup", "smtpd", "qmgr", "virtual", "asuser"} {
		for _, pid := range pidsOf(t, mail)[program] {
			if kib := memory(t, pid); kib > 80<<10 {
				t.Errorf("%s has %d KiB", program, kib)
			}
		}
	}
	alive(t, mail)
}

// TestSlowClients: many clients that hardly send anything hold up nobody, and
// are sent away (RS4).
func TestSlowClients(t *testing.T) {
	mail := site(t, "smtpd_timeout = 8s", "smtpd_starttls_timeout = 8s")
	mail.Start(t)
	var slow []*client
	for i := range 300 {
		c := dialFrom(t, mail.Addr(), fmt.Sprintf("127.0.1.%d", i%250+1))
		slow = append(slow, c)
		switch i % 5 {
		case 1:
			c.say("EH")
		case 2:
			c.must("250", "HELO x")
			c.must("250", "MAIL FROM:<a@b.test>")
			c.must("250", "RCPT TO:<you@example.test>")
			c.must("354", "DATA")
			c.say("Subj")
		case 3:
			c.must("250", "EHLO x")
			c.must("250", "MAIL FROM:<a@b.test>")
			c.must("250", "RCPT TO:<you@example.test>")
			c.say("BDAT 1000\r\nxx")
		case 4:
			c.must("250", "EHLO x")
			c.must("220", "STARTTLS")
			c.say("\x16\x03")
		}
	}
	alive(t, mail)
	for _, c := range slow {
		c.conn.SetReadDeadline(time.Now().Add(time.Minute))
		for reply := c.reply(); reply != ""; reply = c.reply() {
			if reply[0] == '2' {
				t.Fatalf("%q", reply)
			}
		}
	}
}

// TestConnectionFloods: a limit for each client, and no harm to others (RS5).
func TestConnectionFloods(t *testing.T) {
	mail := site(t, "smtpd_client_connection_count_limit = 20", "smtpd_client_connection_rate_limit = 200")
	mail.Start(t)
	var held []*client
	refused := 0
	for range 60 {
		conn, err := dialRaw(mail.Addr(), stranger)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.conn.Close()
		conn.t = t
		if reply := conn.reply(); strings.HasPrefix(reply, "421 4.7.0") {
			refused++
		} else {
			held = append(held, conn)
		}
	}
	if len(held) > 20 || refused < 40 {
		t.Errorf("%d sessions, %d refused", len(held), refused)
	}
	hello(t, mail.Addr(), "127.0.0.3").send("a@b.test", "you@example.test", "S: x\n\nx")
	for _, c := range held {
		c.conn.Close()
	}
	for i := range 1500 {
		conn, err := dialRaw(mail.Addr(), fmt.Sprintf("127.0.%d.%d", 2+i%5, i%250+1))
		if err == nil {
			conn.conn.Close()
		}
	}
	hello(t, mail.Addr(), "127.0.0.4").send("a@b.test", "you@example.test", "S: y\n\nx")
	mail.WaitMailbox(t, "you", 2)
	if pids := pidsOf(t, mail)["anvil"]; len(pids) == 1 {
		if kib := memory(t, pids[0]); kib > 30<<10 {
			t.Errorf("anvil has %d KiB", kib)
		}
	}
}

// TestFullDisk: mail is refused before it is taken when the queue's disk is
// nearly full (RS7), and a mailbox on a full disk stays whole (LD11).
func TestFullDisk(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "mount", "umount")
	mail := site(t, "queue_minfree = 20000000", "message_size_limit = 1000000")
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs", mail.Spool("")).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: mount: %v %s", err, out)
	}
	t.Cleanup(func() {
		mail.Stop(t)
		exec.Command("umount", "-l", mail.Spool("")).Run()
	})
	mail.Must(t, "posthouse", "set-permissions")
	mail.Start(t)
	c := hello(t, mail.Addr(), stranger)
	for _, cmd := range []string{"MAIL FROM:<a@b.test>", "MAIL FROM:<a@b.test> SIZE=1000"} {
		c.want("452 4.3.1", c.ask("%s", cmd))
	}
	// Not nearly full, but too full for this message.
	mail.Set(t, "queue_minfree = 0")
	mail.Must(t, "posthouse", "reload")
	fill := filepath.Join(mail.Spool("hold"), "fill")
	if err := os.WriteFile(fill, make([]byte, 15<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	c = hello(t, mail.Addr(), stranger)
	c.want("452 4.3.1", c.ask("MAIL FROM:<a@b.test> SIZE=1000000"))
	for range 5 {
		c = hello(t, mail.Addr(), stranger)
		if !strings.HasPrefix(c.ask("MAIL FROM:<a@b.test>"), "250") {
			continue
		}
		c.must("250", "RCPT TO:<you@example.test>")
		c.must("354", "DATA")
		c.say("S: x\r\n\r\n" + strings.Repeat("0123456789abcde\r\n", 58000) + ".\r\n")
		if reply := c.reply(); !strings.HasPrefix(reply, "250") && !strings.HasPrefix(reply, "45") {
			t.Errorf("%q", reply)
		}
	}
	os.Remove(fill)
	for _, m := range mail.Mailbox(t, "you") {
		if strings.Count(m, "abcde\n") != 58000 {
			t.Errorf("a message was cut: %d bytes", len(m))
		}
	}
	alive(t, mail)
}
