package safefile

import "runtime"

// MoreProcessors is for a program whose goroutines spend most of their time in
// fsync, several at once. A thread that waits for the disk keeps one of the Go
// runtime's processors unless another goroutine wants it: then it is taken
// away, handed to another thread, and looked for when the disk is done, all by
// waking threads. With some to spare, that does not happen. Too many have their
// price as well: who looks for work looks at all of them.
func MoreProcessors() { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + SpareProcessors()) }

// SpareProcessors is how many more they are.
func SpareProcessors() int { return max(runtime.GOMAXPROCS(0), spareProcessors) }

// spareProcessors is how many there are to spare at least.
const spareProcessors = 6
