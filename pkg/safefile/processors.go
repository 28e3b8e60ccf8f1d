package safefile

import "runtime"

// MoreProcessors is for a program whose goroutines spend most of their time in
// fsync, several at once. A thread that waits for the disk keeps one of the Go
// runtime's processors unless another goroutine wants it: then it is taken
// away, handed to another thread, and looked for when the disk is done, all by
// waking threads. With some to spare, that does not happen.
func MoreProcessors() { runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0)) }
