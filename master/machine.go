package main

import (
	"time"

	"github.com/posthouse-mail/posthouse/pkg/service/masterlink"
)

// Bounds of restarting.
const (
	firstBackOff = time.Second
	// quickDeaths abnormal ends within deathWindow throttle a service, even
	// if each process had been ready before.
	quickDeaths = 5
	deathWindow = 10 * time.Second
	// stressTime is how long new processes are told about stress after all
	// processes were busy.
	stressTime = 1000 * time.Second
	// limitWarning is how often the postmaster hears of a reached limit.
	limitWarning = 100 * time.Second
)

// childState is what master knows about one process.
type childState struct {
	started time.Time
	state   masterlink.State
	ready   bool // has reported, so its start succeeded
}

// machine decides for one service when to listen, to start, to wait and to
// wake. It does nothing by itself and has no clock.
type machine struct {
	maxProc  int // 0 = no limit
	throttle time.Duration
	wakeup   time.Duration
	ifUsed   bool // wake up only after use

	children       map[int]*childState
	solitary       bool // as its processes report
	reports        bool // one has reported
	used           bool
	backOff        time.Duration
	throttledUntil time.Time
	deaths         []time.Time
	stressUntil    time.Time
	warned         time.Time
	nextWake       time.Time
}

func newMachine() *machine { return &machine{children: map[int]*childState{}} }

// available counts the processes that take a client now. One that was just
// started counts: it will.
func (m *machine) available() int {
	n := 0
	for _, c := range m.children {
		if c.state == masterlink.Available {
			n++
		}
	}
	return n
}

// total counts the processes against the limit. A process that only finishes
// its sessions does not count, so that one slow client cannot keep a service
// from being replaced; unless there must never be two.
func (m *machine) total() int {
	n, retiring := 0, 0
	for _, c := range m.children {
		if c.state == masterlink.Retiring {
			retiring++
			// Before the first report, a limit of one may mean it.
			if !m.solitary && (m.reports || m.maxProc != 1) {
				continue
			}
		}
		n++
	}
	// Enough is enough: reload after reload while nobody leaves.
	if m.maxProc > 0 && retiring > 4*m.maxProc+16 {
		n += retiring
	}
	return n
}

// limited reports whether no further process may start.
func (m *machine) limited() bool { return m.maxProc > 0 && m.total() >= m.maxProc }

// listen reports whether a request on the endpoint should start a process.
func (m *machine) listen(now time.Time) bool {
	return m.available() == 0 && !m.limited() && !now.Before(m.throttledUntil)
}

// begun notes a new process.
func (m *machine) begun(pid int, now time.Time) {
	m.children[pid] = &childState{started: now, state: masterlink.Available}
	m.used = true
}

// stressed reports whether the next process is told so.
func (m *machine) stressed(now time.Time) bool { return now.Before(m.stressUntil) }

// reported notes what a process says of itself. It returns true if the limit
// is reached now and the postmaster should hear of it.
func (m *machine) reported(r masterlink.Report, now time.Time) (warn bool) {
	c, ok := m.children[r.PID]
	if !ok || c.state == masterlink.Retiring {
		return false
	}
	c.state, c.ready = r.State, true
	m.solitary, m.reports = r.Solitary, true
	m.backOff = 0
	if r.State != masterlink.Taken || m.maxProc == 1 || !m.limited() || m.available() > 0 {
		return false
	}
	m.stressUntil = now.Add(stressTime)
	if now.Sub(m.warned) < limitWarning {
		return false
	}
	m.warned = now
	return true
}

// retireAll notes that all processes have been told to go.
func (m *machine) retireAll() {
	for _, c := range m.children {
		c.state = masterlink.Retiring
	}
}

// ended notes the end of a process. It returns for how long no further one is
// started.
func (m *machine) ended(pid int, normal bool, now time.Time) time.Duration {
	c, ok := m.children[pid]
	if !ok {
		return 0
	}
	delete(m.children, pid)
	switch {
	case normal:
		return 0
	case !c.ready:
		return m.failed(now)
	}
	m.deaths = append(m.deaths, now)
	for len(m.deaths) > 0 && now.Sub(m.deaths[0]) > deathWindow {
		m.deaths = m.deaths[1:]
	}
	if len(m.deaths) < quickDeaths {
		return 0
	}
	m.deaths = nil
	return m.failed(now)
}

// replace plans a wake-up for a process that ended without having chosen to: it
// may have taken a request from the FIFO that nobody serves now.
func (m *machine) replace(now time.Time) {
	if m.wakeup > 0 && !m.ifUsed {
		m.nextWake = now
	}
}

// failed lengthens the back-off: a service that cannot start shall not keep
// the machine busy, and one that could not for a moment shall be back soon.
func (m *machine) failed(now time.Time) time.Duration {
	m.backOff = min(max(2*m.backOff, firstBackOff), m.throttle)
	m.throttledUntil = now.Add(m.backOff)
	return m.backOff
}

// wake reports whether a wake-up is due, and plans the next one.
func (m *machine) wake(now time.Time) bool {
	if m.wakeup <= 0 || now.Before(m.nextWake) {
		return false
	}
	m.nextWake = now.Add(m.wakeup)
	return !m.ifUsed || m.used
}

// next returns when to look at this service again; zero means never.
func (m *machine) next(now time.Time) time.Time {
	var t time.Time
	if m.wakeup > 0 {
		t = m.nextWake
	}
	if now.Before(m.throttledUntil) && (t.IsZero() || m.throttledUntil.Before(t)) {
		t = m.throttledUntil
	}
	return t
}
