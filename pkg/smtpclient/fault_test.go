package smtpclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// stages are the points at which a server may misbehave, in order.
var stages = []string{"greeting", "EHLO", "MAIL", "RCPT", "DATA", "content", "END", "QUIT"}

// faultServer talks SMTP until it reaches the stage, and then does what the
// fault says.
func faultServer(conn net.Conn, stage, fault string, pipelining bool) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	r := bufio.NewReader(conn)
	at := func(s, reply string) bool {
		if s != stage {
			fmt.Fprintf(conn, "%s\r\n", reply)
			return true
		}
		return misbehave(conn, r, fault, reply)
	}
	if !at("greeting", "220 mx.test ESMTP") {
		return
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		word := strings.ToUpper(strings.Fields(line + " x")[0])
		reply := "250 ok"
		switch word {
		case "EHLO":
			if pipelining {
				reply = "250-mx.test\r\n250 PIPELINING"
			}
		case "DATA":
			reply = "354 go"
		case "QUIT":
			reply = "221 bye"
		}
		if !at(word, reply) {
			return
		}
		if word != "DATA" || stage == "DATA" && (fault == "4xx" || fault == "5xx") {
			continue
		}
		if stage == "content" && !misbehave(conn, r, fault, "") {
			return
		}
		for line != ".\r\n" {
			if line, err = r.ReadString('\n'); err != nil {
				return
			}
		}
		if !at("END", "250 2.0.0 taken") {
			return
		}
	}
}

// misbehave returns whether the conversation goes on.
func misbehave(conn net.Conn, r io.Reader, fault, reply string) bool {
	switch fault {
	case "never answer":
		io.Copy(io.Discard, r)
		return false
	case "close":
		return false
	case "reset":
		conn.(*net.TCPConn).SetLinger(0)
		return false
	case "slow":
		for _, c := range []byte(strings.Repeat("2", 1000)) {
			if _, err := conn.Write([]byte{c}); err != nil {
				return false
			}
			time.Sleep(20 * time.Millisecond)
		}
		return false
	case "4xx":
		fmt.Fprint(conn, "450 4.7.1 later\r\n")
	case "5xx":
		fmt.Fprint(conn, "550 5.7.1 never\r\n")
	case "garbage":
		b := make([]byte, 4096)
		rand.Read(b)
		conn.Write(bytes.ReplaceAll(b, []byte("2"), []byte("x")))
		return false
	case "huge line":
		conn.Write(bytes.Repeat([]byte("x"), 1<<20))
		return false
	case "huge reply":
		for range 100_000 {
			if _, err := fmt.Fprint(conn, "250-", strings.Repeat("y", 100), "\r\n"); err != nil {
				return false
			}
		}
		return false
	case "NUL":
		fmt.Fprint(conn, strings.Replace(reply+" \x00\x1b[2J text", "\r\n", " ", 1), "\r\n")
	}
	return true
}

// TestFaults: whatever a server does at whatever stage, each recipient has an
// outcome, no outcome is a delivery unless the server said so, nothing takes
// longer than the time limits, and no text has control characters.
func TestFaults(t *testing.T) {
	faults := []string{"never answer", "close", "reset", "slow", "4xx", "5xx", "garbage", "huge line", "huge reply", "NUL"}
	for _, stage := range stages {
		for _, fault := range faults {
			for _, pipelining := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%v", stage, fault, pipelining), func(t *testing.T) {
					t.Parallel()
					client, server := tcpPair(t)
					go faultServer(server, stage, fault, pipelining)
					testFault(t, client, faultOptions(stage), stage, fault)
				})
			}
		}
	}
}

// faultOptions have a short time limit for one stage; what comes before it must
// not run into one, however busy the machine is.
func faultOptions(stage string) *Options {
	o := testOptions()
	for name, limit := range map[string]*time.Duration{"greeting": &o.Timeouts.Greeting, "EHLO": &o.Timeouts.Helo, "MAIL": &o.Timeouts.Mail, "RCPT": &o.Timeouts.Rcpt,
		"DATA": &o.Timeouts.DataInit, "content": &o.Timeouts.DataXfer, "END": &o.Timeouts.DataDone, "QUIT": &o.Timeouts.Quit} {
		if name == stage {
			*limit = 150 * time.Millisecond
		}
	}
	if stage == "content" { // a server that reads all the same is silent at the end
		o.Timeouts.DataDone = o.Timeouts.DataXfer
	}
	return o
}

