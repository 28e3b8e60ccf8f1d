package attack

import (
	"bufio"
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestCommandsBeforeTLS: what came in the clear after STARTTLS must not be
// answered inside TLS, in one packet with it or in the next (ST1, ST2), and
// not kept from before (ST5).
func TestCommandsBeforeTLS(t *testing.T) {
	mail := site(t)
	mail.Start(t)
	for _, injected := range []string{"RSET\r\n", "EHLO evil\r\n", "MAIL FROM:<evil@b.test>\r\n", "AUTH PLAIN AHUAdQ==\r\n", "NOOP\r\nNOOP\r\n", "X"} {
		c := hello(t, mail.Addr(), stranger)
		c.say("STARTTLS\r\n" + injected)
		if reply := c.reply(); !strings.HasPrefix(reply, "554 5.5.0") || c.reply() != "" {
			t.Errorf("one packet with %q: %q", injected, reply)
		}
		c = hello(t, mail.Addr(), stranger)
		c.must("220", "STARTTLS")
		c.say(injected)
		conn := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
		conn.SetDeadline(time.Now().Add(time.Minute))
		if conn.Handshake() == nil {
			t.Errorf("a handshake with %q in front succeeded", injected)
		}
		c.conn.Close()
	}
	c := hello(t, mail.Addr(), stranger)
	c.must("250", "MAIL FROM:<a@b.test>")
	c.must("250", "RCPT TO:<you@example.test>")
	c.startTLS()
	c.want("503", c.ask("RCPT TO:<you@example.test>"))
	c.want("503", c.ask("DATA"))
	c.must("250", "EHLO x")
	c.want("503", c.ask("DATA"))
	c.want("554", c.ask("STARTTLS")) // ST8
	// A second handshake inside the first connection is not understood.
	c.say("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n")
	if reply := c.reply(); reply != "" && reply[0] != '5' {
		t.Errorf("ClientHello inside TLS: %q", reply)
	}
	alive(t, mail)
}

// TestTLSRequired: no mail without TLS where TLS is required (ST7).
func TestTLSRequired(t *testing.T) {
	mail := site(t, "smtpd_tls_security_level = encrypt")
	mail.Start(t)
	c := hello(t, mail.Addr(), stranger)
	for _, cmd := range []string{"MAIL FROM:<a@b.test>", "RCPT TO:<you@example.test>", "DATA", "AUTH PLAIN AHUAdQ==", "VRFY you", "ETRN x"} {
		if reply := c.ask("%s", cmd); reply[0] != '5' {
			t.Errorf("%s: %q", cmd, reply)
		}
	}
	c.startTLS()
	c.must("250", "EHLO x")
	c.send("a@b.test", "you@example.test", "S: x\n\nx")
}

// TestTLSThatNeverComes: a handshake that stalls ends after the time limit
// and holds up nobody (ST10).
func TestTLSThatNeverComes(t *testing.T) {
	mail := site(t, "smtpd_starttls_timeout = 6s", "smtpd_timeout = 6s")
	mail.Start(t)
	var stalled []*client
	for range 20 {
		c := hello(t, mail.Addr(), stranger)
		c.must("220", "STARTTLS")
		stalled = append(stalled, c)
	}
	slow := stalled[0]
	stop := time.Now().Add(time.Minute)
	go func() { // one byte of a record at a time
		for i := 0; time.Now().Before(stop); i++ {
			if _, err := slow.conn.Write([]byte{"\x16\x03\x01\x02\x00\x01"[min(i, 5)]}); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	alive(t, mail)
	for _, c := range stalled {
		if reply := c.reply(); reply != "" && !strings.HasPrefix(reply, "421") {
			t.Errorf("%q", reply)
		}
	}
	if time.Now().After(stop) {
		t.Error("the time limit did not hold")
	}
}

// TestOtherProtocols: a TLS or HTTP client on the SMTP port is sent away
// (ST13).
func TestOtherProtocols(t *testing.T) {
	mail := site(t)
	mail.Start(t)
	for _, first := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@b.test>\r\n", "POST / HTTP/1.1\r\n\r\nEHLO x\r\nMAIL FROM:<a@b.test>\r\n",
		"CONNECT x:25 HTTP/1.0\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\nEHLO x\r\n", "SSH-2.0-x\r\nEHLO x\r\n", ": header\r\nEHLO x\r\n",
	} {
		c := dialFrom(t, mail.Addr(), stranger)
		c.say(first)
		for {
			reply := c.reply()
			if reply == "" {
				break
			}
			if strings.HasPrefix(reply, "250 2.1.0") {
				t.Errorf("%q went on to MAIL", first)
			}
			if strings.HasPrefix(reply, "250") && (first[0] == 'G' || first[0] == 'P') {
				t.Errorf("%q: %q", first, reply)
			}
			c.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if _, err := c.r.Peek(1); err != nil {
				c.conn.Close()
				break
			}
		}
	}
	alive(t, mail)
}

// hostile is a mail server with TLS that says more than it should.
func hostile(t *testing.T, talk func(conn net.Conn, r *bufio.Reader)) int {
	t.Helper()
	ln := testkit.Serve(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		conn.SetDeadline(time.Now().Add(time.Minute))
		talk(conn, bufio.NewReader(conn))
	})
	return ln.Addr().(*net.TCPAddr).Port
}

// TestResponseInjection: replies that a server, or somebody on the way, sends
// in the clear behind its answer to STARTTLS do not count inside TLS (ST4).
func TestResponseInjection(t *testing.T) {
	cert := certificate(t)
	var mails atomic.Int32
	port := hostile(t, func(conn net.Conn, r *bufio.Reader) {
		say := func(s string) { conn.Write([]byte(s)) }
		say("220 evil.test ESMTP\r\n")
		r.ReadString('\n')
		say("250-evil.test\r\n250 STARTTLS\r\n")
		r.ReadString('\n')
		say("220 go\r\n250-evil.test\r\n250 SIZE 1\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n250 2.0.0 stolen\r\n")
		s := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
		if s.Handshake() != nil {
			return
		}
		for in := bufio.NewReader(s); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if strings.HasPrefix(line, "MAIL") {
				mails.Add(1)
			}
			s.Write([]byte("421 4.3.2 not now\r\n"))
		}
	})
	next := sink{port: port}
	mail := site(t, "smtp_tls_security_level = may", "relay_domains = evil.test", "transport_maps = inline:{{evil.test="+next.to("smtp")+"}}")
	mail.Start(t)
	id := hello(t, mail.Addr(), stranger).send("a@b.test", "u@evil.test", "S: x\n\nx")
	mail.WaitLog(t, id+`: to=<u@evil\.test>, .*status=deferred`)
	if strings.Contains(mail.Log(), "stolen") || mails.Load() != 0 {
		t.Error("a reply from before the handshake counted")
	}
}

