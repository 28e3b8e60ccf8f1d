package ipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Pool keeps connections to one Unix socket and hands them out, one user at a
// time. A connection that failed is not put back.
type Pool struct {
	path    string
	timeout time.Duration
	maxIdle int

	mu   sync.Mutex
	idle []*Conn
}

// NewPool returns a pool for the socket at path, relative to the working
// directory, which for a daemon is the queue directory ("private/rewrite").
// Each dial, read or write may take up to timeout.
func NewPool(path string, timeout time.Duration) *Pool {
	return &Pool{path: path, timeout: timeout, maxIdle: 64}
}

// Get returns a kept or a new connection. reused tells which: a kept one may
// turn out to be dead at its first use.
func (p *Pool) Get(ctx context.Context) (c *Conn, reused bool, err error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		c = p.idle[n-1]
		p.idle = p.idle[:n-1]
	}
	p.mu.Unlock()
	if c != nil {
		return c, true, nil
	}
	c, err = Dial(ctx, p.path, p.timeout)
	return c, false, err
}

// Put gives a connection back for reuse.
func (p *Pool) Put(c *Conn) {
	p.mu.Lock()
	keep := len(p.idle) < p.maxIdle
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.Close()
	}
}

// Close closes the connections that are not in use.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
}

// Call sends a request and returns its reply. A request on a kept connection
// that the server closed meanwhile is sent once more on a new one, so the
// request must be one that may be repeated.
func (p *Pool) Call(ctx context.Context, req List) (List, error) {
	for {
		c, reused, err := p.Get(ctx)
		if err != nil {
			return nil, err
		}
		reply, err := c.Call(req)
		if err == nil {
			p.Put(c)
			return reply, nil
		}
		c.Close()
		if !reused || errors.Is(err, ErrMalformed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, fmt.Errorf("request to %s: %w", p.path, err)
		}
		// Its siblings are as old; do not try them one by one.
		p.Close()
	}
}
