// Package anvilclient asks anvil(8) how many connections a client has, and
// how often it does what is limited.
//
// Anvil is a convenience: a server that cannot reach it logs that once in a
// while and serves the client.
package anvilclient

import (
	"context"
	"fmt"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// Endpoint is the socket of anvil, relative to the queue directory.
const Endpoint = "private/anvil"

// Events that are counted.
const (
	Connect    = "connect"
	Disconnect = "disconnect"
	Message    = "message"
	Recipient  = "recipient"
	NewTLS     = "newtls"
	Auth       = "auth"
)

// Ident names a client of a service as anvil's statistics show it:
// "smtp:192.0.2.1".
func Ident(service, addr string) string { return service + ":" + addr }

// Client asks anvil. It is safe for concurrent use.
type Client struct{ pool *ipc.Pool }

// New returns a client on the pool's socket.
func New(pool *ipc.Pool) *Client { return &Client{pool: pool} }

// Counts are anvil's answer: Count is the number of connections at this
// moment (only for Connect), Rate the number of events in the current
// anvil_rate_time_unit.
type Counts struct{ Count, Rate int }

// Event reports one event and returns the counts that include it.
func (c *Client) Event(ctx context.Context, event, ident string) (Counts, error) {
	reply, err := c.pool.Call(ctx, ipc.List{}.Str("request", event).Str("ident", ident))
	if err != nil {
		return Counts{}, err
	}
	if st, err := reply.GetInt("status"); err != nil || st != 0 {
		return Counts{}, fmt.Errorf("anvil: %w: status %q", ipc.ErrMalformed, reply.Value("status"))
	}
	rate, err := reply.GetInt("rate")
	if err != nil {
		return Counts{}, err
	}
	count, err := reply.GetInt("count")
	if err != nil {
		return Counts{}, err
	}
	return Counts{Count: int(count), Rate: int(rate)}, nil
}
