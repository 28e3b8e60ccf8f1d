package service

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/crew"
	"github.com/posthouse-mail/posthouse/pkg/service/masterlink"
)

// How a process ends when it is told to.
const (
	stopGrace  = 5 * time.Second // for what sessions are doing
	abortGrace = 2 * time.Second // after their context is done
	closeGrace = 1 * time.Second // after their connection is closed
	drainLimit = 20 * time.Second
)

// housekeeping is how often an unharassed process looks at itself.
const housekeeping = 3 * time.Second

// server is a process that serves clients.
type server struct {
	*process
	ctx      context.Context
	cancel   context.CancelFunc
	stopping chan struct{} // closed when the process must end now
	retiring chan struct{} // closed when it takes no more clients
	retired  chan string   // reason to retire, one at most is kept
	filled   chan struct{} // all slots are taken: look for unused ones soon
	wg       sync.WaitGroup
	hands    *crew.Crew // do the sessions
	serial   sync.Mutex // one trigger request at a time

	mu          sync.Mutex
	cond        *sync.Cond // free slot, or draining
	sessions    map[*session]struct{}
	served      int
	beside      int       // functions that Go runs
	busySince   time.Time // start of the running Trigger or Packet call, else zero
	lastBusy    time.Time
	lastChanged time.Time
	draining    bool
	holdUntil   time.Time // how long held sessions may wait for a request then
}

// serve runs the process until it ends and returns its exit status.
func (p *process) serve() int {
	s := &server{
		process:  p,
		stopping: make(chan struct{}),
		retiring: make(chan struct{}),
		retired:  make(chan string, 1),
		filled:   make(chan struct{}, 1),
		sessions: map[*session]struct{}{},
		hands:    crew.New(),
		lastBusy: time.Now(),
	}
	s.cond = sync.NewCond(&s.mu)
	base := context.WithValue(context.Background(), stoppingKey{}, s.stopping)
	base = context.WithValue(base, retiringKey{}, s.retiring)
	base = context.WithValue(base, serverKey{}, s)
	s.ctx, s.cancel = context.WithCancel(base)
	defer s.cancel()
	signals := make(chan os.Signal, 4)
	// Caught and dropped, not ignored: what a daemon starts would inherit it.
	dropped := make(chan os.Signal, 1)
	signal.Notify(dropped, syscall.SIGHUP, syscall.SIGPIPE)
	if s.env.StandAlone {
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	} else {
		signal.Notify(dropped, syscall.SIGINT)
		signal.Notify(signals, syscall.SIGTERM)
		go s.link.watch()
	}
	if s.hooks.Ready != nil {
		if err := s.hooks.Ready(s.ctx); err != nil {
			s.env.Log.Fatal("", "%v", err)
			return 1
		}
	}
	s.link.report(masterlink.Available)
	s.startLoops()
	return s.supervise(signals)
}

// startLoops starts what takes requests.
func (s *server) startLoops() {
	loops := []func(){}
	for _, l := range s.endpoint.listeners {
		loops = append(loops, func() { s.acceptLoop(l) })
	}
	if s.endpoint.fifo != nil {
		loops = append(loops, s.fifoLoop)
	}
	if s.endpoint.packets != nil {
		loops = append(loops, s.packetLoop)
	}
	for _, loop := range loops {
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			loop()
		}()
	}
}

// supervise waits for a reason to end, and ends the process accordingly.
func (s *server) supervise(signals <-chan os.Signal) int {
	timer := time.NewTimer(s.pause(false))
	defer timer.Stop()
	soon := false // a look is due soon already; clients must not put it off
	for {
		select {
		case <-timer.C:
			timer.Reset(s.keepHouse())
			soon = false
		case <-s.filled:
			if !soon {
				timer.Reset(s.pause(true))
				soon = true
			}
		case reason := <-s.retired:
			s.env.Log.Debug("retiring: %s", reason)
			return s.drain(signals, false)
		case <-s.link.done():
			s.env.Log.Debug("retiring: master closed the status channel")
			return s.drain(signals, false)
		case <-signals:
			return s.drain(signals, true)
		}
	}
}

// retire asks supervise to end the process after its sessions.
func (s *server) retire(reason string) {
	select {
	case s.retired <- reason:
	default:
	}
}

