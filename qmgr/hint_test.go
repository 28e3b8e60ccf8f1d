package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/queue"
)

func TestWish(t *testing.T) {
	hint := func(id queue.ID) string { return "I" + string(queue.AppendHint(nil, id)) }
	cut := hint("A3")[:3]
	for request, want := range map[string]wishes{
		"":                        {},
		"W":                       {look: true},
		"DFA":                     {run: true, flush: true, all: true},
		hint("A1"):                {come: []queue.ID{"A1"}},
		hint("A1") + hint("A2"):   {come: []queue.ID{"A1", "A2"}},
		hint("A1") + "I":          {come: []queue.ID{"A1"}, look: true},
		"I" + hint("A1") + "D":    {come: []queue.ID{"A1"}, look: true, run: true},
		hint("A1") + cut:          {come: []queue.ID{"A1"}, look: true},
		"\xb3\x8a" + hint("A1"):   {come: []queue.ID{"A1"}, look: true},
		hint("../A1"):             {look: true},
		"I" + cut[1:] + hint("A"): {come: []queue.ID{"A"}, look: true},
	} {
		got, unknown := wish([]byte(request))
		if d := cmp.Diff(want, got, cmp.AllowUnexported(wishes{})); d != "" || len(unknown) > 0 {
			t.Errorf("%q, unknown %q:\n%s", request, unknown, d)
		}
	}
	if _, unknown := wish([]byte("Ixy")); string(unknown) != "xy" {
		t.Errorf("unknown: %q", unknown)
	}
}

// TestHint: a message that qmgr is told of is taken without a scan, which would take
// the other one as well.
func TestHint(t *testing.T) {
	h := newHouse(t)
	h.start("")
	early := h.put("incoming", "a@x", "b@agent.one")
	h.trigger("I")
	h.waitLog(string(early) + ": removed") // the scan of the start is over
	h.wait("no scan", func() bool {
		idle := make(chan bool)
		h.d.post(func() { idle <- !h.d.incoming.running })
		return <-idle
	})
	other := h.put("incoming", "a@x", "b@agent.one")
	for range 3 {
		id := h.put("incoming", "a@x", "b@agent.one")
		h.trigger("I" + string(queue.AppendHint(nil, id)))
		h.waitLog(string(id) + ": removed")
	}
	if !h.in("incoming", other) {
		t.Error("the message that nobody told of was taken")
	}
	h.trigger("I")
	h.waitLog(string(other) + ": removed")
}

// TestWrongHint: whatever is said of messages, those that are there are found.
func TestWrongHint(t *testing.T) {
	h := newHouse(t)
	h.start("")
	for _, wrong := range []string{
		"I" + string(queue.AppendHint(nil, "NOSUCH")),
		"I\xc1\xc2",
		"\xc1\xc2\x8a",
		"I\xae\xae\xaf\x8a",
	} {
		id := h.put("incoming", "a@x", "b@agent.one")
		h.trigger(wrong)
		h.waitLog(string(id) + ": removed")
	}
	// Twice, and one that is not complete.
	w, err := h.queue.CreateIn(t.Context(), "incoming", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	id := h.put("incoming", "a@x", "b@agent.one")
	hint := "I" + string(queue.AppendHint(nil, id))
	h.trigger("I" + string(queue.AppendHint(nil, w.ID())) + hint + hint)
	h.waitLog(string(id) + ": removed")
	if log := h.log.String(); strings.Contains(log, "corrupt") || !h.in("incoming", w.ID()) {
		t.Errorf("the unfinished message was taken:\n%s", log)
	}
}
