package deliver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

func TestDelay(t *testing.T) {
	for _, tc := range []struct {
		d      time.Duration
		digits int
		want   string
	}{
		{0, 2, "0"},
		{-time.Second, 2, "0"},
		{4 * time.Millisecond, 2, "0"},
		{5 * time.Millisecond, 2, "0.01"},
		{15 * time.Millisecond, 2, "0.02"},
		{100 * time.Millisecond, 2, "0.1"},
		{123 * time.Millisecond, 2, "0.12"},
		{999 * time.Millisecond, 2, "1"},
		{1100 * time.Millisecond, 2, "1.1"},
		{1160 * time.Millisecond, 2, "1.2"},
		{9960 * time.Millisecond, 2, "10"},
		{12345 * time.Millisecond, 2, "12"},
		{12545 * time.Millisecond, 2, "13"},
		{4000 * time.Second, 2, "4000"},
		{123 * time.Microsecond, 6, "0.00012"},
		{1234 * time.Microsecond, 3, "0.001"},
		{600 * time.Millisecond, 0, "1"},
	} {
		if got := string(appendDelay(nil, tc.d, tc.digits)); got != tc.want {
			t.Errorf("%v with %d digits: %s, want %s", tc.d, tc.digits, got, tc.want)
		}
	}
}

func TestLogLine(t *testing.T) {
	base := time.Unix(1700000000, 0)
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	full := Result{
		Relay: "mx.e[192.0.2.1]:25", Status: status.New(250, "2.0.0", "250 ok"), ConnUse: 2,
		Times: envelope.Times{Arrival: at(0), Active: at(0), AgentStart: at(20), ConnDone: at(20), Delivered: at(1100)},
	}
	for _, tc := range []struct {
		name string
		rcpt envelope.Recipient
		r    Result
		want string
	}{
		{"full", envelope.Recipient{Address: "r@e", Original: "o@e"}, full,
			"to=<r@e>, orig_to=<o@e>, relay=mx.e[192.0.2.1]:25, conn_use=2, delay=1.1, delays=0/0.02/0/1.1, dsn=2.0.0, status=sent (250 ok)"},
		{"same original", envelope.Recipient{Address: "r@e", Original: "R@E"}, Result{
			Relay: "local", Status: status.New(0, "2.0.0", "delivered to mailbox"), ConnUse: 1,
			Times: envelope.Times{Arrival: at(0), Active: at(5), AgentStart: at(10), Delivered: at(30)},
		}, "to=<r@e>, relay=local, delay=0.03, delays=0.01/0.01/0/0.02, dsn=2.0.0, status=sent (delivered to mailbox)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, LogLine(&tc.rcpt, &tc.r, "sent", 2)); d != "" {
				t.Error(d)
			}
		})
	}
}

func sample() *Request {
	return &Request{
		QueueName: "active", QueueID: "51DF69903E9", Flags: FlagConnLoad, DataOffset: 700, DataSize: 308,
		NextHop: "example.com", Transport: "smtp", Encoding: "8bit", UTF8: 1, Priority: -3,
		Sender: envelope.Sender{Address: "a@b", EnvID: "x+2By", Ret: envelope.RetHdrs},
		Client: envelope.Client{Name: "c.example", Addr: "192.0.2.9", Port: "1234", Helo: "c", Proto: "ESMTP",
			ReverseName: "r", Ident: "XYZ", SASLMethod: "PLAIN", SASLUser: "u", SASLSender: "s", RewriteContext: "remote"},
		Times: envelope.Times{Arrival: time.UnixMicro(1700000000123456), Active: time.UnixMicro(1700000001000000)},
		Recipients: []envelope.Recipient{
			{Address: "r@example.com", Original: "o@x", DSNOrcpt: "rfc822;o@x", Notify: envelope.NotifyDelay, Offset: 500},
			{Address: "s@example.com", Offset: 600},
		},
	}
}

// pair returns two connected ends.
func pair(t testing.TB) (*ipc.Conn, *ipc.Conn) {
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	return ipc.NewConn(a), ipc.NewConn(b)
}

func TestRequestRoundTrip(t *testing.T) {
	a, b := pair(t)
	go WriteRequest(a, sample())
	got, err := ReadRequest(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample(), got); d != "" {
		t.Error(d)
	}
}

