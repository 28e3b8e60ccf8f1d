package scenario

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// imapClient is an IMAP client for dialogues.
type imapClient struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	n    int
}

func dialIMAP(t *testing.T, mail *testkit.Instance, wrapped bool) *imapClient {
	t.Helper()
	offset := 3
	if wrapped {
		offset = 4
	}
	conn, err := net.DialTimeout("tcp", pop3Addr(mail, offset), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if wrapped {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	c := &imapClient{t: t, conn: conn, r: bufio.NewReader(conn)}
	if line := c.line(); !strings.HasPrefix(line, "* OK [CAPABILITY IMAP4rev1 ") {
		t.Fatalf("greeting %q", line)
	}
	return c
}

func (c *imapClient) line() string {
	c.t.Helper()
	c.conn.SetDeadline(time.Now().Add(60 * time.Second))
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read: %v after %q", err, line)
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (c *imapClient) raw(s string) {
	c.conn.SetDeadline(time.Now().Add(60 * time.Second))
	c.conn.Write([]byte(s))
}

// until reads to the tagged line and returns all lines.
func (c *imapClient) until(tag string) []string {
	c.t.Helper()
	var all []string
	for {
		line := c.line()
		all = append(all, line)
		if strings.HasPrefix(line, tag+" ") {
			return all
		}
	}
}

// cmd sends a command and returns its lines; the tagged one must begin with
// want.
func (c *imapClient) cmd(want, format string, args ...any) string {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("t%d", c.n)
	c.raw(tag + " " + fmt.Sprintf(format, args...) + "\r\n")
	all := c.until(tag)
	if last := strings.TrimPrefix(all[len(all)-1], tag+" "); !strings.HasPrefix(last, want) {
		c.t.Fatalf("%s: got %q, want %s", fmt.Sprintf(format, args...), last, want)
	}
	return strings.Join(all, "\n")
}

func (c *imapClient) login(user string) {
	c.t.Helper()
	c.cmd("OK [CAPABILITY ", "LOGIN %s@%s secret", user, testkit.Domain)
}

func imapInstance(t *testing.T, names ...string) *testkit.Instance {
	t.Helper()
	mail := testkit.New(t, testkit.Users(names...))
	mail.UserDB(t, "secret", names)
	mail.Start(t)
	return mail
}

// TestIMAPLogin logs in in all ways, with commands behind the login in the
// same packet.
func TestIMAPLogin(t *testing.T) {
	mail := imapInstance(t, "you")
	put(t, mail, "you", "1795200500.a.host", "Subject: one\n\ntext\n")
	c := dialIMAP(t, mail, false)
	c.cmd("NO [AUTHENTICATIONFAILED]", "LOGIN you@example.test wrong")
	c.cmd("BAD", "SELECT INBOX")
	c.raw("a LOGIN {16+}\r\nyou@example.test {6+}\r\nsecret\r\nb SELECT INBOX\r\nc FETCH 1 RFC822.SIZE\r\nd LOGOUT\r\n")
	if got := strings.Join(c.until("d"), "\n"); !strings.Contains(got, "* 1 FETCH (RFC822.SIZE 22)\nc OK") {
		t.Errorf("pipelined behind LOGIN: %s", got)
	}
	c = dialIMAP(t, mail, false)
	c.cmd("OK Begin TLS", "STARTTLS")
	c.conn = tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	c.r = bufio.NewReader(c.conn)
	c.cmd("OK", "CAPABILITY")
	// "\0you@example.test\0secret"
	c.raw("a AUTHENTICATE PLAIN AHlvdUBleGFtcGxlLnRlc3QAc2VjcmV0\r\nb SELECT INBOX\r\nc UNAUTHENTICATE\r\nd CAPABILITY\r\n")
	if got := strings.Join(c.until("d"), "\n"); !strings.Contains(got, "\na OK ") && !strings.HasPrefix(got, "a OK ") || !strings.Contains(got, "AUTH=") {
		t.Errorf("unauthenticated: %s", got)
	}
	c.login("you")
	c.cmd("OK", "EXAMINE INBOX")
	c = dialIMAP(t, mail, true)
	c.raw("a AUTHENTICATE LOGIN\r\n")
	c.line()
	c.raw("eW91QGV4YW1wbGUudGVzdA==\r\n")
	c.line()
	c.raw("c2VjcmV0\r\n")
	c.until("a")
	c.cmd("OK", "SELECT INBOX")
	mail.WaitLog(t, `imap-login: Login: user=<you@example\.test>, method=PLAIN, rip=127\.0\.0\.1, lip=127\.0\.0\.1, secured, session=<[^>]+>`)
	c2 := dialIMAP(t, mail, false)
	c2.cmd("NO", "LOGIN you@example.test wrong")
	c2.conn.Close()
	mail.WaitLog(t, `imap-login: Disconnected \(auth failed, 1 attempts in \d+ secs\): user=<you@example\.test>, method=PLAIN, rip=127\.0\.0\.1, lip=`)
}

// TestStarttlsInjection: what was sent in clear behind STARTTLS is not taken
// for the client's own.
func TestIMAPStarttlsInjection(t *testing.T) {
	mail := imapInstance(t, "you")
	c := dialIMAP(t, mail, false)
	c.raw("a STARTTLS\r\nb LOGIN you@example.test secret\r\n")
	if line := c.line(); !strings.HasPrefix(line, "a BAD") {
		t.Fatalf("got %q", line)
	}
	if _, err := c.r.ReadByte(); err == nil {
		t.Error("the connection goes on")
	}
}

// TestIMAPIdle: mail that arrives reaches a client in IDLE.
func TestIMAPIdle(t *testing.T) {
	mail := imapInstance(t, "you")
	c := dialIMAP(t, mail, true)
	c.login("you")
	c.cmd("OK", "SELECT INBOX")
	c.raw("i IDLE\r\n")
	if line := c.line(); line != "+ idling" {
		t.Fatal(line)
	}
	mail.Send(t, "Subject: hello\n\ntext\n", "you@example.test")
	if line := c.line(); line != "* 1 EXISTS" {
		t.Fatal(line)
	}
	c.line()
	c.raw("DONE\r\n")
	c.until("i")
	if os.Geteuid() == 0 {
		c.cmd("OK", "LOGOUT")
	}
}

// TestIMAPReload: a reload ends no session, and a stop says goodbye.
func TestIMAPReload(t *testing.T) {
	mail := imapInstance(t, "you")
	c := dialIMAP(t, mail, false)
	c.login("you")
	c.cmd("OK", "SELECT INBOX")
	mail.Must(t, "posthouse", "reload")
	mail.WaitLog(t, `reload`)
	d := dialIMAP(t, mail, false)
	d.login("you")
	c.cmd("OK", "NOOP")
	d.cmd("OK", "SELECT INBOX")
	mail.Stop(t)
	if line := c.line(); !strings.HasPrefix(line, "* BYE") {
		t.Errorf("got %q", line)
	}
}
