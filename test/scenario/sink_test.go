package scenario

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// sinkMessage is one message that a sink took.
type sinkMessage struct {
	Conn  int // number of the connection, from 1
	Mail  string
	Rcpts []string
	Text  string // with LF, dots removed
}

// sink is an SMTP or LMTP server that answers as a test wants. It takes what
// nobody objects to.
type sink struct {
	Port int
	LMTP bool

	mu       sync.Mutex
	features []string
	reply    func(verb, line string) string
	messages []sinkMessage
	commands []string
	conns    int
}

// newSink starts a sink on 127.0.0.1, or on the given address.
func newSink(t testing.TB, addr ...string) *sink {
	t.Helper()
	listen := "127.0.0.1:0"
	if len(addr) > 0 {
		listen = addr[0]
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	s := &sink{Port: ln.Addr().(*net.TCPAddr).Port, features: []string{"PIPELINING", "SIZE 10000000", "8BITMIME", "DSN", "SMTPUTF8", "ENHANCEDSTATUSCODES"}}
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

// hop is the sink as a next hop.
func (s *sink) hop() string { return fmt.Sprintf("[127.0.0.1]:%d", s.Port) }

// on has f answer each command: a verb in upper case, or "." for the end of a
// message, or "connect". LMTP asks once for each recipient, with "." and its
// address. An empty answer stands for the usual one; "close" ends the
// connection.
func (s *sink) on(f func(verb, line string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reply = f
}

// offer replaces the keywords of the EHLO reply.
func (s *sink) offer(words ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.features = words
}

// got returns the messages so far.
func (s *sink) got() []sinkMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sinkMessage(nil), s.messages...)
}

// connections counts the clients so far.
func (s *sink) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// said returns the commands so far, one in a line.
func (s *sink) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.commands, "\n")
}

// wait waits for n messages.
func (s *sink) wait(t testing.TB, n int) []sinkMessage {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); len(s.got()) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d messages arrived, want %d; commands:\n%s", len(s.got()), n, s.said())
		}
	}
	return s.got()
}

// find waits for a message with a line in its header; notices about earlier
// mail may come in between.
func (s *sink) find(t testing.TB, line string) (found sinkMessage) {
	t.Helper()
	testkit.Wait(t, "message with "+line, func() bool {
		for _, m := range s.got() {
			header, _, _ := strings.Cut(m.Text, "\n\n")
			if strings.Contains("\n"+header+"\n", "\n"+line) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// sinkSession is one connection to a sink.
type sinkSession struct {
	*sink
	conn net.Conn
	r    *bufio.Reader
	now  sinkMessage
	n    int
}

func (s *sink) serve(conn net.Conn) {
	defer conn.Close()
	s.mu.Lock()
	s.conns++
	c := &sinkSession{sink: s, conn: conn, r: bufio.NewReader(conn), n: s.conns}
	s.mu.Unlock()
	if !c.say("connect", "", "220 sink.test ESMTP") {
		return
	}
	for {
		conn.SetDeadline(time.Now().Add(time.Minute))
		line, err := c.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.mu.Lock()
		s.commands = append(s.commands, line)
		s.mu.Unlock()
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		if !c.command(verb, line) {
			return
		}
	}
}

// say answers; false ends the connection.
func (c *sinkSession) say(verb, line, usual string) bool {
	c.mu.Lock()
	f := c.reply
	c.mu.Unlock()
	answer := ""
	if f != nil {
		answer = f(verb, line)
	}
	if answer == "close" {
		return false
	}
	if answer == "" {
		answer = usual
	}
	_, err := fmt.Fprintf(c.conn, "%s\r\n", answer)
	ok := strings.HasPrefix(answer, "2") || strings.HasPrefix(answer, "3")
	if ok {
		switch verb {
		case "MAIL":
			c.now = sinkMessage{Conn: c.n, Mail: line}
		case "RCPT":
			c.now.Rcpts = append(c.now.Rcpts, line)
		}
	}
	return err == nil && verb != "QUIT" && !strings.HasPrefix(answer, "421")
}

func (c *sinkSession) command(verb, line string) bool {
	switch verb {
	case "EHLO", "LHLO":
		c.mu.Lock()
		words := append([]string{"sink.test"}, c.features...)
		c.mu.Unlock()
		for i := range words {
			sep := "-"
			if i == len(words)-1 {
				sep = " "
			}
			words[i] = "250" + sep + words[i]
		}
		return c.say(verb, line, strings.Join(words, "\r\n"))
	case "DATA":
		return c.data(line)
	case "QUIT":
		return c.say(verb, line, "221 2.0.0 Bye")
	}
	return c.say(verb, line, "250 2.0.0 Ok")
}

func (c *sinkSession) data(line string) bool {
	if len(c.now.Rcpts) == 0 {
		return c.say("DATA", line, "554 5.5.1 no valid recipients")
	}
	if !c.say("DATA", line, "354 go ahead") {
		return false
	}
	var text strings.Builder
	for {
		l, err := c.r.ReadString('\n')
		if err != nil {
			return false
		}
		if l == ".\r\n" {
			break
		}
		text.WriteString(strings.TrimPrefix(strings.TrimSuffix(l, "\r\n"), ".") + "\n")
	}
	c.now.Text = text.String()
	// The record comes first, so that who sees the reply sees the message.
	c.mu.Lock()
	at := len(c.messages)
	c.messages = append(c.messages, c.now)
	c.mu.Unlock()
	if !c.LMTP {
		return c.end(at, "")
	}
	for _, r := range c.now.Rcpts {
		if !c.say(".", r, "250 2.1.5 Ok") {
			return false
		}
	}
	return true
}

// end answers the end of a message; one that is refused did not arrive.
func (c *sinkSession) end(at int, line string) bool {
	c.mu.Lock()
	f := c.reply
	c.mu.Unlock()
	answer := ""
	if f != nil {
		answer = f(".", line)
	}
	if answer != "" && answer[0] != '2' {
		c.mu.Lock()
		c.messages = append(c.messages[:at:at], c.messages[at+1:]...)
		c.mu.Unlock()
	}
	if answer == "close" {
		return false
	}
	if answer == "" {
		answer = "250 2.0.0 Ok: taken"
	}
	_, err := fmt.Fprintf(c.conn, "%s\r\n", answer)
	return err == nil
}

// greets reports whether an SMTP server greets at addr.
func greets(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	fmt.Fprintf(conn, "QUIT\r\n")
	return strings.HasPrefix(line, "220")
}
