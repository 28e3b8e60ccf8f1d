// Package crew does work that may block, each piece on a goroutine of its own.
// Some of these stay for the next piece: they have the stack that it needs,
// which a new one would grow step by step, and that costs as much as the work
// does.
package crew

import (
	"context"
	"sync"
)

// maxKept is how many goroutines of a crew wait for more work.
const maxKept = 16

// Crew is made by [New]. It is safe for concurrent use.
type Crew struct {
	jobs chan func()
	kept chan struct{} // filled by those that wait or may soon
	busy sync.WaitGroup
}

// New returns a Crew that has no goroutine yet.
func New() *Crew {
	return &Crew{jobs: make(chan func()), kept: make(chan struct{}, maxKept)}
}

// Run has f done. Those who wait for more work leave when ctx is done.
func (c *Crew) Run(ctx context.Context, f func()) {
	c.busy.Add(1)
	select {
	case c.jobs <- f:
	default:
		go c.serve(ctx, f)
	}
}

func (c *Crew) serve(ctx context.Context, f func()) {
	for {
		f()
		c.busy.Done()
		select {
		case c.kept <- struct{}{}:
		default:
			return
		}
		select {
		case f = <-c.jobs:
			<-c.kept
		case <-ctx.Done():
			return
		}
	}
}

// Wait returns when nothing is being done.
func (c *Crew) Wait() { c.busy.Wait() }
