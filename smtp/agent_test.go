package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/dns/dnstest"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// harness is an agent in a queue directory of its own, with a name server and
// a bounce daemon that says yes.
type harness struct {
	t     *testing.T
	dns   *dnstest.Server
	agent *agent
	log   *testkit.Log
	q     *queue.Queue
}

func newHarness(t *testing.T, program, zone string, settings ...string) *harness {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "etc")
	dirs := []string{"etc", "private", "active", "incoming", "deferred", "defer", "bounce"}
	for _, d := range dirs {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	text := "mail_owner = " + u.Username + "\nqueue_directory = " + dir + "\nmyhostname = me.test\nmydomain = test\ninet_protocols = ipv4\n" + strings.Join(settings, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(conf, "main.cf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	h := &harness{t: t, dns: dnstest.Start(t, zone), log: &testkit.Log{}, q: queue.Open(".", queue.Options{})}
	h.dns.WriteResolvConf(t, conf)
	for _, name := range []string{"bounce", "defer", "trace"} {
		serveYes(t, "private/"+name)
	}
	serveRewrite(t)
	cfg, err := config.Load(conf, config.WithService(program, program))
	if err != nil {
		t.Fatal(err)
	}
	env := &service.Env{Config: cfg, Log: maillog.NewWriter(h.log, program), Service: program, Program: program}
	if h.agent, err = newAgent(env); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.agent.cache.close)
	return h
}

// serveYes is a bounce daemon that has no memory.
func serveYes(t *testing.T, path string) {
	t.Helper()
	testkit.Serve(t, "unix", path, func(conn net.Conn) {
		c := ipc.NewConn(conn)
		for {
			if _, err := c.Receive(); err != nil || c.Send(ipc.List{}.Int("status", 0)) != nil {
				return
			}
		}
	})
}

// serveRewrite is a trivial-rewrite that completes addresses with the name of
// the host.
func serveRewrite(t *testing.T) {
	t.Helper()
	testkit.Serve(t, "unix", rewrite.Endpoint, func(conn net.Conn) {
		c := ipc.NewConn(conn)
		for {
			l, err := c.Receive()
			if err != nil {
				return
			}
			addr := l.Value("address")
			if !strings.Contains(addr, "@") {
				addr += "@me.test"
			}
			if c.Send(ipc.List{}.Int("status", 0).Str("address", addr)) != nil {
				return
			}
		}
	})
}

// request puts a message into the queue and makes a request for it.
func (h *harness) request(nexthop string, rcpts ...string) *deliver.Request {
	h.t.Helper()
	ctx := context.Background()
	w, err := h.q.CreateIn(ctx, "active", 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	var errs []error
	try := func(err error) { errs = append(errs, err) }
	try(w.Size(queue.Size{}))
	now := time.Now()
	try(w.Printf(queue.RecTime, "%d %d", now.Unix(), now.Nanosecond()/1000))
	try(w.RecString(queue.RecFrom, "sender@a.test"))
	req := &deliver.Request{QueueName: "active", NextHop: nexthop, Transport: "smtp", Sender: envelope.Sender{Address: "sender@a.test"}}
	for _, r := range rcpts {
		try(w.RecString(queue.RecOrcp, r))
		req.Recipients = append(req.Recipients, envelope.Recipient{Address: r, Original: r, Offset: w.Offset()})
		try(w.RecString(queue.RecRcpt, r))
	}
	try(w.RecString(queue.RecMesg, ""))
	req.DataOffset = w.Offset()
	for _, l := range []string{"Subject: test", "", "hello", ".dot"} {
		try(w.RecString(queue.RecNorm, l))
	}
	req.DataSize = w.Offset() - req.DataOffset
	try(w.RecString(queue.RecXtra, ""))
	try(w.RecString(queue.RecEnd, ""))
	try(w.PatchSize(queue.Size{DataSize: req.DataSize, DataOffset: req.DataOffset, RcptCount: int64(len(rcpts)), ContentLength: req.DataSize}))
	try(w.Commit(ctx))
	for _, err := range errs {
		if err != nil {
			h.t.Fatal(err)
		}
	}
	req.QueueID, req.Times.Arrival, req.Times.Active = w.ID(), now, now
	return req
}

// deliver sends a request to the agent and returns its reply and the log
// lines, without queue ids, ports and times.
func (h *harness) deliver(req *deliver.Request) (deliver.Reply, []string) {
	h.t.Helper()
	before := len(h.log.String())
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		h.agent.reports.Serve(context.Background(), server, h.agent.deliver)
		server.Close()
	}()
	c := ipc.NewConn(client)
	c.Timeout = 30 * time.Second
	if err := deliver.WriteRequest(c, req); err != nil {
		h.t.Fatal(err)
	}
	reply, err := deliver.ReadReply(c)
	if err != nil {
		h.t.Fatalf("reply: %v\n%s", err, h.log)
	}
	return reply, clean(h.log.String()[before:])
}

var (
	queueIDs = regexp.MustCompile(`\b[0-9A-F]{8,15}: `)
	delays   = regexp.MustCompile(`delay=[^,]*, delays=[^,]*`)
	ports    = regexp.MustCompile(`\]:\d{4,5}`)
)

func clean(log string) []string {
	log = ports.ReplaceAllString(delays.ReplaceAllString(queueIDs.ReplaceAllString(log, "ID: "), "delay=D"), "]:P")
	var out []string
	for l := range strings.SplitSeq(strings.TrimSpace(log), "\n") {
		_, text, _ := strings.Cut(l, ": ")
		if strings.HasPrefix(text, "ID: cause: ") {
			continue // for -v
		}
		out = append(out, text)
	}
	return out
}

// marks returns the types of the recipient records: 'R' to do, 'D' done.
func (h *harness) marks(req *deliver.Request) string {
	h.t.Helper()
	b, err := os.ReadFile(h.q.Path("active", req.QueueID))
	if err != nil {
		h.t.Fatal(err)
	}
	var s strings.Builder
	for _, r := range req.Recipients {
		s.WriteByte(b[r.Offset])
	}
	return s.String()
}

// port returns the port of a listener as text.
func port(l net.Listener) string {
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}
