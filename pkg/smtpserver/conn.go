package smtpserver

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// errStopping ends the wait for a command in a daemon that must go.
var errStopping = errors.New("the server is going away")

// timedConn sets a deadline for each read and write. Without a request
// deadline every read may take the whole timeout; with one, the reads of a
// request together may, plus what its bytes earn at the minimal data rate.
type timedConn struct {
	net.Conn
	ctx      context.Context // of the session: no read starts after its end
	timeout  time.Duration
	rate     int64
	request  bool
	deadline time.Time // of the request

	mu       sync.Mutex
	idle     bool // waits for a command, so nothing is lost by leaving
	stopping bool
}

// wait says whether the session is between two commands.
func (c *timedConn) wait(idle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = idle
}

// leave makes the session end before its next command, at once if it waits
// for one.
func (c *timedConn) leave(raw net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	if c.idle {
		raw.SetReadDeadline(time.Unix(1, 0))
	}
}

// leaving reports whether the session must take no further command.
func (c *timedConn) leaving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping && c.idle
}

// begin starts a new request.
func (c *timedConn) begin() {
	if c.request {
		c.deadline = time.Now().Add(c.timeout)
	}
}

func (c *timedConn) Read(b []byte) (int, error) {
	limit := c.deadline
	if !c.request {
		limit = time.Now().Add(c.timeout)
	}
	if err := c.SetReadDeadline(limit); err != nil {
		return 0, err
	}
	// Whoever wakes this read does so after the deadline was set.
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	if c.leaving() {
		return 0, errStopping
	}
	n, err := c.Conn.Read(b)
	if c.request && c.rate > 0 && n > 0 {
		c.deadline = c.deadline.Add(time.Duration(n) * time.Second / time.Duration(c.rate))
		if most := time.Now().Add(c.timeout); c.deadline.After(most) {
			c.deadline = most
		}
	}
	return n, err
}

func (c *timedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
