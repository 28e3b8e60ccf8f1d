package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/queue"
)

func TestDelivered(t *testing.T) {
	h := newHouse(t)
	id := h.put("incoming", "a@x", "b@agent.one", "c@agent.one", "d@agent.two")
	h.start("")
	h.waitLog(string(id) + ": removed")
	if !strings.Contains(h.log.String(), string(id)+": from=<a@x>, size=") ||
		!strings.Contains(h.log.String(), ", nrcpt=3 (queue active)") {
		t.Error(h.log.String())
	}
	got := map[string]int{}
	for _, r := range h.requests {
		got[r.NextHop] = len(r.Recipients)
		if r.Transport != "agent" || r.QueueID != id || r.DataSize == 0 || r.DataOffset == 0 {
			t.Errorf("request %+v", r)
		}
	}
	if d := cmp.Diff(map[string]int{"agent.one": 2, "agent.two": 1}, got); d != "" {
		t.Error(d)
	}
	second := h.put("incoming", "a@x", "b@agent.one")
	h.trigger("I")
	h.waitLog(string(second) + ": removed")
}

func TestDeferredAndRetried(t *testing.T) {
	h := newHouse(t)
	h.outcome = func(*deliver.Request) (deliver.Reply, bool) { return deliver.Reply{Code: deliver.ReplyLeft}, false }
	id := h.put("incoming", "a@x", "b@agent.one")
	h.start("")
	h.wait("deferred", func() bool { return h.in("deferred", id) })
	info, err := h.queue.Stat("deferred", id)
	if err != nil {
		t.Fatal(err)
	}
	if wait := time.Until(info.ModTime()); wait < 200*time.Second || wait > 301*time.Second {
		t.Errorf("next try in %v", wait)
	}
	// Not due.
	h.trigger("D")
	time.Sleep(50 * time.Millisecond)
	if h.requestCount() != 1 {
		t.Error("tried before its time")
	}
	h.mu.Lock()
	h.outcome = nil
	h.mu.Unlock()
	h.trigger("FDA")
	h.waitLog(string(id) + ": removed")
}

// TestDeadDestination: of 30 messages five are tried, the initial concurrency,
// and after the fourth failure the others are not. The agent holds the five
// until all are read: a destination without mail is forgotten, failures and
// all, so mail that came one by one would be tried one by one.
func TestDeadDestination(t *testing.T) {
	h := newHouse(t)
	const messages, window = 30, 5
	release := make(chan struct{})
	h.outcome = func(*deliver.Request) (deliver.Reply, bool) {
		<-release
		return down(), false
	}
	var ids []queue.ID
	for range messages {
		ids = append(ids, h.put("incoming", "a@x", "b@agent.one"))
	}
	h.start("")
	h.wait("all read", func() bool {
		return strings.Count(h.log.String(), "(queue active)") == messages && h.requestCount() == window
	})
	close(release)
	for _, id := range ids {
		h.wait("deferred", func() bool { return h.in("deferred", id) })
	}
	if n := h.requestCount(); n != window {
		t.Errorf("%d tries of a dead destination", n)
	}
	if !strings.Contains(h.log.String(), "status=deferred (delivery temporarily suspended: connection refused)") {
		t.Error(h.log.String())
	}
	if n := strings.Count(h.log.String(), "dsn=4.4.1, status=deferred"); n != messages-window {
		t.Errorf("%d log lines of skipped mail", n)
	}
	h.mu.Lock()
	h.outcome = nil
	h.mu.Unlock()
	h.trigger("FDA")
	for _, id := range ids {
		h.waitLog(string(id) + ": removed")
	}
}

func TestCrashOfAgent(t *testing.T) {
	h := newHouse(t)
	h.outcome = func(*deliver.Request) (deliver.Reply, bool) { return deliver.Reply{}, true }
	id := h.put("incoming", "a@x", "b@agent.one")
	h.start("")
	h.wait("deferred", func() bool { return h.in("deferred", id) })
	for _, text := range []string{"warning: transport agent failure", "status=deferred (delivery temporarily suspended: unknown mail transport error)"} {
		if !strings.Contains(h.log.String(), text) {
			t.Errorf("log lacks %q:\n%s", text, h.log.String())
		}
	}
}

func TestNoSuchTransport(t *testing.T) {
	h := newHouse(t)
	h.start("")
	id := h.put("incoming", "a@x", "b@nowhere.one")
	h.trigger("I")
	h.wait("deferred", func() bool { return h.in("deferred", id) })
	if !strings.Contains(h.log.String(), "status=deferred (mail transport unavailable)") {
		t.Error(h.log.String())
	}
}

