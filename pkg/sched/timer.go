package sched

import (
	"container/heap"
	"time"
)

// timer ends the death or suspension of a destination or, with queue nil, of
// a transport.
type timer struct {
	at        time.Time
	transport *transport
	queue     *queue
	index     int
}

func (s *Scheduler) setTimer(slot **timer, t *transport, q *queue, at time.Time) {
	s.stopTimer(slot)
	*slot = &timer{at: at, transport: t, queue: q}
	heap.Push(&s.timers, *slot)
}

func (s *Scheduler) stopTimer(slot **timer) {
	if *slot != nil {
		heap.Remove(&s.timers, (*slot).index)
		*slot = nil
	}
}

// Wake returns when a destination or transport comes back that is dead or
// suspended now; the zero time if there is none.
func (s *Scheduler) Wake() time.Time {
	if len(s.timers) == 0 {
		return time.Time{}
	}
	return s.timers[0].at
}

// expire brings back what has been out long enough.
func (s *Scheduler) expire(now time.Time) {
	for len(s.timers) > 0 && !s.timers[0].at.After(now) {
		tm := s.timers[0]
		t, q := tm.transport, tm.queue
		if q == nil {
			s.stopTimer(&t.timer)
			t.state = ready
			continue
		}
		if q.state == suspended {
			s.stopTimer(&q.timer)
			q.state = ready
		} else {
			s.queueAlive(q)
			q.cohorts = 0
		}
		t.fix(q)
		t.forget(q)
	}
}

type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(a, b int) bool { return h[a].at.Before(h[b].at) }
func (h timerHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].index, h[b].index = a, b
}
func (h *timerHeap) Push(x any) {
	tm := x.(*timer)
	tm.index = len(*h)
	*h = append(*h, tm)
}
func (h *timerHeap) Pop() any {
	old := *h
	tm := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return tm
}
