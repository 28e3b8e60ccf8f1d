package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/crew"
	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/nowait"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/sched"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

// maxLoading bounds how many messages are being read and resolved at once.
const maxLoading = 64

// busyRetry is when a message is looked at again that an agent of an earlier
// queue manager still works on.
const busyRetry = 10 * time.Second

// daemon is the queue manager. One goroutine, the owner, runs loop and alone
// touches the fields below "owner's"; other goroutines do what may block, and
// post what came of it.
type daemon struct {
	params   params
	log      *maillog.Logger
	queue    *queue.Queue
	bounces  *bounceclient.Client
	resolver resolver
	now      func() time.Time
	lifetime context.Context // of the process
	crew     *crew.Crew

	events chan func()
	limits func(transport string) sched.Limits // cached, safe for all
	// slots bounds the goroutines that write logs and notices.
	slots chan struct{}

	// The owner's.
	sched    *sched.Scheduler
	active   map[queue.ID]*message
	loading  int
	rcpts    int            // in memory
	inMemory map[string]int // those of each transport
	clients  map[string]*deliver.Client
	incoming *scanner
	deferred *scanner
	timer    *time.Timer
	nextRun  time.Time // of the deferred queue
	nextLook time.Time // at the incoming queue
	held     heldClock
	pruned   time.Time
	strays   []queue.ID // could not leave the active queue
	keeps    bool       // connections that may be idle
	full     bool
	clogged  time.Time // last look for a destination that clogs the queue

	beat  atomic.Int64 // when the owner was last seen at work, for the watchdog
	crowd atomic.Int64 // messages in the active queue, at the owner's last look

	gather gatherer // of the goroutine that reads triggers
	die    func()   // ends the process
}

// prepare reads the parameters, before the jail.
func prepare(env *service.Env) (*service.Hooks, error) {
	d := &daemon{log: env.Log, now: time.Now}
	d.die = func() { env.Log.Close(); os.Exit(1) }
	if err := env.Config.Fill(&d.params); err != nil {
		return nil, err
	}
	l, err := newLimits(env.Config, &d.params)
	if err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	d.setup(".", env.UID, func(transport string) sched.Limits {
		limits, err := l.read(transport)
		if err != nil {
			// Only for a transport that is not in master.cf.
			d.log.Warn("", "transport %s: %v", transport, err)
		}
		return limits
	})
	return &service.Hooks{Ready: d.start, Trigger: d.trigger, Drain: d.drain}, nil
}

// setup makes the parts. Owner is the uid of queue files; 0 is that of the
// process. No file is touched yet.
func (d *daemon) setup(dir string, owner int, limits func(string) sched.Limits) {
	p := &d.params
	d.queue = queue.Open(dir, queue.Options{HashDepth: p.HashDepth, HashNames: p.HashNames, LongIDs: p.LongIDs, Owner: owner})
	d.bounces = bounceclient.New(bounceclient.Services{
		Bounce: p.BounceService, Defer: p.DeferService, Trace: p.TraceService, Timeout: p.IPCTimeout,
	})
	d.resolver = newCache(rewrite.NewClient(ipc.NewPool("private/"+p.Rewrite, rewrite.Timeout)))
	d.crew = crew.New()
	d.events = make(chan func(), 256)
	d.slots = make(chan struct{}, 32)
	d.limits = cachedLimits(limits)
	d.sched = sched.New(d.limits)
	d.active = make(map[queue.ID]*message)
	d.inMemory = make(map[string]int)
	d.clients = make(map[string]*deliver.Client)
	d.incoming = newScanner(d, "incoming")
	d.deferred = newScanner(d, "deferred")
	d.gather.nap = nowait.Nap
}

// start recovers what a crash left in the active queue, and begins to work.
func (d *daemon) start(ctx context.Context) error {
	d.lifetime = ctx
	if err := d.recoverActive(); err != nil {
		return err
	}
	d.timer = time.NewTimer(0)
	d.incoming.request(scanMode{})
	d.deferred.request(scanMode{})
	d.nextRun = d.now().Add(d.params.RunDelay)
	d.beat.Store(d.now().UnixNano())
	d.spawn(func() { d.loop(ctx) })
	if d.die != nil {
		d.spawn(func() { d.watch(ctx) })
	}
	return nil
}

// recoverActive moves all active messages to the incoming queue, which goes
// before the deferred one. Their time is the present, so that they come after
// no older wish to wait.
func (d *daemon) recoverActive() error {
	now := d.now()
	for e, err := range d.queue.Scan("active") {
		if err != nil {
			return fmt.Errorf("scan the active queue: %w", err)
		}
		if e.Bad {
			d.log.Warn("", "bogus file name: %s", e.Path)
			continue
		}
		err := d.queue.SetTime("active", e.ID, now)
		if err == nil {
			err = d.queue.Move(e.ID, "active", "incoming")
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			// One bad file must not keep the mail system from starting.
			d.log.Error(string(e.ID), "recover active message: %v", err)
		}
	}
	return nil
}

// drain waits a short time until what has begun is over. What takes longer,
// such as a reply of another daemon, is not worth a wait: the next start
// recovers from any state.
func (d *daemon) drain() {
	done := make(chan struct{})
	go func() {
		d.crew.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
	}
}

// post hands an event to the owner. Events that come after the end are lost:
// the start is the recovery.
func (d *daemon) post(event func()) {
	select {
	case d.events <- event:
	case <-d.lifetime.Done():
	}
}

// wishes are what trigger requests ask for.
type wishes struct {
	look  bool       // at the incoming queue
	run   bool       // the deferred queue
	all   bool       // whether due or not
	flush bool       // also for what is dead, and for transports in defer_transports
	come  []queue.ID // messages that are in the incoming queue now
}

