package imapserver

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// waiter reads from the client while something else is waited for. It reads
// nothing that belongs to a command: the decoder's buffer is empty, and the
// first byte stays in the socket, or in front of it, until the decoder asks.
type waiter struct {
	c     *conn
	ready chan error
}

// readable starts waiting for input.
func (c *conn) readable() *waiter {
	w := &waiter{c: c, ready: make(chan error, 1)}
	go func() { w.ready <- c.in.wait() }()
	return w
}

// cancel ends the wait, unless input has come already.
func (w *waiter) cancel() {
	w.c.net.SetReadDeadline(time.Unix(1, 0))
	<-w.ready
}

// wait returns when there is input: it reads one byte, which the next Read
// gives.
func (c *counter) wait() error {
	if c.ahead {
		return nil
	}
	n, err := c.src().Read(c.first[:])
	if n == 1 {
		c.ahead = true
		c.n++
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// idle is IDLE (RFC 2177).
func (c *conn) idle() error {
	if !c.dec.End() {
		return nil
	}
	c.enc.Line("+ idling")
	if err := c.sync(false); err != nil {
		return err
	}
	if err := c.enc.Flush(); err != nil {
		return err
	}
	if len(c.dec.Buffered()) == 0 {
		if err := c.waitChanges(true); err != nil {
			return err
		}
	}
	tag := c.tag
	if err := c.dec.Next(); err != nil {
		return err
	}
	if line := c.dec.Rest(); !equalFold(line, "DONE") {
		return badArgs("Expected DONE.")
	}
	c.tag = tag
	return c.ok("Idle completed.")
}

// waitChanges tells the client of changes until it says something. keepalive
// sends a line now and then, for what stands between.
func (c *conn) waitChanges(keepalive bool) error {
	c.enc.Release()
	c.net.SetReadDeadline(time.Time{})
	if c.ctx.Err() != nil {
		return c.ctx.Err()
	}
	deadline := time.Now().Add(c.o.Timeout)
	c.net.SetReadDeadline(deadline)
	w := c.readable()
	beat := time.NewTimer(c.beat())
	defer beat.Stop()
	var changes <-chan struct{}
	if c.mb != nil {
		changes = c.mb.Watch()
	}
	others, stop := c.watchOthers()
	defer stop()
	for {
		var err error
		select {
		case err := <-w.ready:
			return c.waited(err)
		case <-changes:
			err = c.sync(false)
		case name := <-others:
			err = c.tellOther(name)
		case <-c.ctx.Done():
			w.cancel()
			return c.ctx.Err()
		case <-beat.C:
			if keepalive {
				c.enc.Line("* OK Still here")
			}
			beat.Reset(c.beat())
			// Who keeps the connection alive with IDLE may stay.
			deadline = time.Now().Add(c.o.Timeout)
			c.net.SetReadDeadline(deadline)
		}
		if err == nil {
			err = c.enc.Flush()
		}
		if err != nil {
			w.cancel()
			return err
		}
		c.enc.Release()
	}
}

func (c *conn) beat() time.Duration {
	if c.o.IdleNotify > 0 {
		return c.o.IdleNotify
	}
	return 2 * time.Minute
}

// waited interprets the end of a wait.
func (c *conn) waited(err error) error {
	var timeout net.Error
	if c.ctx.Err() != nil && (errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()) {
		return c.ctx.Err()
	}
	return err
}
