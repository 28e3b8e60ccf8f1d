package main

import (
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// seldom leaves no other occasion to release a message than its time.
const seldom = "queue_run_delay = 3h\n"

// leaving notes when messages reach the agent, by recipient.
func (h *house) leaving() func(rcpt string) time.Time {
	left := make(map[string]time.Time)
	h.outcome = func(r *deliver.Request) (deliver.Reply, bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, rcpt := range r.Recipients {
			left[rcpt.Address] = time.Now()
		}
		return deliver.Reply{}, false
	}
	return func(rcpt string) time.Time {
		h.mu.Lock()
		defer h.mu.Unlock()
		return left[rcpt]
	}
}

// later puts a message into the incoming queue that is to leave after a while,
// in full seconds as in the queue file.
func (h *house) later(after time.Duration, rcpt string) (queue.ID, time.Time) {
	h.Helper()
	h.hold = time.Now().Add(after).Truncate(time.Second)
	defer func() { h.hold = time.Time{} }()
	return h.put("incoming", "a@x", rcpt), h.hold
}

// TestHeldLeavesInTime: each message leaves at its time and not before, also
// one that was not the first to be due, and one that came later and is due
// sooner. Other mail in the deferred queue stays.
func TestHeldLeavesInTime(t *testing.T) {
	h := newHouse(t)
	left := h.leaving()
	second, secondAt := h.later(6*time.Second, "second@agent.one")
	other := h.put("deferred", "a@x", "other@agent.one")
	if err := h.queue.SetTime("deferred", other, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	h.start(seldom)
	h.wait("held", func() bool { return !h.in("incoming", second) })
	first, firstAt := h.later(3*time.Second, "first@agent.one")
	h.trigger("I")
	h.waitLog(string(first) + ": removed")
	h.waitLog(string(second) + ": removed")
	if at := left("first@agent.one"); at.Before(firstAt) {
		t.Errorf("left %v before its time", firstAt.Sub(at))
	}
	if at := left("second@agent.one"); at.Before(secondAt) {
		t.Errorf("left %v before its time", secondAt.Sub(at))
	}
	if !h.in("deferred", other) || h.requestCount() != 2 {
		t.Errorf("%d requests", h.requestCount())
	}
}

// TestHeldOverRestart: the time is learned again by the first scan, from the
// queue alone.
func TestHeldOverRestart(t *testing.T) {
	h := newHouse(t)
	left := h.leaving()
	id, at := h.later(5*time.Second, "b@agent.one")
	h.start(seldom)
	h.wait("deferred", func() bool { return h.in("deferred", id) })
	h.stop()
	h.start(seldom)
	h.waitLog(string(id) + ": removed")
	if got := left("b@agent.one"); got.Before(at) {
		t.Errorf("left %v before its time", at.Sub(got))
	}
}

// TestHeldClock: a time is asked for once, and scans have pauses between them.
func TestHeldClock(t *testing.T) {
	now := time.Unix(1e9, 0)
	after := func(d time.Duration) time.Time { return now.Add(d) }
	var c heldClock
	if c.ring(now) || !c.wake(now).IsZero() {
		t.Error("rings with nothing to wait for")
	}
	c.add(after(time.Minute))
	c.add(after(5 * time.Second))
	c.add(after(time.Hour))
	c.add(time.Time{})
	if at := c.wake(now); !at.Equal(after(5 * time.Second)) {
		t.Errorf("wakes at %v", at)
	}
	if c.ring(after(4 * time.Second)) {
		t.Error("rings early")
	}
	now = after(5 * time.Second)
	if !c.ring(now) || c.ring(now) || !c.wake(now).IsZero() {
		t.Error("does not ring once")
	}
	// A scan that took long found one that is overdue already.
	now = after(3 * time.Second)
	c.scanned(now, 3*time.Second)
	c.add(after(-time.Second))
	if at := c.wake(now); !at.Equal(after(30*time.Second)) || c.ring(after(29*time.Second)) {
		t.Errorf("wakes at %v, after %v", at, at.Sub(now))
	}
	now = after(30 * time.Second)
	if !c.ring(now) {
		t.Error("does not ring after the pause")
	}
	// A short scan has a pause, too.
	c.scanned(now, 0)
	c.add(now)
	if at := c.wake(now); !at.Equal(after(heldPause)) {
		t.Errorf("wakes at %v", at)
	}
	// A clock that is set back makes it wait and not turn.
	now = after(-time.Hour)
	if at := c.wake(now); c.ring(now) || !at.After(after(time.Minute)) {
		t.Errorf("wakes at %v, after %v", at, at.Sub(now))
	}
}

// TestHeldIsSeen: a scan tells of what is held and not due. What it takes it
// does not tell of: that may be there again, and would be taken without end.
func TestHeldIsSeen(t *testing.T) {
	h := newHouse(t)
	d := &daemon{now: time.Now}
	d.params.MaxBackoff = time.Hour
	d.setup(".", 0, nil)
	id := h.put("deferred", "a@x", "b@agent.one")
	now := time.Now().Truncate(time.Second).Add(time.Second / 2)
	soon, past := heldTime(now.Add(time.Second)), heldTime(now)
	for name, test := range map[string]struct {
		at   time.Time
		all  bool
		due  bool
		held bool
	}{
		"held":                {at: soon, held: true},
		"held for a day":      {at: soon.Add(23 * time.Hour), held: true},
		"held, its time":      {at: past, due: true},
		"held, all are taken": {at: soon, all: true, due: true},
		"held, not by us":     {at: soon.Add(25 * time.Hour), due: true},
		"deferred":            {at: now.Add(time.Minute)},
		"deferred, due":       {at: now, due: true},
		"deferred, due soon":  {at: now.Add(time.Second - 1), due: true},
	} {
		if err := h.queue.SetTime("deferred", id, test.at); err != nil {
			t.Fatal(err)
		}
		e := queue.Entry{Queue: "deferred", ID: id, Path: h.queue.Path("deferred", id)}
		due, held := d.deferred.due(e, scanMode{all: test.all}, now)
		if due != test.due || test.held != held.Equal(test.at) || !test.held && !held.IsZero() {
			t.Errorf("%s: due %v, held until %v", name, due, held)
		}
	}
}
