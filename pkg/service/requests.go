package service

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// fifoLoop reads trigger requests from a FIFO. It was opened for reading and
// writing, so the end of a writer is no end of file.
func (s *server) fifoLoop() {
	buf := make([]byte, maxTrigger)
	in, err := nowait.NewStream(s.endpoint.fifo)
	if err != nil {
		s.env.Log.Error("", "read trigger requests: %v", err)
		s.retire("no trigger requests")
		return
	}
	for {
		n, err := in.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			s.env.Log.Warn("", "read trigger request: %v", err)
			time.Sleep(acceptPause)
		}
		if n > 0 {
			s.handle("trigger", func() { s.hooks.Trigger(s.ctx, buf[:n]) })
		}
	}
}

// readTrigger reads a trigger request from a connection.
func (s *server) readTrigger(conn net.Conn) error {
	buf := make([]byte, maxTrigger)
	conn.SetReadDeadline(time.Now().Add(triggerWait))
	n, err := conn.Read(buf)
	if n == 0 {
		return err
	}
	s.serial.Lock()
	defer s.serial.Unlock()
	s.handle("trigger", func() { s.hooks.Trigger(s.ctx, buf[:n]) })
	return nil
}

// packetLoop reads datagrams.
func (s *server) packetLoop() {
	buf := make([]byte, maxPacket)
	for {
		n, _, err := s.endpoint.packets.ReadFromUnix(buf)
		switch {
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
			return
		case err != nil:
			s.env.Log.Warn("", "read datagram: %v", err)
			time.Sleep(acceptPause)
		default:
			s.handle("datagram", func() { s.hooks.Packet(s.ctx, buf[:n]) })
		}
	}
}

// handle runs one request of a daemon that serves them one at a time, under
// the watchdog.
func (s *server) handle(what string, f func()) {
	defer s.caught(what)
	s.mu.Lock()
	s.busySince = time.Now()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.busySince = time.Time{}
		s.lastBusy = time.Now()
		s.mu.Unlock()
	}()
	f()
	s.checkChanged()
}
