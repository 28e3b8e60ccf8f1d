package pace

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// start makes a Governor of a process with eight processors.
func start(t *testing.T) *Governor {
	t.Helper()
	before := runtime.GOMAXPROCS(8)
	g := New(3)
	t.Cleanup(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.timer != nil {
			g.timer.Stop()
		}
		runtime.GOMAXPROCS(before)
	})
	return g
}

func processors(t *testing.T, g *Governor, want int) {
	t.Helper()
	if n := runtime.GOMAXPROCS(0); n != want || g.now != want {
		t.Errorf("%d processors, and %d are known; want %d", n, g.now, want)
	}
}

func TestDecide(t *testing.T) {
	g := start(t)
	processors(t, g, 1)
	g.decide(much - 1)
	processors(t, g, 1)
	g.decide(much)
	processors(t, g, 8)
	for range calm - 1 {
		g.decide(little - 1)
	}
	g.decide(little) // it is not over
	for range calm - 1 {
		g.decide(little - 1)
	}
	processors(t, g, 8)
	g.decide(little - 1)
	processors(t, g, 1)
}

func TestHurry(t *testing.T) {
	g := start(t)
	one, two := g.Hurry(), g.Hurry()
	processors(t, g, 8)
	one()
	one() // once is enough
	g.mu.Lock()
	for range 2 * calm {
		g.decide(0)
	}
	processors(t, g, 8)
	g.mu.Unlock()
	two()
	g.mu.Lock()
	for range calm {
		g.decide(0)
	}
	processors(t, g, 1)
	g.mu.Unlock()
}

// TestWait: who waits for the disk has some to spare, also from one look to the
// next.
func TestWait(t *testing.T) {
	g := start(t)
	done := g.Wait()
	processors(t, g, 11)
	hurried := g.Hurry()
	processors(t, g, 11)
	hurried()
	done()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.decide(0)
	processors(t, g, 11)
	g.decide(0)
	processors(t, g, 8)
	for range calm {
		g.decide(0)
	}
	processors(t, g, 1)
}

// TestWork: a process that is at work gets all processors by itself, and when it
// rests, one; then nobody looks any more.
func TestWork(t *testing.T) {
	g := start(t)
	g.Touch()
	for limit := time.Now().Add(30 * time.Second); runtime.GOMAXPROCS(0) == 1; {
		if time.Now().After(limit) {
			t.Skip("SKIPPED: got no half of a processor in 30 seconds")
		}
	}
	for limit := time.Now().Add(30 * time.Second); g.watching.Load(); time.Sleep(interval / 4) {
		if time.Now().After(limit) {
			t.Fatal("it still looks")
		}
	}
	processors(t, g, 1)
	g.Touch()
	if !g.watching.Load() {
		t.Error("it does not look again")
	}
}

func TestNil(t *testing.T) {
	var g *Governor
	g.Touch()
	g.Hurry()()
	g.Wait()()
}

// TestRest: a process that has come to rest keeps no memory that it does not
// need, also if the last collection came when it did; and what it needs is
// looked at once.
func TestRest(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for _, seen := range []bool{false, true} {
		g := start(t)
		rest := func() (spare int64) {
			g.Touch()
			for end := time.Now().Add(time.Minute); g.watching.Load(); time.Sleep(interval / 4) {
				if time.Now().After(end) {
					t.Fatal("it does not rest")
				}
			}
			for end := time.Now().Add(time.Minute); time.Now().Before(end) && g.excess() >= worthwhile; {
				time.Sleep(interval / 4) // it is being given back
			}
			return g.excess()
		}
		if n := rest(); n >= worthwhile {
			t.Fatalf("%d bytes to spare at first", n)
		}
		block := make([]byte, 64<<20)
		if seen {
			runtime.GC()
		}
		runtime.KeepAlive(block)
		if n := g.excess(); n < 60<<20 {
			t.Fatalf("%d bytes to spare", n)
		}
		if n := rest(); n >= worthwhile {
			t.Fatalf("%d bytes are kept", n)
		}
		block = make([]byte, 64<<20)
		if n := rest(); n >= worthwhile {
			t.Errorf("%d bytes that are in use are looked at again", n)
		}
		runtime.KeepAlive(block)
		block = nil
	}
}
