// Package flushclient asks flush(8) for a try of deferred mail.
package flushclient

import (
	"context"
	"net/netip"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// The requests, with the attribute that each has.
const (
	SendSite = "send_site" // site
	SendFile = "send_file" // queue_id
)

// Status is an answer of the service.
type Status int64

// The answers.
const (
	OK   Status = 0
	Fail Status = -1
	Bad  Status = -2 // the request makes no sense
	Deny Status = -3 // not a domain of fast_flush_domains
)

// Client asks the service. It is safe for concurrent use.
type Client struct{ pool *ipc.Pool }

// New returns a client on the pool's socket.
func New(pool *ipc.Pool) *Client { return &Client{pool: pool} }

// Site asks for all deferred mail to a domain or an address in brackets.
func (c *Client) Site(ctx context.Context, site string) (Status, error) {
	return c.ask(ctx, ipc.List{}.Str("request", SendSite).Str("site", strings.ToLower(site)))
}

// File asks for one message.
func (c *Client) File(ctx context.Context, id string) (Status, error) {
	return c.ask(ctx, ipc.List{}.Str("request", SendFile).Str("queue_id", id))
}

func (c *Client) ask(ctx context.Context, req ipc.List) (Status, error) {
	reply, err := c.pool.Call(ctx, req)
	if err != nil {
		return Fail, err
	}
	n, err := reply.GetInt("status")
	return Status(n), err
}

// ValidSite reports whether text can be a destination: a domain, or an address
// in brackets.
func ValidSite(site string) bool {
	inner, ok := strings.CutPrefix(site, "[")
	if !ok {
		return address.ValidHostname(site)
	}
	if inner, ok = strings.CutSuffix(inner, "]"); !ok {
		return false
	}
	if len(inner) > 5 && strings.EqualFold(inner[:5], "ipv6:") {
		inner = inner[5:]
	}
	_, err := netip.ParseAddr(inner)
	return err == nil
}
