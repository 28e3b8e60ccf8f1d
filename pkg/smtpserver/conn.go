package smtpserver

import (
	"context"
	"net"
	"time"
)

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
	if err := c.ctx.Err(); err != nil {
		return 0, err
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
