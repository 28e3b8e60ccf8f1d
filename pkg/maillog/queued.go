package maillog

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// Bounds of what a process holds back while its log cannot be written.
const (
	maxWaiting = 4096                  // lines
	retryEvery = time.Second           // between attempts to connect
	pipeRetry  = 50 * time.Millisecond // before the pipe is tried again after it had no reader
	sendWait   = 2 * time.Second       // for a slow receiver, by the drainer
	closeWait  = 3 * time.Second       // for all that is queued at the end
	drainPause = 20 * time.Millisecond
)

// queued is a way to a receiver of lines, with a bounded queue: a datagram
// socket, and a pipe in front of it if there is one. A line is sent at once if
// the receiver takes it. Otherwise it waits, and a drainer goroutine, which
// exists only while lines wait, sends it in order.
type queued struct {
	path     string
	encode   func(Entry) []byte
	fallback func(Entry) error
	now      func() time.Time

	mu       sync.Mutex
	pipe     *pipe // or nil
	conn     *datagram
	lastDial time.Time
	waiting  []Entry
	draining bool
	drained  chan struct{} // closed when the drainer ends
	dropped  int
	closed   bool
}

func newQueued(path string, encode func(Entry) []byte) *queued {
	return &queued{path: path, encode: encode, now: time.Now}
}

// connect dials if it is time to. It needs q.mu or the only reference.
func (q *queued) connect() error {
	if q.conn != nil {
		return nil
	}
	if since := q.now().Sub(q.lastDial); since >= 0 && since < retryEvery {
		return errAway
	}
	q.lastDial = q.now()
	conn, err := dialDatagram(q.path)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", q.path, err)
	}
	q.conn = conn
	return nil
}

// errAway means that connecting failed a moment ago.
var errAway = errors.New("log destination is away")

func (q *queued) send(e Entry) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 && !q.draining {
		err := q.try(e)
		if !errors.Is(err, syscall.EAGAIN) {
			return err
		}
	}
	if len(q.waiting) >= maxWaiting || q.closed {
		q.dropped++
		return errAway
	}
	q.waiting = append(q.waiting, e)
	if !q.draining {
		q.draining = true
		q.drained = make(chan struct{})
		go q.drain(q.drained)
	}
	return nil
}

// try sends one entry without waiting. EAGAIN means that the receiver is slow
// and that the entry should wait; after any other error it is lost and counted.
func (q *queued) try(e Entry) error {
	err := q.sendNow(e)
	if err == nil || errors.Is(err, syscall.EAGAIN) {
		return err
	}
	if q.fallback != nil {
		if err := q.fallback(e); err == nil {
			return nil
		}
	}
	q.dropped++
	return err
}

// sendNow sends one entry through the pipe if that has a reader, else by
// datagram.
func (q *queued) sendNow(e Entry) error {
	if p := q.pipe; q.piped() {
		err := q.reportDropped(e, p.trySend)
		if err == nil {
			err = p.trySend(q.encode(e))
		}
		if !errors.Is(err, syscall.EPIPE) {
			return err
		}
		p.away = q.now()
	}
	return q.sendDatagram(e)
}

// piped reports whether lines go through the pipe now. It needs q.mu.
func (q *queued) piped() bool {
	return q.pipe != nil && q.now().Sub(q.pipe.away) >= pipeRetry
}

// sendDatagram sends one entry, on a second connection if the first one is
// dead.
func (q *queued) sendDatagram(e Entry) error {
	for attempt := 0; ; attempt++ {
		if err := q.connect(); err != nil {
			return err
		}
		err := q.reportDropped(e, q.conn.trySend)
		if err == nil {
			err = q.conn.trySend(q.encode(e))
		}
		if err == nil || errors.Is(err, syscall.EAGAIN) {
			return err
		}
		q.conn.close()
		q.conn = nil
		if attempt > 0 {
			return err
		}
		q.lastDial = time.Time{}
	}
}

// reportDropped tells the postmaster what is missing, ahead of the first line
// that passes again.
func (q *queued) reportDropped(e Entry, send func([]byte) error) error {
	if q.dropped == 0 {
		return nil
	}
	e.Severity = SevWarning
	e.Text = fmt.Sprintf("warning: %d log lines were lost: %s was not reachable or too slow", q.dropped, q.path)
	err := send(q.encode(e))
	if err == nil {
		q.dropped = 0
	}
	return err
}

// drain sends what waits, in order, until nothing does.
func (q *queued) drain(done chan struct{}) {
	defer close(done)
	for {
		q.mu.Lock()
		for len(q.waiting) > 0 {
			if err := q.try(q.waiting[0]); errors.Is(err, syscall.EAGAIN) {
				break
			}
			q.waiting = q.waiting[1:]
		}
		if len(q.waiting) == 0 {
			q.waiting = nil
			q.draining = false
			q.mu.Unlock()
			return
		}
		e, conn, p := q.waiting[0], q.conn, q.pipe
		piped := q.piped()
		q.mu.Unlock()
		if piped {
			p.wait()
			continue
		}
		// The kernel keeps ten datagrams on many machines. It tells when
		// there is room again, so this waits instead of asking again and
		// again.
		if err := conn.send(q.encode(e)); err == nil {
			q.mu.Lock()
			q.waiting = q.waiting[1:]
			q.mu.Unlock()
		} else if !errors.Is(err, syscall.EAGAIN) {
			time.Sleep(drainPause)
		}
	}
}

// close waits up to closeWait for the drainer. What is then left is lost.
func (q *queued) close() error {
	q.mu.Lock()
	q.closed = true
	done := q.drained
	draining := q.draining
	q.mu.Unlock()
	if draining {
		select {
		case <-done:
		case <-time.After(closeWait):
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	left := len(q.waiting)
	if q.conn != nil && !q.draining {
		q.conn.close()
		q.conn = nil
	}
	if q.pipe != nil && !q.draining {
		q.pipe.close()
		q.pipe = nil
	}
	if left > 0 {
		return fmt.Errorf("%d log lines lost: %s too slow", left, q.path)
	}
	return nil
}
