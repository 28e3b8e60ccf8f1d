package sched

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// defaults are those of main.cf.
func defaults() Limits {
	return Limits{
		Requests: 100, Concurrency: 20, InitialConcurrency: 5, Recipients: 50, CohortLimit: 1,
		Positive: Feedback{Amount: 1}, Negative: Feedback{Amount: 1},
		DeadTime: 300 * time.Second, RetryTime: 60 * time.Second,
		SlotCost: 5, SlotLoan: 3, SlotDiscount: 50, MinSlots: 3,
	}
}

func with(change func(*Limits)) func(string) Limits {
	return func(string) Limits {
		l := defaults()
		if change != nil {
			change(&l)
		}
		return l
	}
}

var start = time.Unix(1_700_000_000, 0)

func rcpts(n int) []envelope.Recipient { return make([]envelope.Recipient, n) }

func to(dest string) Target { return Target{Transport: "smtp", NextHop: dest, Destination: dest} }

func add(s *Scheduler, name string, at time.Time, n int, dest string) *Message {
	m := &Message{Queued: at, User: name}
	s.Add(m, to(dest), rcpts(n))
	s.ReadAll(m)
	return m
}

func next(t *testing.T, s *Scheduler, now time.Time) *Entry {
	t.Helper()
	e := s.Next(now)
	if e == nil {
		t.Fatal("nothing to deliver")
	}
	return e
}

func TestEntriesAreSplit(t *testing.T) {
	s := New(with(nil))
	m := add(s, "a", start, 120, "x")
	if m.Open() != 3 {
		t.Fatalf("%d entries, want 3", m.Open())
	}
	var got []int
	for range 3 {
		got = append(got, len(next(t, s, start).Recipients))
	}
	if d := cmp.Diff([]int{50, 50, 20}, got); d != "" {
		t.Error(d)
	}
}

func TestOrderAndWindow(t *testing.T) {
	s := New(with(nil))
	for i := range 8 {
		add(s, fmt.Sprint(i), start, 1, "x")
	}
	var out []*Entry
	for i := range 5 {
		e := next(t, s, start)
		if e.Message.User != fmt.Sprint(i) {
			t.Errorf("entry %d is message %v", i, e.Message.User)
		}
		out = append(out, e)
	}
	if e := s.Next(start); e != nil {
		t.Fatal("more than the initial concurrency at once")
	}
	s.Done(start, out[0], Outcome{})
	// One success made the window 6, and one place is free.
	next(t, s, start)
	next(t, s, start)
	if s.Next(start) != nil {
		t.Fatal("window grew by more than one")
	}
}

func TestOtherDestinationsPass(t *testing.T) {
	s := New(with(nil))
	for i := range 20 {
		add(s, fmt.Sprint("slow", i), start, 1, "slow")
	}
	add(s, "fast", start, 1, "fast")
	var last *Entry
	for e := s.Next(start); e != nil; e = s.Next(start) {
		last = e
	}
	if last.Message.User != "fast" {
		t.Errorf("last is %v: mail behind a busy destination has to wait", last.Message.User)
	}
}

func TestWindowLimits(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Limits)
		want   int
	}{
		{"cap", nil, 20},
		{"low cap", func(l *Limits) { l.Concurrency = 2 }, 2},
		{"no cap", func(l *Limits) { l.Concurrency = 0; l.Requests = 60 }, 60},
		{"requests of the transport", func(l *Limits) { l.Requests = 7 }, 7},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := New(with(tc.change))
			for i := range 3000 {
				add(s, fmt.Sprint(i), start, 1, "x")
			}
			var out []*Entry
			most := 0
			for range 2000 {
				for e := s.Next(start); e != nil; e = s.Next(start) {
					out = append(out, e)
				}
				most = max(most, len(out))
				s.Done(start, out[0], Outcome{})
				out = out[1:]
			}
			if most != tc.want {
				t.Errorf("up to %d at once, want %d", most, tc.want)
			}
		})
	}
}

