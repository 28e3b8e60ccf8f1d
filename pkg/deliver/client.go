package deliver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// maxDelivery bounds the wait for an agent's reply. It is above the agents'
// own watchdog, daemon_timeout, so that a stuck agent ends first.
const maxDelivery = 6 * time.Hour

// idleTime is how long the queue manager keeps a connection that it does not
// use. It is short, so that agents can retire.
const idleTime = 10 * time.Second

// Client is the queue manager's side of one transport: it keeps connections to
// the agents and sends one request at a time over each. It is safe for
// concurrent use.
type Client struct {
	path string

	mu   sync.Mutex
	idle []idleConn
}

type idleConn struct {
	conn  *ipc.Conn
	since time.Time
}

// ErrUnavailable reports that no agent could be reached, so that the request
// was not sent. Any other error of [Client.Deliver] means that an agent may
// have done some of the work.
var ErrUnavailable = errors.New("mail transport unavailable")

// NewClient returns a client of the agent that listens on the socket path.
func NewClient(path string) *Client { return &Client{path: path} }

// Deliver sends a request and waits for the reply.
func (c *Client) Deliver(ctx context.Context, req *Request) (Reply, error) {
	for {
		conn, kept, err := c.get(ctx)
		if err != nil {
			return Reply{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
		reply, err := exchange(conn, req)
		if err == nil && stop() {
			c.put(conn)
			return reply, nil
		}
		stop()
		conn.Close()
		if err == nil {
			return reply, nil
		}
		// These two mean that the agent has not read the request: it went
		// away while the connection was idle. Any other error comes from
		// an agent that was at work, and is not repeated.
		if kept && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)) {
			c.Close()
			continue
		}
		return Reply{}, fmt.Errorf("request to %s: %w", c.path, err)
	}
}

func exchange(conn *ipc.Conn, req *Request) (Reply, error) {
	if err := WriteRequest(conn, req); err != nil {
		return Reply{}, err
	}
	return ReadReply(conn)
}

func (c *Client) get(ctx context.Context) (conn *ipc.Conn, kept bool, err error) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		conn = c.idle[n-1].conn
		c.idle = c.idle[:n-1]
	}
	c.mu.Unlock()
	if conn != nil {
		return conn, true, nil
	}
	if conn, err = ipc.Dial(ctx, c.path, time.Minute); err != nil {
		return nil, false, err
	}
	conn.Timeout = maxDelivery
	return conn, false, nil
}

func (c *Client) put(conn *ipc.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, idleConn{conn, time.Now()})
}

// Prune closes the connections that were not used for some seconds, and
// returns how many are left. The least recently used ones are in front.
func (c *Client) Prune(now time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(c.idle) && now.Sub(c.idle[n].since) > idleTime {
		c.idle[n].conn.Close()
		n++
	}
	c.idle = append(c.idle[:0], c.idle[n:]...)
	return len(c.idle)
}

// Close closes the connections that are not in use.
func (c *Client) Close() {
	c.mu.Lock()
	idle := c.idle
	c.idle = nil
	c.mu.Unlock()
	for _, i := range idle {
		i.conn.Close()
	}
}