// keepHouse does what is due and returns when to look again.
func (s *server) keepHouse() time.Duration {
	s.mu.Lock()
	now := time.Now()
	stuck := !s.busySince.IsZero() && now.Sub(s.busySince) > s.set.DaemonTimeout
	busy := !s.busySince.IsZero()
	for c := range s.sessions {
		busy = busy || !c.waiting
	}
	if busy {
		s.lastBusy = now
	}
	idle := !s.daemon.Permanent && now.Sub(s.lastBusy) >= s.set.MaxIdle
	full := s.full()
	if full {
		s.evict(now)
	}
	s.mu.Unlock()
	if stuck {
		// Whatever holds it up may hold the exit up too.
		s.env.Log.Fatal("", "watchdog timeout")
		s.env.Log.Close()
		os.Exit(1)
	}
	if idle {
		s.retire("idle")
	}
	s.checkChanged()
	return s.pause(full)
}

// pause is the time between two looks.
func (s *server) pause(full bool) time.Duration {
	if full {
		return housekeeping / 6
	}
	if !s.daemon.Permanent && s.set.MaxIdle < housekeeping {
		return max(s.set.MaxIdle/2, 50*time.Millisecond)
	}
	return housekeeping
}

// checkChanged polls the daemon's tables, at most once a second.
func (s *server) checkChanged() {
	if s.hooks.Changed == nil {
		return
	}
	s.mu.Lock()
	due := time.Since(s.lastChanged) >= time.Second
	if due {
		s.lastChanged = time.Now()
	}
	s.mu.Unlock()
	if due && s.hooks.Changed() {
		s.retire("a table has changed")
	}
}

// drain ends the process: at once, if now is set, else after its sessions.
func (s *server) drain(signals <-chan os.Signal, now bool) int {
	s.mu.Lock()
	s.draining, s.holdUntil = true, time.Now().Add(holdWait)
	close(s.retiring)
	for c := range s.sessions {
		if c.waiting && c.held {
			c.conn.SetReadDeadline(s.holdUntil)
			continue
		}
		c.endIfWaiting()
		if s.daemon.Kind == Trigger {
			// A trigger that has not come by now is none.
			c.conn.SetReadDeadline(time.Unix(1, 0))
		}
	}
	s.cond.Broadcast()
	s.mu.Unlock()
	s.link.report(masterlink.Retiring)
	s.endpoint.close()
	if s.endpoint.packets != nil {
		// What has been sent to us is read before the end.
		s.endpoint.packets.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	}
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	status := 0
	if !now {
		now = s.finish(done, signals)
	}
	if now {
		status = s.stop(done)
	}
	s.cancel()
	s.finalDrain()
	return status
}

// finish waits for the sessions of a retiring process. It returns true if they
// have to be ended.
func (s *server) finish(done <-chan struct{}, signals <-chan os.Signal) bool {
	if s.daemon.Kind != Stream {
		// Background work is all there is; it must not go on for ever.
		return true
	}
	limit := time.NewTimer(s.set.DaemonTimeout)
	defer limit.Stop()
	select {
	case <-done:
		return false
	case <-limit.C:
		s.env.Log.Warn("", "sessions still run %s after this process retired", s.set.DaemonTimeout)
	case <-signals:
	}
	return true
}

// stop ends sessions with growing force. The status is that of a process which
// did what it was told, unless something cannot be ended at all.
func (s *server) stop(done <-chan struct{}) int {
	close(s.stopping)
	if s.daemon.Kind != Stream {
		s.cancel()
	}
	if waitFor(done, stopGrace) {
		return 0
	}
	s.cancel()
	if waitFor(done, abortGrace) {
		return 0
	}
	s.mu.Lock()
	for c := range s.sessions {
		c.conn.Close()
	}
	s.mu.Unlock()
	if waitFor(done, closeGrace) {
		return 0
	}
	s.env.Log.Warn("", "a session does not end; exiting anyway")
	return 0
}

// finalDrain runs the daemon's own Drain, not for ever.
func (s *server) finalDrain() {
	if s.hooks.Drain == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.hooks.Drain()
	}()
	if !waitFor(done, drainLimit) {
		s.env.Log.Warn("", "work in the background does not end; exiting anyway")
	}
}

func waitFor(done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}