func TestRequestRefused(t *testing.T) {
	for name, change := range map[string]func(*Request){
		"queue":      func(r *Request) { r.QueueName = "incoming" },
		"id":         func(r *Request) { r.QueueID = "../x" },
		"offset":     func(r *Request) { r.Recipients[0].Offset = -1 },
		"size":       func(r *Request) { r.DataSize = -1 },
		"flags":      func(r *Request) { r.Flags = -1 },
		"ret":        func(r *Request) { r.Sender.Ret = 4 },
		"priority":   func(r *Request) { r.Priority = 10 },
		"priority -": func(r *Request) { r.Priority = -10 },
		"bad notify": func(r *Request) { r.Recipients[1].Notify = 99 },
	} {
		t.Run(name, func(t *testing.T) {
			r := sample()
			change(r)
			a, b := pair(t)
			go WriteRequest(a, r)
			if _, err := ReadRequest(b); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestReplyRoundTrip(t *testing.T) {
	for _, want := range []Reply{
		{}, {Code: ReplyLeft}, {Code: ReplyRefused},
		{Code: ReplyLeft, Site: status.New(421, "4.4.1", "refused"), RemoteMTA: "mx"},
	} {
		a, b := pair(t)
		go WriteReply(a, want)
		got, err := ReadReply(b)
		if err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

func rcpt(addr string) envelope.Recipient { return envelope.Recipient{Address: addr} }

// byName treats recipients as their addresses say.
func byName(ctx context.Context, d *Delivery) error {
	for i := range d.Recipients {
		r := &d.Recipients[i]
		var err error
		switch {
		case strings.HasPrefix(r.Address, "ok"):
			err = d.Report(ctx, r, Result{Status: status.New(0, "2.0.0", "fine")})
		case strings.HasPrefix(r.Address, "bad"):
			err = d.Report(ctx, r, Result{Status: status.New(0, "5.1.1", "no such user")})
		case strings.HasPrefix(r.Address, "late"):
			err = d.Report(ctx, r, Result{Status: status.New(0, "4.2.0", "busy")})
		case strings.HasPrefix(r.Address, "site"):
			s := status.New(0, "4.4.1", "down")
			d.SiteFailure(s, "mx")
			err = d.Deferred(ctx, r, Result{Status: s})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestReports(t *testing.T) {
	h := newHouse(t, "")
	success := rcpt("ok2")
	success.Notify = envelope.NotifySuccess
	first := h.message(rcpt("ok1"), rcpt("bad1"), rcpt("late1"), rcpt("forgotten"))
	second := h.message(success)
	third := h.message(rcpt("site"))
	replies := h.run(byName, first, second, third)
	want := []Reply{{Code: ReplyLeft}, {}, {Code: ReplyLeft, Site: status.New(0, "4.4.1", "down"), RemoteMTA: "mx"}}
	if d := cmp.Diff(want, replies); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"late1", "forgotten"}, h.left(first.QueueID)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string(nil), h.left(second.QueueID)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{
		"bounce bad1 failed 5.1.1", "defer late1 delayed 4.2.0", "defer forgotten delayed 4.3.0",
		"trace ok2 delivered 2.0.0", "defer site delayed 4.4.1",
	}, h.bounce.got); d != "" {
		t.Error(d)
	}
	for _, text := range []string{
		string(first.QueueID) + ": to=<ok1>, relay=none, delay=", "dsn=2.0.0, status=sent (fine)",
		"dsn=5.1.1, status=bounced (no such user)", "dsn=4.2.0, status=deferred (busy)",
	} {
		if !strings.Contains(h.log.String(), text) {
			t.Errorf("log lacks %q:\n%s", text, h.log.String())
		}
	}
}

// TestPassedOn: a recipient that another agent passes on, without a record of its
// own in the queue file, is reported on once.
func TestPassedOn(t *testing.T) {
	h := newHouse(t, "")
	sent, late := h.message(rcpt("ok1")), h.message(rcpt("late1"))
	sent.Recipients[0].Offset, late.Recipients[0].Offset = 0, 0
	replies := h.run(byName, sent, late)
	if d := cmp.Diff([]Reply{{}, {Code: ReplyLeft}}, replies); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"defer late1 delayed 4.2.0"}, h.bounce.got); d != "" {
		t.Error(d)
	}
}

func TestSoftBounce(t *testing.T) {
	h := newHouse(t, "soft_bounce = yes\n")
	req := h.message(rcpt("bad"))
	if r := h.run(byName, req); r[0].Code != ReplyLeft {
		t.Errorf("reply %+v", r)
	}
	if len(h.left(req.QueueID)) != 1 {
		t.Error("the recipient is marked")
	}
	if d := cmp.Diff([]string{"defer bad delayed 4.1.1"}, h.bounce.got); d != "" {
		t.Error(d)
	}
	if !strings.Contains(h.log.String(), "dsn=4.1.1, status=SOFTBOUNCE (no such user)") {
		t.Error(h.log.String())
	}
}

// TestBounceLogFails: no recipient is marked whose report is not on disk.
func TestBounceLogFails(t *testing.T) {
	h := newHouse(t, "")
	h.bounce.fail = true
	success := rcpt("ok")
	success.Notify = envelope.NotifySuccess
	req := h.message(rcpt("bad"), success)
	if r := h.run(byName, req); r[0].Code != ReplyLeft {
		t.Errorf("reply %+v", r)
	}
	if d := cmp.Diff([]string{"bad", "ok"}, h.left(req.QueueID)); d != "" {
		t.Error(d)
	}
	if !strings.Contains(h.log.String(), "status=deferred (bounce service failure)") {
		t.Error(h.log.String())
	}
}

func TestProbe(t *testing.T) {
	h := newHouse(t, "")
	req := h.message(rcpt("ok"), rcpt("bad"), rcpt("late"))
	req.Flags = FlagVerifyUser
	if r := h.run(byName, req); r[0].Code != ReplyDone {
		t.Errorf("reply %+v", r)
	}
	if d := cmp.Diff([]string{"trace ok deliverable 2.0.0", "trace bad undeliverable 5.1.1", "trace late undeliverable 4.2.0"}, h.bounce.got); d != "" {
		t.Error(d)
	}
}

func TestBusyOrMissing(t *testing.T) {
	h := newHouse(t, "")
	req := h.message(rcpt("ok"))
	m, err := h.queue.OpenMessage("active", req.QueueID)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := m.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	missing := sample()
	if d := cmp.Diff([]Reply{{Code: ReplyRefused}, {Code: ReplyRefused}}, h.run(byName, req, missing)); d != "" {
		t.Error(d)
	}
	m.Close()
	// Two agents share the lock.
	held, _ := h.queue.OpenMessage("active", req.QueueID)
	defer held.Close()
	if ok, err := held.TryLockShared(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if r := h.run(byName, req); r[0].Code != ReplyDone {
		t.Errorf("reply %+v", r)
	}
}

// TestClient: connections are kept, a retired agent is replaced, and one that
// dies at work is reported.
func TestClient(t *testing.T) {
	t.Chdir(t.TempDir())
	l, err := net.Listen("unix", "agent")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := 0
	script, closed := make(chan string, 10), make(chan bool, 10)
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			accepted++
			c := ipc.NewConn(raw)
			for what := range script {
				if what == "retire" {
					break
				}
				if _, err := ReadRequest(c); err != nil {
					break
				}
				if what == "die" {
					break
				}
				WriteReply(c, Reply{})
			}
			c.Close()
			closed <- true
		}
	}()
	client := NewClient("agent")
	ctx := context.Background()
	for range 3 {
		script <- "ok"
		if _, err := client.Deliver(ctx, sample()); err != nil {
			t.Fatal(err)
		}
	}
	script <- "retire"
	script <- "ok"
	<-closed
	if _, err := client.Deliver(ctx, sample()); err != nil {
		t.Errorf("after the agent retired: %v", err)
	}
	if accepted != 2 {
		t.Errorf("%d connections, want 2", accepted)
	}
	script <- "die"
	if _, err := client.Deliver(ctx, sample()); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("agent died: %v", err)
	}
	client.Close()
	l.Close()
	if _, err := client.Deliver(ctx, sample()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("no agent: %v", err)
	}
}

func FuzzRequest(f *testing.F) {
	var b bytes.Buffer
	c := ipc.NewConn(&fakeConn{w: &b})
	if err := WriteRequest(c, sample()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("flags\x000\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ReadRequest(ipc.NewConn(&fakeConn{r: bytes.NewReader(data)}))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := WriteRequest(ipc.NewConn(&fakeConn{w: &out}), r); err != nil {
			t.Fatalf("cannot write what was read: %v", err)
		}
		again, err := ReadRequest(ipc.NewConn(&fakeConn{r: bytes.NewReader(out.Bytes())}))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, again); d != "" {
			t.Error(d)
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Add([]byte("status\x00-1\x00dsn_status\x004.4.1\x00dsn_reply\x00421\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ReadReply(ipc.NewConn(&fakeConn{r: bytes.NewReader(data)}))
	})
}

// fakeConn is a connection to memory.
type fakeConn struct {
	net.Conn
	r io.Reader
	w io.Writer
}

func (f *fakeConn) Read(p []byte) (int, error)  { return f.r.Read(p) }
func (f *fakeConn) Write(p []byte) (int, error) { return f.w.Write(p) }
func (f *fakeConn) SetDeadline(time.Time) error { return nil }
