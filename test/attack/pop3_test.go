package attack

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// popSite is an instance with users a and b and a maildrop of n messages.
func popSite(t *testing.T, n int, settings ...string) (mail *testkit.Instance, addr string) {
	t.Helper()
	mail = testkit.New(t, testkit.Users("a", "b"))
	mail.Set(t, append([]string{"auth_failure_delay = 0", "mail_max_userip_connections = 0"}, settings...)...)
	mail.UserDB(t, "secret", []string{"a", "b"})
	uid, gid := testkit.BoxOwner(t)
	for i := range n {
		path := filepath.Join(mail.Maildir("a"), "new", fmt.Sprintf("%d.M%d.host", 1700000000+i, i))
		if err := os.WriteFile(path, []byte("Subject: x\n\n"+strings.Repeat("x\n", 500)), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chown(path, uid, gid)
	}
	mail.Start(t)
	return mail, net.JoinHostPort("127.0.0.1", strconv.Itoa(mail.Port+5))
}

func popDial(t *testing.T, from, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	d := net.Dialer{Timeout: time.Minute, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	return conn, bufio.NewReader(conn)
}

func popLine(t *testing.T, r *bufio.Reader, want string) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, want) {
		t.Fatalf("got %q, %v, want %s", line, err, want)
	}
	return line
}

func popLogin(t *testing.T, addr, user string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, r := popDial(t, "127.0.0.1", addr)
	fmt.Fprintf(conn, "USER %s@%s\r\nPASS secret\r\n", user, testkit.Domain)
	popLine(t, r, "+OK")
	popLine(t, r, "+OK")
	popLine(t, r, "+OK Logged in.")
	return conn, r
}

// pidOf finds a process below master by its name.
func pidOf(t *testing.T, mail *testkit.Instance, name string) int {
	t.Helper()
	found := 0
	testkit.Wait(t, "process "+name, func() bool {
		parents := map[int]int{}
		dirs, _ := filepath.Glob("/proc/[0-9]*/status")
		var candidates []int
		for _, d := range dirs {
			text, err := os.ReadFile(d)
			if err != nil {
				continue
			}
			var n string
			var pid, ppid int
			for line := range strings.Lines(string(text)) {
				fmt.Sscanf(line, "Name: %s", &n)
				fmt.Sscanf(line, "Pid: %d", &pid)
				fmt.Sscanf(line, "PPid: %d", &ppid)
			}
			parents[pid] = ppid
			if n == name {
				candidates = append(candidates, pid)
			}
		}
		for _, pid := range candidates {
			for up := pid; up > 1; up = parents[up] {
				if up == mail.PID() {
					found = pid
					return true
				}
			}
		}
		return false
	})
	return found
}

// TestPOP3Floods: a client that asks for more than it reads is slowed down and
// costs no memory, before and after its login; others are served meanwhile (PO1,
// RS1, RS4).
func TestPOP3Floods(t *testing.T) {
	testkit.NeedRoot(t)
	mail, addr := popSite(t, 200)
	greedy, _ := popLogin(t, addr, "a")
	worker, front := pidOf(t, mail, "mailuser"), pidOf(t, mail, "pop3d")
	before, frontBefore := memory(t, worker), memory(t, front)
	// 20,000 listings and messages, 60 MB, of which none is read.
	greedy.SetWriteDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(greedy, strings.Repeat("LIST\r\nRETR 1\r\n", 10000))
	// Lines without end, before the login.
	for range 20 {
		conn, _ := popDial(t, "127.0.0.1", addr)
		conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
		io.WriteString(conn, "USER "+strings.Repeat("x", 1<<20))
	}
	// Connections that say nothing.
	for range 200 {
		popDial(t, "127.0.0.1", addr)
	}
	conn, r := popLogin(t, addr, "b")
	fmt.Fprint(conn, "STAT\r\nQUIT\r\n")
	popLine(t, r, "+OK 0 0")
	if grown := memory(t, worker) - before; grown > 32<<10 {
		t.Errorf("the worker has grown by %d KiB", grown)
	}
	if grown := memory(t, front) - frontBefore; grown > 32<<10 {
		t.Errorf("pop3d has grown by %d KiB", grown)
	}
}

