package smtpclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
)

func testOptions() *Options {
	d := time.Minute
	return &Options{HeloName: "me.test", MyNames: []string{"me.test"}, AlwaysEHLO: true, LineLimit: 998,
		Timeouts: Timeouts{Greeting: d, Helo: d, StartTLS: d, XForward: d, Mail: d, Rcpt: d, DataInit: d, DataXfer: d, DataDone: d, Rset: d, Quit: d}}
}

func lines(text string) func(smtpwire.ContentFunc) error {
	return func(fn smtpwire.ContentFunc) error {
		for l := range strings.SplitSeq(text, "\n") {
			if err := fn([]byte(l), true); err != nil {
				return err
			}
		}
		return nil
	}
}

func message(rcpts ...string) *Message {
	m := &Message{Sender: envelope.Sender{Address: "s@a.test"}, Content: lines("Subject: x\n\n.dot\nbody")}
	for _, r := range rcpts {
		m.Recipients = append(m.Recipients, envelope.Recipient{Address: r})
	}
	return m
}

// script plays a server: "S: text" is sent, "C: text" must come, "C* n" reads
// n lines that may be anything, "X" closes. It returns what came.
func script(t *testing.T, text string) (net.Conn, func() []string) {
	t.Helper()
	client, server := tcpPair(t)
	done := make(chan struct{})
	var got []string
	go func() {
		defer close(done)
		defer server.Close()
		server.SetDeadline(time.Now().Add(time.Minute))
		r := bufio.NewReader(server)
		for step := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
			step = strings.TrimLeft(step, " \t")
			switch {
			case strings.HasPrefix(step, "S: "):
				fmt.Fprintf(server, "%s\r\n", step[3:])
			case strings.HasPrefix(step, "C: "):
				l, err := r.ReadString('\n')
				l = strings.TrimRight(l, "\r\n")
				got = append(got, l)
				if err != nil || l != step[3:] {
					t.Errorf("client said %q (%v), want %q", l, err, step[3:])
					return
				}
			case step == "X":
				return
			}
		}
		io.Copy(io.Discard, r)
	}()
	return client, func() []string { <-done; return got }
}

func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

var testPeer = Peer{Host: "mx.test", Addr: "192.0.2.1", Port: 25}

// results shows outcomes as one text each.
func results(out []Outcome) []string {
	var s []string
	for _, o := range out {
		switch {
		case o.Reply != nil:
			s = append(s, "sent "+o.Reply.String())
		case o.Failure != nil:
			s = append(s, fmt.Sprintf("%d %s %s", o.Failure.Scope, o.Failure.Status.Code, o.Failure.Text))
		default:
			s = append(s, "nothing")
		}
	}
	return s
}

const ehlo = `
S: 220 mx.test ESMTP
C: EHLO me.test
`