func TestSpecialRecipients(t *testing.T) {
	h := newHouse(t)
	h.serve("error", h.agent)
	h.start("defer_transports = slow\n")
	double := h.put("incoming", "", "Double-Bounce@mail.example")
	failing := h.put("incoming", "a@x", "b@fail.one")
	slow := h.put("incoming", "a@x", "b@slow.one")
	dash := h.put("incoming", "a@x", "-b@agent.one")
	h.trigger("I")
	h.waitLog(string(double) + ": removed")
	h.waitLog("status=sent (undeliverable postmaster notification discarded)")
	h.waitLog("status=deferred (address resolver failure)")
	h.waitLog("dsn=4.3.2, status=deferred (deferred transport)")
	h.waitLog(string(dash) + ": removed")
	h.wait("deferred", func() bool { return h.in("deferred", failing) && h.in("deferred", slow) })
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.requests) != 1 || h.requests[0].NextHop != "5.1.3 bad address syntax" {
		t.Errorf("requests %+v", h.requests)
	}
}

func TestExpired(t *testing.T) {
	h := newHouse(t)
	h.outcome = func(*deliver.Request) (deliver.Reply, bool) { return deliver.Reply{Code: deliver.ReplyLeft}, false }
	id := h.put("incoming", "a@x", "b@agent.one")
	h.start("maximal_queue_lifetime = 0\n")
	h.waitLog(string(id) + ": from=<a@x>, status=expired, returned to sender")
	h.waitLog(string(id) + ": removed")
	if d := cmp.Diff([]string{"defer flush"}, h.bounces); d != "" {
		t.Error(d)
	}
}

func TestForceExpire(t *testing.T) {
	h := newHouse(t)
	h.outcome = func(*deliver.Request) (deliver.Reply, bool) { return deliver.Reply{Code: deliver.ReplyLeft}, false }
	id := h.put("deferred", "a@x", "b@agent.one")
	if err := h.queue.Chmod("deferred", id, 0o710); err != nil {
		t.Fatal(err)
	}
	h.start("")
	h.waitLog(string(id) + ": from=<a@x>, status=force-expired, returned to sender")
	h.waitLog(string(id) + ": removed")
}

func TestBounceLogIsFlushed(t *testing.T) {
	h := newHouse(t)
	id := h.put("incoming", "a@x", "b@agent.one")
	os.WriteFile(h.queue.Path("bounce", id), []byte("x"), 0o600)
	h.start("")
	h.waitLog(string(id) + ": removed")
	if d := cmp.Diff([]string{"bounce flush"}, h.bounces); d != "" {
		t.Error(d)
	}
}