func TestDeadDestination(t *testing.T) {
	s := New(with(nil))
	for i := range 10 {
		add(s, fmt.Sprint(i), start, 1, "x")
	}
	down := Outcome{Site: status.New(0, "4.4.1", "connection refused")}
	var out []*Entry
	for range 5 {
		out = append(out, next(t, s, start))
	}
	var dropped []*Entry
	// The window shrinks with each failure, so the cohort is full before
	// five have failed: 1/5 + 1/4 + 1/3 + 1/2.
	for i, e := range out {
		dropped = append(dropped, s.Done(start, e, down)...)
		if dead := !s.Dead(to("x")).IsZero(); dead != (i >= 3) {
			t.Errorf("after failure %d dead is %v", i+1, dead)
		}
	}
	if len(dropped) != 5 {
		t.Errorf("%d entries dropped, want 5", len(dropped))
	}
	if got := s.Dead(to("x")); got.Text != "connection refused" {
		t.Errorf("reason %v", got)
	}
	if !s.Dead(to("y")).IsZero() {
		t.Error("another destination is dead")
	}
	if got := s.Wake(); !got.Equal(start.Add(300 * time.Second)) {
		t.Errorf("wakes at %v", got)
	}
	later := start.Add(301 * time.Second)
	s.Next(later)
	if !s.Dead(to("x")).IsZero() {
		t.Error("still dead after minimal_backoff_time")
	}
	if n := len(s.transport("smtp").queues); n != 0 {
		t.Errorf("%d destinations are remembered", n)
	}
}

func TestSuccessRevives(t *testing.T) {
	s := New(with(nil))
	for i := range 5 {
		add(s, fmt.Sprint(i), start, 1, "x")
	}
	var out []*Entry
	for range 5 {
		out = append(out, next(t, s, start))
	}
	for _, e := range out[:4] {
		s.Done(start, e, Outcome{Site: status.New(0, "4.4.1", "down")})
	}
	if s.Dead(to("x")).IsZero() {
		t.Fatal("not dead")
	}
	s.Done(start, out[4], Outcome{})
	if !s.Dead(to("x")).IsZero() || !s.Wake().IsZero() {
		t.Error("a success did not bring the destination back")
	}
}

func TestCrash(t *testing.T) {
	s := New(with(nil))
	for i := range 30 {
		add(s, fmt.Sprint(i), start, 1, fmt.Sprint("d", i%3))
	}
	e := next(t, s, start)
	dropped := s.Done(start, e, Outcome{Crash: true})
	if len(dropped) != 29 {
		t.Errorf("%d dropped, want 29", len(dropped))
	}
	if s.Dead(to("new")).IsZero() {
		t.Error("the transport takes mail after a crash")
	}
	if s.Next(start.Add(61*time.Second)) != nil || !s.Dead(to("new")).IsZero() {
		t.Error("the transport is not back after transport_retry_time")
	}
	add(s, "again", start, 1, "d1")
	next(t, s, start.Add(61*time.Second))
}

func TestUnthrottle(t *testing.T) {
	s := New(with(func(l *Limits) { l.InitialConcurrency = 1 }))
	add(s, "a", start, 1, "x")
	s.Done(start, next(t, s, start), Outcome{Site: status.New(0, "4.4.1", "down")})
	add(s, "b", start, 1, "y")
	s.Done(start, next(t, s, start), Outcome{Site: status.New(0, "4.4.1", "down")})
	s.Revive(to("x"))
	if !s.Dead(to("x")).IsZero() || s.Dead(to("y")).IsZero() {
		t.Error("Revive took the wrong one")
	}
	s.Unthrottle()
	if !s.Dead(to("y")).IsZero() {
		t.Error("Unthrottle left one")
	}
}

func TestRateDelay(t *testing.T) {
	s := New(with(func(l *Limits) { l.RateDelay = 10 * time.Second }))
	add(s, "a", start, 1, "x")
	add(s, "b", start, 1, "x")
	e := next(t, s, start)
	if s.Next(start) != nil {
		t.Fatal("two at once with a rate delay")
	}
	s.Done(start, e, Outcome{})
	if s.Next(start.Add(9*time.Second)) != nil {
		t.Fatal("too early")
	}
	next(t, s, start.Add(10*time.Second))
}

func TestTransportRateDelay(t *testing.T) {
	s := New(with(func(l *Limits) { l.TransportRateDelay = 10 * time.Second }))
	add(s, "a", start, 1, "x")
	add(s, "b", start, 1, "y")
	s.Done(start, next(t, s, start), Outcome{})
	if s.Next(start.Add(9*time.Second)) != nil {
		t.Fatal("too early")
	}
	next(t, s, start.Add(10*time.Second))
}

