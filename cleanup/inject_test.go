package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// serve runs a server on a socket and returns a client for it.
func serve(t testing.TB, s *server) *inject.Client {
	t.Helper()
	pool := ipc.NewPool(testkit.ServeSessions(t, s.session), time.Minute)
	t.Cleanup(func() { pool.Close() })
	return inject.NewClient(pool)
}

var testClient = envelope.Client{Name: "c.test", Addr: "192.0.2.1", Port: "99", Helo: "helo", Proto: "ESMTP", RewriteContext: "local"}

// send hands one message over.
func send(t testing.TB, c *inject.Client, body []byte) inject.Result {
	s, err := c.Begin(context.Background(), inject.FlagsExternal)
	if err != nil {
		t.Error(err)
		return inject.Result{}
	}
	s.Arrival(time.Now())
	s.Client(testClient)
	s.Sender(envelope.Sender{Address: "a@b.test", EnvID: "x", Ret: envelope.RetHdrs})
	s.Recipient(envelope.Recipient{Address: "c@d.test", DSNOrcpt: "rfc822;o@d.test", Notify: envelope.NotifyDelay})
	s.StartContent()
	s.Line([]byte("Received: by test; now"))
	s.Line([]byte("Subject: x"))
	s.Line(nil)
	for range 50 {
		s.Line(body)
	}
	res, err := s.Finish()
	if err != nil {
		t.Error(err)
	}
	return res
}

// TestInject sends messages through the client and reads them back with
// package queue.
func TestInject(t *testing.T) {
	s, _, dir := testServer(t, "")
	var mu sync.Mutex
	triggers := 0
	s.trigger = func(queue.ID) { mu.Lock(); triggers++; mu.Unlock() }
	c := serve(t, s)
	line := []byte(strings.Repeat("y", 80))
	long := []byte(strings.Repeat("z", 3*inject.MaxRecord+7))
	for _, body := range [][]byte{line, long} {
		res := send(t, c, body)
		if !res.OK() || res.QueueID == "" || res.Held {
			t.Fatalf("result %+v", res)
		}
		msg, err := queue.Open(dir, queue.Options{}).OpenMessage("incoming", queue.ID(res.QueueID))
		if err != nil {
			t.Fatal(err)
		}
		defer msg.Close()
		want := envelope.Sender{Address: "a@b.test", EnvID: "x", Ret: envelope.RetHdrs}
		if d := cmp.Diff(want, msg.Sender); d != "" {
			t.Error(d)
		}
		if msg.Client.Name != "c.test" || msg.Client.Ident != res.QueueID {
			t.Errorf("client %+v", msg.Client)
		}
		rcpts, _, err := msg.Recipients(0, 10)
		if err != nil || len(rcpts) != 1 || rcpts[0].Address != "c@d.test" || rcpts[0].Notify != envelope.NotifyDelay {
			t.Errorf("recipients %+v, %v", rcpts, err)
		}
		var b strings.Builder
		if err := msg.Body().WriteTo(&b, "", "\n"); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(b.String(), "\n\n"+strings.Repeat(string(body)+"\n", 50)) {
			t.Errorf("content %.300q", b.String())
		}
	}
	if triggers != 2 {
		t.Errorf("%d triggers", triggers)
	}
}

// TestAbort checks that nothing is left of a message that was given up.
func TestAbort(t *testing.T) {
	s, _, dir := testServer(t, "")
	c := serve(t, s)
	sub, err := c.Begin(context.Background(), inject.FlagsExternal)
	if err != nil {
		t.Fatal(err)
	}
	sub.Sender(envelope.Sender{Address: "a@b.test"})
	sub.Recipient(envelope.Recipient{Address: "c@d.test"})
	sub.StartContent()
	sub.Line([]byte("Subject: x"))
	sub.Abort()
	testkit.Wait(t, "end of the queue file", func() bool {
		files, _ := filepath.Glob(dir + "/incoming/*")
		return len(files) == 0
	})
}

