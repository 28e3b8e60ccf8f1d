package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/dkim"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/tlskeys"
)

// nextServer is a mail server behind the agent, which does what a script says.
type nextServer struct {
	lmtp  bool
	ehlo  []string          // its extensions
	reply map[string]string // by the start of a command, or "." for the end of data
	// each are LMTP's replies to the end of data; "" closes the connection.
	each []string
	// silent says nothing at the end of a message.
	silent bool
	// mute lets commands of this start without an answer.
	mute string

	mu       sync.Mutex
	commands []string
	content  []string // of complete messages
	conns    int
}

// start returns the next hop of the server.
func (n *nextServer) start(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n.mu.Lock()
			n.conns++
			n.mu.Unlock()
			go n.serve(conn)
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if n.lmtp {
		return "lmtp:inet:127.0.0.1:" + port
	}
	return "[127.0.0.1]:" + port
}

func (n *nextServer) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	say := func(s string) { fmt.Fprintf(conn, "%s\r\n", s) }
	say("220 next.test ESMTP")
	accepted := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		n.mu.Lock()
		n.commands = append(n.commands, line)
		n.mu.Unlock()
		if n.mute != "" && strings.HasPrefix(line, n.mute) {
			continue
		}
		verb := strings.ToUpper(strings.Fields(line + " x")[0])
		answer := n.find(line)
		switch verb {
		case "EHLO", "LHLO":
			if answer != "" {
				break
			}
			for _, e := range n.ehlo {
				say("250-" + e)
			}
			say("250 next.test")
			continue
		case "MAIL":
			accepted = 0
		case "RCPT":
			if answer == "" {
				accepted++
			}
		case "DATA":
			if answer != "" {
				break
			}
			say("354 go")
			if !n.data(r, say, accepted) {
				return
			}
			continue
		}
		if answer == "" {
			answer = "250 2.0.0 fine"
		}
		say(answer)
		if strings.HasPrefix(answer, "421") || verb == "QUIT" {
			return
		}
	}
}

func (n *nextServer) find(line string) string {
	for start, answer := range n.reply {
		if strings.HasPrefix(line, start) {
			return answer
		}
	}
	return ""
}

func (n *nextServer) data(r *bufio.Reader, say func(string), accepted int) bool {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		b.WriteString(strings.ReplaceAll(line, "\r\n", "\n"))
	}
	n.mu.Lock()
	n.content = append(n.content, b.String())
	n.mu.Unlock()
	if n.silent {
		return true
	}
	if !n.lmtp {
		accepted = 1
	}
	for i := range accepted {
		answer := "250 2.0.0 taken"
		if i < len(n.each) {
			answer = n.each[i]
		}
		if answer == "" {
			return false
		}
		say(answer)
	}
	return true
}

func (n *nextServer) seen() (commands, content []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.commands), slices.Clone(n.content)
}

const note = "From: joe@here.test\nSubject: a\n\n.dot\ntext\n"

// TestPassOn: what goes past the queue is what would have gone into it, and
// the parameters that the next server knows go along.
func TestPassOn(t *testing.T) {
	n := &nextServer{ehlo: []string{"PIPELINING", "SIZE 100000", "8BITMIME", "DSN", "SMTPUTF8", "MT-PRIORITY"}}
	h := newHouse(t, "submission_relayhost = "+n.start(t))
	c := h.login(joe)
	c.want("250", c.cmd("MAIL FROM:<joe@here.test> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=abc MT-PRIORITY=3"))
	c.want("250", c.cmd("RCPT TO:<you@there.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;you@there.test"))
	c.want("354", c.cmd("DATA"))
	c.want("250 2.0.0 Ok: ", c.cmd(strings.ReplaceAll("From: joe@here.test\nBcc: x@y.test\nSubject: a\n\n..dot\ntext\n.", "\n", "\r\n")))
	if q := h.queue(); len(q) > 0 {
		t.Errorf("%d messages in the queue", len(q))
	}
	commands, content := n.seen()
	want := []string{"EHLO mail.here.test",
		"MAIL FROM:<joe@here.test> SIZE=4196 BODY=8BITMIME ENVID=abc RET=HDRS MT-PRIORITY=3",
		"RCPT TO:<you@there.test> ORCPT=rfc822;you@there.test NOTIFY=SUCCESS,FAILURE", "DATA"}
	if !slices.Equal(commands, want) {
		t.Errorf("the next server heard\n%q, want\n%q", commands, want)
	}
	if len(content) != 1 || !strings.HasSuffix(content[0], "\n\n..dot\ntext\n") || strings.Contains(content[0], "Bcc") ||
		!strings.HasPrefix(content[0], "Received: from c.test") || !strings.Contains(content[0], "\tfor <you@there.test>\n\t(PRIORITY 3); ") ||
		!strings.Contains(content[0], "\nMessage-ID: ") {
		t.Errorf("content %q", content)
	}
	// The second message goes over the same connection.
	c.want("250", c.send("joe@here.test", note))
	c.want("221", c.cmd("QUIT"))
	if n.conns != 1 {
		t.Errorf("%d connections for two messages", n.conns)
	}
	if log := h.log.String(); !strings.Contains(log, "to=<you@there.test>, relay=127.0.0.1[127.0.0.1]:") ||
		!strings.Contains(log, ", dsn=2.0.0, status=sent (250 2.0.0 taken)") || !strings.Contains(log, ": client=") {
		t.Errorf("log:\n%s", log)
	}
}

