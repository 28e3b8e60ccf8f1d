package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/inject"
)

// flowLook is how long one look at the incoming queue is good for.
const flowLook = 50 * time.Millisecond

// flow slows new mail down when the queue manager does not keep up
// (in_flow_delay), so that the backlog stays with the senders and not in the
// incoming queue. Postfix passes tokens through a pipe between qmgr and
// cleanup; here cleanup looks at what is really there, which no crash of
// either can put out of step.
type flow struct {
	delay time.Duration     // in_flow_delay; 0 is off
	limit int               // default_process_limit
	count func(max int) int // files in the incoming queue, up to max

	open atomic.Int64 // messages that this process is writing there

	mu     sync.Mutex
	looked time.Time
	full   bool
}

// admit waits until the backlog is short enough, or for the delay. Mail that
// the system itself makes does not wait: it comes from those who work the
// backlog off.
func (f *flow) admit(ctx context.Context, flags inject.Flags) {
	if f.delay <= 0 || flags&inject.FlagFilter == 0 || !f.backlog() {
		return
	}
	end := time.Now().Add(f.delay)
	for f.backlog() {
		wait := min(flowLook, time.Until(end))
		if wait <= 0 {
			return
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// backlog reports whether too many messages wait for the queue manager. Those
// that are still being written do not.
func (f *flow) backlog() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked) >= flowLook {
		limit := f.limit + int(f.open.Load())
		f.looked, f.full = now, f.count(limit+1) > limit
	}
	return f.full
}

// incoming counts the files in the incoming queue, up to limit. Where the
// directory cannot be read, creating a file there will tell.
func (s *server) incoming(limit int) int {
	n := 0
	for _, err := range s.queue.Scan("incoming") {
		if err != nil || n >= limit {
			break
		}
		n++
	}
	return n
}
