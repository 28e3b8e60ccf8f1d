package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/nowait"
	"github.com/posthouse-mail/posthouse/pkg/service/masterlink"
)

// Limits of what a trigger or a passed connection may take.
const (
	maxTrigger   = 1024
	maxPacket    = 1 << 16
	triggerWait  = 5 * time.Second
	acceptPause  = 100 * time.Millisecond
	idleIsUnused = time.Second     // a kept connection may then be closed for a new one
	firstWait    = 5 * time.Second // for the first request, in a process that retires
	holdWait     = 3 * time.Second // for those of sessions in the middle of something, all together
)

// session is one client.
type session struct {
	server *server
	conn   net.Conn
	// waiting, since and evicted are for kept connections: whether the
	// session waits for its next request. Under server.mu.
	waiting bool
	since   time.Time
	evicted bool
	served  bool // a request was seen; without one it may be on its way
	held    bool // it is in the middle of something; see Hold
}

// socket is a Unix socket that others can pass files over.
type socket interface {
	net.Conn
	syscall.Conn
}

// unixConn lets a session on a Unix socket tell when it waits for its next
// request: siblings keep connections open, and these must neither hold up a
// process that wants to retire nor occupy all of its slots.
type unixConn struct {
	socket
	session *session
}

// Wait implements ipc.Waiter.
func (c *unixConn) Wait() bool {
	s := c.session.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining && !c.session.served {
		c.SetReadDeadline(time.Now().Add(firstWait))
		return true
	}
	if s.draining && c.session.held && !c.session.evicted {
		c.SetReadDeadline(s.holdUntil)
		return true
	}
	if s.draining || c.session.evicted {
		return false
	}
	c.session.waiting, c.session.since = true, time.Now()
	return true
}

// Wake implements ipc.Waiter.
func (c *unixConn) Wake() bool {
	s := c.session.server
	s.env.Pace.Touch()
	s.mu.Lock()
	defer s.mu.Unlock()
	c.session.waiting, c.session.served = false, true
	return !c.session.evicted
}

// NetConn returns the socket itself.
func (c *unixConn) NetConn() net.Conn { return c.socket }

var _ ipc.Waiter = (*unixConn)(nil)

// endIfWaiting makes a session that waits for a request see the end of its
// connection. It needs server.mu.
func (c *session) endIfWaiting() {
	if !c.waiting || c.evicted {
		return
	}
	if !c.served {
		// Its client connected to ask something, and nobody else will
		// answer.
		c.conn.SetReadDeadline(time.Now().Add(firstWait))
		return
	}
	c.evicted = true
	c.conn.SetReadDeadline(time.Unix(1, 0))
}

// full reports whether no further client may come in. It needs s.mu.
func (s *server) full() bool { return len(s.sessions) >= s.set.ClientLimit }

// evict ends the kept connection that is unused for longest, so that a client
// who waits outside finds a place. Its owner connects again when it needs to.
// It needs s.mu.
func (s *server) evict(now time.Time) {
	var oldest *session
	for c := range s.sessions {
		if c.waiting && now.Sub(c.since) >= idleIsUnused && (oldest == nil || c.since.Before(oldest.since)) {
			oldest = c
		}
	}
	if oldest != nil {
		oldest.endIfWaiting()
	}
}

// acceptLoop takes connections from one listener while there are free slots.
func (s *server) acceptLoop(l listener) {
	for s.waitForSlot() {
		conn, err := l.Accept()
		switch {
		case err == nil:
			s.begin(conn)
		case errors.Is(err, os.ErrDeadlineExceeded):
			// Another listener took the last slot; see begin.
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// EMFILE, ECONNABORTED and the like pass.
			s.env.Log.Warn("", "accept connection: %v", err)
			time.Sleep(acceptPause)
		}
	}
}

// waitForSlot waits until a client may come in; false means never.
func (s *server) waitForSlot() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.full() && !s.draining {
		s.cond.Wait()
	}
	return !s.draining
}

// maxSessions is how many sessions a process serves before it retires. The
// parameter max_use counts clients of a process that serves one at a time; one
// that serves client_limit at a time does the work of as many such processes,
// and would otherwise retire after a tenth of its first crowd.
func (s *server) maxSessions() int { return s.set.MaxUse * s.set.ClientLimit }

