package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/sched"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// house is a queue directory with a queue manager and fakes of all that it
// talks to, on real sockets.
type house struct {
	testing.TB
	dir   string
	queue *queue.Queue
	log   *testkit.Log
	d     *daemon
	stop  func()

	mu       sync.Mutex
	requests []*deliver.Request
	bounces  []string
	conns    []net.Conn

	// Of the messages that put makes.
	redirect, filter, verp string
	hold                   time.Time
	// outcome says what the fake agent does with a request; nil delivers.
	outcome func(r *deliver.Request) (reply deliver.Reply, crash bool)
}

// newHouse makes the directories and the fakes. The queue manager is started
// by start.
func newHouse(t testing.TB) *house {
	h := &house{TB: t, dir: t.TempDir(), log: &testkit.Log{}}
	if tt, ok := t.(*testing.T); ok {
		tt.Chdir(h.dir)
	} else {
		old, _ := os.Getwd()
		os.Chdir(h.dir)
		t.Cleanup(func() { os.Chdir(old) })
	}
	for _, d := range []string{"incoming", "active", "deferred", "hold", "corrupt", "bounce", "defer", "trace", "private", "public"} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	h.queue = queue.Open(".", queue.Options{HashDepth: 1, HashNames: []string{"deferred", "defer"}})
	h.serve("rewrite", h.rewrite)
	h.serve("agent", h.agent)
	for _, name := range []string{"bounce", "defer", "trace"} {
		h.serve(name, func(c *ipc.Conn) { h.bounceDaemon(c, name) })
	}
	return h
}

// serve runs a fake service.
func (h *house) serve(name string, session func(*ipc.Conn)) {
	h.Helper()
	l, err := net.Listen("unix", "private/"+name)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		l.Close()
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, c := range h.conns {
			c.Close()
		}
	})
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.conns = append(h.conns, raw)
			h.mu.Unlock()
			go func() {
				defer raw.Close()
				session(ipc.NewConn(raw))
			}()
		}
	}()
}

// rewrite sends mail for user@transport.domain to that transport.
func (h *house) rewrite(c *ipc.Conn) {
	for {
		l, err := c.Receive()
		if err != nil {
			return
		}
		addr := l.Value("address")
		_, domain, _ := strings.Cut(addr, "@")
		transport, _, _ := strings.Cut(domain, ".")
		flags := int64(rewrite.ClassDefault)
		if transport == "fail" {
			flags = int64(rewrite.Fail)
		}
		c.Send(ipc.List{}.Int("status", 0).Int("flags", flags).Str("transport", transport).
			Str("nexthop", domain).Str("recipient", addr))
	}
}

// agent is a delivery agent that marks recipients, as its outcome says.
func (h *house) agent(c *ipc.Conn) {
	for {
		r, err := deliver.ReadRequest(c)
		if err != nil {
			return
		}
		h.mu.Lock()
		h.requests = append(h.requests, r)
		outcome := h.outcome
		h.mu.Unlock()
		var reply deliver.Reply
		if outcome != nil {
			var crash bool
			if reply, crash = outcome(r); crash {
				return
			}
		}
		if reply.Code == deliver.ReplyDone {
			h.mark(r)
		}
		deliver.WriteReply(c, reply)
	}
}

func (h *house) mark(r *deliver.Request) {
	m, err := h.queue.OpenMessage(r.QueueName, r.QueueID)
	if err != nil {
		return
	}
	defer m.Close()
	for _, rcpt := range r.Recipients {
		if err := m.MarkDone(rcpt.Offset); err != nil {
			h.Errorf("mark %s: %v", rcpt.Address, err)
		}
	}
}

func (h *house) bounceDaemon(c *ipc.Conn, name string) {
	for {
		l, err := c.Receive()
		if err != nil {
			return
		}
		r, err := bounceclient.ParseRequest(l)
		if err != nil {
			h.Errorf("%s: %v", name, err)
			return
		}
		verb := []string{"append", "flush", "warn", "verp", "one", "trace"}[r.Verb]
		if r.Verb == bounceclient.VerbFlush || r.Verb == bounceclient.VerbVerp || r.Verb == bounceclient.VerbTrace {
			h.queue.Remove(name, r.Message.QueueID)
		}
		if r.Verb == bounceclient.VerbAppend {
			path := h.queue.Path(name, r.Message.QueueID)
			os.MkdirAll(filepath.Dir(path), 0o700)
			os.WriteFile(path, []byte("x"), 0o600)
		}
		h.mu.Lock()
		h.bounces = append(h.bounces, strings.TrimSpace(name+" "+verb+" "+r.Entry.Recipient.Address+" "+r.Entry.Status.Text))
		h.mu.Unlock()
		c.Send(ipc.List{}.Int("status", 0))
	}
}

