package login

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/session"
)

// Sizes of the buffers of a proxied session. A client that waits costs the
// small one only.
const (
	proxyBuffer = 16 << 10
	idleBuffer  = 512
)

// writeLimit is how long a client may take to read what its session sent.
const writeLimit = 10 * time.Minute

// proxy passes bytes between the client, by TLS, and the user's process.
func (c *Conn) proxy(ctx context.Context) (*Returned, error) {
	defer c.closeWorker()
	stop := context.AfterFunc(ctx, func() {
		c.raw.Close()
		c.worker.Close()
	})
	defer stop()
	up := make(chan struct{})
	go func() {
		defer close(up)
		c.toWorker()
	}()
	returned, err := c.toClient()
	if returned == nil {
		c.Conn.Close()
	} else {
		// The other goroutine waits for the client; it must not take what
		// belongs to the next session. Nothing can be in its hands: the
		// client waits for the answer that we have just passed on, or has
		// sent it before, and then the worker gave it back.
		c.raw.SetReadDeadline(time.Unix(1, 0))
	}
	<-up
	return returned, err
}

// toWorker passes on what the client sends.
func (c *Conn) toWorker() {
	var small [idleBuffer]byte
	for {
		n, err := c.Conn.Read(small[:])
		c.srv.pace.Touch()
		if n > 0 {
			if _, werr := c.worker.Write(small[:n]); werr != nil {
				return
			}
		}
		if n == len(small) && err == nil {
			err = c.burst()
		}
		if err != nil {
			if !errors.Is(err, errBurst) {
				c.worker.CloseWrite()
			}
			return
		}
	}
}

var errBurst = errors.New("session does not take more")

// burst reads with a larger buffer for as long as there is much.
func (c *Conn) burst() error {
	buf := c.srv.buffers.Get().(*[]byte)
	defer c.srv.buffers.Put(buf)
	for {
		n, err := c.Conn.Read(*buf)
		if n > 0 {
			if _, werr := c.worker.Write((*buf)[:n]); werr != nil {
				return errBurst
			}
		}
		if err != nil || n < idleBuffer {
			return err
		}
	}
}

// toClient passes on what the session sends.
func (c *Conn) toClient() (*Returned, error) {
	r := &session.Reader{Conn: c.worker}
	for {
		if err := c.waitReadable(); err != nil {
			return nil, nil
		}
		n, err := c.forward(r)
		switch {
		case errors.Is(err, session.ErrReturned):
			return &Returned{Pending: r.Pending()}, nil
		case err != nil && n == 0:
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return nil, nil
		}
	}
}

// forward passes on one read.
func (c *Conn) forward(r *session.Reader) (int, error) {
	buf := c.srv.buffers.Get().(*[]byte)
	defer c.srv.buffers.Put(buf)
	n, err := r.Read(*buf)
	c.srv.pace.Touch()
	if n > 0 {
		c.raw.SetWriteDeadline(time.Now().Add(writeLimit))
		if _, werr := c.Conn.Write((*buf)[:n]); werr != nil {
			return 0, werr
		}
	}
	return n, err
}

// waitReadable waits for the session without a buffer.
func (c *Conn) waitReadable() error {
	rc, err := c.worker.SyscallConn()
	if err != nil {
		return err
	}
	return rc.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		return err != syscall.EAGAIN
	})
}
