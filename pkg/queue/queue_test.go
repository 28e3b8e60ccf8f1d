package queue

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
)

// newQueue makes an empty queue directory.
func newQueue(t testing.TB, o Options) *Queue {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{Maildrop, Incoming, Active, Deferred, Hold, Corrupt, Bounce, Defer, Trace} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return Open(dir, o)
}

// put writes a small message into incoming.
func put(t testing.TB, q *Queue, lines ...string) ID {
	t.Helper()
	ctx := context.Background()
	w, err := q.Create(ctx)
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(w.Size(Size{}))
	now := time.Now()
	check(w.Printf(RecTime, "%d %d", now.Unix(), now.Nanosecond()/1000))
	check(w.Attr(AttrRewriteContext, "local"))
	check(w.RecString(RecFrom, "sender@example.com"))
	check(w.Attr(AttrDSNOrcpt, "rfc822;a@example.com"))
	check(w.Attr(AttrDSNNotify, "3"))
	check(w.RecString(RecOrcp, "A@example.com"))
	check(w.RecString(RecRcpt, "a@example.com"))
	check(w.RecString(RecRcpt, "b@example.com"))
	check(w.RecString(RecMesg, ""))
	start := w.Offset()
	for _, l := range lines {
		check(w.RecString(RecNorm, l))
	}
	end := w.Offset()
	check(w.RecString(RecXtra, ""))
	check(w.RecString(RecEnd, ""))
	check(w.PatchSize(Size{DataSize: end - start, DataOffset: start, RcptCount: 2, ContentLength: end - start}))
	check(w.Commit(ctx))
	return w.ID()
}

func TestCreateAndRead(t *testing.T) {
	for _, o := range []Options{{}, {LongIDs: true}, {HashDepth: 2, HashNames: []string{Incoming, Deferred}}} {
		q := newQueue(t, o)
		id := put(t, q, "Subject: x", "", "hello")
		if err := q.Move(id, Incoming, Deferred); err != nil {
			t.Fatal(err)
		}
		m, err := q.OpenMessage(Deferred, id)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		rcpts, next, err := m.Recipients(0, 10)
		if err != nil || next != 0 || len(rcpts) != 2 {
			t.Fatalf("recipients %v, next %d, error %v", rcpts, next, err)
		}
		if r := rcpts[0]; r.Original != "A@example.com" || r.Notify != envelope.NotifyNever|envelope.NotifySuccess || r.DSNOrcpt != "rfc822;a@example.com" {
			t.Errorf("first recipient %+v", r)
		}
		if err := m.MarkDone(rcpts[0].Offset); err != nil {
			t.Fatal(err)
		}
		if rcpts, _, err = m.Recipients(0, 10); err != nil || len(rcpts) != 1 || rcpts[0].Address != "b@example.com" {
			t.Errorf("after mark: %v, %v", rcpts, err)
		}
		r, w := io.Pipe()
		go func() { w.CloseWithError(m.Body().WriteTo(w, "", "\n")) }()
		text, err := io.ReadAll(r)
		if string(text) != "Subject: x\n\nhello\n" || err != nil {
			t.Errorf("content %q, error %v", text, err)
		}
		n := 0
		for e, err := range q.Scan(Deferred) {
			if n++; err != nil || e.ID != id || e.Path != q.Path(Deferred, id) {
				t.Errorf("scan: %+v, %v", e, err)
			}
		}
		if n != 1 {
			t.Errorf("scan found %d files", n)
		}
	}
}

// TestBodyWithoutStart holds that a message whose beginning is not in its file is an error,
// and not one without text.
func TestBodyWithoutStart(t *testing.T) {
	q := newQueue(t, Options{})
	id := put(t, q, "Subject: x", "", "text")
	f, err := os.Open(q.Path(Incoming, id))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, start := range []int64{1 << 30, -1} {
		b, err := new(Buffers).Body(f, start)
		if err == nil {
			err = b.WriteTo(io.Discard, "", "\n")
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("content at %d: %v", start, err)
		}
	}
}
