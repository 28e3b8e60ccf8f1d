// Package sched decides which delivery comes next. It is the scheduler of the
// queue manager as a pure state machine: it does no input or output, starts no
// goroutine and reads no clock. Each call takes the time, so that days of
// traffic can be simulated in milliseconds.
//
// The model is that of Postfix's queue manager:
//
//   - A message has one job for each transport that its recipients need.
//   - A job has one peer for each destination (transport and next hop).
//   - A peer has entries: groups of recipients, at most
//     destination_recipient_limit of them, that go in one delivery request.
//   - A destination has a window: how many requests it may have at once. It
//     grows with success and shrinks with failure; a destination that fails
//     too often in a row is dead for a while, and its mail is deferred
//     without a try.
//
// The jobs of a transport are served in order of arrival, except that a small
// job may overtake a large one: see preempt.go.
//
// Where Postfix walks the job list from the front at every selection, this
// package keeps the destinations that can take a request in a heap, ordered by
// the place of their first job in the list. The choice is the same, at the
// cost of a logarithm, however many messages wait for a slow destination.
package sched

import (
	"container/heap"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Limits are the settings of one transport. Names in comments are those of
// main.cf after "default_" or the transport's name.
type Limits struct {
	Requests           int           // requests at once over all destinations; 0 is no limit
	Concurrency        int           // destination_concurrency_limit; 0 is no limit
	InitialConcurrency int           // initial_destination_concurrency
	Recipients         int           // destination_recipient_limit; 0 is no limit
	CohortLimit        float64       // destination_concurrency_failed_cohort_limit; 0 never gives up
	Positive, Negative Feedback      // destination_concurrency_*_feedback
	RateDelay          time.Duration // destination_rate_delay
	TransportRateDelay time.Duration // transport_rate_delay
	DeadTime           time.Duration // minimal_backoff_time: how long a destination is dead
	RetryTime          time.Duration // transport_retry_time: how long a transport is dead
	SlotCost           int           // delivery_slot_cost; below 2 is no preemption
	SlotLoan           int           // delivery_slot_loan
	SlotDiscount       int           // delivery_slot_discount, percent
	MinSlots           int           // minimum_delivery_slots

	// The scheduler's owner, who reads recipients into memory, obeys these.
	InMemory    int           // recipient_limit
	Extra       int           // extra_recipient_limit, for messages that overtake
	Refill      int           // recipient_refill_limit
	RefillDelay time.Duration // recipient_refill_delay
}

// Target is where a group of recipients goes.
type Target struct {
	Transport string
	NextHop   string // what the agent is told
	// Destination is the name under which concurrency is counted; it is the
	// next hop, or the recipient where each recipient is sent to alone.
	Destination string
}

// Message is a message in the scheduler. The owner keeps its own data in User.
type Message struct {
	Queued time.Time // for the order among messages that may overtake
	Unread int       // recipients that are still only in the queue file
	User   any
	// Priority puts the message before those of a lower one that wait for
	// the same transport (RFC 6710).
	Priority int

	open int
	jobs []*job
}

// Open is the number of entries that are waiting or out for delivery.
func (m *Message) Open() int { return m.open }

// Entry is one delivery request: recipients of one message with one target.
type Entry struct {
	Message    *Message
	Target     Target
	Recipients []envelope.Recipient
	// Load and Store allow the agent to take up a kept connection, and to
	// keep the one it has, since more mail for the destination is about.
	Load, Store bool

	peer  *peer
	queue *queue
	next  *Entry
}

// Outcome is what came of a delivery request.
type Outcome struct {
	// Crash means that no answer came: the agent died or cannot be reached.
	// The whole transport is left alone for a while.
	Crash bool
	// Site is not zero when the destination as a whole failed.
	Site status.Status
	// NoVerdict means that the request said nothing about the destination,
	// such as one that was refused because of its queue file.
	NoVerdict bool
}

// Scheduler is the state of all transports. It is not safe for concurrent
// use: it belongs to one goroutine.
type Scheduler struct {
	limits     func(transport string) Limits
	transports map[string]*transport
	ring       []*transport
	turn       int
	picks      uint64
	timers     timerHeap
}

// New returns an empty scheduler. limits is asked once per transport.
func New(limits func(transport string) Limits) *Scheduler {
	return &Scheduler{limits: limits, transports: make(map[string]*transport)}
}

// transport is the state of one transport.
type transport struct {
	name   string
	limits Limits
	queues map[string]*queue
	busy   int
	// state of the transport itself: dead after a crash, suspended by a
	// rate delay.
	state  state
	reason status.Status
	timer  *timer

	first, last *job // in order of service
	ready       readyHeap
	cache       candidateCache
}

// queue is the state of one destination.
type queue struct {
	transport        *transport
	name             string
	state            state
	reason           status.Status // why it is dead
	timer            *timer
	window           int
	success, failure float64
	cohorts          float64
	todo, busy       int
	peers            peerList
	lastPick         uint64
	lastDone         time.Time
	store            bool
	heapIndex        int // in transport.ready, -1 if not there
}

type state byte

const (
	ready state = iota
	dead
	suspended
)

func (s *Scheduler) transport(name string) *transport {
	t := s.transports[name]
	if t == nil {
		t = &transport{name: name, limits: normalize(s.limits(name)), queues: make(map[string]*queue)}
		s.transports[name] = t
		s.ring = append(s.ring, t)
	}
	return t
}

// normalize applies the rules that hold between limits.
func normalize(l Limits) Limits {
	// A pause between deliveries has no meaning with several at once.
	if l.RateDelay > 0 {
		l.Concurrency, l.InitialConcurrency = 1, 1
	}
	if l.TransportRateDelay > 0 {
		l.Requests = 1
	}
	l.InitialConcurrency = max(l.InitialConcurrency, 1)
	if l.Concurrency > 0 {
		l.InitialConcurrency = min(l.InitialConcurrency, l.Concurrency)
	}
	return l
}

// Recipients returns how many recipients a request over a transport may have;
// 0 is no limit.
func (s *Scheduler) Recipients(transport string) int {
	return s.transport(transport).limits.Recipients
}

// Dead returns why mail for a target has to be deferred without a try, or a
// zero status if it has not.
func (s *Scheduler) Dead(target Target) status.Status {
	t := s.transport(target.Transport)
	if t.state == dead {
		return t.reason
	}
	if q := t.queues[target.Destination]; q != nil && q.state == dead {
		return q.reason
	}
	return status.Status{}
}

// Add puts recipients of a message, all with the same target, into the
// schedule. The caller has asked Dead before.
func (s *Scheduler) Add(m *Message, target Target, rcpts []envelope.Recipient) {
	t := s.transport(target.Transport)
	q := t.queues[target.Destination]
	if q == nil {
		s.picks++
		q = &queue{
			transport: t, name: target.Destination, window: t.limits.InitialConcurrency,
			heapIndex: -1, lastPick: s.picks,
		}
		t.queues[target.Destination] = q
	}
	p := s.job(m, t).peer(q)
	limit := t.limits.Recipients
	if limit <= 0 {
		limit = len(rcpts)
	}
	for len(rcpts) > 0 {
		n := min(limit, len(rcpts))
		p.push(&Entry{Message: m, Target: target, Recipients: rcpts[:n:n], peer: p, queue: q})
		rcpts = rcpts[n:]
		m.open++
		q.todo++
		p.job.todo++
		p.job.read++
	}
	t.fix(q)
}

// ReadAll says that the last recipients of a message were read.
func (s *Scheduler) ReadAll(m *Message) {
	m.Unread = 0
	for _, j := range append([]*job(nil), m.jobs...) {
		j.transport.retireIfDone(j)
	}
}

// Next returns the next entry to deliver, or nil if none can go now. The
// entry counts as busy until Done.
func (s *Scheduler) Next(now time.Time) *Entry {
	s.expire(now)
	for range s.ring {
		if s.turn >= len(s.ring) {
			s.turn = 0
		}
		t := s.ring[s.turn]
		s.turn++
		if !t.available() {
			continue
		}
		return s.pick(t, now)
	}
	return nil
}

func (t *transport) available() bool {
	return t.state == ready && len(t.ready) > 0 &&
		(t.limits.Requests == 0 || t.busy < t.limits.Requests)
}

// pick takes the next entry of a transport that has one.
func (s *Scheduler) pick(t *transport, now time.Time) *Entry {
	if t.limits.SlotCost >= 2 {
		t.preempt(t.ready[0].peers.first.job, now)
	}
	q := t.ready[0]
	p := q.peers.first
	e := p.pop()
	s.picks++
	q.lastPick = s.picks
	q.todo--
	q.busy++
	t.busy++
	p.job.take()
	s.setConnection(q, e, now)
	if p.entries == nil {
		p.job.drop(p)
	}
	t.fix(q)
	t.retireIfDone(e.peer.job)
	return e
}

// setConnection turns the reuse of connections on when deliveries follow one
// another at once, and off when the destination runs out of mail.
func (s *Scheduler) setConnection(q *queue, e *Entry, now time.Time) {
	backToBack := !q.lastDone.IsZero() && now.Sub(q.lastDone) <= time.Second
	switch {
	case !q.store && backToBack:
		q.store = true
	case q.store && !backToBack && q.busy < 2:
		q.store = false
	}
	e.Load, e.Store = q.store, q.store
}

// Done ends a delivery request. It returns the entries that have to be
// deferred, with the reason that Dead gives now, because the destination or
// the transport was found to be dead; they are no longer in the schedule.
func (s *Scheduler) Done(now time.Time, e *Entry, o Outcome) []*Entry {
	s.expire(now)
	q, t := e.queue, e.queue.transport
	e.Message.open--
	q.lastDone = now
	var drop []*Entry
	switch {
	case o.Crash:
		drop = s.killTransport(t, now)
	case o.NoVerdict:
	case !o.Site.IsZero():
		s.transportAlive(t)
		if q.failed(o.Site); q.state == dead {
			s.setTimer(&q.timer, t, q, now.Add(t.limits.DeadTime))
			drop = t.dropAll(q)
		}
	default:
		s.transportAlive(t)
		s.queueAlive(q)
		q.succeeded()
	}
	// Only now, since the window follows the concurrency with this request.
	q.busy--
	t.busy--
	s.pause(q, now)
	t.fix(q)
	t.forget(q)
	return drop
}

// pause starts the rate delays.
func (s *Scheduler) pause(q *queue, now time.Time) {
	t := q.transport
	if t.limits.RateDelay > 0 && q.state == ready && q.busy == 0 {
		q.state = suspended
		s.setTimer(&q.timer, t, q, now.Add(t.limits.RateDelay))
	}
	if t.limits.TransportRateDelay > 0 && t.state == ready && t.busy == 0 {
		t.state = suspended
		s.setTimer(&t.timer, t, nil, now.Add(t.limits.TransportRateDelay))
	}
}

// statusCrash is the reason given for mail whose agent died.
var statusCrash = status.New(0, "4.3.0", "unknown mail transport error")

func (s *Scheduler) killTransport(t *transport, now time.Time) []*Entry {
	t.state = dead
	t.reason = statusCrash
	s.setTimer(&t.timer, t, nil, now.Add(t.limits.RetryTime))
	var drop []*Entry
	// Walk the jobs, not the map of queues, for the same order every time.
	for t.first != nil {
		j := t.first
		for _, p := range append([]*peer(nil), j.peers...) {
			drop = append(drop, t.dropPeer(p)...)
		}
		t.fixAfterDrop(j)
	}
	return drop
}

// fixAfterDrop takes a job without entries off the list.
func (t *transport) fixAfterDrop(j *job) {
	if j.linked {
		t.unlink(j)
	}
}

// dropAll empties a destination.
func (t *transport) dropAll(q *queue) []*Entry {
	var drop []*Entry
	for q.peers.first != nil {
		p := q.peers.first
		drop = append(drop, t.dropPeer(p)...)
		t.retireIfDone(p.job)
	}
	return drop
}

func (t *transport) dropPeer(p *peer) []*Entry {
	var drop []*Entry
	for p.entries != nil {
		e := p.pop()
		p.queue.todo--
		p.job.todo--
		e.Message.open--
		drop = append(drop, e)
	}
	p.job.drop(p)
	t.fix(p.queue)
	t.forget(p.queue)
	return drop
}

// forget removes a destination about which there is nothing to remember.
func (t *transport) forget(q *queue) {
	if q.todo == 0 && q.busy == 0 && q.state == ready && t.queues[q.name] == q {
		delete(t.queues, q.name)
	}
}

func (s *Scheduler) transportAlive(t *transport) {
	if t.state == dead {
		t.state = ready
		s.stopTimer(&t.timer)
	}
}

func (s *Scheduler) queueAlive(q *queue) {
	if q.state != dead {
		return
	}
	q.state = ready
	s.stopTimer(&q.timer)
	// Back from the almost dead: what it can take is anyone's guess.
	q.window = q.transport.limits.InitialConcurrency
	if q.busy > 0 {
		q.window = q.busy
	}
	q.success, q.failure = 0, 0
}

// Unthrottle brings all dead transports and destinations back, for a flush.
func (s *Scheduler) Unthrottle() {
	for _, t := range s.ring {
		s.transportAlive(t)
		for _, q := range t.queues {
			s.queueAlive(q)
			t.fix(q)
			t.forget(q)
		}
	}
}

// Revive brings one destination back, for a message that is to be tried now.
func (s *Scheduler) Revive(target Target) {
	t := s.transport(target.Transport)
	s.transportAlive(t)
	if q := t.queues[target.Destination]; q != nil {
		s.queueAlive(q)
		t.fix(q)
		t.forget(q)
	}
}

// fix brings a destination's place in the heap of ready ones up to date.
func (t *transport) fix(q *queue) {
	can := q.state == ready && q.todo > 0 && q.busy < q.window
	switch {
	case can && q.heapIndex < 0:
		heap.Push(&t.ready, q)
	case can:
		heap.Fix(&t.ready, q.heapIndex)
	case q.heapIndex >= 0:
		heap.Remove(&t.ready, q.heapIndex)
	}
}

// readyHeap has the destinations that can take a request, that with the first
// job on top; those of one job take turns.
type readyHeap []*queue

func (h readyHeap) Len() int { return len(h) }
func (h readyHeap) Less(a, b int) bool {
	ra, rb := h[a].peers.first.job.rank, h[b].peers.first.job.rank
	return ra < rb || ra == rb && h[a].lastPick < h[b].lastPick
}
func (h readyHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].heapIndex, h[b].heapIndex = a, b
}
func (h *readyHeap) Push(x any) {
	q := x.(*queue)
	q.heapIndex = len(*h)
	*h = append(*h, q)
}
func (h *readyHeap) Pop() any {
	old := *h
	q := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	q.heapIndex = -1
	return q
}
