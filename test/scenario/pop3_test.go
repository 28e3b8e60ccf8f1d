package scenario

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// pop3Client is a POP3 client for dialogues.
type pop3Client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dialPOP3(t *testing.T, addr string, wrapped bool) *pop3Client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if wrapped {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	c := &pop3Client{t: t, conn: conn, r: bufio.NewReader(conn)}
	c.expect("+OK ")
	return c
}

func (c *pop3Client) expect(prefix string) string {
	c.t.Helper()
	c.conn.SetDeadline(time.Now().Add(60 * time.Second))
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read: %v after %q, want %s", err, line, prefix)
	}
	line = strings.TrimSuffix(line, "\r\n")
	if !strings.HasPrefix(line, prefix) {
		c.t.Fatalf("got %q, want %s", line, prefix)
	}
	return line
}

func (c *pop3Client) cmd(prefix, format string, args ...any) string {
	c.t.Helper()
	c.raw(fmt.Sprintf(format, args...) + "\r\n")
	return c.expect(prefix)
}

func (c *pop3Client) raw(s string) {
	c.conn.SetDeadline(time.Now().Add(60 * time.Second))
	c.conn.Write([]byte(s))
}

// lines reads the rest of a multi-line reply.
func (c *pop3Client) lines() []string {
	c.t.Helper()
	var all []string
	for {
		line := c.expect("")
		if line == "." {
			return all
		}
		all = append(all, line)
	}
}

func (c *pop3Client) login(user string) {
	c.t.Helper()
	c.cmd("+OK", "USER %s@%s", user, testkit.Domain)
	c.cmd("+OK Logged in.", "PASS secret")
}

func pop3Addr(mail *testkit.Instance, offset int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(mail.Port+offset))
}

// put puts a message file into a user's Maildir.
func put(t *testing.T, mail *testkit.Instance, user, name, text string) {
	t.Helper()
	path := filepath.Join(mail.Maildir(user), "new", name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if uid, gid := testkit.BoxOwner(t); os.Geteuid() == 0 {
		os.Chown(path, uid, gid)
	}
}

// TestPOP3 reads and deletes mail, in clear and with both kinds of TLS.
func TestPOP3(t *testing.T) {
	mail, _ := lmtpInstance(t)
	for i := range 3 {
		put(t, mail, "you", fmt.Sprintf("%d.a.host", 1795200500+i), fmt.Sprintf("Subject: %d\n\n.dot\n", i))
	}
	c := dialPOP3(t, pop3Addr(mail, 5), false)
	c.cmd("+OK", "USER you@example.test")
	c.cmd("-ERR [AUTH] ", "PASS wrong")
	c.login("you")
	c.cmd("+OK 3 60", "STAT")
	c.cmd("+OK", "RETR 2")
	if got := strings.Join(c.lines(), "|"); got != "Subject: 1||..dot" {
		t.Errorf("RETR: %q", got)
	}
	c.cmd("+OK", "UIDL")
	ids := c.lines()
	if len(ids) != 3 || len(ids[0]) != len("1 0000000112345678") || ids[0][:10] != "1 00000001" {
		t.Errorf("UIDL: %q", ids)
	}
	c.cmd("+OK", "DELE 2")
	other := dialPOP3(t, pop3Addr(mail, 5), false)
	other.cmd("+OK", "USER you@example.test")
	other.cmd("-ERR [IN-USE] ", "PASS secret")
	// A connection that is lost deletes nothing.
	c.conn.Close()
	testkit.Wait(t, "the maildrop to be free", func() bool {
		o := dialPOP3(t, pop3Addr(mail, 6), true)
		o.cmd("+OK", "USER you@example.test")
		if line := o.cmd("", "PASS secret"); strings.HasPrefix(line, "-ERR [IN-USE]") {
			return false
		}
		o.cmd("+OK 3 60", "STAT")
		o.cmd("+OK", "UIDL")
		if again := o.lines(); strings.Join(again, " ") != strings.Join(ids, " ") {
			t.Errorf("UIDL was %q, is %q", ids, again)
		}
		o.cmd("+OK Logging out.", "QUIT")
		return true
	})
	// All in one packet, behind STLS.
	s := dialPOP3(t, pop3Addr(mail, 5), false)
	s.cmd("+OK Begin TLS", "STLS")
	s.conn = tls.Client(s.conn, &tls.Config{InsecureSkipVerify: true})
	s.r = bufio.NewReader(s.conn)
	s.raw("USER you@example.test\r\nPASS secret\r\nDELE 1\r\nSTAT\r\nRETR 3\r\nNOOP\r\nQUIT\r\n")
	for _, want := range []string{"+OK", "+OK Logged in.", "+OK Marked to be deleted.", "+OK 2 40", "+OK 20 octets"} {
		s.expect(want)
	}
	if got := len(s.lines()); got != 3 {
		t.Errorf("RETR after TLS: %d lines", got)
	}
	s.expect("+OK")
	s.expect("+OK Logging out, messages deleted.")
	if names := files(t, mail, "you"); len(names) != 2 || strings.Contains(strings.Join(names, " "), "1795200500") {
		t.Errorf("files %q", names)
	}
	mail.WaitLog(t, `pop3-login: Login: user=<you@example\.test>, method=PLAIN, rip=127\.0\.0\.1, lip=127\.0\.0\.1, TLS, session=<[^>]+>`)
	mail.WaitLog(t, `pop3\(you@example\.test\)<[^>]+>: Disconnected: Logged out top=0/0, retr=1/21, del=1/3, size=40`)
}

// files lists a user's inbox.
func files(t *testing.T, mail *testkit.Instance, user string) []string {
	t.Helper()
	var names []string
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(mail.Maildir(user), sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	return names
}