// TestSmallOvertakesLarge has a letter arrive behind a mailing list.
func TestSmallOvertakesLarge(t *testing.T) {
	s := New(with(func(l *Limits) { l.Recipients = 1; l.Concurrency = 1; l.InitialConcurrency = 1; l.Requests = 1 }))
	list := &Message{Queued: start, User: "list"}
	for i := range 10000 {
		s.Add(list, to(fmt.Sprint("d", i)), rcpts(1))
	}
	s.ReadAll(list)
	now := start
	for range 100 {
		e := next(t, s, now)
		now = now.Add(time.Second)
		s.Done(now, e, Outcome{})
	}
	add(s, "letter", now, 1, "other")
	for i := range 10 {
		e := next(t, s, now)
		now = now.Add(time.Second)
		s.Done(now, e, Outcome{})
		if e.Message.User == "letter" {
			t.Logf("the letter left after %d others", i)
			return
		}
	}
	t.Error("a letter waits behind a list of thousands")
}

// TestOvertakes: who was let past a list is known for as long as that lasts.
func TestOvertakes(t *testing.T) {
	s := New(with(func(l *Limits) { l.Recipients = 1; l.Concurrency = 1; l.InitialConcurrency = 1; l.Requests = 1 }))
	list := &Message{Queued: start, User: "list"}
	for i := range 1000 {
		s.Add(list, to(fmt.Sprint("d", i)), rcpts(1))
	}
	s.ReadAll(list)
	now := start
	step := func() *Entry {
		e := next(t, s, now)
		now = now.Add(time.Second)
		s.Done(now, e, Outcome{})
		return e
	}
	for range 100 {
		step()
	}
	letter := &Message{Queued: now, User: "letter", Unread: 1}
	s.Add(letter, to("o1"), rcpts(1))
	s.Add(letter, to("o2"), rcpts(1))
	for n := 0; !s.Overtakes(letter, "smtp"); n++ {
		if n == 100 {
			t.Fatal("the letter did not overtake")
		}
		step()
	}
	if s.Overtakes(list, "smtp") || s.Overtakes(letter, "lmtp") {
		t.Error("one that did not overtake")
	}
	s.ReadAll(letter)
	for letter.Open() > 0 {
		step()
	}
	step()
	if s.Overtakes(letter, "smtp") {
		t.Error("it still counts when it is done")
	}
}

// TestListIsNotStarved has a stream of letters beside a list.
func TestListIsNotStarved(t *testing.T) {
	s := New(with(func(l *Limits) { l.Recipients = 1; l.Concurrency = 1; l.InitialConcurrency = 1; l.Requests = 1 }))
	const size = 5000
	list := &Message{Queued: start, User: "list"}
	for i := range size {
		s.Add(list, to(fmt.Sprint("d", i)), rcpts(1))
	}
	s.ReadAll(list)
	now := start
	delivered, letters := 0, 0
	for i := 0; delivered < size; i++ {
		add(s, "letter", now, 1, fmt.Sprint("o", i))
		e := next(t, s, now)
		now = now.Add(time.Second)
		s.Done(now, e, Outcome{})
		if e.Message.User == "list" {
			delivered++
		} else {
			letters++
		}
	}
	// One in slot_cost is what the letters may take, and a loan.
	if letters < size/8 || letters > size/4+50 {
		t.Errorf("%d letters beside a list of %d", letters, size)
	}
}

func TestParseFeedback(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Feedback
		bad  bool
	}{
		{"1", Feedback{1, PerNone}, false},
		{"0.25", Feedback{0.25, PerNone}, false},
		{"1/8", Feedback{0.125, PerNone}, false},
		{"1 / concurrency", Feedback{1, PerWindow}, false},
		{"1/sqrt_concurrency", Feedback{1, PerRoot}, false},
		{"2", Feedback{}, true}, {"1/0", Feedback{}, true}, {"NaN", Feedback{}, true}, {"x", Feedback{}, true},
	} {
		got, err := ParseFeedback(tc.in)
		if (err != nil) != tc.bad || err == nil && got != tc.want {
			t.Errorf("ParseFeedback(%q) = %v, %v", tc.in, got, err)
		}
	}
}

func BenchmarkAddNextDone(b *testing.B) {
	s := New(with(nil))
	for i := range b.N {
		add(s, "m", start, 1, fmt.Sprint("d", i%100))
		s.Done(start, s.Next(start), Outcome{})
	}
}
