// Package bounceclient is how delivery agents and the queue manager talk to
// the bounce daemon: they record why a recipient failed, was delayed or was
// reached, and at the end of a delivery attempt they ask for the notice.
//
// The daemon has three services of one program, private/bounce, private/defer
// and private/trace; each keeps one log file per message, in the directory of
// its name.
package bounceclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Kind selects one of the three logs of a message.
type Kind int

// The logs.
const (
	Bounce Kind = iota // permanent failures
	Defer              // temporary failures of the last attempt
	Trace              // successes that the sender wants to know about
)

// Message says which message a request is about.
type Message struct {
	QueueName string
	QueueID   queue.ID
	Sender    envelope.Sender
	Encoding  string
	UTF8      int
}

// Entry is the report on one recipient, one paragraph of a log.
type Entry struct {
	Recipient          envelope.Recipient
	Relay              string // as in the mail log
	Status             status.Status
	Action             string // failed, delayed, delivered, relayed, expanded, deliverable, undeliverable
	DiagType, DiagText string // of a notice's Diagnostic-Code; Status.Text if empty
	MTAType, MTA       string // of a notice's Remote-MTA
	Time               time.Time
}

// ErrRefused reports that the daemon could not do what it was asked.
var ErrRefused = errors.New("bounce daemon: request failed")

// Services are the names of the three services below private/.
type Services struct {
	Bounce, Defer, Trace string
	Timeout              time.Duration
}

// Client talks to the three services. It is safe for concurrent use.
type Client struct {
	pools [3]*ipc.Pool
}

// New returns a client. It connects at the first request.
func New(s Services) *Client {
	pool := func(name string) *ipc.Pool { return ipc.NewPool("private/"+name, s.Timeout) }
	return &Client{pools: [3]*ipc.Pool{pool(s.Bounce), pool(s.Defer), pool(s.Trace)}}
}

// Append adds an entry to a log. When it returns nil the entry is durable.
func (c *Client) Append(ctx context.Context, kind Kind, m Message, e Entry) error {
	return c.call(ctx, kind, &Request{Verb: VerbAppend, Message: m, Entry: e})
}

// Flush has the sender told of all entries of a log, and has the log removed.
// When it returns nil the notice is queued, durably, or none is due. Flushing
// the defer log returns a message that is too old: its recipients are marked
// as done in the queue file.
func (c *Client) Flush(ctx context.Context, kind Kind, m Message) error {
	return c.call(ctx, kind, &Request{Verb: VerbFlush, Message: m})
}

// FlushVERP is Flush with a notice for each recipient, to the address that VERP
// with these delimiters makes of the sender's.
func (c *Client) FlushVERP(ctx context.Context, kind Kind, m Message, delimiters string) error {
	return c.call(ctx, kind, &Request{Verb: VerbVerp, Message: m, Delimiters: delimiters})
}

// Warn has the sender told that delivery is delayed. The log stays.
func (c *Client) Warn(ctx context.Context, m Message) error {
	return c.call(ctx, Defer, &Request{Verb: VerbWarn, Message: m})
}

// FlushTrace has the sender told of the successes, with the message's trace
// flags (the Flag numbers of package deliver) saying why.
func (c *Client) FlushTrace(ctx context.Context, m Message, flags int) error {
	return c.call(ctx, Trace, &Request{Verb: VerbTrace, Flags: flags, Message: m})
}

// One has the sender told of one failure at once, without a log: for a
// message whose sender differs from the queue file's, such as an alias with
// an owner.
func (c *Client) One(ctx context.Context, m Message, e Entry) error {
	return c.call(ctx, Bounce, &Request{Verb: VerbOne, Message: m, Entry: e})
}

func (c *Client) call(ctx context.Context, kind Kind, r *Request) error {
	reply, err := c.pools[kind].Call(ctx, r.List())
	if err != nil {
		return err
	}
	code, err := reply.GetInt("status")
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("%w (status %d)", ErrRefused, code)
	}
	return nil
}