// TestRecovery: what was active goes on, and what an agent still holds waits.
func TestRecovery(t *testing.T) {
	h := newHouse(t)
	id := h.put("active", "a@x", "b@agent.one")
	busy := h.put("active", "a@x", "c@agent.one")
	m, err := h.queue.OpenMessage("active", busy)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := m.TryLockShared(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	h.start("")
	h.waitLog(string(id) + ": removed")
	h.waitLog(string(busy) + ": skipped, still being delivered")
	h.wait("incoming", func() bool { return h.in("incoming", busy) })
	m.Close()
	h.trigger("DA")
	h.waitLog(string(busy) + ": removed")
}

func TestCorrupt(t *testing.T) {
	h := newHouse(t)
	id := h.put("incoming", "a@x", "b@agent.one")
	if err := os.Truncate(h.queue.Path("incoming", id), 120); err != nil {
		t.Fatal(err)
	}
	unfinished := h.put("incoming", "a@x", "b@agent.one")
	if err := h.queue.Chmod("incoming", unfinished, 0o600); err != nil {
		t.Fatal(err)
	}
	h.start("")
	h.waitLog("saving corrupt file \"" + string(id) + "\" from queue \"active\" to queue \"corrupt\"")
	h.wait("corrupt", func() bool { return h.in("corrupt", id) })
	if !h.in("incoming", unfinished) || h.in("active", unfinished) {
		t.Error("a file that is still being written was touched")
	}
}

// TestManyRecipients needs several readings of the file.
func TestManyRecipients(t *testing.T) {
	h := newHouse(t)
	var rcpts []string
	for i := range 1000 {
		rcpts = append(rcpts, fmt.Sprintf("r%d@agent.d%d", i, i%7))
	}
	id := h.put("incoming", "a@x", rcpts...)
	h.start("qmgr_message_recipient_limit = 100\n")
	h.waitLog(string(id) + ": removed")
	seen := map[string]int{}
	for _, r := range h.requests {
		if len(r.Recipients) > 50 {
			t.Errorf("%d recipients in a request", len(r.Recipients))
		}
		for _, rcpt := range r.Recipients {
			seen[rcpt.Address]++
		}
	}
	for _, r := range rcpts {
		if seen[r] != 1 {
			t.Errorf("%s: %d times", r, seen[r])
		}
	}
	h.d.post(func() {
		if h.d.rcpts != 0 || len(h.d.active) != 0 {
			t.Errorf("%d recipients, %d messages left in memory", h.d.rcpts, len(h.d.active))
		}
	})
}

// TestManyDeferred: messages that are not due cost a stat each.
func TestManyDeferred(t *testing.T) {
	if testing.Short() {
		t.Skip("makes many files")
	}
	h := newHouse(t)
	first := h.put("deferred", "a@x", "b@agent.one")
	data, err := os.ReadFile(h.queue.Path("deferred", first))
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	for i := range 20000 {
		id := queue.ID(fmt.Sprintf("%05X%X", i, 0xabc000+i))
		path := h.queue.Path("deferred", id)
		if err := os.WriteFile(path, data, 0o700); err != nil {
			os.MkdirAll(strings.TrimSuffix(h.queue.Dir("deferred", id), "/"), 0o700)
			if err := os.WriteFile(path, data, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		os.Chtimes(path, later, later)
	}
	begin := time.Now()
	h.start("")
	h.waitLog(string(first) + ": removed")
	h.wait("end of scan", func() bool {
		done := make(chan bool)
		h.d.post(func() { done <- !h.d.deferred.running })
		return <-done
	})
	t.Logf("20000 deferred messages: %v", time.Since(begin))
	if h.requestCount() != 1 {
		t.Errorf("%d requests", h.requestCount())
	}
}

// BenchmarkIncoming has messages in memory files pass from incoming to an
// agent that does nothing but mark.
func BenchmarkIncoming(b *testing.B) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		b.Setenv("TMPDIR", "/dev/shm")
	}
	h := newHouse(b)
	id := h.put("hold", "a@x", "b@agent.one")
	data, err := os.ReadFile(h.queue.Path("hold", id))
	if err != nil {
		b.Fatal(err)
	}
	for i := range b.N {
		id := queue.ID(fmt.Sprintf("%05X%X", i%0xfffff, 0xabc000+i))
		if err := os.WriteFile(h.queue.Path("incoming", id), data, 0o700); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	h.start("agent_destination_concurrency_limit = 50\nagent_initial_destination_concurrency = 20\n")
	last := 0
	for deadline := time.Now().Add(time.Minute); h.requestCount() < b.N; {
		if time.Now().After(deadline) {
			b.Fatalf("stuck at %d", last)
		}
		time.Sleep(time.Millisecond)
		last = h.requestCount()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func TestRedirect(t *testing.T) {
	h := newHouse(t)
	h.redirect = "other@agent.two"
	id := h.put("incoming", "a@x", "r1@agent.one", "r2@agent.one", "r3@agent.three")
	h.start("qmgr_message_recipient_limit = 2\nqmgr_message_recipient_minimum = 2\n")
	h.waitLog(string(id) + ": removed")
	if h.requestCount() != 1 || h.requests[0].Recipients[0].Address != "other@agent.two" || h.requests[0].NextHop != "agent.two" {
		t.Errorf("%+v", h.requests)
	}
}

func TestContentFilter(t *testing.T) {
	h := newHouse(t)
	h.filter = "agent:[127.0.0.1]:10025"
	id := h.put("incoming", "a@x", "r1@smtp.one", "r2@lmtp.two")
	h.start("")
	h.waitLog(string(id) + ": removed")
	if h.requestCount() != 1 || len(h.requests[0].Recipients) != 2 || h.requests[0].NextHop != "[127.0.0.1]:10025" {
		t.Errorf("%+v", h.requests)
	}
}

// TestNoRoomToDefer: a message that cannot be put into the deferred queue does
// not stay in the active one, where nothing would look for it.
func TestNoRoomToDefer(t *testing.T) {
	h := newHouse(t)
	var fail atomic.Bool
	fail.Store(true)
	h.outcome = func(r *deliver.Request) (deliver.Reply, bool) { return deliver.Reply{}, fail.Load() }
	for _, c := range "0123456789ABCDEF" {
		// In the way of the hash directories.
		if err := os.WriteFile(filepath.Join(h.dir, "deferred", string(c)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	id := h.put("incoming", "a@x", "b@agent.one")
	h.start("minimal_backoff_time = 1s\nqueue_run_delay = 1s\ntransport_retry_time = 1s\n")
	h.wait("incoming", func() bool { return h.in("incoming", id) })
	fail.Store(false)
	h.trigger("DA")
	h.waitLog(string(id) + ": removed")
}

// TestVERP: with delimiters in the queue file, each delivery has one recipient
// and the sender that belongs to it, and the notices are asked for likewise.
func TestVERP(t *testing.T) {
	h := newHouse(t)
	h.verp = "+="
	id := h.put("incoming", "list@here.test", "b@agent.one", "c@agent.one", "d@agent.two")
	path := h.queue.Path("bounce", id)
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start("")
	h.waitLog(string(id) + ": removed")
	got := map[string]string{}
	for _, r := range h.requests {
		if len(r.Recipients) != 1 {
			t.Errorf("%d recipients in one delivery", len(r.Recipients))
		}
		got[r.Recipients[0].Address] = r.Sender.Address
	}
	want := map[string]string{"b@agent.one": "list+b=agent.one@here.test", "c@agent.one": "list+c=agent.one@here.test", "d@agent.two": "list+d=agent.two@here.test"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !slices.ContainsFunc(h.bounces, func(s string) bool { return strings.HasPrefix(s, "bounce verp") }) {
		t.Errorf("requests to bounce: %q", h.bounces)
	}
}
