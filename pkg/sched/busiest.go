package sched

// Busiest returns the destination that has the most entries, and how many.
func (s *Scheduler) Busiest() (target Target, entries int) {
	for _, t := range s.ring {
		for _, q := range t.queues {
			n := q.todo + q.busy
			if n > entries || n == entries && q.name < target.Destination {
				target, entries = Target{Transport: t.name, Destination: q.name}, n
			}
		}
	}
	return target, entries
}