// wish reads the bytes of the trigger FIFO, which anybody may have written. Unknown
// ones are returned.
func wish(request []byte) (w wishes, unknown []byte) {
	for len(request) > 0 {
		b := request[0]
		request = request[1:]
		switch {
		case b == 'I' && len(request) > 0 && queue.IsHint(request[0]):
			var id queue.ID
			if id, request = queue.CutHint(request); id != "" {
				w.come = append(w.come, id)
			} else {
				w.look = true
			}
		case b == 'W', b == 'I', queue.IsHint(b): // the last are the end of a hint that was cut in two
			w.look = true
		case b == 'D':
			w.run = true
		case b == 'A':
			w.all = true
		case b == 'F':
			w.flush = true
		default:
			unknown = append(unknown, b)
		}
	}
	return w, unknown
}

// trigger takes the bytes of the trigger FIFO.
func (d *daemon) trigger(_ context.Context, request []byte) {
	d.gather.wait(d.now(), int(d.crowd.Load()))
	w, unknown := wish(request)
	for _, b := range unknown {
		d.log.Warn("", "ignoring unknown trigger request byte %q", b)
	}
	d.post(func() {
		if w.flush {
			d.sched.Unthrottle()
		}
		mode := scanMode{all: w.all, flush: w.flush}
		if w.look || w.run && (w.all || w.flush) {
			d.incoming.request(mode)
		}
		if w.run {
			d.deferred.request(mode)
			d.nextRun = d.now().Add(d.params.RunDelay)
		}
		for _, id := range w.come {
			d.come(id)
		}
	})
}

// come takes a message that is said to be in the incoming queue. If there is no
// room for it, a scan comes to it in its turn.
func (d *daemon) come(id queue.ID) {
	if in, _ := d.intake(); in == nil {
		d.incoming.request(scanMode{})
		return
	}
	d.take(candidate{queue: "incoming", id: id, hinted: true})
}

// loop is the owner.
func (d *daemon) loop(ctx context.Context) {
	for {
		d.beat.Store(d.now().UnixNano())
		d.crowd.Store(int64(len(d.active)))
		d.dispatch()
		d.setTimer()
		in, def := d.intake()
		select {
		case <-ctx.Done():
			return
		case event := <-d.events:
			event()
			d.drainEvents()
		case c := <-in:
			d.take(c)
		case c := <-def:
			d.take(c)
		case <-d.timer.C:
			d.tick()
		}
	}
}

// drainEvents takes what else is there, so that the costs of a round are
// shared.
func (d *daemon) drainEvents() {
	for range 64 {
		select {
		case event := <-d.events:
			event()
		default:
			return
		}
	}
}

// intake returns the channels from which a message may be taken now. A nil
// channel blocks. With room for both, select takes from either at random;
// the last tenth of the room is for new mail only.
func (d *daemon) intake() (in, def <-chan candidate) {
	n, limit := len(d.active), d.params.ActiveLimit
	if d.loading >= maxLoading || n >= limit {
		if n >= limit && !d.full {
			d.full = true
			d.log.Debug("the active queue is full: %d messages", n)
		}
		return nil, nil
	}
	d.full = false
	in = d.incoming.found
	if n < limit-limit/10 {
		def = d.deferred.found
	}
	return in, def
}

// take starts to load a message that a scan found.
func (d *daemon) take(c candidate) {
	if _, busy := d.active[c.id]; busy {
		// A new message with the id of one that is just being removed, or
		// one that a scan saw twice.
		d.look(time.Second)
		return
	}
	m := &message{id: c.id, flush: c.flush}
	d.active[c.id] = m
	d.loading++
	limit := max(min(d.params.RcptLimit-d.rcpts, d.params.RcptFirst), d.params.RcptMinimum)
	d.warnClogged()
	d.spawn(func() { d.load(m, c, limit) })
}

// spawn runs work that may block.
func (d *daemon) spawn(f func()) { d.crew.Run(d.lifetime, f) }

// slot runs f with one of the slots for work that waits for a disk.
func (d *daemon) slot(f func()) {
	d.spawn(func() {
		d.slots <- struct{}{}
		defer func() { <-d.slots }()
		f()
	})
}

// look asks for a scan of the incoming queue after a while.
func (d *daemon) look(after time.Duration) {
	at := d.now().Add(after)
	if d.nextLook.IsZero() || at.Before(d.nextLook) {
		d.nextLook = at
	}
}

// tick does what is due.
func (d *daemon) tick() {
	d.warnClogged()
	now := d.now()
	if !now.Before(d.nextRun) {
		d.nextRun = now.Add(d.params.RunDelay)
		d.bringBack()
		d.deferred.request(scanMode{})
		d.incoming.request(scanMode{})
	}
	if !d.nextLook.IsZero() && !now.Before(d.nextLook) {
		d.nextLook = time.Time{}
		d.incoming.request(scanMode{})
	}
	if d.held.ring(now) {
		d.deferred.request(scanMode{})
		// It is there if the deferred queue had no room for it.
		d.incoming.request(scanMode{})
	}
	if now.Sub(d.pruned) > 5*time.Second {
		d.pruned = now
		d.keeps = false
		for _, c := range d.clients {
			d.keeps = c.Prune(now) > 0 || d.keeps
		}
	}
}

// setTimer arms the timer for the next thing that is due.
func (d *daemon) setTimer() {
	next := d.nextRun
	if at := d.now().Add(maxSleep); at.Before(next) {
		next = at
	}
	for _, at := range []time.Time{d.nextLook, d.held.wake(d.now()), d.sched.Wake()} {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	if d.keeps {
		if at := d.pruned.Add(6 * time.Second); at.Before(next) {
			next = at
		}
	}
	d.timer.Reset(max(next.Sub(d.now()), time.Millisecond))
}