func TestConversations(t *testing.T) {
	utf8 := message("r@b.test")
	utf8.UTF8 = envelope.UTF8Header
	dsn := message("r@b.test", "o@b.test", "q u@b.test")
	dsn.Sender.EnvID, dsn.Sender.Ret, dsn.Size, dsn.Encoding = "id+2B", envelope.RetHdrs, 77, envelope.Encoding8bit
	dsn.Recipients[0].Notify = envelope.NotifyNever
	dsn.Recipients[1].DSNOrcpt = "rfc822;a+b@c.test"
	urgent := message("r@b.test")
	urgent.Priority = -4
	injected := message("r@b.test>\r\nRCPT TO:<x@y")
	lmtp := testOptions()
	lmtp.LMTP = true
	discard := testOptions()
	discard.Discard = map[string]bool{"PIPELINING": true, "SIZE": true}
	tests := []struct {
		name   string
		o      *Options
		m      *Message
		script string
		want   []string
	}{
		{"plain", nil, message("r@b.test"), ehlo + `
			S: 250 mx.test
			C: MAIL FROM:<s@a.test>
			S: 250 2.1.0 Ok
			C: RCPT TO:<r@b.test>
			S: 250 2.1.5 Ok
			C: DATA
			S: 354 go
			C: Subject: x
			C: ` + `
			C: ..dot
			C: body
			C: .
			S: 250 2.0.0 Ok: queued as X
			C: QUIT
			S: 221 bye`, []string{"sent 250 2.0.0 Ok: queued as X"}},
		{"HELO after EHLO is refused", nil, message("r@b.test"), ehlo + `
			S: 500 what
			C: HELO me.test
			S: 250 mx.test
			C: MAIL FROM:<s@a.test>
			S: 550 5.7.1 no`, []string{"1 5.7.1 host mx.test[192.0.2.1] said: 550 5.7.1 no (in reply to MAIL FROM command)"}},
		{"pipelined, mixed recipients", nil, message("a@b.test", "c@b.test", "d@b.test"), ehlo + `
			S: 250-mx.test
			S: 250 pipelining
			C: MAIL FROM:<s@a.test>
			C: RCPT TO:<a@b.test>
			C: RCPT TO:<c@b.test>
			C: RCPT TO:<d@b.test>
			C: DATA
			S: 250 ok
			S: 550-5.1.1 no such
			S: 550 5.1.1 user
			S: 250 ok
			S: 450 later
			S: 354 go
			C: Subject: x
			C: ` + `
			C: ..dot
			C: body
			C: .
			S: 250 taken`, []string{
			"0 5.1.1 host mx.test[192.0.2.1] said: 550-5.1.1 no such 550 5.1.1 user (in reply to RCPT TO command)",
			"sent 250 taken",
			"0 4.0.0 host mx.test[192.0.2.1] said: 450 later (in reply to RCPT TO command)"}},
		{"pipelined, sender refused", nil, message("a@b.test"), ehlo + `
			S: 250-mx.test
			S: 250 PIPELINING
			C: MAIL FROM:<s@a.test>
			C: RCPT TO:<a@b.test>
			C: DATA
			S: 450 4.1.8 domain
			S: 503 need MAIL
			S: 503 need RCPT`, []string{"1 4.1.8 host mx.test[192.0.2.1] said: 450 4.1.8 domain (in reply to MAIL FROM command)"}},
		{"pipelined, no recipient but 354", nil, message("a@b.test"), ehlo + `
			S: 250-mx.test
			S: 250 PIPELINING
			C: MAIL FROM:<s@a.test>
			C: RCPT TO:<a@b.test>
			C: DATA
			S: 250 ok
			S: 550 no
			S: 354 go
			C: .
			S: 554 no recipients
			C: QUIT
			S: 221 bye`, []string{"0 5.0.0 host mx.test[192.0.2.1] said: 550 no (in reply to RCPT TO command)"}},
		{"DSN, SIZE, 8BITMIME", nil, dsn, ehlo + `
			S: 250-mx.test
			S: 250-Pipelining
			S: 250-SIZE 100
			S: 250-8bitmime
			S: 250 DSN
			C: MAIL FROM:<s@a.test> SIZE=77 BODY=8BITMIME ENVID=id+2B RET=HDRS
			C: RCPT TO:<r@b.test> ORCPT=rfc822;r@b.test NOTIFY=NEVER
			C: RCPT TO:<o@b.test> ORCPT=rfc822;a+2Bb@c.test
			C: RCPT TO:<"q u"@b.test> ORCPT=rfc822;"q+20u"@b.test
			C: DATA
			S: 250 ok
			S: 250 ok
			S: 250 ok
			S: 250 ok
			S: 554 5.3.0 no`, []string{
			"1 5.3.0 host mx.test[192.0.2.1] said: 554 5.3.0 no (in reply to DATA command)",
			"1 5.3.0 host mx.test[192.0.2.1] said: 554 5.3.0 no (in reply to DATA command)",
			"1 5.3.0 host mx.test[192.0.2.1] said: 554 5.3.0 no (in reply to DATA command)"}},
		{"discarded keywords", discard, dsn, ehlo + `
			S: 250-mx.test
			S: 250-PIPELINING
			S: 250 SIZE 10
			C: MAIL FROM:<s@a.test>
			S: 421 4.3.2 closing`, []string{
			"1 4.3.2 host mx.test[192.0.2.1] said: 421 4.3.2 closing (in reply to MAIL FROM command)",
			"1 4.3.2 host mx.test[192.0.2.1] said: 421 4.3.2 closing (in reply to MAIL FROM command)",
			"1 4.3.2 host mx.test[192.0.2.1] said: 421 4.3.2 closing (in reply to MAIL FROM command)"}},
		{"too big", nil, dsn, ehlo + `
			S: 250-mx.test
			S: 250 SIZE 10
			C: QUIT
			S: 221 bye`, []string{
			"1 5.3.4 message size 77 exceeds size limit 10 of server mx.test[192.0.2.1]",
			"1 5.3.4 message size 77 exceeds size limit 10 of server mx.test[192.0.2.1]",
			"1 5.3.4 message size 77 exceeds size limit 10 of server mx.test[192.0.2.1]"}},
		{"SMTPUTF8 missing", nil, utf8, ehlo + `
			S: 250 mx.test
			C: QUIT
			S: 221 bye`, []string{"1 5.6.7 SMTPUTF8 is required, but was not offered by host mx.test[192.0.2.1]"}},
		{"SMTPUTF8", nil, utf8, ehlo + `
			S: 250-mx.test
			S: 250-8BITMIME
			S: 250 SMTPUTF8
			C: MAIL FROM:<s@a.test> SMTPUTF8
			S: 450 later`, []string{"1 4.0.0 host mx.test[192.0.2.1] said: 450 later (in reply to MAIL FROM command)"}},
		{"priority", nil, urgent, ehlo + `
			S: 250-mx.test
			S: 250 MT-PRIORITY MIXER
			C: MAIL FROM:<s@a.test> MT-PRIORITY=-4
			S: 450 later`, []string{"1 4.0.0 host mx.test[192.0.2.1] said: 450 later (in reply to MAIL FROM command)"}},
		{"priority, not offered", nil, urgent, ehlo + `
			S: 250 mx.test
			C: MAIL FROM:<s@a.test>
			S: 450 later`, []string{"1 4.0.0 host mx.test[192.0.2.1] said: 450 later (in reply to MAIL FROM command)"}},
		{"line break in address", nil, injected, ehlo + `
			S: 250 mx.test
			C: QUIT
			S: 221 bye`, []string{"1 5.1.3 bad address syntax"}},
		{"parameters in address", nil, message("r@b.test> NOTIFY=NEVER ORCPT=rfc822;x"), ehlo + `
			S: 250 mx.test
			C: QUIT
			S: 221 bye`, []string{"1 5.1.3 bad address syntax"}},
		{"LMTP", lmtp, message("a@b.test", "c@b.test", "d@b.test"), `
			S: 220 mx.test LMTP
			C: LHLO me.test
			S: 250-mx.test
			S: 250 PIPELINING
			C: MAIL FROM:<s@a.test>
			C: RCPT TO:<a@b.test>
			C: RCPT TO:<c@b.test>
			C: RCPT TO:<d@b.test>
			C: DATA
			S: 250 ok
			S: 250 ok
			S: 550 5.1.1 who
			S: 250 ok
			S: 354 go
			C: Subject: x
			C: ` + `
			C: ..dot
			C: body
			C: .
			S: 250 2.0.0 one
			S: 452 4.2.2 full
			C: QUIT
			S: 221 bye`, []string{
			"sent 250 2.0.0 one",
			"0 5.1.1 host mx.test[192.0.2.1] said: 550 5.1.1 who (in reply to RCPT TO command)",
			"0 4.2.2 host mx.test[192.0.2.1] said: 452 4.2.2 full (in reply to end of DATA command)"}},
		{"reply of a wrong class", nil, message("a@b.test"), ehlo + `
			S: 250 mx.test
			C: MAIL FROM:<s@a.test>
			S: 354 hm`, []string{"1 5.5.0 host mx.test[192.0.2.1] said: 354 hm (in reply to MAIL FROM command)"}},
		{"noise between replies", nil, message("a@b.test"), ehlo + `
			S: debug: hello
			S: 250 mx.test
			C: MAIL FROM:<s@a.test>
			S: 1xx
			S: 550 no`, []string{"1 5.0.0 host mx.test[192.0.2.1] said: 550 no (in reply to MAIL FROM command)"}},
		{"421 in a flight", nil, message("a@b.test", "c@b.test"), ehlo + `
			S: 250-mx.test
			S: 250 PIPELINING
			C: MAIL FROM:<s@a.test>
			C: RCPT TO:<a@b.test>
			C: RCPT TO:<c@b.test>
			C: DATA
			S: 250 ok
			S: 550 5.1.1 who
			S: 421 4.7.0 enough
			X`, []string{
			"0 5.1.1 host mx.test[192.0.2.1] said: 550 5.1.1 who (in reply to RCPT TO command)",
			"0 4.7.0 host mx.test[192.0.2.1] said: 421 4.7.0 enough (in reply to RCPT TO command)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := tt.o
			if o == nil {
				o = testOptions()
			}
			conn, wait := script(t, tt.script)
			c := NewConn(conn, testPeer, o)
			if err := c.Greet(context.Background()); err != nil {
				t.Fatal(err)
			}
			got := results(c.Send(context.Background(), tt.m))
			if strings.Contains(tt.script, "C: QUIT") {
				c.Quit(context.Background())
			}
			c.Close()
			wait()
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestGreetingFailures(t *testing.T) {
	tests := []struct{ name, script, want string }{
		{"554", "S: 554 5.7.1 go away", "5.7.1 host mx.test[192.0.2.1] refused to talk to me: 554 5.7.1 go away"},
		{"421", "S: 421 busy\nX", "4.0.0 host mx.test[192.0.2.1] refused to talk to me: 421 busy"},
		{"closed", "X", "4.4.2 lost connection with mx.test[192.0.2.1] while receiving the initial server greeting"},
		{"EHLO 421", ehlo + "S: 421 4.3.2 no", "4.3.2 host mx.test[192.0.2.1] refused to talk to me: 421 4.3.2 no"},
		{"HELO refused", ehlo + "S: 500 no\nC: HELO me.test\nS: 504 5.5.2 fqdn", "5.5.2 host mx.test[192.0.2.1] refused to talk to me: 504 5.5.2 fqdn"},
		{"closed at EHLO", ehlo + "X", "4.4.2 lost connection with mx.test[192.0.2.1] while performing the EHLO handshake"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, wait := script(t, tt.script)
			c := NewConn(conn, testPeer, testOptions())
			err := c.Greet(context.Background())
			c.Close()
			wait()
			var f *Failure
			if !errors.As(err, &f) {
				t.Fatalf("got %v", err)
			}
			if got := f.Status.Code + " " + f.Text; got != tt.want || f.Scope != ScopeSite {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestReuse sends two messages without RSET between them, and RSET after a
// transaction that did not end.
func TestReuse(t *testing.T) {
	conn, wait := script(t, ehlo+`
		S: 250 mx.test
		C: MAIL FROM:<s@a.test>
		S: 250 ok
		C: RCPT TO:<a@b.test>
		S: 250 ok
		C: DATA
		S: 354 go
		C: Subject: x
		C: `+`
		C: ..dot
		C: body
		C: .
		S: 250 one
		C: MAIL FROM:<s@a.test>
		S: 250 ok
		C: RCPT TO:<a@b.test>
		S: 550 no
		C: RSET
		S: 250 ok
		C: MAIL FROM:<s@a.test>
		S: 450 hm`)
	c := NewConn(conn, testPeer, testOptions())
	if err := c.Greet(context.Background()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.Send(context.Background(), message("a@b.test"))
	}
	if c.Uses != 3 || !c.Usable() {
		t.Errorf("uses %d, usable %v", c.Uses, c.Usable())
	}
	c.Close()
	wait()
}

func TestLoopAndSmallESMTP(t *testing.T) {
	var warnings []string
	o := testOptions()
	o.AlwaysEHLO = false
	o.Warn = func(s string) { warnings = append(warnings, s) }
	conn, wait := script(t, "S: 220 Me.Test hello\nC: HELO me.test\nS: 250 me.test")
	c := NewConn(conn, testPeer, o)
	if err := c.Greet(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.Close()
	wait()
	want := []string{"host mx.test[192.0.2.1]:25 greeted me with my own hostname Me.Test",
		"host mx.test[192.0.2.1]:25 replied to HELO/EHLO with my own hostname me.test"}
	if diff := cmp.Diff(want, warnings); diff != "" || !c.Loop {
		t.Error(diff, c.Loop)
	}
}

func TestLocalDataError(t *testing.T) {
	conn, wait := script(t, ehlo+`
		S: 250-mx.test
		S: 250 PIPELINING
		C: MAIL FROM:<s@a.test>
		C: RCPT TO:<a@b.test>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 354 go`)
	c := NewConn(conn, testPeer, testOptions())
	if err := c.Greet(context.Background()); err != nil {
		t.Fatal(err)
	}
	m := message("a@b.test")
	m.Content = func(fn smtpwire.ContentFunc) error { fn([]byte("half"), true); return io.ErrUnexpectedEOF }
	got := results(c.Send(context.Background(), m))
	if diff := cmp.Diff([]string{"1 4.3.0 local data error while talking to mx.test[192.0.2.1]"}, got); diff != "" || c.Usable() {
		t.Error(diff)
	}
	c.Close()
	wait()
}