// TestOpen checks queue files that were asked for ahead of their message.
func TestOpen(t *testing.T) {
	s, _, dir := testServer(t, "")
	c := serve(t, s)
	files := func(n int) func() bool {
		return func() bool {
			files, _ := filepath.Glob(dir + "/incoming/*")
			return len(files) == n
		}
	}
	o, err := c.Open(context.Background(), inject.FlagsExternal)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Wait(t, "the queue file", files(1))
	o.Drop()
	testkit.Wait(t, "end of the queue file", files(0))
	if o, err = c.Open(context.Background(), inject.FlagsExternal); err != nil {
		t.Fatal(err)
	}
	sub, err := o.Begin(context.Background())
	if err != nil || sub.QueueID() == "" {
		t.Fatalf("queue id %v, %v", sub, err)
	}
	sub.Abort()
	testkit.Wait(t, "end of the queue file", files(0))
}

// TestOpenAgain: cleanup ends the kept connection when it is asked on it, as a
// process does that was told to stop; the next one is asked then.
func TestOpenAgain(t *testing.T) {
	var conns atomic.Int32
	c := inject.NewClient(ipc.NewPool(testkit.ServeSessions(t, func(_ context.Context, conn net.Conn) error {
		first := conns.Add(1) == 1
		c := ipc.NewConn(conn)
		for i := 0; ; i++ {
			if _, err := c.Receive(); err != nil || first && i == 1 {
				return err
			}
			c.Send(ipc.List{}.Str("queue_id", fmt.Sprintf("ABC%d", i)))
			for records := queue.NewRecordReader(c.Reader()); ; {
				if rec, err := records.Next(); err != nil || rec.Type == queue.RecEnd {
					break
				}
			}
			c.Send(ipc.List{}.Int("status", 0).Str("reason", ""))
		}
	}), time.Minute))
	send(t, c, []byte("x"))
	o, err := c.Open(context.Background(), inject.FlagsExternal)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := o.Begin(context.Background())
	if err != nil || sub.QueueID() != "ABC0" || conns.Load() != 2 {
		t.Fatalf("%v, %v, on %d connections", sub, err, conns.Load())
	}
	sub.Abort()
}

// TestRefused checks the status of messages that are not taken.
func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		name, main, records string
		want                inject.Status
		reply               string
	}{
		{"too big", "message_size_limit = 2000", "T 1 1\nS a@b.test\nR c@d.test\nM\nSubject: x\n\n" + strings.Repeat("0123456789\n", 300), inject.StatSize, "552 5.3.4 Error: message file too big"},
		{"no sender", "", "T 1 1\nR c@d.test\nM\nSubject: x\n", inject.StatBad, "451 4.3.0 Error: internal protocol error"},
		{"control character", "", "T 1 1\nS a\x01@b.test\nR c@d.test\nM\nx\n", inject.StatBad, "451 4.3.0 Error: internal protocol error"},
		{"our own record", "", "C 1 1\nS a@b.test\nR c@d.test\nM\nx\n", inject.StatBad, "451 4.3.0 Error: internal protocol error"},
		{"done recipient", "", "T 1 1\nS a@b.test\nD c@d.test\nM\nx\n", inject.StatBad, "451 4.3.0 Error: internal protocol error"},
		{"pointer", "", "T 1 1\nS a@b.test\np 1\nR c@d.test\nM\nx\n", inject.StatBad, "451 4.3.0 Error: internal protocol error"},
		{"no recipient", "", "T 1 1\nS a@b.test\nM\nSubject: x\n", inject.StatRcpt, "550 5.1.0 Error: no recipients specified"},
		{"alias loop", "virtual_alias_maps = inline:{a@l.test=b@l.test,b@l.test=a@l.test}", "T 1 1\nS a@b.test\nR a@l.test\nM\nSubject: x\n", inject.StatDefer, "451 4.6.0 Alias expansion error"},
		{"table fails", "virtual_alias_maps = fail:x", "T 1 1\nS a@b.test\nR a@l.test\nM\nSubject: x\n", inject.StatWrite, "451 4.3.0 Error: queue file write error"},
		{"characters", `message_reject_characters = \0`, "T 1 1\nS a@b.test\nR a@l.test\nM\nSubject: x\n\na\x00b", inject.StatCont, "550 5.7.1 disallowed character"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _, dir := testServer(t, tc.main)
			id, reply := submit(t, dial(t, s), false, inject.FlagsExternal, parseRecs(tc.records))
			n, _ := reply.GetInt("status")
			if inject.Status(n) != tc.want {
				t.Errorf("status %d, want %d", n, tc.want)
			}
			res := inject.Result{Status: inject.Status(n), Reason: reply.Value("reason"), QueueID: id}
			if got := res.Reply().String(); got != tc.reply {
				t.Errorf("reply %q, want %q", got, tc.reply)
			}
			if files, _ := filepath.Glob(dir + "/*/*"); len(files) > 0 {
				t.Errorf("left: %v", files)
			}
		})
	}
}

