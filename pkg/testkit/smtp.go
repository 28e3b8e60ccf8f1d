package testkit

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// SMTP is a client for dialogues: what it sends is exactly what is given.
type SMTP struct {
	t    testing.TB
	Conn net.Conn
	r    *bufio.Reader
}

// Dial connects and reads the greeting.
func Dial(t testing.TB, addr string) *SMTP {
	t.Helper()
	return DialFrom(t, "", addr)
}

// DialFrom connects from one of the addresses 127.0.0.*, as another client.
func DialFrom(t testing.TB, from, addr string) *SMTP {
	t.Helper()
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &SMTP{t: t, Conn: conn, r: bufio.NewReader(conn)}
	s.Expect("220")
	return s
}

// Cmd sends a line and expects a reply that begins with code.
func (s *SMTP) Cmd(code, format string, args ...any) string {
	s.t.Helper()
	s.Raw(fmt.Sprintf(format, args...) + "\r\n")
	return s.Expect(code)
}

// Raw sends bytes. That a server hung up shows in the next reply: what it said
// before can still be read, and whether the kernel tells the one who writes is
// chance.
func (s *SMTP) Raw(text string) {
	s.Conn.SetDeadline(time.Now().Add(patience))
	s.Conn.Write([]byte(text))
}

// Expect reads a reply of one or more lines.
func (s *SMTP) Expect(code string) string {
	s.t.Helper()
	s.Conn.SetDeadline(time.Now().Add(patience))
	var all strings.Builder
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			s.t.Fatalf("reply after %q: %v", all.String(), err)
		}
		all.WriteString(line)
		if len(line) < 4 || line[3] != '-' {
			break
		}
	}
	if !strings.HasPrefix(all.String(), code) {
		s.t.Fatalf("got %q, want %s", all.String(), code)
	}
	return all.String()
}

// Message sends one message and returns its queue id.
func (s *SMTP) Message(from, to, text string) string {
	s.t.Helper()
	s.Cmd("250", "MAIL FROM:<%s>", from)
	for _, rcpt := range strings.Split(to, ",") {
		s.Cmd("250", "RCPT TO:<%s>", rcpt)
	}
	s.Cmd("354", "DATA")
	text = strings.ReplaceAll(text, "\n", "\r\n")
	reply := s.Cmd("250 2.0.0 Ok: queued as ", "%s\r\n.", text)
	return strings.TrimSpace(strings.TrimPrefix(reply, "250 2.0.0 Ok: queued as "))
}
