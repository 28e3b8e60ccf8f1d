package sched

// job is a message's share in one transport.
type job struct {
	transport  *transport
	message    *Message
	peers      []*peer
	byQueue    map[*queue]*peer // only when there are many
	prev, next *job
	linked     bool
	rank       int64 // order in the list, with gaps

	todo     int // entries that wait
	read     int // entries made so far
	selected int // entries taken so far

	// Preemption.
	parent   *job
	level    int // jobs below it that it overtook, one on the other
	children int
	slots    int // entries taken, less what overtaking jobs were charged
	reserved int // slots that the parent was charged
	base     int // selected when it overtook
}

// rankGap is the distance between neighbours; overtaking halves it.
const rankGap = 1 << 24

// job returns the message's job for a transport, a new one at the end of the
// list if there is none.
func (s *Scheduler) job(m *Message, t *transport) *job {
	for _, j := range m.jobs {
		if j.transport == t {
			if !j.linked {
				t.append(j)
			}
			return j
		}
	}
	j := &job{transport: t, message: m}
	m.jobs = append(m.jobs, j)
	t.append(j)
	return j
}

func (t *transport) append(j *job) {
	j.linked = true
	j.prev, j.next = t.last, nil
	if t.last == nil {
		t.first, j.rank = j, 0
	} else {
		t.last.next = j
		j.rank = t.last.rank + rankGap
	}
	t.last = j
	t.promote(j)
}

// promote moves a new job before those of a lower priority. What has overtaken
// others, or was overtaken, stays where it is, since accounts are kept about
// that.
func (t *transport) promote(j *job) {
	at := (*job)(nil)
	for p := j.prev; p != nil && p.message.Priority < j.message.Priority && p.parent == nil && p.children == 0; p = p.prev {
		at = p
	}
	if at != nil {
		t.insertBefore(j, at)
	}
}

// insertBefore moves j in front of the job at.
func (t *transport) insertBefore(j, at *job) {
	t.detach(j)
	j.prev, j.next = at.prev, at
	if at.prev == nil {
		t.first = j
		j.rank = at.rank - rankGap
	} else {
		at.prev.next = j
		j.rank = at.prev.rank + (at.rank-at.prev.rank)/2
	}
	at.prev = j
	j.linked = true
	if j.prev != nil && j.rank == j.prev.rank {
		t.renumber()
	}
}

// renumber restores the gaps. The order, and so the heap, stays as it is.
func (t *transport) renumber() {
	rank := int64(0)
	for j := t.first; j != nil; j = j.next {
		j.rank = rank
		rank += rankGap
	}
}

func (t *transport) detach(j *job) {
	if j.prev == nil {
		t.first = j.next
	} else {
		j.prev.next = j.next
	}
	if j.next == nil {
		t.last = j.prev
	} else {
		j.next.prev = j.prev
	}
	j.prev, j.next, j.linked = nil, nil, false
}

// unlink takes a job off the list and settles its account with the job that
// it overtook.
func (t *transport) unlink(j *job) {
	if t.cache.current == j || t.cache.best == j {
		t.cache = candidateCache{}
	}
	t.detach(j)
	if p := j.parent; p != nil {
		unused := j.reserved - (j.selected - j.base)
		if unused > 0 {
			p.slots += unused * t.limits.SlotCost
		}
		p.children--
		j.parent, j.reserved, j.level = nil, 0, 0
	}
}

// retireIfDone takes a job off the list when it will have no more entries.
func (t *transport) retireIfDone(j *job) {
	if j.linked && j.todo == 0 && j.message.Unread == 0 {
		t.unlink(j)
	}
}

// take counts one entry that was selected.
func (j *job) take() {
	j.todo--
	j.selected++
	j.slots++
}

// peer is a job's share in one destination.
type peer struct {
	job        *job
	queue      *queue
	entries    *Entry // first of a list
	lastEntry  *Entry
	prev, next *peer // in the destination's list
}

const manyPeers = 16

func (j *job) peer(q *queue) *peer {
	if j.byQueue != nil {
		if p := j.byQueue[q]; p != nil {
			return p
		}
	} else {
		for _, p := range j.peers {
			if p.queue == q {
				return p
			}
		}
	}
	p := &peer{job: j, queue: q}
	j.peers = append(j.peers, p)
	switch {
	case j.byQueue != nil:
		j.byQueue[q] = p
	case len(j.peers) > manyPeers:
		j.byQueue = make(map[*queue]*peer, 2*manyPeers)
		for _, p := range j.peers {
			j.byQueue[p.queue] = p
		}
	}
	q.peers.insert(p)
	return p
}

// drop removes a peer that has no entries left.
func (j *job) drop(p *peer) {
	p.queue.peers.remove(p)
	delete(j.byQueue, p.queue)
	for i, other := range j.peers {
		if other == p {
			last := len(j.peers) - 1
			j.peers[i] = j.peers[last]
			j.peers[last] = nil
			j.peers = j.peers[:last]
			return
		}
	}
}

func (p *peer) push(e *Entry) {
	if p.entries == nil {
		p.entries = e
	} else {
		p.lastEntry.next = e
	}
	p.lastEntry = e
}

func (p *peer) pop() *Entry {
	e := p.entries
	p.entries, e.next = e.next, nil
	return e
}

// peerList has the peers of a destination in the order of their jobs.
type peerList struct{ first, last *peer }

// insert puts a peer in its place. New jobs are last, so it looks from there.
func (l *peerList) insert(p *peer) {
	after := l.last
	for after != nil && after.job.rank > p.job.rank {
		after = after.prev
	}
	l.insertAfter(p, after)
}

// insertFront is insert for a peer whose job has come to the front.
func (l *peerList) insertFront(p *peer) {
	before := l.first
	for before != nil && before.job.rank < p.job.rank {
		before = before.next
	}
	if before == nil {
		l.insertAfter(p, l.last)
		return
	}
	l.insertAfter(p, before.prev)
}

func (l *peerList) insertAfter(p, after *peer) {
	p.prev = after
	if after == nil {
		p.next, l.first = l.first, p
	} else {
		p.next, after.next = after.next, p
	}
	if p.next == nil {
		l.last = p
	} else {
		p.next.prev = p
	}
}

func (l *peerList) remove(p *peer) {
	if p.prev == nil {
		l.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		l.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
}
