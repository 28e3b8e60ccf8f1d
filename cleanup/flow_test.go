package main

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/inject"
)

func TestFlow(t *testing.T) {
	for _, test := range []struct {
		name    string
		files   int64 // in the queue; one leaves every 100 ms
		open    int64
		flags   inject.Flags
		delay   time.Duration
		atLeast time.Duration
		atMost  time.Duration
	}{
		{"empty", 0, 0, inject.FlagsExternal, time.Second, 0, 0},
		{"at the limit", 10, 0, inject.FlagsExternal, time.Second, 0, 0},
		{"a bit more", 12, 0, inject.FlagsExternal, time.Second, 200 * time.Millisecond, 300 * time.Millisecond},
		{"much more", 1000, 0, inject.FlagsExternal, time.Second, time.Second, time.Second},
		{"own files", 15, 5, inject.FlagsExternal, time.Second, 0, 0},
		{"internal", 1000, 0, inject.FlagsInternal, time.Second, 0, 0},
		{"off", 1000, 0, inject.FlagsExternal, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var files atomic.Int64
				files.Store(test.files)
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					for ctx.Err() == nil {
						time.Sleep(100 * time.Millisecond)
						files.Add(-1)
					}
				}()
				f := &flow{delay: test.delay, limit: 10, count: func(limit int) int { return min(limit, int(files.Load())) }}
				f.open.Store(test.open)
				start := time.Now()
				f.admit(ctx, test.flags)
				if took := time.Since(start); took < test.atLeast || took > test.atMost {
					t.Errorf("took %v, want %v to %v", took, test.atLeast, test.atMost)
				}
				cancel()
				time.Sleep(time.Second) // until the other goroutine has seen it
			})
		})
	}
}

// TestFlowEnds holds that a session that ends does not wait.
func TestFlowEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := &flow{delay: time.Hour, limit: 1, count: func(limit int) int { return limit }}
	f.admit(ctx, inject.FlagsExternal)
}