// TestNoPlaintextFallback: where TLS is required of the next hop, a server
// that has none, refuses it or breaks it gets no mail (ST6).
func TestNoPlaintextFallback(t *testing.T) {
	refuse := func(reply string, offer bool) *sink {
		return newSink(t, func(verb, _ string) string {
			switch {
			case verb == "EHLO" && offer:
				return "250-x\r\n250 STARTTLS\r\n"
			case verb == "EHLO":
				return "250 x\r\n"
			case verb == "STARTTLS":
				return reply
			}
			return ""
		})
	}
	sinks := map[string]*sink{
		"none.test": refuse("", false), "temp.test": refuse("454 4.7.0 TLS not available\r\n", true),
		"perm.test": refuse("501 5.5.4 no\r\n", true), "drop.test": refuse("220 go\r\nnot a handshake at all\r\n", true), "hang.test": refuse("220 g", true),
	}
	maps := ""
	for domain, s := range sinks {
		maps += " {" + domain + "=" + s.to("smtp") + "}"
	}
	mail := site(t, "smtp_tls_security_level = encrypt", "transport_maps = inline:{"+maps+"}", "relay_domains = none.test temp.test perm.test drop.test hang.test", "smtp_starttls_timeout = 3s")
	mail.Start(t)
	c := hello(t, mail.Addr(), stranger)
	for domain := range sinks {
		c.send("a@b.test", "u@"+domain, "S: x\n\nx")
	}
	for domain, s := range sinks {
		mail.WaitLog(t, `to=<u@`+domain+`>, .*status=deferred`)
		for _, line := range s.commands() {
			if strings.HasPrefix(line, "MAIL") {
				t.Errorf("%s was told %q", domain, line)
			}
		}
	}
}

// certificate makes one for tests, of the instance's own kind.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	other := testkit.New(t)
	cert, err := tls.LoadX509KeyPair(other.Etc("tls/cert.pem"), other.Etc("tls/key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestTicketAcrossServices: a session ticket of one service opens no session
// of another with other rules (P11, ST12).
func TestTicketAcrossServices(t *testing.T) {
	mail, other := site(t), testkit.New(t)
	mail.Service(t, "127.0.0.1:"+port(other)+" inet n - y - 1 smtpd -o smtpd_tls_ask_ccert=yes -o smtpd_tls_req_ccert=yes -o smtpd_tls_security_level=encrypt")
	mail.Start(t)
	cache := tls.NewLRUClientSessionCache(4)
	resumed := func(addr string) bool {
		c := hello(t, addr, stranger)
		c.must("220", "STARTTLS")
		conn := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true, ServerName: "mail.test", ClientSessionCache: cache})
		conn.SetDeadline(time.Now().Add(time.Minute))
		if err := conn.Handshake(); err != nil {
			return false
		}
		c.conn, c.r = conn, bufio.NewReader(conn)
		reply := c.ask("EHLO x") // brings the ticket along
		c.ask("QUIT")
		return conn.ConnectionState().DidResume && reply != ""
	}
	resumed(mail.Addr())
	t.Logf("the service's own ticket is taken: %v", resumed(mail.Addr()))
	if resumed(other.Addr()) {
		t.Error("a ticket of one service opened a session of another")
	}
}

func port(mail *testkit.Instance) string {
	_, p, _ := net.SplitHostPort(mail.Addr())
	return p
}
