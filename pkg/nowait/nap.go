package nowait

import (
	"os"
	"syscall"
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

// LateTimers lets the timers of the process, and of what it starts from then on, fire
// as late as that. Without a call it is 50 microseconds.
func LateTimers(d time.Duration) error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(d.Nanoseconds()), 0, 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("prctl", errno)
	}
	return nil
}

// longestNap is as long as the runtime lets a goroutine run at a time.
const longestNap = 10 * time.Millisecond
