package main

import (
	"testing"
	"time"
)

// TestGather: only mail that follows other mail at once waits, and not when
// there is much of it.
func TestGather(t *testing.T) {
	naps, now := 0, time.Now()
	g := gatherer{nap: func(d time.Duration) {
		naps++
		now = now.Add(d)
	}}
	for i, c := range []struct {
		after time.Duration
		crowd int
		naps  int
	}{
		{0, 0, 0}, // the first
		{gatherGap + 1, 0, 0},
		{gatherGap, 0, 1},
		{time.Millisecond, 1, 2},
		{gatherGap, 0, 3}, // since the end of the rest
		{time.Millisecond, gatherCrowd, 4},
		{time.Millisecond, gatherCrowd + 1, 4},
		{time.Millisecond, 0, 5},
		{-time.Hour, 0, 5}, // the clock was set back
		{time.Hour, 0, 5},
	} {
		now = now.Add(c.after)
		if g.wait(now, c.crowd); naps != c.naps {
			t.Errorf("%d: %d naps, want %d", i, naps, c.naps)
		}
	}
}
