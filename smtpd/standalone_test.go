package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// TestMain makes the test binary a postdrop of its own: it writes the records
// into a file beside itself.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "postdrop" {
		fakePostdrop(filepath.Join(filepath.Dir(os.Args[0]), "records"))
		return
	}
	os.Exit(m.Run())
}

func fakePostdrop(file string) {
	fmt.Print("protocol\x00postdrop_protocol\x00queue_id\x00ABCDEF123456\x00\x00")
	var out strings.Builder
	in := queue.NewRecordReader(bufio.NewReader(os.Stdin))
	for {
		rec, err := in.Next()
		if err != nil {
			return
		}
		fmt.Fprintf(&out, "%c %s\n", rec.Type, rec.Data)
		if rec.Type == queue.RecEnd {
			break
		}
	}
	if strings.Contains(out.String(), "full@") {
		fmt.Print("status\x002\x00reason\x00No space left on device\x00\x00")
		return
	}
	os.WriteFile(file, []byte(out.String()), 0o600)
	fmt.Print("status\x000\x00reason\x00\x00\x00")
}

func TestStandAloneIsRecognised(t *testing.T) {
	for line, want := range map[string]bool{"smtpd -S": true, "smtpd": false, "smtpd -c /etc -n smtp -s 1 -S": false} {
		if standAlone(strings.Fields(line)) != want {
			t.Errorf("%q: not %v", line, want)
		}
	}
}

// dialogue runs one session with a fake postdrop and returns the replies and
// the records.
func dialogue(t *testing.T, input string) (replies, records string) {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(dir, "postdrop"))
	}
	if err != nil {
		t.Fatal(err)
	}
	// What is for the network must not matter.
	main := "compatibility_level = 3.6\nmyhostname = mail.example\nmail_name = Mail\nqueue_directory = " + dir + "\ncommand_directory = " + dir +
		"\nmail_owner = root\nmessage_size_limit = 5000\nsmtpd_client_restrictions = reject\nsmtpd_relay_restrictions = reject\n" +
		"smtpd_tls_security_level = encrypt\nmaillog_file = " + dir + "/log\nlocal_recipient_maps = hash:/nonexistent\n"
	if err := os.WriteFile(filepath.Join(dir, "main.cf"), []byte(main), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MAIL_CONFIG", dir)
	r, w := io.Pipe()
	go func() {
		io.Copy(w, strings.NewReader(strings.ReplaceAll(input, "\n", "\r\n")))
		w.Close()
	}()
	var out strings.Builder
	if code := runStandAlone(r, &out); code != 0 {
		t.Errorf("status %d", code)
	}
	b, _ := os.ReadFile(filepath.Join(dir, "records"))
	return strings.ReplaceAll(out.String(), "\r\n", "\n"), string(b)
}

func TestStandAlone(t *testing.T) {
	replies, records := dialogue(t, "EHLO c.test\nMAIL FROM:<a@b.test> RET=HDRS ENVID=abc BODY=8BITMIME\n"+
		"RCPT TO:<x@y.test> NOTIFY=NEVER ORCPT=rfc822;z@y.test\nRCPT TO:<c@d.test>\nDATA\nSubject: x\n\n..dot\n.\n"+
		"VRFY me\nETRN foo.test\nSTARTTLS\nMAIL FROM:<>\nRCPT TO:<dropped@y.test>\nRSET\nXCLIENT ADDR=192.0.2.1\nQUIT\n")
	want := `220 mail.example ESMTP Mail
250-mail.example
250-PIPELINING
250-SIZE 5000
250-VRFY
250-ETRN
250-ENHANCEDSTATUSCODES
250-8BITMIME
250-DSN
250-SMTPUTF8
250 CHUNKING
250 2.1.0 Ok
250 2.1.5 Ok
250 2.1.5 Ok
354 End data with <CR><LF>.<CR><LF>
250 2.0.0 Ok: queued as ABCDEF123456
252 2.0.0 me
458 Unable to queue messages
502 5.5.1 Error: command not implemented
250 2.1.0 Ok
250 2.1.5 Ok
250 2.0.0 Ok
550 5.7.0 Error: insufficient authorization
221 2.0.0 Bye
`
	if d := cmp.Diff(want, replies); d != "" {
		t.Error(d)
	}
	lines := strings.Split(records, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "N \t") {
			lines[i] = "N \t(date)"
		}
	}
	want = `A envelope_id=abc
A ret_flags=2
A rewrite_context=local
S a@b.test
A encoding=8bit
A notify_flags=1
A dsn_orig_rcpt=rfc822;z@y.test
R x@y.test
R c@d.test
M 
N Received: from c.test (localhost [127.0.0.1])
N 	(date)
N Subject: x
N 
N .dot
X 
E 
`
	if d := cmp.Diff(want, strings.Join(lines, "\n")); d != "" {
		t.Error(d)
	}
}

func TestStandAloneRefuses(t *testing.T) {
	long := strings.Repeat(strings.Repeat("x", 99)+"\n", 60)
	for _, tc := range []struct{ name, input, reply string }{
		{"announced size", "MAIL FROM:<a@b.test> SIZE=5001\n", "552 5.3.4 Message size exceeds fixed limit"},
		{"size", "MAIL FROM:<a@b.test>\nRCPT TO:<c@d.test>\nDATA\n" + long + ".\n", "552 5.3.4 Error: message file too big"},
		{"disk full", "MAIL FROM:<a@b.test>\nRCPT TO:<full@d.test>\nDATA\nx\n.\n", "451 4.3.0 Error: queue file write error"},
		{"input ends", "MAIL FROM:<a@b.test>\nRCPT TO:<c@d.test>\nDATA\nx\n", "354 End data"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			replies, records := dialogue(t, "EHLO c.test\n"+tc.input)
			if !strings.Contains(replies, "\n"+tc.reply) || strings.Contains(replies, "queued") || records != "" {
				t.Errorf("replies %q, records %q", replies, records)
			}
		})
	}
}

// TestStdioDeadline: a pipe has no deadline, the session has.
func TestStdioDeadline(t *testing.T) {
	r, _ := io.Pipe()
	c := newStdio(r, io.Discard)
	defer c.finish()
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a read without end")
	}
}