func testFault(t *testing.T, client net.Conn, o *Options, stage, fault string) {
	start := time.Now()
	c := NewConn(client, testPeer, o)
	err := c.Greet(context.Background())
	var out []Outcome
	if err == nil {
		m := message("a@b.test", "c@d.test")
		if stage == "content" {
			m.Content = endless
		}
		out = c.Send(context.Background(), m)
		c.Quit(context.Background())
	} else {
		var f *Failure
		if !errors.As(err, &f) {
			t.Fatalf("error %T: %v", err, err)
		}
		out = []Outcome{{Failure: f}}
		c.Close()
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %v", took)
	}
	delivers := stage == "QUIT" || fault == "NUL" || stage == "EHLO" && (fault == "4xx" || fault == "5xx") ||
		stage == "content" && (fault == "4xx" || fault == "5xx")
	for _, o := range out {
		switch {
		case o.Reply == nil && o.Failure == nil:
			t.Error("no outcome")
		case o.Reply != nil && !delivers:
			t.Errorf("delivered: %s", o.Reply)
		case o.Reply != nil:
		case strings.ContainsFunc(o.Failure.Text, func(r rune) bool { return r < ' ' || r == 0x7f }):
			t.Errorf("text %q", o.Failure.Text)
		case stage != "content" && fault != "NUL" && o.Failure.Status.Permanent() != (fault == "5xx"):
			t.Errorf("status %s for %s", o.Failure.Status.Code, fault)
		case stage == "END" && fault != "4xx" && fault != "5xx" && !o.Failure.Unknown:
			t.Errorf("the server may have the message: %s", o.Failure.Text)
		}
	}
}

// endless is content of 4 MB, which does not fit into socket buffers.
func endless(fn smtpwire.ContentFunc) error {
	for range 40_000 {
		if err := fn(bytes.Repeat([]byte("z"), 100), true); err != nil {
			return err
		}
	}
	return nil
}

// TestCancel: a cancelled context ends any wait.
func TestCancel(t *testing.T) {
	client, server := tcpPair(t)
	go faultServer(server, "MAIL", "never answer", true)
	c := NewConn(client, testPeer, testOptions())
	if err := c.Greet(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	out := c.Send(ctx, message("a@b.test"))
	if time.Since(start) > time.Minute || out[0].Failure == nil || c.Usable() {
		t.Errorf("took %v: %v", time.Since(start), results(out))
	}
	c.Close()
}

// TestManyRecipients: replies that nobody reads must not stop the server.
func TestManyRecipients(t *testing.T) {
	client, server := tcpPair(t)
	go faultServer(server, "", "", true)
	var rcpts []string
	for i := range 5000 {
		rcpts = append(rcpts, fmt.Sprintf("user%d@%s.test", i, strings.Repeat("x", 50)))
	}
	c := NewConn(client, testPeer, testOptions())
	if err := c.Greet(context.Background()); err != nil {
		t.Fatal(err)
	}
	for i, o := range c.Send(context.Background(), message(rcpts...)) {
		if o.Reply == nil {
			t.Fatalf("recipient %d: %v", i, o.Failure)
		}
	}
	c.Close()
}

// tlsServer offers STARTTLS; extra is sent in clear behind the 220, and after
// the handshake the server offers less than before.
func tlsServer(conn net.Conn, cert tls.Certificate, extra string) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	r := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 mx.test ESMTP\r\n")
	r.ReadString('\n')
	fmt.Fprint(conn, "250-mx.test\r\n250-AUTH PLAIN\r\n250-PIPELINING\r\n250 starttls\r\n")
	r.ReadString('\n')
	fmt.Fprint(conn, "220 go\r\n"+extra)
	tc := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
	r = bufio.NewReader(tc)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if strings.HasPrefix(line, "EHLO") {
			fmt.Fprint(tc, "250-mx.test\r\n250 SIZE\r\n")
			continue
		}
		fmt.Fprint(tc, "550 "+line)
	}
}

