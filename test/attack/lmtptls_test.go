package attack

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// TestLMTPCommandsBeforeTLS is ST3 for LMTP: what comes in the clear behind
// STARTTLS counts for nothing, and what was said before it is forgotten.
func TestLMTPCommandsBeforeTLS(t *testing.T) {
	mail := imapSite(t, "lmtpd_tls_security_level = may")
	dial := func() (net.Conn, *bufio.Reader) {
		conn, err := net.DialTimeout("tcp", mail.LMTPAddr(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(time.Minute))
		return conn, bufio.NewReader(conn)
	}
	reply := func(r *bufio.Reader) string {
		for {
			line, err := r.ReadString('\n')
			if err != nil || len(line) < 4 || line[3] == ' ' {
				return line
			}
		}
	}
	conn, r := dial()
	reply(r)
	fmt.Fprint(conn, "LHLO x\r\n")
	reply(r)
	fmt.Fprint(conn, "STARTTLS\r\nLHLO y\r\nMAIL FROM:<evil@x.test>\r\n")
	first := reply(r)
	if strings.HasPrefix(first, "220") {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		r = bufio.NewReader(conn)
		fmt.Fprint(conn, "RCPT TO:<a@example.test>\r\n")
		if got := reply(r); !strings.HasPrefix(got, "5") && got != "" {
			t.Errorf("what was injected counts: %q", got)
		}
	} else if !strings.HasPrefix(first, "5") && !strings.HasPrefix(first, "4") {
		t.Errorf("got %q", first)
	}
	conn, r = dial()
	reply(r)
	fmt.Fprint(conn, "LHLO x\r\n")
	reply(r)
	fmt.Fprint(conn, "MAIL FROM:<evil@x.test>\r\n")
	reply(r)
	fmt.Fprint(conn, "STARTTLS\r\n")
	if got := reply(r); strings.HasPrefix(got, "220") {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		r = bufio.NewReader(conn)
		fmt.Fprint(conn, "RCPT TO:<a@example.test>\r\n")
		if got := reply(r); !strings.HasPrefix(got, "503") {
			t.Errorf("the sender from before TLS counts: %q", got)
		}
	} else if !strings.HasPrefix(got, "5") {
		t.Errorf("STARTTLS in a transaction: %q", got)
	}
}
