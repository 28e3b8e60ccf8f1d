// Package pace gives a process one processor while it has little to do, and
// all of them while it has more.
//
// With several processors at hand, the Go runtime wakes a thread for each
// goroutine that becomes ready, which then finds that the work is done: a
// server that answers requests of fifty microseconds spends as much again on
// threads that come and go. One processor does not have that, and is not enough
// for many clients at once, or for a search. So a Governor looks ten times a
// second, as long as somebody comes, how much of one processor the process
// used, and lets it have them all from a half of one on. Who waits for the disk
// gets some beside those: see safefile.MoreProcessors.
//
// A process that has come to rest gives its spare memory back (see rest.go).
package pace

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	interval = 100 * time.Millisecond
	// Shares of one processor's time in an interval, in percent: above the first,
	// the process gets all processors; it keeps them until it was below the
	// second for calm intervals. Below the third it does nothing.
	much, little, nothing = 50, 30, 2
	calm                  = 5
)

// Governor sets how many processors the process has. A nil Governor does
// nothing.
type Governor struct {
	all      int // as many as there were at the start
	spare    int // beside them, while somebody waits for the disk
	watching atomic.Bool
	kept     atomic.Int64 // bytes that were in use when memory was given back

	mu     sync.Mutex
	now    int  // processors
	hurry  int  // calls of Hurry that go on
	waits  int  // calls of Wait that go on
	waited bool // there was one since the last look
	timer  *time.Timer
	used   time.Duration // processor time at the last look
	looked time.Time
	below  int // looks in a row that found little
	idle   int // looks in a row that found nothing
}

// New gives the process one processor, and a Governor, which has so many to spare
// for Wait. A process has one Governor at most.
func New(spare int) *Governor {
	g := &Governor{all: runtime.GOMAXPROCS(0), spare: spare, now: 1}
	if g.all > 1 {
		runtime.GOMAXPROCS(1)
	}
	return g
}

// Processors is how many the process has at most.
func (g *Governor) Processors() int {
	if g == nil {
		return runtime.GOMAXPROCS(0)
	}
	return g.all
}

// Touch says that there is something to do. It costs nothing when said often.
func (g *Governor) Touch() {
	if g == nil || g.watching.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.watching.Load() {
		return
	}
	g.used, g.looked, g.idle, g.below = processTime(), time.Now(), 0, 0
	if g.timer == nil {
		g.timer = time.AfterFunc(interval, g.look)
	} else {
		g.timer.Reset(interval)
	}
	g.watching.Store(true)
}

// Hurry gives the process all processors until done is called: what follows is
// long, and made for several.
func (g *Governor) Hurry() (done func()) {
	if g == nil || g.all < 2 {
		return func() {}
	}
	g.mu.Lock()
	g.hurry++
	g.set(max(g.all, g.now))
	g.mu.Unlock()
	return sync.OnceFunc(func() {
		g.mu.Lock()
		g.hurry--
		g.mu.Unlock()
		g.Touch() // takes them back after a while
	})
}

// Wait is Hurry for what waits for the disk: the others get as many processors
// as they could use, beside those that are held up.
func (g *Governor) Wait() (done func()) {
	if g == nil || g.all < 2 {
		return func() {}
	}
	g.mu.Lock()
	g.waits++
	g.waited = true
	g.set(g.all + g.spare)
	g.mu.Unlock()
	return sync.OnceFunc(func() {
		g.mu.Lock()
		g.waits--
		g.mu.Unlock()
		g.Touch()
	})
}

// set needs the lock.
func (g *Governor) set(n int) {
	if n != g.now {
		g.now = n
		runtime.GOMAXPROCS(n)
	}
}

// look decides anew, or sees that there is no more to do.
func (g *Governor) look() {
	if g.rests() {
		g.giveBack()
	}
}

// rests is look, and reports whether it was the last one for now.
func (g *Governor) rests() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	used, now := processTime(), time.Now()
	share := 100 * int64(used-g.used) / max(int64(now.Sub(g.looked)), 1)
	g.used, g.looked = used, now
	g.decide(int(share))
	if g.idle >= calm && g.now == 1 {
		g.watching.Store(false)
		return true
	}
	g.timer.Reset(interval)
	return false
}

// decide takes in what share of one processor was used in the last interval.
func (g *Governor) decide(share int) {
	g.below++
	if share >= little {
		g.below = 0
	}
	g.idle++
	if share >= nothing {
		g.idle = 0
	}
	switch {
	case g.waits > 0 || g.waited:
		g.set(g.all + g.spare)
	case share >= much || g.hurry > 0 || g.now > g.all:
		g.set(g.all)
	case g.below >= calm:
		g.set(1)
	}
	g.waited = false
}

// processTime is the time that the process spent on processors.
func processTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
