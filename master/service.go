package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// service is one line of master.cf at work.
type service struct {
	cfg       config.Service
	machine   *machine
	endpoints []*endpoint
	watched   bool // the endpoints are armed
	gone      bool // no longer in master.cf; its processes finish
	kept      int  // file that its processes hand on, 0 = none yet
}

// key identifies a service over reloads.
func (s *service) key() string { return s.cfg.Type + " " + s.cfg.Name }

// configure takes over the settings of a (new) master.cf.
func (s *service) configure(cfg config.Service, set *settings, now time.Time) {
	first := s.cfg.Name == ""
	s.cfg = cfg
	m := s.machine
	m.maxProc, m.throttle = cfg.MaxProc, set.ThrottleTime
	m.wakeup, m.ifUsed = cfg.Wakeup, cfg.WakeupIfUsed
	m.throttledUntil, m.backOff, m.deaths = time.Time{}, 0, nil
	if first || m.nextWake.After(now.Add(m.wakeup)) {
		m.nextWake = now
	}
}

// wakeWord is what a wake-up sends.
const wakeWord = "W"

// trigger sends a wake-up. A full FIFO or backlog means that enough of them
// wait already. It must not block, so sockets are served by a goroutine, which
// ends by its own deadline.
func (s *service) trigger() {
	if len(s.endpoints) == 0 {
		return
	}
	e := s.endpoints[0]
	switch s.cfg.Type {
	case "fifo":
		unix.Write(e.fd, []byte(wakeWord))
	case "unix", "pass":
		go sendTrigger("unix", e.path)
	case "inet":
		go sendTrigger("tcp", e.key[len("inet "):])
	}
}

func sendTrigger(network, addr string) {
	conn, err := net.DialTimeout(network, addr, time.Second)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	conn.Write([]byte(wakeWord))
}

// setEndpoints opens and closes what changed. On an error of one endpoint the
// others work; the errors are returned.
func (s *service) setEndpoints(set *settings, p *poller) error {
	keys, err := wanted(set, &s.cfg)
	if err != nil {
		return err
	}
	old := map[string]*endpoint{}
	for _, e := range s.endpoints {
		old[e.key] = e
	}
	var now []*endpoint
	var problems []error
	for _, key := range keys {
		e := old[key]
		delete(old, key)
		if e == nil {
			e, err = open(set, key)
			if errors.Is(err, errNoFamily) && len(keys) > 1 {
				continue
			}
			if err == nil {
				err = p.add(e.fd, s)
			}
			if err != nil {
				problems = append(problems, s.explain(err))
				continue
			}
		}
		now = append(now, e)
	}
	for _, e := range old {
		p.remove(e.fd)
		e.close()
	}
	s.endpoints, s.watched = now, false
	return errors.Join(problems...)
}

// explain says which line of master.cf asked for an endpoint that cannot be
// had, and what to do.
func (s *service) explain(err error) error {
	if errors.Is(err, unix.EADDRINUSE) {
		err = fmt.Errorf("%w: stop the program that listens there (`ss -ltnp` names it), or change the address", err)
	}
	return fmt.Errorf("%s:%d: %w", s.cfg.File, s.cfg.Line, err)
}

// closeEndpoints ends the service for new clients.
func (s *service) closeEndpoints(p *poller) {
	for _, e := range s.endpoints {
		p.remove(e.fd)
		e.close()
		if e.path != "" {
			unix.Unlink(e.path)
		}
	}
	s.endpoints = nil
}
