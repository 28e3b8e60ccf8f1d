package sched

import (
	"fmt"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
)

// TestPriority: of messages that wait for one transport, those of higher
// priority go first, and those of the same in their order.
func TestPriority(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := New(func(string) Limits {
		return Limits{InitialConcurrency: 1, Concurrency: 1, Recipients: 1, Requests: 1}
	})
	for i, p := range []int{0, 0, 5, -3, 5, 9, 0, -3} {
		m := &Message{Queued: now, User: fmt.Sprintf("%d/%d", i, p), Priority: p}
		s.Add(m, Target{Transport: "smtp", Destination: fmt.Sprintf("d%d", i)}, []envelope.Recipient{{Address: "a@b.test"}})
	}
	var got []string
	for e := s.Next(now); e != nil; e = s.Next(now) {
		got = append(got, e.Message.User.(string))
		s.Done(now, e, Outcome{})
	}
	want := "[5/9 2/5 4/5 0/0 1/0 6/0 3/-3 7/-3]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
