package main

import (
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Patience when the mail system stops.
const (
	termGrace = 12 * time.Second // daemons need up to eight by themselves
	quitGrace = 1 * time.Second
	lastGrace = 2 * time.Second // for postlogd, which stops last
)

// loop reacts to signals, reports, clients and the clock until master ends.
func (m *master) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var exit <-chan time.Time
	if m.opts.exitAfter > 0 {
		exit = time.After(m.opts.exitAfter)
	}
	for {
		select {
		case sig := <-m.signals:
			switch sig {
			case syscall.SIGCHLD:
				m.reap()
			case syscall.SIGHUP:
				m.reload()
			default:
				m.log.Info("", "terminating on signal %d", sig)
				m.stop(sig == syscall.SIGQUIT)
				return
			}
		case r := <-m.reports:
			m.reported(r)
		case s := <-m.poll.ready:
			s.watched = false
			m.wanted(s)
		case <-exit:
			m.stop(false)
			return
		case <-timer.C:
		}
		timer.Reset(m.tend(time.Now()))
	}
}

// longest is how long master sleeps when nothing is planned.
const longest = time.Hour

// tend does what is due for each service, and returns for how long nothing
// else will be.
func (m *master) tend(now time.Time) time.Duration {
	wait := longest
	for _, s := range m.services {
		if s.gone {
			continue
		}
		if s.machine.wake(now) {
			s.trigger()
		}
		m.watch(s, s.machine.listen(now))
		if t := s.machine.next(now); !t.IsZero() {
			wait = min(wait, max(t.Sub(now), time.Millisecond))
		}
	}
	return wait
}

// watch arms or disarms the endpoints of a service.
func (m *master) watch(s *service, on bool) {
	if s.watched == on {
		return
	}
	for _, e := range s.endpoints {
		m.poll.arm(e.fd, on)
	}
	s.watched = on
}

// wanted starts a process for a client that waits.
func (m *master) wanted(s *service) {
	now := time.Now()
	if s.gone || len(s.endpoints) == 0 || !s.machine.listen(now) {
		return
	}
	if len(m.children) >= maxChildren {
		m.log.Warn("", "%d processes are running, not starting another one for service \"%s\"", len(m.children), s.cfg.Name)
		s.machine.failed(now)
		return
	}
	pid, err := m.spawn(s, s.machine.stressed(now))
	if err != nil {
		m.log.Warn("", "%v", err)
		m.throttled(s, s.machine.failed(now))
		return
	}
	s.machine.begun(pid, now)
}

func (m *master) throttled(s *service, wait time.Duration) {
	if wait > 0 {
		m.log.Warn("", "%s: bad command startup -- throttling for %s", m.program(s), wait)
	}
}

func (m *master) program(s *service) string {
	if filepath.IsAbs(s.cfg.Program) {
		return s.cfg.Program
	}
	return filepath.Join(m.plan.set.DaemonDir, s.cfg.Program)
}

// reported takes a report of a child into account.
func (m *master) reported(r report) {
	c := r.child
	if m.children[c.pid] != c || c.link == nil {
		return
	}
	if r.err != nil || r.PID != c.pid {
		// Not our program, or one that was captured.
		m.log.Warn("", "process %s pid %d: bad status report", c.path, c.pid)
		return
	}
	if r.Generation != m.generation {
		return
	}
	if c.service.machine.reported(r.Report, time.Now()) {
		m.log.Warn("", "service \"%s\" (%s) has reached its process limit \"%d\": new clients may experience noticeable delays",
			c.service.cfg.Name, c.service.cfg.Program, c.service.cfg.MaxProc)
		m.log.Warn("", "to avoid this condition, increase the process count in master.cf or client_limit, or reduce the service time per client")
	}
}

// reap collects ended processes, our own and, as process 1, orphans.
func (m *master) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		c, ok := m.children[pid]
		if !ok {
			continue
		}
		delete(m.children, pid)
		m.ended(c, status)
	}
}

// ended notes how a child ended.
func (m *master) ended(c *child, status syscall.WaitStatus) {
	retired := c.link == nil
	if c.link != nil {
		c.link.Close()
	}
	normal := status.Exited() && status.ExitStatus() == 0
	if m.stopping && (normal || status.Signaled() && status.Signal() == syscall.SIGTERM) {
		// It was told to end, perhaps before it could listen to signals.
		return
	}
	if status.Exited() && !normal {
		m.log.Warn("", "process %s pid %d exit status %d", c.path, c.pid, status.ExitStatus())
	}
	if status.Signaled() {
		m.log.Warn("", "process %s pid %d killed by signal %d", c.path, c.pid, status.Signal())
	}
	if m.stopping {
		return
	}
	wait := c.service.machine.ended(c.pid, normal || retired, time.Now())
	m.throttled(c.service, wait)
	if retired || !normal {
		c.service.machine.replace(time.Now())
	}
	if c.service.gone && len(c.service.machine.children) == 0 {
		delete(m.services, c.service.key()+fmt.Sprintf(" %p", c.service))
	}
}

// stop ends all processes, postlogd last so that it logs the end of the others.
func (m *master) stop(now bool) {
	m.stopping = true
	m.notify.stopping()
	for _, s := range m.services {
		m.watch(s, false)
		if s.cfg.Name != postlogName {
			// Who asks a sibling that has ended shall hear so at once,
			// and not wait in a queue that nobody serves.
			m.closeEndpoints(s)
		}
	}
	grace := termGrace
	if now {
		grace = quitGrace
	}
	m.endChildren(grace, func(c *child) bool { return c.service.cfg.Name != postlogName })
	m.log.Debug("all processes but the log have ended")
	m.endChildren(lastGrace, func(*child) bool { return true })
	for _, s := range m.services {
		m.closeEndpoints(s)
	}
}

// closeEndpoints lets go of the endpoints of a service; their names stay for
// the next start.
func (m *master) closeEndpoints(s *service) {
	for _, e := range s.endpoints {
		m.poll.remove(e.fd)
		e.close()
	}
	s.endpoints = nil
}

// endChildren ends the chosen processes, first politely.
func (m *master) endChildren(grace time.Duration, which func(*child) bool) {
	m.signalChildren(syscall.SIGTERM, which)
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	killed := false
	for m.running(which) {
		select {
		case sig := <-m.signals:
			if sig == syscall.SIGCHLD {
				m.reap()
			} else if sig != syscall.SIGHUP {
				m.signalChildren(syscall.SIGKILL, which)
			}
		case <-m.reports:
		case <-m.poll.ready:
		case <-deadline.C:
			if killed {
				return // in uninterruptible sleep; init will have them
			}
			killed = true
			m.signalChildren(syscall.SIGKILL, which)
			deadline.Reset(lastGrace)
		}
	}
}

func (m *master) running(which func(*child) bool) bool {
	for _, c := range m.children {
		if which(c) {
			return true
		}
	}
	return false
}

func (m *master) signalChildren(sig syscall.Signal, which func(*child) bool) {
	for _, c := range m.children {
		if which(c) {
			unix.Kill(c.pid, sig)
		}
	}
}