// TestReturned checks that refused mail from pickup is queued for the error
// transport.
func TestReturned(t *testing.T) {
	for _, tc := range []struct{ name, main, content, want string }{
		{"content", "header_checks = regexp:{{/^Subject: bad/ REJECT 5.7.9 not this}}", "Subject: bad\n\nbody", "error:5.7.9 not this"},
		{"blank before colon", "header_checks = regexp:{{/^Subject: bad/ REJECT 5.7.9 not this}}", "Subject \t: bad\n\nbody", "error:5.7.9 not this"},
		{"hops", "", strings.Repeat("Received: x\n", 60) + "\nbody", "error:5.4.0 too many hops"},
		{"size", "message_size_limit = 2000", "Subject: x\n\n" + strings.Repeat("0123456789\n", 300), "error:5.3.4 message file too big"},
		{"later", "header_checks = regexp:{{/^Subject: bad/ REJECT 4.7.1 later}}", "Subject: bad\n\nbody", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _, dir := testServer(t, tc.main)
			recs := parseRecs("T 1 1\nS a@b.test\nR c@d.test\nM\n" + tc.content)
			id, reply := submit(t, dial(t, s), false, inject.FlagsExternal|inject.FlagBounce, recs)
			if tc.want == "" {
				if reply.Value("status") == "0" {
					t.Error("a temporary refusal was taken")
				}
				return
			}
			if reply.Value("status") != "0" {
				t.Fatal(reply)
			}
			m, err := queue.Open(dir, queue.Options{}).OpenMessage("incoming", queue.ID(id))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.Filter != tc.want {
				t.Errorf("filter %q, want %q", m.Filter, tc.want)
			}
		})
	}
}

// TestGarbage checks that bytes that are no protocol end one connection only.
func TestGarbage(t *testing.T) {
	s, _, dir := testServer(t, "")
	for _, garbage := range []string{"\x00", "x\x00y\x00\x00", "flags\x0099999999\x00\x00", "flags\x000\x00\x00\xff\xff\xff\xff\xff\xff",
		"flags\x000\x00\x00R\xff\xff\xff\xff\x7f", "flags\x000\x00\x00E\x00"} {
		c := dial(t, s)
		c.Conn.Write([]byte(garbage))
		c.Conn.(*net.UnixConn).CloseWrite()
		io.Copy(io.Discard, c.Conn)
	}
	if files, _ := filepath.Glob(dir + "/*/*"); len(files) > 0 {
		t.Errorf("left: %v", files)
	}
	if res := send(t, serve(t, s), []byte("x")); !res.OK() {
		t.Errorf("result %+v", res)
	}
}

func BenchmarkMessage(b *testing.B) {
	body := []byte(strings.Repeat("y", 80))
	for _, par := range []int{1, 16} {
		b.Run(map[int]string{1: "sessions=1", 16: "sessions=16"}[par], func(b *testing.B) {
			s, _, dir := testServer(b, "")
			c := serve(b, s)
			b.SetParallelism(par)
			b.ReportAllocs()
			b.ResetTimer()
			if par == 1 {
				for b.Loop() {
					os.Remove(filepath.Join(dir, "incoming", send(b, c, body).QueueID))
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					os.Remove(filepath.Join(dir, "incoming", send(b, c, body).QueueID))
				}
			})
		})
	}
}
