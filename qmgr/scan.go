package main

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// candidate is a message that a scan found ready, or that somebody said is.
type candidate struct {
	queue  string
	id     queue.ID
	flush  bool
	hinted bool // nobody has looked at it
}

// scanMode says what a scan takes.
type scanMode struct {
	all   bool // whether due or not
	flush bool // also for transports in defer_transports
}

// scanner reads one queue directory at a time, when asked. It blocks while
// the owner takes no more.
type scanner struct {
	d     *daemon
	queue string
	found chan candidate

	// The owner's.
	running bool
	again   bool
	next    scanMode
}

func newScanner(d *daemon, name string) *scanner {
	return &scanner{d: d, queue: name, found: make(chan candidate)}
}

// request starts a scan, or another one after that which runs now.
func (s *scanner) request(mode scanMode) {
	s.next.all = s.next.all || mode.all
	s.next.flush = s.next.flush || mode.flush
	if s.running {
		s.again = true
		return
	}
	mode, s.next, s.again, s.running = s.next, scanMode{}, false, true
	s.d.spawn(func() {
		begin := s.d.now()
		held := s.run(mode)
		end := s.d.now()
		s.d.post(func() {
			s.running = false
			s.d.held.add(held)
			if s.queue == "deferred" {
				s.d.held.scanned(end, end.Sub(begin))
			}
			if s.again {
				s.request(scanMode{})
			}
		})
	})
}

// run scans the queue once. What is not due costs a stat, and no more. It
// returns the time of the message that is the first to leave of those that it
// saw held.
func (s *scanner) run(mode scanMode) (held time.Time) {
	now := s.d.now()
	for e, err := range s.d.queue.Scan(s.queue) {
		if s.d.lifetime.Err() != nil {
			return held
		}
		if err != nil {
			if !errors.Is(err, os.ErrNotExist) {
				s.d.log.Warn("", "scan the %s queue: %v", s.queue, err)
			}
			continue
		}
		if e.Bad {
			// Files that cleanup is just about to name, and foreign ones.
			continue
		}
		due, until := s.due(e, mode, now)
		if !until.IsZero() && (held.IsZero() || until.Before(held)) {
			held = until
		}
		if !due {
			continue
		}
		select {
		case s.found <- candidate{queue: s.queue, id: e.ID, flush: mode.flush}:
		case <-s.d.lifetime.Done():
			return held
		}
	}
	return held
}

// due looks at a file's state, which is in its mode and times: complete files
// have mode 0700, and are to be left alone until their modification time. Held
// is that time if the message waits because its sender asked for it.
func (s *scanner) due(e queue.Entry, mode scanMode, now time.Time) (due bool, held time.Time) {
	var st unix.Stat_t
	if err := unix.Lstat(e.Path, &st); err != nil {
		return false, held
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&unix.S_IRWXU != unix.S_IRWXU {
		return false, held
	}
	at := time.Unix(st.Mtim.Unix())
	if mode.all || !at.After(now) {
		return true, held
	}
	// Too young, or the clock was set back. A delay is never longer than
	// this, so a time stamp beyond it is not one of ours.
	if at.After(now.Add(s.d.params.MaxBackoff + 24*time.Hour)) {
		return true, held
	}
	if isHeld(at) {
		return false, at
	}
	// A second is the precision of some file systems.
	return at.Before(now.Add(time.Second)), held
}
