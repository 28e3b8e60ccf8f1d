package sched

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/status"
)

// check looks at what must hold between any two calls.
func check(t *testing.T, s *Scheduler) {
	t.Helper()
	for _, tr := range s.ring {
		busy := 0
		for _, q := range tr.queues {
			busy += q.busy
			can := q.state == ready && q.todo > 0 && q.busy < q.window
			if can != (q.heapIndex >= 0) {
				t.Fatalf("%s: ready %v, heap index %d", q.name, can, q.heapIndex)
			}
			todo := 0
			for p := q.peers.first; p != nil; p = p.next {
				if p.next != nil && p.job.rank > p.next.job.rank {
					t.Fatalf("%s: peers out of order", q.name)
				}
				for e := p.entries; e != nil; e = e.next {
					todo++
				}
			}
			if todo != q.todo {
				t.Fatalf("%s: %d entries, counted %d", q.name, todo, q.todo)
			}
			if q.window < 1 || tr.limits.Concurrency > 0 && q.window > tr.limits.Concurrency {
				t.Fatalf("%s: window %d", q.name, q.window)
			}
		}
		if busy != tr.busy {
			t.Fatalf("%d busy, counted %d", busy, tr.busy)
		}
		if !heapOK(tr.ready) {
			t.Fatal("heap is broken")
		}
		for j := tr.first; j != nil && j.next != nil; j = j.next {
			if j.rank >= j.next.rank {
				t.Fatal("job list out of order")
			}
		}
	}
}

func heapOK(h readyHeap) bool {
	for i := range h {
		if l := 2*i + 1; l < len(h) && h.Less(l, i) {
			return false
		}
		if r := 2*i + 2; r < len(h) && h.Less(r, i) {
			return false
		}
	}
	return true
}

// world is a simulated mail system: what is out for delivery, and until when.
type world struct {
	*Scheduler
	t     *testing.T
	rnd   *rand.Rand
	now   time.Time
	out   flights
	open  map[*Message]bool
	tries int
}

type flight struct {
	at time.Time
	e  *Entry
}

type flights []flight

func (f flights) Len() int           { return len(f) }
func (f flights) Less(a, b int) bool { return f[a].at.Before(f[b].at) }
func (f flights) Swap(a, b int)      { f[a], f[b] = f[b], f[a] }
func (f *flights) Push(x any)        { *f = append(*f, x.(flight)) }
func (f *flights) Pop() any {
	old := *f
	x := old[len(old)-1]
	*f = old[:len(old)-1]
	return x
}

// submit sends mail to some destinations; dead ones are skipped, as mail for
// them would be deferred.
func (w *world) submit() {
	m := &Message{Queued: w.now}
	dests := 1
	if w.rnd.IntN(20) == 0 {
		dests = 200
	}
	for range dests {
		target := to(fmt.Sprint("d", w.rnd.IntN(300)))
		target.Transport = []string{"smtp", "relay", "local"}[w.rnd.IntN(3)]
		if w.Dead(target).IsZero() {
			w.Add(m, target, rcpts(1+w.rnd.IntN(60)))
		}
	}
	w.ReadAll(m)
	if m.Open() > 0 {
		w.open[m] = true
	}
}

func (w *world) launch() {
	for e := w.Next(w.now); e != nil; e = w.Next(w.now) {
		heap.Push(&w.out, flight{w.now.Add(time.Duration(1+w.rnd.IntN(20000)) * time.Millisecond), e})
		w.tries++
	}
}

func (w *world) land() {
	e := heap.Pop(&w.out).(flight).e
	var o Outcome
	switch n := w.rnd.IntN(1000); {
	case n == 0:
		o.Crash = true
	case n < 50 || e.Target.Destination < "d15" && n < 900:
		o.Site = status.New(0, "4.4.1", "down")
	case n < 60:
		o.NoVerdict = true
	}
	for _, d := range append(w.Done(w.now, e, o), e) {
		if d.Message.Open() == 0 {
			delete(w.open, d.Message)
		}
	}
}

// TestSimulatedDays runs days of random traffic and looks at the invariants.
func TestSimulatedDays(t *testing.T) {
	for seed := range uint64(5) {
		w := &world{Scheduler: New(with(nil)), t: t, rnd: rand.New(rand.NewPCG(seed, 1)), now: start, open: map[*Message]bool{}}
		arrival := start
		for i := 0; i < 30000 || len(w.out) > 0; i++ {
			w.launch()
			if i%200 == 0 {
				check(t, w.Scheduler)
			}
			if i < 15000 && (len(w.out) == 0 || arrival.Before(w.out[0].at)) {
				w.now = arrival
				w.submit()
				arrival = arrival.Add(time.Duration(w.rnd.IntN(30000)) * time.Millisecond)
				continue
			}
			if len(w.out) == 0 {
				if w.Wake().IsZero() {
					break
				}
				w.now = w.Wake()
				continue
			}
			w.now = w.out[0].at
			w.land()
		}
		if len(w.open) != 0 {
			t.Errorf("seed %d: %d messages never ended", seed, len(w.open))
		}
		t.Logf("seed %d: %v simulated, %d deliveries", seed, w.now.Sub(start).Round(time.Hour), w.tries)
	}
}

// TestManyWaiting has twenty thousand messages wait for one slow destination:
// a selection must not look at each.
func TestManyWaiting(t *testing.T) {
	s := New(with(nil))
	begin := time.Now()
	for i := range 20000 {
		add(s, "slow", start, 1, "slow")
		add(s, "fast", start, 1, fmt.Sprint("fast", i))
	}
	n := 0
	for {
		e := s.Next(start)
		if e == nil {
			break
		}
		if e.Target.Destination != "slow" {
			s.Done(start, e, Outcome{})
			n++
		}
	}
	if n != 20000 {
		t.Errorf("%d passed", n)
	}
	if d := time.Since(begin); d > time.Minute {
		t.Errorf("took %v", d)
	}
}
