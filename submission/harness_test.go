package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient/authtest"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// house is a submission agent whose neighbours are made of a few lines each.
// The agent itself is the real one, from the first byte of a client on.
type house struct {
	t     testing.TB
	env   *service.Env
	hooks *service.Hooks
	auth  *authtest.Server
	log   *testkit.Log

	mu       sync.Mutex
	messages []queued
	verdict  ipc.List              // anvil's answer to all that is spent
	spent    []ipc.List            // what anvil was asked
	count    int                   // connections that anvil has counted
	rewrite  func(a string) string // trivial-rewrite; "" is a failure
	opened   int                   // queue files that cleanup was asked for
	dropped  int                   // those of them whose message never came to its end
	full     bool                  // cleanup has no room for a queue file
}

// queued is a message that cleanup got.
type queued struct {
	sender     string
	recipients []string
	attrs      map[string]string
	lines      []string
}

var joe = authtest.Account{Password: "secret", User: authclient.User{
	Login: "joe@here.test", Aliases: []string{"joseph@here.test"}, SendAs: []string{"sales@here.test", "@joe.test"}, Name: "Joe Doe"}}

// newHouse makes a queue directory and moves into it.
func newHouse(t testing.TB, settings ...string) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "submission") // of a name short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"private", "public", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := "compatibility_level = 3.6\nmail_owner = " + u.Username + "\nqueue_directory = " + dir + "\ndata_directory = " + dir +
		"\nmyhostname = mail.here.test\nmydomain = here.test\nmyorigin = here.test\ninet_protocols = ipv4\n" +
		"smtpd_peername_lookup = no\nsmtpd_error_sleep_time = 0\nlocal_recipient_maps =\nsubmission_tls_security_level = none\n" +
		"submission_tls_auth_only = no\nsubmission_signers =\nsmtpd_reject_unlisted_recipient = no\n" + strings.Join(settings, "\n") + "\n"
	for name, text := range map[string]string{"main.cf": text, "resolv.conf": "nameserver 127.0.0.1\n"} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Where the go command looks for inputs that once failed.
	if wd, err := os.Getwd(); err == nil {
		if err := os.Symlink(filepath.Join(wd, "testdata"), filepath.Join(dir, "testdata")); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	cfg, err := config.Load(filepath.Join(dir, "etc"), config.WithService("submission", "submission"))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, log: &testkit.Log{}, verdict: ipc.List{}.Int("status", 0), rewrite: atHere}
	h.auth = authtest.New(t, joe)
	h.auth.Listen(t, "private/authd")
	h.serve("public/cleanup", h.cleanup)
	h.serve("private/anvil", h.answers(h.anvil))
	h.serve("private/rewrite", h.answers(h.trivialRewrite))
	h.env = &service.Env{Config: cfg, Log: maillog.NewWriter(h.log, "submission"), Service: "submission", Program: "submission", QueueDir: dir}
	h.hooks, err = prepare(h.env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	if err := h.hooks.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) serve(path string, fn func(c *ipc.Conn)) {
	h.t.Helper()
	testkit.Serve(h.t, "unix", path, func(conn net.Conn) { fn(ipc.NewConn(conn)) })
}

// answers makes a server of a function.
func (h *house) answers(fn func(ipc.List) ipc.List) func(*ipc.Conn) {
	return func(c *ipc.Conn) {
		for {
			req, err := c.Receive()
			if err != nil {
				return
			}
			h.mu.Lock()
			reply := fn(req)
			h.mu.Unlock()
			if reply == nil || c.Send(reply) != nil {
				return
			}
		}
	}
}

func (h *house) anvil(req ipc.List) ipc.List {
	if req.Value("request") == "spend" {
		h.spent = append(h.spent, req)
		return h.verdict
	}
	return ipc.List{}.Int("status", 0).Int("count", int64(h.count)).Int("rate", 1)
}

// atHere completes an address as trivial-rewrite does, roughly.
func atHere(a string) string {
	switch {
	case !strings.Contains(a, "@"):
		return a + "@here.test"
	case !strings.Contains(a[strings.LastIndexByte(a, '@'):], "."):
		return a + ".here.test"
	}
	return a
}

