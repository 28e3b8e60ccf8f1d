package safefile

import (
	"runtime"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// MoreProcessors is for a program whose goroutines spend most of their time in
// fsync, several at once. A thread that waits for the disk keeps one of the Go
// runtime's processors unless another goroutine wants it: then it is taken
// away, handed to another thread, and looked for when the disk is done, all by
// waking threads. With some to spare, that does not happen. Too many have their
// price as well: who looks for work looks at all of them.
//
// The runtime's monitor thread, which takes them away, has little to do then. It
// would wake once a millisecond all the same while somebody waits, and with every
// fsync once or twice; so timers may be later here than master lets them.
func MoreProcessors() {
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + SpareProcessors())
	_ = nowait.LateTimers(timerSlack) // if the system refuses, it costs some time
}

// timerSlack is how late a timer may fire.
const timerSlack = 4 * time.Millisecond

// SpareProcessors is how many more they are.
func SpareProcessors() int { return max(runtime.GOMAXPROCS(0), spareProcessors) }

// spareProcessors is how many there are to spare at least.
const spareProcessors = 6
