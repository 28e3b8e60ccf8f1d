package attack

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// received is a message as it came over the wire, dots and all, with the
// command lines that introduced it.
type received struct {
	mail  string
	rcpts []string
	raw   string // between 354 and the end, without the last ".CRLF"
}

// content is the message with the dots of the transfer removed.
func (r received) content() string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(r.raw, "\r\n") {
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	return b.String()
}

// body is the content behind the headers.
func (r received) body() string {
	_, body, _ := strings.Cut(r.content(), "\r\n\r\n")
	return body
}

// sink is the next mail server: it takes everything and keeps the bytes. It
// speaks LMTP if it is greeted so.
type sink struct {
	port int
	// answer may replace the reply to a command; "" leaves it, and a reply
	// without a line end closes the connection after it.
	answer func(verb, line string) string

	mu    sync.Mutex
	got   []received
	lines []string // all commands
}

// newSink starts a sink on 127.0.0.1.
func newSink(t testing.TB, answer func(verb, line string) string) *sink {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{port: ln.Addr().(*net.TCPAddr).Port, answer: answer}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(2 * time.Minute))
			t.Cleanup(func() { conn.Close() })
			wg.Go(func() { s.serve(conn); conn.Close() })
		}
	})
	return s
}

// to is the sink as a transport's next hop.
func (s *sink) to(transport string) string {
	if transport == "lmtp" {
		return fmt.Sprintf("lmtp:inet:127.0.0.1:%d", s.port)
	}
	return fmt.Sprintf("%s:[127.0.0.1]:%d", transport, s.port)
}

func (s *sink) serve(conn net.Conn) {
	r := bufio.NewReader(conn)
	say := func(text string) bool {
		io.WriteString(conn, text)
		return strings.HasSuffix(text, "\n")
	}
	greeting := "220 sink.test ESMTP\r\n"
	if s.answer != nil {
		if a := s.answer("CONNECT", ""); a != "" {
			greeting = a
		}
	}
	if !say(greeting) {
		return
	}
	var msg received
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()
		if s.answer != nil {
			if a := s.answer(verb, line); a != "" {
				if !say(a) {
					return
				}
				continue
			}
		}
		switch verb {
		case "EHLO", "LHLO":
			say("250-sink.test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n250 DSN\r\n")
		case "MAIL":
			msg = received{mail: line}
			say("250 2.1.0 Ok\r\n")
		case "RCPT":
			msg.rcpts = append(msg.rcpts, line)
			say("250 2.1.5 Ok\r\n")
		case "DATA":
			say("354 go\r\n")
			if msg.raw, err = readData(r); err != nil {
				return
			}
			s.mu.Lock()
			s.got = append(s.got, msg)
			s.mu.Unlock()
			replies := 1
			if strings.HasPrefix(strings.ToUpper(s.first()), "LHLO") {
				replies = len(msg.rcpts)
			}
			say(strings.Repeat("250 2.0.0 Ok\r\n", replies))
		case "QUIT":
			say("221 2.0.0 Bye\r\n")
			return
		default:
			say("250 2.0.0 Ok\r\n")
		}
	}
}

// first is the first command that ever came.
func (s *sink) first() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines[0]
}

// readData reads up to CR LF "." CR LF and to nothing less.
func readData(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		part, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		b.WriteString(part)
		if part == ".\r\n" && (b.Len() == 3 || strings.HasSuffix(b.String(), "\r\n.\r\n")) {
			return strings.TrimSuffix(b.String(), ".\r\n"), nil
		}
	}
}

// messages returns what came so far.
func (s *sink) messages() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.got...)
}

// commands returns the lines that came so far.
func (s *sink) commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines...)
}

// find returns the message whose content has a text, once.
func (s *sink) find(t testing.TB, text string) received {
	t.Helper()
	var found []received
	for _, m := range s.messages() {
		if strings.Contains(m.raw, text) {
			found = append(found, m)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d messages with %q at the sink", len(found), text)
	}
	return found[0]
}
