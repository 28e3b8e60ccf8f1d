package main

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/flushclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// start runs a server for a.test and b.test on a queue in a directory of its
// own, and returns a client.
func start(t *testing.T) (*server, *flushclient.Client, *int) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, d := range []string{"incoming", "deferred", "public"} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	domains, err := table.NewDomainList([]string{"a.test b.test"}, table.ListOptions{MatchParent: true})
	if err != nil {
		t.Fatal(err)
	}
	triggers := 0
	s := &server{log: maillog.Discard(), domains: domains, pending: map[string]bool{}, trigger: func() { triggers++ },
		queue: queue.Open(".", queue.Options{HashDepth: 1, HashNames: []string{"deferred"}})}
	testkit.Serve(t, "unix", "public/flush", func(conn net.Conn) {
		if err := s.session(context.Background(), conn); err != nil {
			t.Errorf("session: %v", err)
		}
	})
	return s, flushclient.New(ipc.NewPool("public/flush", time.Minute)), &triggers
}

// deferred queues a message that is due in an hour.
func deferred(t *testing.T, q *queue.Queue, rcpts ...string) queue.ID {
	t.Helper()
	ctx := context.Background()
	w, err := q.CreateIn(ctx, "incoming", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	w.Size(queue.Size{})
	w.Printf(queue.RecTime, "%d", time.Now().Unix())
	w.RecString(queue.RecFrom, "from@x")
	for _, r := range rcpts {
		typ := byte(queue.RecRcpt)
		if done, ok := strings.CutPrefix(r, "!"); ok {
			r, typ = done, queue.RecDone
		}
		w.RecString(typ, r)
	}
	w.RecString(queue.RecMesg, "")
	start := w.Offset()
	w.RecString(queue.RecNorm, "x")
	end := w.Offset()
	w.RecString(queue.RecXtra, "")
	w.RecString(queue.RecEnd, "")
	w.PatchSize(queue.Size{DataSize: end - start, DataOffset: start, RcptCount: int64(len(rcpts)), ContentLength: 2})
	if err := w.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := q.SetTime("incoming", w.ID(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := q.Move(w.ID(), "incoming", "deferred"); err != nil {
		t.Fatal(err)
	}
	return w.ID()
}

func TestSite(t *testing.T) {
	s, c, triggers := start(t)
	many := make([]string, 250)
	for i := range many {
		many[i] = "x@other.test"
	}
	want := map[queue.ID]bool{
		deferred(t, s.queue, "u@a.test"):                     true,
		deferred(t, s.queue, "u@other.test", "u@A.TEST"):     true,
		deferred(t, s.queue, append(many, "u@a.test")...):    true,
		deferred(t, s.queue, "u@other.test"):                 false,
		deferred(t, s.queue, "!done@a.test", "u@other.test"): false,
		deferred(t, s.queue, "u@sub.a.test"):                 false,
		deferred(t, s.queue, "a.test"):                       true,
	}
	if st, err := c.Site(t.Context(), "A.test"); st != flushclient.OK || err != nil {
		t.Fatalf("status %d, %v", st, err)
	}
	// The next answer comes after the work for the one before.
	if st, err := c.File(t.Context(), "ABCDEF12345"); st != flushclient.OK || err != nil {
		t.Fatalf("status %d, %v", st, err)
	}
	for id, moved := range want {
		info, err := s.queue.Stat("incoming", id)
		if (err == nil) != moved {
			t.Errorf("%s: moved %v, want %v", id, err == nil, moved)
		}
		if err == nil && (info.ModTime().After(time.Now()) || info.Mode().Perm() != 0o740) {
			t.Errorf("%s: time %v, mode %v", id, info.ModTime(), info.Mode())
		}
	}
	if *triggers == 0 {
		t.Error("qmgr was not told")
	}
}

func TestAnswers(t *testing.T) {
	s, c, _ := start(t)
	for _, test := range []struct {
		name, site string
		want       flushclient.Status
	}{
		{"allowed", "b.test", flushclient.OK},
		{"subdomain", "x.b.test", flushclient.OK},
		{"other", "c.test", flushclient.Deny},
		{"address", "[192.0.2.1]", flushclient.Deny},
		{"nonsense", "../../etc", flushclient.Bad},
		{"empty", "", flushclient.Bad},
	} {
		t.Run(test.name, func(t *testing.T) {
			if st, err := c.Site(t.Context(), test.site); st != test.want || err != nil {
				t.Errorf("status %d, %v; want %d", st, err, test.want)
			}
		})
	}
	id := deferred(t, s.queue, "u@anywhere.test")
	if st, err := c.File(t.Context(), string(id)); st != flushclient.OK || err != nil {
		t.Errorf("file: status %d, %v", st, err)
	}
	if _, err := s.queue.Stat("incoming", id); err != nil {
		t.Error(err)
	}
	if st, _ := c.File(t.Context(), "../x"); st != flushclient.Bad {
		t.Errorf("bad id: status %d", st)
	}
	if st := s.answer(t.Context(), ipc.List{}.Str("request", "purge")); st != flushclient.Bad {
		t.Errorf("unknown request: status %d", st)
	}
}
