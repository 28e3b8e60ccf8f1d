package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient/authtest"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
)

func fake(t testing.TB) (*authtest.Server, *gate) {
	s := authtest.New(t, authtest.Account{Password: "secret", User: authclient.User{
		Login: "ann@d.test", UID: 2000, GID: 2001, Home: "/home/ann", MailDir: "/home/ann/Maildir", Quota: "1000S,10C",
		Name: "Ann", Disabled: []string{"pop3"}}})
	return s, &gate{auth: s.Client(), log: maillog.Discard(), services: []string{"smtp", "imap", "pop3", "submission"}}
}

// connect starts a session and returns the other end.
func connect(t testing.TB, session func(context.Context, net.Conn) error) (net.Conn, *bufio.Reader) {
	t.Helper()
	a, b := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer a.Close()
		session(context.Background(), a)
	}()
	t.Cleanup(func() { b.Close(); <-done })
	b.SetDeadline(time.Now().Add(time.Minute))
	return b, bufio.NewReader(b)
}

func readLine(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	s, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(s, "\n")
}

// hello reads the greeting of the Dovecot protocol.
func hello(t testing.TB, r *bufio.Reader) []string {
	t.Helper()
	var lines []string
	for {
		l := readLine(t, r)
		if lines = append(lines, l); l == "DONE" {
			return lines
		}
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestDovecot(t *testing.T) {
	_, g := fake(t)
	c, r := connect(t, g.dovecot)
	text := strings.Join(hello(t, r), "\n")
	if !strings.HasPrefix(text, "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\n") || !strings.Contains(text, "MECH\tCRAM-MD5\tdictionary\tactive") {
		t.Errorf("greeting %q", text)
	}
	fmt.Fprint(c, "VERSION\t1\t1\nCPID\t77\n")
	for _, tc := range []struct{ send, want string }{
		{"AUTH\t1\tPLAIN\tservice=smtp\tsecured\trip=192.0.2.1\tresp=" + b64("\x00ann@d.test\x00secret"), "OK\t1\tuser=ann@d.test"},
		{"AUTH\t2\tPLAIN\tservice=smtp\tresp=" + b64("\x00ann@d.test\x00wrong"), "FAIL\t2\tuser=ann@d.test"},
		{"AUTH\t3\tLOGIN\tservice=smtp\tnologin", "CONT\t3\t" + b64("Username:")},
		{"CONT\t3\t" + b64("ann@d.test"), "CONT\t3\t" + b64("Password:")},
		{"CONT\t3\t" + b64("secret"), "OK\t3\tuser=ann@d.test"},
		{"AUTH\t4\tNOSUCH\tservice=smtp", "FAIL\t4"},
		{"AUTH\t10\tPLAIN\tservice=su\tresp=" + b64("\x00ann@d.test\x00secret"), "FAIL\t10"},
		{"AUTH\t5\tPLAIN\tservice=smtp\tresp=%%%", "FAIL\t5\treason=malformed response"},
		{"AUTH\t6\tLOGIN\tservice=smtp", "CONT\t6\t" + b64("Username:")},
		{"CONT\t6\t***", "FAIL\t6\treason=malformed response"},
		{"CONT\t6\t" + b64("late") + "\nNONSENSE\tx\nCANCEL\t9\nAUTH\t7\tPLAIN\tservice=smtp\tresp=" + b64("\x00ann@d.test\x00secret"), "OK\t7\tuser=ann@d.test"},
	} {
		fmt.Fprint(c, tc.send+"\n")
		if got := readLine(t, r); got != tc.want {
			t.Errorf("%q: %q", tc.send, got)
		}
	}
}

// TestDovecotTogether: one client's mistakes do not stop the others on the
// same connection (AU5).
func TestDovecotTogether(t *testing.T) {
	s, g := fake(t)
	c, r := connect(t, g.dovecot)
	hello(t, r)
	fmt.Fprint(c, "VERSION\t1\t1\nCPID\t1\n")
	for i := range 100 {
		fmt.Fprintf(c, "AUTH\t%d\tLOGIN\tservice=smtp\n", i)
		readLine(t, r)
	}
	for i := range 100 {
		switch i % 3 {
		case 0:
			fmt.Fprintf(c, "CANCEL\t%d\n", i)
		case 1:
			fmt.Fprintf(c, "CONT\t%d\t!!!\n", i)
			readLine(t, r)
		}
	}
	fmt.Fprintf(c, "CONT\t98\t%s\n", b64("ann@d.test"))
	fmt.Fprintf(c, "CONT\t2\t%s\n", b64("ann@d.test"))
	readLine(t, r)
	readLine(t, r)
	fmt.Fprintf(c, "CONT\t98\t%s\n", b64("secret"))
	if got := readLine(t, r); got != "OK\t98\tuser=ann@d.test" {
		t.Errorf("%q", got)
	}
	s.Down(true)
	fmt.Fprintf(c, "CONT\t2\t%s\n", b64("secret"))
	if got := readLine(t, r); !strings.HasPrefix(got, "FAIL\t2") || !strings.Contains(got, "\ttemp") {
		t.Errorf("%q", got)
	}
}

// TestDovecotEnds: what breaks the protocol ends the connection.
func TestDovecotEnds(t *testing.T) {
	for name, bytes := range map[string]string{
		"version": "VERSION\t2\t0\n", "endless line": strings.Repeat("A", 1<<17), "no id": "AUTH\tx\tPLAIN\n", "short": "AUTH\t1\n",
		"double": "AUTH\t1\tLOGIN\tservice=smtp\nAUTH\t1\tLOGIN\tservice=smtp\n",
	} {
		_, g := fake(t)
		c, r := connect(t, g.dovecot)
		hello(t, r)
		go io.WriteString(c, bytes)
		if _, err := io.ReadAll(r); err != nil && !strings.Contains(err.Error(), "closed pipe") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMaster(t *testing.T) {
	_, g := fake(t)
	c, r := connect(t, g.master)
	readLine(t, r)
	readLine(t, r)
	fmt.Fprint(c, "VERSION\t1\t1\n")
	for _, tc := range []struct{ send, want string }{
		{"USER\t1\tann@d.test\tservice=lmtp", "USER\t1\tann@d.test\tuid=2000\tgid=2001\thome=/home/ann\tmail=maildir:/home/ann/Maildir\tquota_rule=*:bytes=1000:messages=10"},
		{"USER\t2\teve@d.test\tservice=lmtp", "NOTFOUND\t2"},
		{"USER\t3\tann@d.test\tservice=pop3", "NOTFOUND\t3"},
		{"PASS\t4\tann@d.test\tservice=lmtp", "PASS\t4\tuser=ann@d.test"},
		{"LIST\t5\t*", "DONE\t5\tfail"},
	} {
		fmt.Fprint(c, tc.send+"\n")
		if got := readLine(t, r); got != tc.want {
			t.Errorf("%q: %q", tc.send, got)
		}
	}
}

func TestAuthdaemon(t *testing.T) {
	s, g := fake(t)
	m := hmac.New(md5.New, []byte("secret"))
	m.Write([]byte("<1@x>"))
	digest := hex.EncodeToString(m.Sum(nil))
	const user = "UID=2000\nGID=2001\nHOME=/home/ann\nADDRESS=ann@d.test\nNAME=Ann\nMAILDIR=/home/ann/Maildir\nQUOTA=1000S,10C\nOPTIONS=disablepop3=1\n.\n"
	auth := func(data string) string { return fmt.Sprintf("AUTH %d\n%s", len(data), data) }
	for _, tc := range []struct{ name, send, want string }{
		{"who", "TCPREMOTEIP=::1\nPRE . imap ann@d.test\n", user},
		{"nobody", "PRE . imap eve@d.test\n", "FAIL\n"},
		{"right", auth("imap\nlogin\nann@d.test\nsecret\n"), user},
		{"wrong", auth("imap\nlogin\nann@d.test\nother\n"), "FAIL\n"},
		{"off", auth("pop3\nlogin\nann@d.test\nsecret\n"), "FAIL\n"},
		{"other type", auth("imap\ncram-sha1\nx\ny\n"), "FAIL\n"},
		{"bad base64", auth("imap\ncram-md5\n%\n%\n"), "FAIL\n"},
		{"change", "PASSWD imap\tann@d.test\tsecret\tnew\n", "FAIL\n"},
		{"cram", auth("imap\ncram-md5\n" + b64("<1@x>") + "\n" + b64("ann@d.test "+digest) + "\n"), user},
		{"garbage", "GET / HTTP/1.0\n", ""},
		{"long", strings.Repeat("x", 5000) + "\n", ""},
		{"huge", "AUTH 999999999\n", ""},
		{"negative", "AUTH -1\n", ""},
		{"short", auth("imap\nlogin\n"), ""},
	} {
		c, r := connect(t, g.authdaemon)
		go io.WriteString(c, tc.send)
		got := ""
		c.SetDeadline(time.Now().Add(time.Minute))
		for got != tc.want || tc.want == "" {
			line, err := r.ReadString('\n')
			if got += line; err != nil {
				break
			}
		}
		if got != tc.want {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
	s.Down(true)
	c, r := connect(t, g.authdaemon)
	go io.WriteString(c, "PRE . imap ann@d.test\n")
	if b, _ := io.ReadAll(r); len(b) > 0 {
		t.Errorf("while authd is away: %q", b)
	}
}

func FuzzDovecot(f *testing.F) {
	f.Add([]byte("VERSION\t1\t1\nAUTH\t1\tPLAIN\tservice=smtp\tresp=AGEAYg==\n"))
	f.Add([]byte("AUTH\t1\tLOGIN\tservice=x\nCONT\t1\tYQ==\nCANCEL\t1\n"))
	f.Add([]byte("USER\t1\ta\tservice=x\nAUTH 3\nabc"))
	_, g := fake(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, session := range []func(context.Context, net.Conn) error{g.dovecot, g.master, g.authdaemon} {
			c, r := connect(t, session)
			out := make(chan []byte, 1)
			go func() { all, _ := io.ReadAll(r); out <- all }()
			c.Write(b)
			c.Close()
			if got := string(<-out); strings.Contains(got, "\nOK\t") {
				t.Errorf("in with %q", b)
			}
		}
	})
}
