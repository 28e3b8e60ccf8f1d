package main

import "time"

// A message that its sender wants to leave later (RFC 4865) leaves at that time
// and not with the next queue run. The owner knows the earliest such time only:
// arrivals tell it, and so does each scan, from what it looks at anyway.

// heldMark is the fraction of a second in the times of held messages. Times of
// other deferred messages, which wait for a queue run as ever, have any other.
// Whoever copies a queue without fractions loses the mark and nothing else: a
// queue run finds the message then.
const heldMark = time.Millisecond

// heldTime returns the time of the file of a message that is held until then.
func heldTime(until time.Time) time.Time {
	return time.Unix(until.Unix(), int64(heldMark))
}

// isHeld reports whether a file's time is one that heldTime made.
func isHeld(t time.Time) bool { return t.Nanosecond() == int(heldMark) }

// scanShare bounds what the times that clients choose may cost where the
// deferred queue is large: after a scan, held messages wait for as many times
// as long as it took, and heldPause at least.
const (
	scanShare = 10
	heldPause = time.Second
)

// heldClock says when to look for held messages. It is the owner's.
type heldClock struct {
	due   time.Time // the earliest of which it was told; zero = none
	pause time.Time // no scan for held messages before then
}

// add tells of a message that is held until a time.
func (c *heldClock) add(at time.Time) {
	if !at.IsZero() && (c.due.IsZero() || at.Before(c.due)) {
		c.due = at
	}
}

// scanned tells of the end of a scan of the deferred queue and what it took.
func (c *heldClock) scanned(now time.Time, took time.Duration) {
	c.pause = now.Add(max(heldPause, scanShare*took))
}

// wake returns when the next scan is due; zero is never. A time in a file is
// that of the wall, which may be set back, but a pause has its length: so each
// is compared with the present, and not with the other.
func (c *heldClock) wake(now time.Time) time.Time {
	if c.due.IsZero() {
		return c.due
	}
	return now.Add(max(0, c.due.Sub(now), c.pause.Sub(now)))
}

// ring reports whether it is time for a scan, and forgets that time: a message
// that is still there afterwards waits for a queue run.
func (c *heldClock) ring(now time.Time) bool {
	if c.due.IsZero() || c.wake(now).After(now) {
		return false
	}
	c.due = time.Time{}
	return true
}