// TestStartTLS: what came before the handshake does not count after it (RFC
// 3207 section 4.2), be it capabilities or replies that were injected.
func TestStartTLS(t *testing.T) {
	client, server := tcpPair(t)
	go tlsServer(server, testkit.Certificate(t, "mx.test"), "")
	c := NewConn(client, testPeer, testOptions())
	ctx := context.Background()
	if err := c.Greet(ctx); err != nil {
		t.Fatal(err)
	}
	if !c.Caps.StartTLS || !c.Caps.Pipelining {
		t.Errorf("before: %+v", c.Caps)
	}
	if err := c.StartTLS(ctx, &tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	if c.Caps.Pipelining || len(c.Caps.Auth) > 0 {
		t.Errorf("kept: %+v", c.Caps)
	}
	if err := c.Hello(ctx); err != nil {
		t.Fatal(err)
	}
	if !c.Caps.Size || c.Caps.Pipelining || c.TLS.Version != tls.VersionTLS13 {
		t.Errorf("after: %+v", c.Caps)
	}
	got := results(c.Send(ctx, message("a@b.test")))
	if want := "1 5.0.0 host mx.test[192.0.2.1] said: 550 MAIL FROM:<s@a.test> (in reply to MAIL FROM command)"; got[0] != want {
		t.Errorf("got %q", got)
	}
	c.Close()
}

// TestInjectedReplies: replies that a man in the middle puts behind the 220
// either break the handshake or are thrown away.
func TestInjectedReplies(t *testing.T) {
	client, server := tcpPair(t)
	go tlsServer(server, testkit.Certificate(t, "mx.test"), "250-mx.test\r\n250-AUTH PLAIN\r\n250 PIPELINING\r\n")
	c := NewConn(client, testPeer, testOptions())
	ctx := context.Background()
	if err := c.Greet(ctx); err != nil {
		t.Fatal(err)
	}
	err := c.StartTLS(ctx, &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		err = c.Hello(ctx)
		if err != nil || c.Caps.Pipelining || len(c.Caps.Auth) > 0 {
			t.Errorf("%v, %+v", err, c.Caps)
		}
	} else {
		var f *Failure
		if !errors.As(err, &f) || !f.Handshake || c.Usable() {
			t.Errorf("got %v", err)
		}
	}
	c.Close()
}

// FuzzReplies lets a server say anything at all. There must be an outcome for
// each recipient, and commands must not be broken by what it says.
func FuzzReplies(f *testing.F) {
	f.Add([]byte("220 x ESMTP\r\n250-x\r\n250 PIPELINING\r\n250 a\r\n250 b\r\n354 c\r\n250 d\r\n"))
	f.Add([]byte("220 x\r\n250 x\r\n550-a\r\n550 b\r\n421 x\r\n"))
	f.Add([]byte("220-\n220 \n250-SIZE -1\n250 SIZE 99999999999999999999\n"))
	f.Fuzz(func(t *testing.T, replies []byte) {
		conn := &fuzzConn{in: bytes.NewReader(replies)}
		o := testOptions()
		c := NewConn(conn, testPeer, o)
		if err := c.Greet(context.Background()); err != nil {
			return
		}
		for _, o := range c.Send(context.Background(), message("a@b.test", "c@d.test")) {
			if (o.Reply == nil) == (o.Failure == nil) {
				t.Fatalf("outcome %+v", o)
			}
			if o.Reply != nil && !o.Reply.Positive() {
				t.Fatalf("sent with %s", o.Reply)
			}
		}
		for line := range strings.SplitSeq(conn.out.String(), "\r\n") {
			if strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("sent %q", line)
			}
		}
		c.Close()
	})
}

// fuzzConn is a server that has said everything in advance.
type fuzzConn struct {
	in  *bytes.Reader
	out bytes.Buffer
	net.Conn
}

func (c *fuzzConn) Read(b []byte) (int, error)       { return c.in.Read(b) }
func (c *fuzzConn) Write(b []byte) (int, error)      { return c.out.Write(b) }
func (c *fuzzConn) Close() error                     { return nil }
func (c *fuzzConn) SetDeadline(time.Time) error      { return nil }
func (c *fuzzConn) SetReadDeadline(time.Time) error  { return nil }
func (c *fuzzConn) SetWriteDeadline(time.Time) error { return nil }
