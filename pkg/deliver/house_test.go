package deliver

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// fakeBounce stands for the bounce daemon.
type fakeBounce struct {
	mu   sync.Mutex
	fail bool
	got  []string
}

func (f *fakeBounce) serve(t *testing.T, name string) {
	l, err := net.Listen("unix", "private/"+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go f.session(ipc.NewConn(raw), name)
		}
	}()
}

func (f *fakeBounce) session(c *ipc.Conn, name string) {
	defer c.Close()
	for {
		l, err := c.Receive()
		if err != nil {
			return
		}
		r, err := bounceclient.ParseRequest(l)
		if err != nil {
			return
		}
		f.mu.Lock()
		code := int64(0)
		if f.fail {
			code = -1
		} else {
			f.got = append(f.got, name+" "+r.Entry.Recipient.Address+" "+r.Entry.Action+" "+r.Entry.Status.Code)
		}
		f.mu.Unlock()
		c.Send(ipc.List{}.Int("status", code))
	}
}

// house is a queue directory with an agent.
type house struct {
	*testing.T
	queue  *queue.Queue
	agent  *Agent
	bounce *fakeBounce
	log    *testkit.Log
}

func newHouse(t *testing.T, settings string) *house {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, d := range []string{"incoming", "active", "private"} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "main.cf"), []byte("compatibility_level = 3.6\n"+settings), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{T: t, queue: queue.Open(".", queue.Options{}), bounce: &fakeBounce{}, log: &testkit.Log{}}
	h.agent, err = NewAgent(Options{Config: cfg, Log: maillog.NewWriter(h.log, "test"), Service: "test", Queue: h.queue})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bounce", "defer", "trace"} {
		h.bounce.serve(t, name)
	}
	return h
}

// message makes an active message and a request for it.
func (h *house) message(rcpts ...envelope.Recipient) *Request {
	h.Helper()
	ctx := context.Background()
	w, err := h.queue.Create(ctx)
	if err != nil {
		h.Fatal(err)
	}
	w.Size(queue.Size{})
	w.Printf(queue.RecTime, "%d", time.Now().Unix())
	w.RecString(queue.RecFrom, "sender@example.org")
	for i := range rcpts {
		rcpts[i].Offset = w.Offset()
		w.RecString(queue.RecRcpt, rcpts[i].Address)
	}
	w.RecString(queue.RecMesg, "")
	start := w.Offset()
	w.RecString(queue.RecNorm, "Subject: x")
	end := w.Offset()
	w.RecString(queue.RecXtra, "")
	w.RecString(queue.RecEnd, "")
	if err := w.PatchSize(queue.Size{DataSize: end - start, DataOffset: start, RcptCount: int64(len(rcpts))}); err != nil {
		h.Fatal(err)
	}
	if err := w.Commit(ctx); err != nil {
		h.Fatal(err)
	}
	if err := h.queue.Move(w.ID(), "incoming", "active"); err != nil {
		h.Fatal(err)
	}
	return &Request{
		QueueName: "active", QueueID: w.ID(), DataOffset: start, DataSize: end - start, NextHop: "n", Transport: "test",
		Sender: envelope.Sender{Address: "sender@example.org"}, Recipients: rcpts,
		Times: envelope.Times{Arrival: time.Now(), Active: time.Now()},
	}
}

// left returns the recipients that are not marked as done.
func (h *house) left(id queue.ID) []string {
	h.Helper()
	m, err := h.queue.OpenMessage("active", id)
	if err != nil {
		h.Fatal(err)
	}
	defer m.Close()
	rcpts, _, err := m.Recipients(0, 100)
	if err != nil {
		h.Fatal(err)
	}
	var out []string
	for _, r := range rcpts {
		out = append(out, r.Address)
	}
	return out
}

// run has the agent serve requests over one connection.
func (h *house) run(handle Handler, reqs ...*Request) []Reply {
	h.Helper()
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- h.agent.Serve(context.Background(), b, handle) }()
	c := ipc.NewConn(a)
	var out []Reply
	for _, r := range reqs {
		if err := WriteRequest(c, r); err != nil {
			h.Fatal(err)
		}
		reply, err := ReadReply(c)
		if err != nil {
			h.Fatal(err)
		}
		out = append(out, reply)
	}
	a.Close()
	if err := <-done; err != nil && !errors.Is(err, io.ErrClosedPipe) {
		h.Error(err)
	}
	b.Close()
	return out
}
