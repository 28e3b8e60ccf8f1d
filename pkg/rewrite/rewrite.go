// Package rewrite is the client of trivial-rewrite: it rewrites addresses to
// their standard form and finds out where mail for an address goes.
package rewrite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// Endpoint is the socket of trivial-rewrite, relative to the queue directory.
const Endpoint = "private/rewrite"

// Timeout is how long a caller should let a [ipc.Pool] for this service wait.
const Timeout = 100 * time.Second

// Rules for [Client.Rewrite].
const (
	Local  = "local"  // complete with $myorigin and $mydomain
	Remote = "remote" // complete with $remote_header_rewrite_domain
)

// ErrFail reports that trivial-rewrite could not tell now, because a table
// lookup did not work. The message must be deferred.
var ErrFail = errors.New("address rewriting is not available")

// Flags describe how an address was resolved.
type Flags int

// The flags. One Class bit is set unless Fail is.
const (
	Final        Flags = 1 << 0 // the domain's MX records do not matter
	Routed       Flags = 1 << 1 // the address has sender-specified routing left
	Error        Flags = 1 << 2 // the address is not valid
	Fail         Flags = 1 << 3 // a lookup did not work: try later
	WholeDomain  Flags = 1 << 4 // each plain address of the domain, from any sender, has this answer
	ClassLocal   Flags = 1 << 8
	ClassAlias   Flags = 1 << 9
	ClassVirtual Flags = 1 << 10
	ClassRelay   Flags = 1 << 11
	ClassDefault Flags = 1 << 12

	ClassMask Flags = ClassLocal | ClassAlias | ClassVirtual | ClassRelay | ClassDefault
)

// Resolved says where mail for an address goes.
type Resolved struct {
	Transport string // a service name of master.cf
	NextHop   string // for the error transport: the reason, with its code
	Recipient string // internal form, possibly without the local domain
	Flags     Flags
}

// Class returns the one Class bit.
func (r Resolved) Class() Flags { return r.Flags & ClassMask }

// Client asks trivial-rewrite. It is safe for concurrent use.
type Client struct{ pool *ipc.Pool }

// NewClient returns a client on the pool's socket.
func NewClient(pool *ipc.Pool) *Client { return &Client{pool: pool} }

// Rewrite returns the standard form of an address. Both are in external form,
// and rule is [Local] or [Remote]. An address that is in that form whatever the rule
// is not asked about.
func (c *Client) Rewrite(ctx context.Context, rule, addr string) (string, error) {
	if address.Complete(addr) {
		return addr, nil
	}
	reply, err := c.pool.Call(ctx, ipc.List{}.Str("request", "rewrite").
		Str("rule", rule).Str("address", addr))
	if err != nil {
		return "", err
	}
	if err := check(reply); err != nil {
		return "", err
	}
	out, ok := reply.Get("address")
	if !ok {
		return "", fmt.Errorf("rewrite reply: %w", ipc.ErrMalformed)
	}
	return out, nil
}

// Resolve finds the transport for a recipient, given the message's sender.
// Both are in internal form. A result with the flag Fail comes with
// [ErrFail].
func (c *Client) Resolve(ctx context.Context, sender, addr string) (Resolved, error) {
	return c.resolve(ctx, ipc.List{}.Str("request", "resolve").Str("sender", sender).Str("address", addr))
}

// Standard is Resolve for the standard form of an address, which is in external
// form: Rewrite and Resolve in one request.
func (c *Client) Standard(ctx context.Context, rule, sender, addr string) (Resolved, error) {
	return c.resolve(ctx, ipc.List{}.Str("request", "resolve").Str("rule", rule).Str("sender", sender).Str("address", addr))
}

// Verify is like Resolve, with the transports of address verification
// (address_verify_transport_maps and so on).
func (c *Client) Verify(ctx context.Context, sender, addr string) (Resolved, error) {
	return c.resolve(ctx, ipc.List{}.Str("request", "verify").Str("sender", sender).Str("address", addr))
}

func (c *Client) resolve(ctx context.Context, req ipc.List) (Resolved, error) {
	reply, err := c.pool.Call(ctx, req)
	if err != nil {
		return Resolved{}, err
	}
	if err := check(reply); err != nil {
		return Resolved{}, err
	}
	flags, err := reply.GetInt("flags")
	if err != nil {
		return Resolved{}, fmt.Errorf("resolve reply: %w", err)
	}
	r := Resolved{
		Transport: reply.Value("transport"),
		NextHop:   reply.Value("nexthop"),
		Recipient: reply.Value("recipient"),
		Flags:     Flags(flags),
	}
	if r.Flags&Fail != 0 {
		return r, fmt.Errorf("resolve %q: %w", req.Value("address"), ErrFail)
	}
	if r.Transport == "" {
		return Resolved{}, fmt.Errorf("resolve reply: %w: no transport", ipc.ErrMalformed)
	}
	return r, nil
}

func check(reply ipc.List) error {
	n, err := reply.GetInt("status")
	if err != nil {
		return fmt.Errorf("reply of trivial-rewrite: %w", err)
	}
	if n != 0 {
		return ErrFail
	}
	return nil
}