// TestPassedRefusals: what the next server says about an address or a message
// is what the client hears; its trouble with us is not.
func TestPassedRefusals(t *testing.T) {
	for _, tc := range []struct{ name, command, reply, want, at string }{
		{"sender", "MAIL", "550 5.1.8 no such domain", "550 5.1.8 no such domain", "MAIL"},
		{"sender later", "MAIL", "450 4.7.1 slow down", "450 4.7.1 slow down", "MAIL"},
		{"not logged in", "MAIL", "530 5.7.0 Authentication required", "451 4.3.5 Error: the next mail server does not take mail", "MAIL"},
		{"unknown command", "MAIL", "502 5.5.1 what?", "451 4.3.5 Error", "MAIL"},
		{"goes away", "MAIL", "421 4.3.2 bye", "451 4.3.2 bye", "MAIL"},
		{"no hello", "EHLO", "421 4.3.2 bye", "451 4.4.1 Error: the next mail server is not available", "MAIL"},
		{"recipient", "RCPT", "550-5.1.1 <you@there.test>:\r\n550 5.1.1 user unknown", "550 5.1.1 <you@there.test>: user unknown", "RCPT"},
		{"full", "RCPT", "452 4.2.2 mailbox full", "452 4.2.2 mailbox full", "RCPT"},
		{"leaves at RCPT", "RCPT", "421 4.4.2 timeout", "451 4.3.2 timeout", "RCPT"},
		{"no data", "DATA", "554 5.7.1 not you", "554 5.7.1 not you", "END"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := &nextServer{reply: map[string]string{tc.command: tc.reply}}
			h := newHouse(t, "submission_relayhost = "+n.start(t))
			c := h.login(joe)
			reply := c.cmd("MAIL FROM:<joe@here.test>")
			if tc.at != "MAIL" {
				c.want("250", reply)
				reply = c.cmd("RCPT TO:<you@there.test>")
			}
			if tc.at == "END" {
				c.want("354", c.cmd("DATA"))
				reply = c.cmd(strings.ReplaceAll(note, "\n", "\r\n") + ".")
			}
			c.want(tc.want, reply)
			c.want("250", c.cmd("RSET"))
			if _, content := n.seen(); len(content) > 0 {
				t.Errorf("content was sent: %q", content)
			}
		})
	}
}

// TestPassedEnd: the client hears 250 only after the next server said it.
func TestPassedEnd(t *testing.T) {
	for _, tc := range []struct{ name, reply, want string }{
		{"taken", "250 2.0.0 queued as 17", "250 2.0.0 Ok: "},
		{"spam", "550 5.7.1 looks like spam", "550 5.7.1 looks like spam"},
		{"later", "451 4.3.0 disk full", "451 4.3.0 disk full"},
		{"lost", "", "451 4.4.2 Error: the next mail server did not confirm the message"},
		{"nonsense", "354 more", "451 4.3.5 Error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := &nextServer{each: []string{tc.reply}}
			h := newHouse(t, "submission_relayhost = "+n.start(t))
			c := h.login(joe)
			c.want(tc.want, c.send("joe@here.test", note))
			if q := h.queue(); len(q) > 0 {
				t.Errorf("%d messages in the queue", len(q))
			}
		})
	}
}

