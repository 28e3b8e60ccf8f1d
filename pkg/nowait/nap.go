package nowait

import (
	"time"

	"golang.org/x/sys/unix"
)

// Nap has a process with one processor do nothing at all for a while: no
// goroutine runs, and whatever comes waits in the kernel, to be found together
// afterwards. Each thing that comes by itself costs the waking of a thread on a processor whose
// caches have forgotten it, which is more than what daemons do with it. With
// more processors it only holds the caller.
//
// It is for a few milliseconds, and never longer than one asks for by much: a
// signal ends it.
func Nap(d time.Duration) {
	ts := unix.NsecToTimespec(min(d, longestNap).Nanoseconds())
	sleep(&ts)
}

// longestNap is as long as the runtime lets a goroutine run at a time.
const longestNap = 10 * time.Millisecond