// start runs a queue manager with settings for main.cf.
func (h *house) start(settings string) {
	h.Helper()
	text := "compatibility_level = 3.6\nmyhostname = mail.example\nmyorigin = mail.example\n" + settings
	if err := os.WriteFile("main.cf", []byte(text), 0o644); err != nil {
		h.Fatal(err)
	}
	cfg, err := config.Load(h.dir)
	if err != nil {
		h.Fatal(err)
	}
	d := &daemon{log: maillog.NewWriter(h.log, "qmgr"), now: time.Now}
	if err := cfg.Fill(&d.params); err != nil {
		h.Fatal(err)
	}
	l, err := newLimits(cfg, &d.params)
	if err != nil {
		h.Fatal(err)
	}
	d.setup(".", 0, func(name string) sched.Limits {
		limits, err := l.read(name)
		if err != nil {
			h.Error(err)
		}
		return limits
	})
	ctx, cancel := context.WithCancel(context.Background())
	h.d = d
	if err := d.start(ctx); err != nil {
		h.Fatal(err)
	}
	h.stop = sync.OnceFunc(func() {
		cancel()
		d.drain()
	})
	h.Cleanup(h.stop)
}

// put queues a message.
func (h *house) put(queueName, sender string, rcpts ...string) queue.ID {
	h.Helper()
	ctx := context.Background()
	w, err := h.queue.CreateIn(ctx, queueName, 0o600)
	if err != nil {
		h.Fatal(err)
	}
	w.Size(queue.Size{})
	w.Printf(queue.RecTime, "%d %d", time.Now().Unix(), time.Now().Nanosecond()/1000)
	w.RecString(queue.RecFrom, sender)
	if h.redirect != "" {
		w.RecString(queue.RecRdr, h.redirect)
	}
	if h.filter != "" {
		w.RecString(queue.RecFilt, h.filter)
	}
	if h.verp != "" {
		w.RecString(queue.RecVerp, h.verp)
	}
	if !h.hold.IsZero() {
		w.RecString(queue.RecAttr, queue.AttrHoldUntil+"="+strconv.FormatInt(h.hold.Unix(), 10))
	}
	for _, r := range rcpts {
		w.RecString(queue.RecRcpt, r)
	}
	w.RecString(queue.RecMesg, "")
	start := w.Offset()
	w.RecString(queue.RecNorm, "Subject: x")
	end := w.Offset()
	w.RecString(queue.RecXtra, "")
	w.RecString(queue.RecEnd, "")
	size := queue.Size{DataSize: end - start, DataOffset: start, RcptCount: int64(len(rcpts)), ContentLength: end - start}
	if err := w.PatchSize(size); err != nil {
		h.Fatal(err)
	}
	if err := w.Commit(ctx); err != nil {
		h.Fatal(err)
	}
	return w.ID()
}

// trigger is what other programs send to public/qmgr.
func (h *house) trigger(s string) { h.d.trigger(context.Background(), []byte(s)) }

// wait fails the test if a condition does not come true in time.
func (h *house) wait(what string, cond func() bool) {
	h.Helper()
	deadline := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			h.Fatalf("timeout: %s\nlog:\n%s", what, h.log.String())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (h *house) waitLog(text string) {
	h.Helper()
	h.wait("log line "+text, func() bool { return strings.Contains(h.log.String(), text) })
}

// in reports whether a message is in a queue.
func (h *house) in(queueName string, id queue.ID) bool {
	_, err := h.queue.Stat(queueName, id)
	return err == nil
}

func (h *house) requestCount() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.requests)
}

func down() deliver.Reply {
	return deliver.Reply{Code: deliver.ReplyLeft, Site: status.New(0, "4.4.1", "connection refused")}
}
