package crash

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// sink is the rest of the world: an SMTP server that keeps what it says 250
// to, refuses each message once for soft.test, and for good for hard.test.
type sink struct {
	port int
	file *os.File

	mu     sync.Mutex
	copies []found
	soft   map[string]bool // messages that were refused once
}

func newSink(t testing.TB) *sink {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp("", "sink")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{port: ln.Addr().(*net.TCPAddr).Port, file: f, soft: map[string]bool{}}
	t.Cleanup(func() { ln.Close(); f.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

// serve is one session.
func (s *sink) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	say := func(format string, args ...any) {
		if r.Buffered() == 0 || strings.HasPrefix(format, "354") {
			conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
		}
		fmt.Fprintf(conn, format+"\r\n", args...)
	}
	say("220 sink.test ESMTP")
	var rcpts []string
	for {
		conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
		switch verb {
		case "EHLO":
			say("250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME")
		case "MAIL", "RSET":
			rcpts = nil
			say("250 ok")
		case "RCPT":
			addr := line[strings.IndexByte(line, '<')+1 : strings.IndexByte(line, '>')]
			if strings.HasSuffix(addr, "@hard.test") {
				say("550 5.1.1 no such user")
				continue
			}
			rcpts = append(rcpts, addr)
			say("250 ok")
		case "DATA":
			if len(rcpts) == 0 {
				say("503 no recipients")
				continue
			}
			say("354 go on")
			text, err := readDots(r)
			if err != nil {
				return
			}
			say("%s", s.keep(rcpts, text))
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func readDots(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" {
			return b.String(), nil
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}

// keep records a message durably and returns the reply.
func (s *sink) keep(rcpts []string, text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, body := canonical(text)
	if strings.HasSuffix(rcpts[0], "@soft.test") && !s.soft[id] {
		s.soft[id] = true
		return "451 4.3.0 come again"
	}
	fmt.Fprintf(s.file, "%s %s %d\n", id, strings.Join(rcpts, ","), len(body))
	if err := s.file.Sync(); err != nil {
		return "452 4.3.1 no room"
	}
	for _, r := range rcpts {
		s.copies = append(s.copies, found{Where: inPlace, ID: id, Place: r, Text: body, From: "sink"})
	}
	return "250 2.0.0 kept"
}

func (s *sink) found() []found {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]found(nil), s.copies...)
}