func (h *house) trivialRewrite(req ipc.List) ipc.List {
	out := h.rewrite(req.Value("address"))
	if out == "" {
		return nil
	}
	return ipc.List{}.Int("status", 0).Str("address", out).Str("recipient", out).Str("transport", "smtp").
		Int("flags", int64(rewrite.ClassDefault))
}

// cleanup keeps the messages that come to their end.
func (h *house) cleanup(c *ipc.Conn) {
	for {
		_, err := c.Receive()
		if err == nil {
			id, reason := "ABCDEF1", ""
			h.set(func() {
				if h.opened++; h.full {
					id, reason = "", "disk full"
				}
			})
			err = c.Send(ipc.List{}.Str("queue_id", id).Str("reason", reason))
		}
		if err != nil {
			return
		}
		q := queued{attrs: map[string]string{}}
		records, long, content := queue.NewRecordReader(c.Reader()), "", false
		for done := false; !done; {
			rec, err := records.Next()
			if err != nil {
				h.set(func() { h.dropped++ })
				return
			}
			switch data := string(rec.Data); rec.Type {
			case queue.RecFrom:
				q.sender = data
			case queue.RecRcpt:
				q.recipients = append(q.recipients, data)
			case queue.RecAttr:
				name, value, _ := strings.Cut(data, "=")
				q.attrs[name] = value
			case queue.RecMesg:
				content = true
			case queue.RecCont: // which is RecFilt in front of the content
				if content {
					long += data
				} else {
					q.attrs["filter"] = data
				}
			case queue.RecNorm:
				q.lines, long = append(q.lines, long+data), ""
			case queue.RecEnd:
				done = true
			}
		}
		h.mu.Lock()
		h.messages = append(h.messages, q)
		h.mu.Unlock()
		if c.Send(ipc.List{}.Int("status", 0).Str("reason", "")) != nil {
			return
		}
	}
}

// queue returns what was queued since the last time.
func (h *house) queue() []queued {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.messages
	h.messages = nil
	return list
}

// files returns how many queue files were asked for, and how many given up.
func (h *house) files() (opened, dropped int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.opened, h.dropped
}

// set changes the neighbours.
func (h *house) set(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fn()
}

// client is an SMTP client without opinions.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *textproto.Reader
}

// dial starts a session.
func (h *house) dial() *client {
	h.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_ = h.hooks.Session(context.Background(), conn)
			conn.Close()
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	c := &client{h.t, conn, textproto.NewReader(bufio.NewReader(conn))}
	c.want("220", c.reply())
	c.want("250", c.cmd("EHLO c.test"))
	return c
}

// login starts a session of a user.
func (h *house) login(a authtest.Account) *client {
	h.t.Helper()
	c := h.dial()
	c.want("235", c.cmd("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+a.Login+"\x00"+a.Password))))
	return c
}

func (c *client) reply() string {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	code, text, err := c.r.ReadResponse(0)
	if err != nil && code == 0 {
		c.t.Fatalf("no reply: %v", err)
	}
	return fmt.Sprintf("%d %s", code, text)
}

func (c *client) cmd(line string) string {
	c.t.Helper()
	fmt.Fprintf(c.conn, "%s\r\n", line)
	return c.reply()
}

func (c *client) want(prefix, got string) {
	c.t.Helper()
	if !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("got %q, want %q", got, prefix)
	}
}

// begin goes up to DATA.
func (c *client) begin(from string) {
	c.t.Helper()
	c.want("250", c.cmd("MAIL FROM:<"+from+">"))
	c.want("250", c.cmd("RCPT TO:<you@there.test>"))
	c.want("354", c.cmd("DATA"))
}

// send sends a message, lines ended by LF, and returns the reply to it.
func (c *client) send(from, message string) string {
	c.t.Helper()
	c.begin(from)
	w := textproto.NewWriter(bufio.NewWriter(c.conn)).DotWriter()
	w.Write([]byte(message))
	w.Close()
	return c.reply()
}