// TestPOP3Killed: whatever process is killed, no message is lost, and the
// service is there again.
func TestPOP3Killed(t *testing.T) {
	testkit.NeedRoot(t)
	mail, addr := popSite(t, 3)
	uids := ""
	for _, name := range []string{"mailuser", "sessiond", "pop3d", "authd"} {
		conn, r := popLogin(t, addr, "a")
		fmt.Fprint(conn, "DELE 1\r\nUIDL\r\n")
		popLine(t, r, "+OK Marked")
		popLine(t, r, "+OK")
		syscall.Kill(pidOf(t, mail, name), syscall.SIGKILL)
		if name != "authd" && name != "pop3d" {
			// The session is over without a word, and has deleted nothing.
			for {
				if _, err := r.ReadString('\n'); err != nil {
					break
				}
			}
		}
		conn.Close()
		testkit.Wait(t, "service after the end of "+name, func() bool {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return false
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(30 * time.Second))
			fmt.Fprintf(c, "USER a@%s\r\nPASS secret\r\nUIDL\r\nQUIT\r\n", testkit.Domain)
			out, _ := io.ReadAll(c)
			_, list, ok := strings.Cut(string(out), "Logged in.\r\n")
			if !ok {
				return false
			}
			if uids == "" {
				uids = list
			}
			if list != uids || strings.Count(list, "\n") != 6 {
				t.Errorf("after the end of %s: %q, was %q", name, list, uids)
			}
			return true
		})
	}
}

// TestPOP3LogInjection: what a client says cannot have another address banned
// by fail2ban's own filter for Dovecot, and its own is found (2.8).
func TestPOP3LogInjection(t *testing.T) {
	testkit.NeedTool(t, "fail2ban-regex")
	mail, addr := popSite(t, 0, "disable_plaintext_auth = no", "auth_cleartext_networks = 127.0.0.0/8", "login_hard_error_limit = 100")
	for _, bait := range append(baits(), "x>, method=PLAIN, rip=192.0.2.99, lip=1.2.3.4, session=<x",
		"x\rdovecot: pop3-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<x>, method=PLAIN, rip=192.0.2.99, lip=1.1.1.1") {
		conn, r := popDial(t, stranger, addr)
		fmt.Fprintf(conn, "USER %s\r\nPASS %s\r\nAUTH %s\r\nAPOP %s x\r\nSTLS %s\r\n%s\r\nQUIT\r\n", bait, bait, bait, bait, bait, bait)
		io.Copy(io.Discard, r)
	}
	conn, r := popDial(t, stranger, addr)
	fmt.Fprint(conn, "USER a@example.test\r\nPASS wrong\r\nQUIT\r\n")
	io.Copy(io.Discard, r)
	mail.WaitLog(t, `dovecot\[\d+\]: pop3-login: Disconnected \(auth failed, 1 attempts in \d+ secs\): user=<a@example\.test>, method=PLAIN, rip=127\.0\.0\.2, `)
	log := filepath.Join(mail.Dir, "log", "mail.log")
	for _, mode := range []string{"normal", "aggressive"} {
		out, err := exec.Command("fail2ban-regex", "-v", "--print-all-matched", log, "dovecot[mode="+mode+"]").CombinedOutput()
		if err != nil {
			t.Fatalf("fail2ban-regex: %v\n%s", err, out)
		}
		found := map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^\|\s+([0-9.]+|\S+)\s+\w{3} \w{3}`).FindAllStringSubmatch(string(out), -1) {
			found[m[1]] = true
		}
		if found["192.0.2.99"] || !found[stranger] {
			t.Errorf("mode %s: would ban %v\n%.3000s", mode, found, out)
		}
	}
}