// begin starts a session.
func (s *server) begin(conn net.Conn) {
	s.env.Pace.Touch()
	c := &session{server: s, conn: conn}
	s.mu.Lock()
	s.sessions[c] = struct{}{}
	s.served++
	s.lastBusy = time.Now()
	full := s.full()
	if full {
		// With several listeners, the other loops wait in Accept; they must
		// not take a client that another process could serve now. One that
		// accepted at this very moment is served beyond the limit.
		s.setAcceptDeadline(time.Unix(1, 0))
		s.link.report(masterlink.Taken)
		select {
		case s.filled <- struct{}{}:
		default:
		}
	}
	worn := !s.daemon.Permanent && s.served >= s.maxSessions()
	s.mu.Unlock()
	if worn {
		s.retire("max_use")
	}
	s.checkChanged()
	s.wg.Add(1)
	s.hands.Run(s.ctx, func() {
		defer s.wg.Done()
		defer s.end(c)
		s.runSession(c)
	})
}

func (s *server) setAcceptDeadline(t time.Time) {
	if len(s.endpoint.listeners) < 2 {
		return
	}
	for _, l := range s.endpoint.listeners {
		l.SetDeadline(t)
	}
}

// end frees the slot of a session.
func (s *server) end(c *session) {
	c.conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	wasFull := s.full()
	delete(s.sessions, c)
	s.lastBusy = time.Now()
	if wasFull && !s.full() && !s.draining {
		s.setAcceptDeadline(time.Time{})
		s.link.report(masterlink.Available)
		s.cond.Broadcast()
	}
}

// runSession is the session boundary: a panic ends here.
func (s *server) runSession(c *session) {
	defer s.caught("session")
	conn, err := s.admit(c)
	if err != nil {
		s.env.Log.Warn("", "%s: %v", s.env.Service, err)
		return
	}
	if s.daemon.Kind == Stream {
		err = s.hooks.Session(s.ctx, conn)
	} else {
		err = s.readTrigger(conn)
	}
	s.sessionError(err)
}

// admit looks at the peer of a new connection.
func (s *server) admit(c *session) (net.Conn, error) {
	uc, ok := c.conn.(*net.UnixConn)
	if !ok {
		return c.conn, nil
	}
	if err := s.checkPeer(uc); err != nil {
		return nil, err
	}
	if s.env.Type == "pass" {
		return s.receivePassed(c, uc)
	}
	quiet, ok := nowait.Quiet(uc).(socket)
	if !ok {
		return uc, nil
	}
	s.exchange(c, quiet)
	return &unixConn{socket: quiet, session: c}, nil
}

// checkPeer refuses strangers on a private endpoint. The mode of the directory
// keeps them out too; this holds if it is wrong.
func (s *server) checkPeer(uc *net.UnixConn) error {
	if !s.env.Private {
		return nil
	}
	cred, err := ipc.PeerCred(uc)
	if err != nil {
		return err
	}
	if s.daemon.Inner && cred.UID != 0 && cred.GID == jail.StrangersGID && os.Getgid() != cred.GID {
		return fmt.Errorf("refused connection from process %d, which talks to strangers", cred.PID)
	}
	for _, uid := range s.owners {
		if cred.UID == uid {
			return nil
		}
	}
	return fmt.Errorf("refused connection from process %d of uid %d", cred.PID, cred.UID)
}

// receivePassed takes the connection that a front process hands over.
func (s *server) receivePassed(c *session, uc *net.UnixConn) (net.Conn, error) {
	uc.SetDeadline(time.Now().Add(triggerWait))
	f, err := ipc.ReceiveFile(uc, "passed connection")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("passed connection: %w", err)
	}
	uc.Close()
	s.exchange(c, conn)
	return conn, nil
}

// exchange makes conn the connection of a session. What came meanwhile to end the
// session is for the next look.
func (s *server) exchange(c *session, conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.conn = conn
}

// goRun is [Go].
func (s *server) goRun(f func(ctx context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.beside >= s.set.ClientLimit {
		return false
	}
	s.beside++
	s.wg.Go(func() {
		defer func() {
			s.mu.Lock()
			s.beside--
			s.mu.Unlock()
		}()
		defer s.caught("session")
		f(s.ctx)
	})
	return true
}

// sessionError logs how a session ended, if that is of interest.
func (s *server) sessionError(err error) {
	switch {
	case err == nil, errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		s.env.Log.Debug("session: %v", err)
	default:
		s.env.Log.Warn("", "%v", err)
	}
}

// caught is deferred at a boundary that no panic may cross. What is left of
// the process serves its other clients, and takes no new ones.
func (s *server) caught(where string) {
	r := recover()
	if r == nil {
		return
	}
	s.env.Log.Panic("", "%s: %v", where, r)
	for i, line := range strings.Split(string(debug.Stack()), "\n") {
		if i > 60 || line == "" {
			break
		}
		s.env.Log.Error("", "stack: %s", strings.TrimSpace(line))
	}
	s.retire("panic in a session")
}
