package testkit

import (
	"syscall"
	"time"
)

// CPU runs f and returns the processor time that this process used meanwhile.
// Tests that look for work that grows too fast ask for that, and not for what a
// clock says: others may be using the machine.
func CPU(f func()) time.Duration {
	before := used()
	f()
	return used() - before
}

func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
