// Package attack has the attacks of the security catalogue as tests: each
// against a whole mail system, with real processes and their real rights.
//
// docs/security.md says which row of the catalogue is which test here or
// elsewhere, and what is not defended.
package attack

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/dns/dnstest"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// stranger is a client address that is in no network of ours.
const stranger = "127.0.0.2"

// TestMain: programs that tests start are this binary again, with a role in
// the environment.
func TestMain(m *testing.M) {
	if role := os.Getenv("POSTHOUSE_TEST_ROLE"); role != "" {
		os.Exit(playRole(role, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// site makes an instance that relays for 127.0.0.1 only and does not slow its
// clients down.
func site(t *testing.T, settings ...string) *testkit.Instance {
	t.Helper()
	mail := testkit.New(t)
	mail.Set(t, "mynetworks = 127.0.0.1/32", "smtpd_error_sleep_time = 0", "smtpd_hard_error_limit = 100000",
		"smtpd_junk_command_limit = 100000", "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination",
		"smtp_tls_security_level = none", "smtpd_client_connection_count_limit = 0", "disable_dns_lookups = no")
	mail.Set(t, settings...)
	// Names come from us and not from the network of the machine.
	zone := dnstest.Start(t, "")
	zone.WriteResolvConf(t, mail.Etc(""))
	mail.Write(t, "hosts", "127.0.0.1 localhost\n"+stranger+" stranger.test\n")
	return mail
}

// client says exactly what it is told, and reads replies without opinion.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// dialFrom connects from an address and reads the greeting.
func dialFrom(t testing.TB, addr, from string) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Minute}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &client{t: t, conn: conn, r: bufio.NewReader(conn)}
	c.want("220", c.reply())
	return c
}

// hello connects and says EHLO.
func hello(t testing.TB, addr, from string) *client {
	t.Helper()
	c := dialFrom(t, addr, from)
	c.want("250", c.ask("EHLO client.test"))
	return c
}

func (c *client) want(code, reply string) {
	c.t.Helper()
	if !strings.HasPrefix(reply, code) {
		c.t.Fatalf("got %q, want %s", reply, code)
	}
}

// say sends bytes. A server that hung up shows in the next reply.
func (c *client) say(text string) {
	c.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	c.conn.Write([]byte(text))
}

// reply reads one reply of any number of lines; "" when the connection ended.
func (c *client) reply() string {
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	var all strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return all.String()
		}
		all.WriteString(line)
		if len(line) < 4 || line[3] != '-' {
			return all.String()
		}
	}
}

// ask sends a line and returns the reply.
func (c *client) ask(format string, args ...any) string {
	c.say(fmt.Sprintf(format, args...) + "\r\n")
	return c.reply()
}

// must is ask with an expectation.
func (c *client) must(code, format string, args ...any) string {
	c.t.Helper()
	reply := c.ask(format, args...)
	c.want(code, reply)
	return reply
}

// data starts a message and sends its content as it is, with no end.
func (c *client) data(from, to, content string) string {
	c.t.Helper()
	c.must("250", "MAIL FROM:<%s>", from)
	c.must("250", "RCPT TO:<%s>", to)
	c.must("354", "DATA")
	c.say(content)
	return c.reply()
}

// send sends a message of lines that need no dot stuffing and returns its
// queue id.
func (c *client) send(from, to, text string) string {
	c.t.Helper()
	return queueID(c.t, c.data(from, to, strings.ReplaceAll(text, "\n", "\r\n")+"\r\n.\r\n"))
}

func queueID(t testing.TB, reply string) string {
	t.Helper()
	id, ok := strings.CutPrefix(strings.TrimSpace(reply), "250 2.0.0 Ok: queued as ")
	if !ok {
		t.Fatalf("not queued: %q", reply)
	}
	return id
}

// startTLS continues with TLS.
func (c *client) startTLS() {
	c.t.Helper()
	c.must("220", "STARTTLS")
	c.handshake()
}

func (c *client) handshake() {
	c.t.Helper()
	// The certificate is the instance's own and proves nothing here.
	conn := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	conn.SetDeadline(time.Now().Add(time.Minute))
	if err := conn.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	c.conn, c.r = conn, bufio.NewReader(conn)
}

// readFile returns a file's content.
func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// waitRemoved waits until a message left the queue.
func waitRemoved(t testing.TB, mail *testkit.Instance, id string) {
	t.Helper()
	mail.WaitLog(t, `qmgr\[\d+\]: `+id+": removed")
}

// pidsOf returns the processes of an instance by program name. A child with
// master's name is on the way to become another program.
func pidsOf(t testing.TB, mail *testkit.Instance) map[string][]int {
	t.Helper()
	text := readFile(t, mail.Spool("pid/master.pid"))
	master, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string][]int{"master": {master}}
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, d := range dirs {
		stat, err := os.ReadFile(d)
		if err != nil {
			continue
		}
		open, shut := strings.IndexByte(string(stat), '('), strings.LastIndexByte(string(stat), ')')
		rest := strings.Fields(string(stat[shut+1:]))
		if ppid, _ := strconv.Atoi(rest[1]); ppid != master || rest[0] == "Z" {
			continue
		}
		pid, _ := strconv.Atoi(strings.TrimSpace(string(stat[:open])))
		name := string(stat[open+1 : shut])
		if name == "master" {
			continue
		}
		list[name] = append(list[name], pid)
	}
	return list
}

// alive checks that nothing panicked or died, and that mail still flows.
func alive(t *testing.T, mail *testkit.Instance) {
	t.Helper()
	log := mail.Log()
	for _, bad := range []string{"panic", "killed by signal", "exit status 2", "fatal error"} {
		if strings.Contains(log, bad) {
			t.Errorf("the log has %q", bad)
		}
	}
	before := len(mail.Mailbox(t, "you"))
	hello(t, mail.Addr(), stranger).send("a@remote.test", "you@example.test", "Subject: still there\n\nx")
	mail.WaitMailbox(t, "you", before+1)
}

// privateBin copies the programs into a directory of the instance, with the
// set-group-id bits, and adds others. It must run before the start.
func privateBin(t *testing.T, mail *testkit.Instance) string {
	t.Helper()
	testkit.NeedRoot(t)
	bin := filepath.Join(mail.Dir, "bin")
	if out, err := exec.Command("cp", "-a", testkit.Bin(t), bin).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	os.Chmod(bin, 0o755)
	mail.Set(t, "daemon_directory = "+bin, "command_directory = "+bin)
	mail.Must(t, "posthouse", "set-permissions")
	return bin
}

// dialRaw connects from an address and reads nothing.
func dialRaw(addr, from string) (*client, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Minute}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, r: bufio.NewReader(conn)}, nil
}
