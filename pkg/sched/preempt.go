package sched

import "time"

// candidateCache remembers the search for a job that may overtake, since
// waiting times change slowly.
type candidateCache struct {
	current, best *job
	at            time.Time
}

// preempt lets a small job overtake the job that is served now, if that is
// large. Each entry that the current job gets delivered earns it one; every
// SlotCost of them are worth one delivery of another job. So mail to a list of
// thousands is slowed down by at most one part in SlotCost, and the letter
// behind it leaves within a few deliveries.
func (t *transport) preempt(current *job, now time.Time) {
	if current.slots <= 0 || current.maxSlots() < t.limits.MinSlots {
		return
	}
	best := t.candidate(current, now)
	if best == nil || best == current || !best.linked {
		return
	}
	needed := best.maxEntries() - best.selected
	// Not all slots must be there yet: a loan, and a discount, help where
	// the current job will certainly earn the rest.
	if float64(current.slots/t.limits.SlotCost+t.limits.SlotLoan) <
		float64(needed)*float64(100-t.limits.SlotDiscount)/100 {
		return
	}
	t.cache = candidateCache{}
	t.overtake(best, current, needed)
}

// Overtakes reports whether a message was let past another one in a transport
// and has not made up for it yet.
func (s *Scheduler) Overtakes(m *Message, transport string) bool {
	for _, j := range m.jobs {
		if j.transport.name == transport {
			return j.parent != nil
		}
	}
	return false
}

// overtake moves the job best in front of current.
func (t *transport) overtake(best, current *job, needed int) {
	if p := best.parent; p != nil {
		// It had overtaken another job: settle that first.
		if unused := best.reserved - (best.selected - best.base); unused > 0 {
			p.slots += unused * t.limits.SlotCost
		}
		p.children--
	}
	best.parent, best.level = current, current.level+1
	best.reserved, best.base = needed, best.selected
	current.children++
	current.slots -= needed * t.limits.SlotCost

	// The lists of its destinations are ordered by rank, so they must not
	// see the change half done.
	for _, p := range best.peers {
		p.queue.peers.remove(p)
		t.fixWithout(p.queue)
	}
	t.insertBefore(best, current)
	for _, p := range best.peers {
		p.queue.peers.insertFront(p)
		t.fix(p.queue)
	}
}

// fixWithout is fix for a destination that one peer has just left.
func (t *transport) fixWithout(q *queue) {
	if q.heapIndex < 0 {
		return
	}
	// Out of the heap in any case: a destination without peers has no place.
	state := q.state
	q.state = suspended
	t.fix(q)
	q.state = state
	if q.peers.first != nil {
		t.fix(q)
	}
}

// candidate returns the job that deserves most to overtake: that with the
// longest wait per entry, among those that fit in what current can earn.
func (t *transport) candidate(current *job, now time.Time) *job {
	if t.cache.current == current && now.Sub(t.cache.at) < time.Second {
		return t.cache.best
	}
	limit := current.maxSlots()
	var best *job
	bestScore := 0.0
	for j := current.next; j != nil && limit > 0; j = j.next {
		if j.children > 0 || !j.selectable() {
			continue
		}
		total := j.maxEntries()
		needed := total - j.selected
		wait := now.Sub(j.message.Queued).Seconds() + 1
		if needed > 0 && needed <= limit {
			if score := wait / float64(total); score > bestScore {
				best, bestScore = j, score
			}
		}
		// No later job has waited longer, unless it overtook.
		if wait <= bestScore && j.level == 0 {
			break
		}
	}
	t.cache = candidateCache{current: current, best: best, at: now}
	return best
}

// maxSlots is the number of deliveries that others can get from this job
// before it is done.
func (j *job) maxSlots() int {
	return (j.read - j.selected + j.slots) / j.transport.limits.SlotCost
}

// maxEntries estimates how many entries the job has in all, with those whose
// recipients were not read yet.
func (j *job) maxEntries() int {
	limit := max(j.transport.limits.Recipients, 1)
	return j.read + (j.message.Unread+limit-1)/limit
}

// selectable reports whether an entry of the job could go now.
func (j *job) selectable() bool {
	for _, p := range j.peers {
		if p.queue.heapIndex >= 0 {
			return true
		}
	}
	return false
}
