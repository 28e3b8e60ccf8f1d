package crew

import (
	"context"
	"sync/atomic"
	"testing"
)

// TestRun does more pieces at once than goroutines stay, and then as many again.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := New()
	var done atomic.Int64
	for range 3 {
		hold := make(chan struct{})
		for range 4 * maxKept {
			c.Run(ctx, func() {
				<-hold
				done.Add(1)
			})
		}
		close(hold)
		c.Wait()
	}
	if n := done.Load(); n != 12*maxKept {
		t.Errorf("%d pieces of work done, want %d", n, 12*maxKept)
	}
}

// TestRunAfterEnd: work that comes after the end of ctx is done all the same.
func TestRunAfterEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := New()
	ran := make(chan struct{})
	c.Run(ctx, func() { close(ran) })
	<-ran
	c.Wait()
}
