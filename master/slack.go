package main

import (
	"time"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// timerSlack is how late a timer may fire, in master and in all that it starts.
// The monitor thread of the Go runtime sleeps 20 microseconds again and again
// while a process works. The system's own slack makes 70 of them, which is a
// dozen wake-ups for a message that waits for its disk. The monitor also takes
// the processor away from a thread that a system call holds up; who waits for
// the disk has some to spare (safefile.MoreProcessors), so this may come late.
const timerSlack = time.Millisecond

// relaxTimers sets the slack, which threads and processes inherit.
func (m *master) relaxTimers() {
	if err := nowait.LateTimers(timerSlack); err != nil {
		m.log.Debug("set timer slack: %v", err)
	}
}