// TestPassedIncomplete: a server never gets the end of a message that the
// client did not complete, or that was refused behind its header.
func TestPassedIncomplete(t *testing.T) {
	big := "From: joe@here.test\n\n" + strings.Repeat(strings.Repeat("x", 70)+"\n", 3000)
	for name, leave := range map[string]func(c *client){
		"client goes": func(c *client) {
			c.begin("joe@here.test")
			fmt.Fprintf(c.conn, "%s", strings.ReplaceAll(big, "\n", "\r\n"))
			c.conn.Close()
		},
		"too big": func(c *client) {
			c.want("552 5.3.4", c.send("joe@here.test", big))
			c.want("221", c.cmd("QUIT"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := &nextServer{}
			h := newHouse(t, "submission_relayhost = "+n.start(t), "message_size_limit = 100000")
			leave(h.login(joe))
			waitFor(t, func() bool { return strings.Contains(h.log.String(), "disconnect from") })
			if _, content := n.seen(); len(content) > 0 {
				t.Errorf("the server got the message")
			}
		})
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

// TestPassedLMTP: one reply stands for those of all recipients.
func TestPassedLMTP(t *testing.T) {
	for _, tc := range []struct {
		name   string
		each   []string
		want   string
		queued []string
	}{
		{"all", nil, "250 2.0.0 Ok: ", nil},
		{"none", []string{"550 5.2.1 a", "552 5.2.2 full", "550 5.1.1 c"}, "550 5.2.1 a", nil},
		{"none, one for now", []string{"550 5.2.1 a", "452 4.2.2 full", "550 5.1.1 c"}, "452 4.2.2 full", nil},
		{"some", []string{"250 2.0.0 a", "452 4.2.2 full", "550 5.1.1 c"}, "250 2.0.0 Ok: ", []string{"b@there.test", "c@there.test"}},
		{"lost in between", []string{"250 2.0.0 a", ""}, "250 2.0.0 Ok: ", []string{"b@there.test", "c@there.test"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := &nextServer{lmtp: true, each: tc.each}
			h := newHouse(t, "submission_relayhost = "+n.start(t))
			c := h.login(joe)
			c.want("250", c.cmd("MAIL FROM:<joe@here.test>"))
			for _, to := range []string{"a", "b", "c"} {
				c.want("250", c.cmd("RCPT TO:<"+to+"@there.test>"))
			}
			c.want("354", c.cmd("DATA"))
			c.want(tc.want, c.cmd(strings.ReplaceAll(note, "\n", "\r\n")+"."))
			q := h.queue()
			if len(tc.queued) == 0 {
				if len(q) > 0 {
					t.Errorf("queued %v", q)
				}
				return
			}
			if len(q) != 1 || !slices.Equal(q[0].recipients, tc.queued) {
				t.Fatalf("queued %v, want for %v", q, tc.queued)
			}
			_, content := n.seen()
			if got := strings.Join(q[0].lines, "\n") + "\n"; got != strings.ReplaceAll(content[0], "\n..", "\n.") {
				t.Errorf("the queue has %q, the server got %q", got, content[0])
			}
		})
	}
}

// TestPassedWithoutExtensions: what the next server does not know is refused,
// and nothing is left out on the quiet.
func TestPassedWithoutExtensions(t *testing.T) {
	n := &nextServer{}
	h := newHouse(t, "submission_relayhost = "+n.start(t))
	c := h.login(joe)
	c.want("554 5.6.7", c.cmd("MAIL FROM:<jösé@joe.test> SMTPUTF8"))
	c.want("250", c.cmd("MAIL FROM:<joe@here.test> SMTPUTF8"))
	c.want("553 5.6.7", c.cmd("RCPT TO:<jösé@there.test>"))
	c.want("555 5.5.4", c.cmd("RCPT TO:<you@there.test> NOTIFY=SUCCESS"))
	c.want("555 5.5.4", c.cmd("RCPT TO:<you@there.test> NOTIFY=NEVER"))
	c.want("250", c.cmd("RCPT TO:<you@there.test> NOTIFY=FAILURE"))
	c.want("354", c.cmd("DATA"))
	c.want("554 5.6.9", c.cmd("From: joe@here.test\r\nSubject: jösé\r\n\r\nx\r\n."))
	c.want("250", c.cmd("MAIL FROM:<joe@here.test> BODY=8BITMIME"))
	c.want("250", c.cmd("RCPT TO:<you@there.test>"))
	c.want("354", c.cmd("DATA"))
	c.want("250", c.cmd("From: joe@here.test\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Content-Transfer-Encoding: 8bit\r\n\r\njösé\r\n."))
	if _, content := n.seen(); len(content) != 1 || !strings.Contains(content[0], "j=C3=B6s=C3=A9") {
		t.Errorf("content %q", content)
	}
}

// TestPassedSlowServer: a server that says nothing does not hold the client
// for ever.
func TestPassedSlowServer(t *testing.T) {
	n := &nextServer{mute: "RCPT"}
	h := newHouse(t, "submission_relayhost = "+n.start(t), "smtp_rcpt_timeout = 1s")
	c := h.login(joe)
	c.want("250", c.cmd("MAIL FROM:<joe@here.test>"))
	c.want("451 4.4.1", c.cmd("RCPT TO:<you@there.test>"))
	c.want("451 4.4.1", c.cmd("RCPT TO:<them@there.test>"))
	c.want("554", c.cmd("DATA"))
}

// TestPassedNoConfirmation: the client hears of it while it still waits, and
// is not told that the message was taken.
func TestPassedNoConfirmation(t *testing.T) {
	n := &nextServer{silent: true}
	h := newHouse(t, "submission_relayhost = "+n.start(t), "smtp_data_done_timeout = 1s")
	c := h.login(joe)
	c.want("451 4.4.2 Error: the next mail server did not confirm the message in time", c.send("joe@here.test", note))
	if log := h.log.String(); !strings.Contains(log, "status=rejected (conversation with 127.0.0.1[127.0.0.1] timed out while sending end of data -- message may be sent more than once)") {
		t.Errorf("log:\n%s", log)
	}
}

// TestPassedWithoutTLS: where the site wants TLS, a server that does not offer
// it gets neither mail nor a password.
func TestPassedWithoutTLS(t *testing.T) {
	n := &nextServer{ehlo: []string{"AUTH PLAIN"}}
	h := newHouse(t, "submission_relayhost = "+n.start(t), "smtp_tls_security_level = encrypt", "smtp_sasl_auth_enable = yes",
		"smtp_sasl_security_options =", "smtp_sasl_password_maps = static:name:secret")
	c := h.login(joe)
	c.want("451 4.4.1 Error: the next mail server is not available", c.cmd("MAIL FROM:<joe@here.test>"))
	if commands, _ := n.seen(); slices.ContainsFunc(commands, func(s string) bool { return !strings.HasPrefix(s, "EHLO ") && s != "QUIT" }) {
		t.Errorf("the next server heard %q", commands)
	}
}

// TestPassedIdle: a server that gave up waiting is called anew.
func TestPassedIdle(t *testing.T) {
	n := &nextServer{reply: map[string]string{"RSET": "421 4.4.2 timeout"}}
	h := newHouse(t, "submission_relayhost = "+n.start(t))
	c := h.login(joe)
	c.want("250", c.cmd("MAIL FROM:<joe@here.test>"))
	c.want("250", c.cmd("RSET"))
	c.want("250", c.send("joe@here.test", note))
	if n.conns != 2 {
		t.Errorf("%d connections", n.conns)
	}
}

// TestPassedSigned: a signature stands in front of what it signs, so the
// message is kept until it is complete.
func TestPassedSigned(t *testing.T) {
	n := &nextServer{ehlo: []string{"8BITMIME"}}
	h := newHouse(t, "submission_relayhost = "+n.start(t), "submission_signers = dkim", "message_size_limit = 1000000")
	serveDKIM(t, h)
	c := h.login(joe)
	body := strings.Repeat(strings.Repeat("y", 70)+"\n", 5000) // more than stays in memory
	c.want("250", c.send("joe@here.test", "From: joe@here.test\n\n"+body))
	_, content := n.seen()
	if len(content) != 1 || !strings.HasPrefix(content[0], "DKIM-Signature: ") || !strings.HasSuffix(content[0], "\n\n"+body) {
		t.Fatalf("content %.300q", content)
	}
	if strings.Contains(content[0][:strings.Index(content[0], "Received:")], "b=;") {
		t.Errorf("an empty signature: %.500q", content[0])
	}
}

// TestSpoolFiles: the files are given back, and a message for which there is
// none waits with its client.
func TestSpoolFiles(t *testing.T) {
	all, err := openSpools(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var used []*spool
	for i := range spoolFiles + 1 {
		s := &spool{all: all}
		s.line([]byte(strings.Repeat("z", spoolMemory)), true)
		s.line([]byte("part"), false)
		if (s.err != nil) != (i == spoolFiles) {
			t.Fatalf("%d files: %v", i, s.err)
		}
		used = append(used, s)
	}
	var got strings.Builder
	err = used[0].each(func(b []byte, eol bool) error {
		got.Write(b)
		if eol {
			got.WriteByte('\n')
		}
		return nil
	})
	if want := strings.Repeat("z", spoolMemory) + "\npart"; err != nil || strings.TrimSuffix(got.String(), "\n") != want {
		t.Errorf("%v, %d bytes, want %d", err, got.Len(), len(want))
	}
	for _, s := range used {
		s.release()
	}
	if len(all) != spoolFiles {
		t.Errorf("%d files came back", len(all))
	}
	f := <-all
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("a file came back with %v bytes, %v", info.Size(), err)
	}
}

// serveDKIM is a tlsmgr with one key, of here.test.
func serveDKIM(t *testing.T, h *house) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	h.serve(tlskeys.Endpoint, h.answers(func(req ipc.List) ipc.List {
		ok := ipc.List{}.Int("status", 0)
		if req.Value("request") == "dkim_keys" {
			return ok.Str("key0", "here.test one "+dkim.Ed25519+" 64")
		}
		digest, err := base64.StdEncoding.DecodeString(req.Value("digest"))
		if err != nil {
			return nil
		}
		sig, err := dkim.SignDigest(key, digest)
		if err != nil {
			return nil
		}
		return ok.Str("signature", base64.StdEncoding.EncodeToString(sig))
	}))
}
