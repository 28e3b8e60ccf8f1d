package safefile

import "runtime"

// MoreProcessors is for a program whose goroutines spend most of their time in
// fsync, several at once. A thread that waits for the disk keeps one of the Go
// runtime's processors unless another goroutine wants it: then it is taken
// away, handed to another thread, and looked for when the disk is done, all by
// waking threads. With some to spare, that does not happen. Too many have their
// price as well: who looks for work looks at all of them.
func MoreProcessors() {
	n := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(n + max(n, spareProcessors))
}

// spareProcessors is how many there are to spare at least.
const spareProcessors = 6
