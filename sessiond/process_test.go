package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient/authtest"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/session"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// house is a sessiond process, with an authd whose users the test decides and
// with the real mailuser.
type house struct {
	t      *testing.T
	socket string
	pid    int
	log    *testkit.Log
	authd  *authtest.Server
	auth   *authclient.Client
	ann    authtest.Account
}

// newHouse starts them. The test plays the login server, whose uid is the test's.
func newHouse(t *testing.T, settings ...string) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "sessiond") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	queue, home := filepath.Join(dir, "q"), filepath.Join(dir, "ann")
	for _, d := range []string{filepath.Join(queue, "private"), filepath.Join(dir, "data"), home} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 12345, 12345
		if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(home, uid, gid)); err != nil {
			t.Fatal(err)
		}
	}
	etc := configDir(t, fmt.Sprintf("queue_directory = %s\ndata_directory = %s/data\nmyhostname = mail.example.test\ndaemon_directory = %s\n"+
		"login_owner = root\nvirtual_minimum_uid = 100\n%s\n", queue, dir, testkit.Bin(t), strings.Join(settings, "\n")))
	h := &house{t: t, socket: filepath.Join(queue, session.Endpoint), log: &testkit.Log{}}
	h.ann = authtest.Account{User: authclient.User{Login: "ann", UID: uid, GID: gid, Home: home}, Password: "secret"}
	h.authd = authtest.New(t, h.ann)
	h.authd.Listen(t, filepath.Join(queue, authclient.Endpoint))
	h.auth = h.authd.Client()
	t.Cleanup(h.auth.Close)
	cmd := exec.Command(filepath.Join(testkit.Bin(t), "sessiond"), "-c", etc, "--listen", h.socket)
	cmd.Stderr = h.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.pid = cmd.Process.Pid
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if log := h.log.String(); strings.Contains(log, "panic") || t.Failed() {
			t.Errorf("log:\n%s", log)
		}
	})
	testkit.Wait(t, "sessiond to listen", func() bool {
		c, err := net.Dial("unix", h.socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return h
}

// ticket logs somebody in.
func (h *house) ticket(login string) string {
	h.t.Helper()
	step, err := h.auth.Plain(context.Background(), authclient.Peer{Service: "imap", RemoteIP: "192.0.2.1", TLS: true}, login, "secret")
	if err != nil || step.Ticket == "" {
		h.t.Fatalf("log %s in: %+v, %v", login, step, err)
	}
	return step.Ticket
}

// open brings a session from an address and returns the client's end, or why it
// was refused.
func (h *house) open(ticket, ip string) (*net.UnixConn, error) {
	h.t.Helper()
	c := session.NewClient(h.socket)
	defer c.Close()
	ends := pair(h.t)
	err := c.HandOver(context.Background(), ticket, start("imap", ip), ends[1])
	ends[1].Close()
	return ends[0], err
}

// works holds that somebody who logs in gets a session.
func (h *house) works(ip string) *net.UnixConn {
	h.t.Helper()
	conn, err := h.open(h.ticket("ann"), ip)
	if err != nil {
		h.t.Fatalf("a session of ann: %v", err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "a1 OK ") {
		h.t.Fatalf("the session says %q, %v", line, err)
	}
	return conn
}

// refused holds that a session is refused with a code, and that the reason is in
// the log. The client hears from the login server, which still has it.
func (h *house) refused(what, ticket, ip, code, logged string) {
	h.t.Helper()
	conn, err := h.open(ticket, ip)
	var refusal *session.Refusal
	if !errors.As(err, &refusal) || refusal.Code != code {
		h.t.Errorf("%s: %v", what, err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		h.t.Errorf("%s: the client got %d bytes, %v", what, n, err)
	}
	testkit.Wait(h.t, what+": "+logged, func() bool { return strings.Contains(h.log.String(), logged) })
}

// TestTickets: a ticket counts once and only if authd made it out; a user that
// vanished in between has no session, and neither has one without rights.
func TestTickets(t *testing.T) {
	h := newHouse(t)
	spent := h.ticket("ann")
	if _, err := h.open(spent, "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	const notGood = "a login server sent a ticket that does not count"
	h.refused("a ticket for the second time", spent, "192.0.2.1", "UNAVAILABLE", "imap: rip=192.0.2.1, session=<abc>: "+notGood)
	h.refused("a made-up ticket", strings.Repeat("ab", 32), "192.0.2.3", "UNAVAILABLE", "rip=192.0.2.3, session=<abc>: "+notGood)
	h.refused("no ticket", "", "192.0.2.4", "UNAVAILABLE", "rip=192.0.2.4, session=<abc>: "+notGood)
	h.refused("a login for a ticket", "ann", "192.0.2.5", "UNAVAILABLE", "rip=192.0.2.5, session=<abc>: "+notGood)

	lost := h.ticket("ann")
	h.authd.Set()
	h.refused("a user that vanished", lost, "192.0.2.6", "UNAVAILABLE", "rip=192.0.2.6, session=<abc>: "+notGood)
	h.authd.Set(h.ann)

	waiting := h.ticket("ann")
	h.authd.Down(true)
	h.refused("a ticket while authd is down", waiting, "192.0.2.7", "UNAVAILABLE", "authentication service is temporarily unavailable")
	h.authd.Down(false)

	low := h.ann
	low.UID = 99
	h.authd.Set(low)
	h.refused("a user with a low uid", h.ticket("ann"), "192.0.2.8", "UNAVAILABLE", "imap(ann)<abc>: uid 99 or gid ")
	h.authd.Set(h.ann)
	h.works("192.0.2.1")
}

// TestGarbage: what a captured login server may send ends its connection and
// nothing else, and leaves no descriptor behind.
func TestGarbage(t *testing.T) {
	h := newHouse(t)
	h.works("192.0.2.1").Close()
	noise := make([]byte, 64<<10)
	rand.Read(noise)
	named := start("imap", "192.0.2.1")
	named.User = &h.ann.User
	list := func(l ipc.List) func(c *net.UnixConn) {
		return func(c *net.UnixConn) {
			ends := pair(t)
			ipc.NewConn(c).WriteFileList(ends[0], l)
		}
	}
	raw := func(text string) func(c *net.UnixConn) { return func(c *net.UnixConn) { c.Write([]byte(text)) } }
	ticket := h.ticket("ann")
	request := start("imap", "192.0.2.1").Attributes(ipc.List{}.Str("ticket", ticket))
	for name, send := range map[string]func(c *net.UnixConn){
		"nothing":       raw(""),
		"HTTP":          raw("GET / HTTP/1.0\r\n\r\n"),
		"noise":         raw(string(noise)),
		"zeros":         raw(string(make([]byte, 64<<10))),
		"endless name":  raw(strings.Repeat("x", 4<<20)),
		"no descriptor": func(c *net.UnixConn) { ipc.NewConn(c).Send(request) },
		"a user":        list(named.Attributes(ipc.List{}.Str("ticket", ticket))),
		"no session":    list(ipc.List{}.Str("ticket", ticket)),
		"a bad port":    list(ipc.List{}.Str("ticket", ticket).Str("service", "imap").Str("rport", "99999").Str("lport", "1")),
		"many files": func(c *net.UnixConn) {
			ends := pair(t)
			f, err := ends[0].File()
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			var fds []int
			for range 100 {
				fds = append(fds, int(f.Fd()))
			}
			c.WriteMsgUnix([]byte("x\x00"), syscall.UnixRights(fds...), nil)
		},
	} {
		conn, err := net.Dial("unix", h.socket)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c := conn.(*net.UnixConn)
		c.SetDeadline(time.Now().Add(time.Minute))
		send(c)
		c.CloseWrite()
		// Whatever comes, it is an end and not a session.
		n, err := c.Read(make([]byte, 100))
		if n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: got %d bytes, %v", name, n, err)
		}
		c.Close()
	}
	// The ticket of those requests was not looked at.
	if _, err := h.open(ticket, "192.0.2.1"); err != nil {
		t.Errorf("a good request with the same ticket: %v", err)
	}
	h.descriptors(func() {
		for n := range 30 {
			h.refused("refused", "none", fmt.Sprintf("192.0.2.%d", n), "UNAVAILABLE", "does not count")
			conn, err := net.Dial("unix", h.socket)
			if err != nil {
				t.Fatal(err)
			}
			list(ipc.List{}.Str("ticket", "none"))(conn.(*net.UnixConn))
			conn.Close()
		}
	})
}

// descriptors holds that sessiond has no more of them after do than before.
func (h *house) descriptors(do func()) {
	h.t.Helper()
	count := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.pid))
		if err != nil {
			h.t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	do()
	testkit.Wait(h.t, "sessiond to close what it got", func() bool { return count() <= before+2 }) // authd comes and goes
}

// TestLimits: a user may have so many sessions from an address, and a process so
// many in all. What ends makes room.
func TestLimits(t *testing.T) {
	h := newHouse(t, "mail_max_userip_connections = 2", "client_limit = 10")
	one := h.works("192.0.2.1")
	h.works("192.0.2.1")
	h.refused("a third session", h.ticket("ann"), "192.0.2.1", "LIMIT", "imap(ann)<abc>: Maximum number of connections from user+IP exceeded (mail_max_userip_connections=2)")
	one.Close()
	// again waits until there is room.
	again := func(what, ip, code string) {
		t.Helper()
		testkit.Wait(t, what, func() bool {
			_, err := h.open(h.ticket("ann"), ip)
			var refusal *session.Refusal
			if err != nil && (!errors.As(err, &refusal) || refusal.Code != code) {
				t.Fatalf("%s: %v", what, err)
			}
			return err == nil
		})
	}
	again("room after one of two sessions ended", "192.0.2.1", "LIMIT")

	var last *net.UnixConn
	for n := 0; ; n++ {
		conn, err := h.open(h.ticket("ann"), fmt.Sprintf("192.0.2.%d", 10+n))
		if err != nil {
			var refusal *session.Refusal
			if !errors.As(err, &refusal) || refusal.Code != "UNAVAILABLE" {
				t.Errorf("session %d: %v", n+1, err)
			}
			break
		}
		if last = conn; n > 10 {
			t.Fatal("client_limit does not count")
		}
	}
	testkit.Wait(t, "the reason", func() bool {
		return strings.Contains(h.log.String(), "imap(ann)<abc>: too many sessions in this process (client_limit)")
	})
	last.Close()
	again("room after one of all sessions ended", "192.0.2.100", "UNAVAILABLE")
}

// TestNoWorker: when mailuser does not start, the login server hears of it.
func TestNoWorker(t *testing.T) {
	h := newHouse(t, "daemon_directory = /nonexistent")
	h.refused("a session without mailuser", h.ticket("ann"), "192.0.2.1", "UNAVAILABLE", "imap(ann)<abc>: ")
}
