package main

import "time"

// While mail comes all the time, qmgr rests for gatherTime before it takes what
// has come, and then takes it together with the replies of agents and with what comes
// after it. Woken for each message and each reply, it would take twice the
// processor time, and so would the agents, whose requests then come one by one.
const (
	gatherTime = 2 * time.Millisecond
	// Mail comes all the time if the message before it is no older than this. Others do not
	// wait.
	gatherGap = 10 * time.Millisecond
	// With more messages than this in the active queue there is enough to do at
	// a time, and some may wait for the end of others.
	gatherCrowd = 100
)

// gatherer decides when to rest.
type gatherer struct {
	last time.Time // when the trigger before was taken
	nap  func(time.Duration)
}

// wait comes before a trigger is taken.
func (g *gatherer) wait(now time.Time, crowd int) {
	gap := now.Sub(g.last)
	g.last = now
	if gap >= 0 && gap <= gatherGap && crowd <= gatherCrowd {
		g.nap(gatherTime)
		g.last = now.Add(gatherTime)
	}
}
