// Package depositclient hands messages to deposit(8), which has them put into
// mailboxes with the rights of their owners.
//
// A client that talks to strangers, lmtpd(8), names addresses and writes into
// a file that deposit opened; whose mailbox an address is, under which uid and
// where, is for deposit to find out. Requests on the socket are attribute
// lists:
//
//	request=check recipient                    -> result, target ...
//	request=file                               -> one byte with a descriptor
//	request=deliver id sender recipient ...    -> result, one per recipient
//
// A result is a reply code, an enhanced status code and a text, separated by
// spaces.
package depositclient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Endpoint is the socket of deposit, relative to the queue directory.
const Endpoint = "private/deposit"

// Timeout is how long a caller should let a [ipc.Pool] for deposit wait. The
// mailbox of a recipient may be locked for a while.
const Timeout = 10 * time.Minute

// Bounds of one deliver request. More recipients take more requests.
const (
	MaxRecipients = 100
	maxBytes      = 128 << 10
)

// Client talks to deposit. It is safe for concurrent use.
type Client struct{ pool *ipc.Pool }

// New returns a client on the pool's socket.
func New(pool *ipc.Pool) *Client { return &Client{pool: pool} }

// MaxTargets is how many addresses an alias may stand for.
const MaxTargets = 1000

// Check asks whether mail to an address can be put into a mailbox. The result
// of success has no text of use. Targets are there if the address has no
// mailbox and is an alias for these.
func (c *Client) Check(ctx context.Context, recipient string) (st status.Status, targets []string, err error) {
	reply, err := c.pool.Call(ctx, ipc.List{}.Str("request", "check").Str("recipient", recipient))
	if err != nil {
		return status.Status{}, nil, err
	}
	for _, a := range reply {
		if a.Name == "target" {
			targets = append(targets, a.Value)
		}
	}
	if len(targets) > MaxTargets {
		return status.Status{}, nil, fmt.Errorf("%w: %d targets", ipc.ErrMalformed, len(targets))
	}
	st, err = ParseResult(reply.Value("result"))
	return st, targets, err
}

// Message is the content of one message on its way.
type Message struct {
	// File takes the content, with LF line ends.
	File *os.File
	c    *Client
	conn *ipc.Conn
}

// Begin gets a file for a message.
func (c *Client) Begin(ctx context.Context) (*Message, error) {
	for {
		conn, reused, err := c.pool.Get(ctx)
		if err != nil {
			return nil, err
		}
		f, err := begin(conn)
		if err == nil {
			return &Message{File: f, c: c, conn: conn}, nil
		}
		conn.Close()
		// A kept connection may have been closed by a server that retired.
		if !reused {
			return nil, err
		}
		c.pool.Close()
	}
}

func begin(conn *ipc.Conn) (*os.File, error) {
	socket, ok := conn.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.New("deposit: not a socket")
	}
	if err := conn.Send(ipc.List{}.Str("request", "file")); err != nil {
		return nil, fmt.Errorf("deposit: %w", err)
	}
	f, err := ipc.ReceiveFile(socket, "message")
	if err != nil {
		return nil, fmt.Errorf("deposit: %w", err)
	}
	return f, nil
}

// Deliver has the message put into the mailboxes of the recipients and returns
// a result for each. Success means that the message is on disk there. An error
// leaves open what became of it. The message is at its end.
func (m *Message) Deliver(ctx context.Context, id, sender string, recipients []string) ([]status.Status, error) {
	results := make([]status.Status, 0, len(recipients))
	for len(recipients) > 0 {
		n, err := m.part(id, sender, recipients, &results)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			m.Abort()
			return nil, fmt.Errorf("deposit: %w", err)
		}
		recipients = recipients[n:]
	}
	m.File.Close()
	m.c.pool.Put(m.conn)
	m.conn = nil
	return results, nil
}

// part delivers to as many recipients as a request takes.
func (m *Message) part(id, sender string, recipients []string, results *[]status.Status) (int, error) {
	req := ipc.List{}.Str("request", "deliver").Str("id", id).Str("sender", sender)
	n, size := 0, 0
	for n < len(recipients) && n < MaxRecipients && (n == 0 || size+len(recipients[n]) < maxBytes) {
		req = req.Str("recipient", recipients[n])
		size += len(recipients[n])
		n++
	}
	reply, err := m.conn.Call(req)
	if err != nil {
		return 0, err
	}
	if len(reply) != n {
		return 0, fmt.Errorf("%w: %d results for %d recipients", ipc.ErrMalformed, len(reply), n)
	}
	for _, a := range reply {
		st, err := ParseResult(a.Value)
		if a.Name != "result" || err != nil {
			return 0, fmt.Errorf("%w: result %q", ipc.ErrMalformed, a.Value)
		}
		*results = append(*results, st)
	}
	return n, nil
}

// Abort drops a message that is not delivered. It may be called twice.
func (m *Message) Abort() {
	if m.conn != nil {
		m.File.Close()
		m.conn.Close()
		m.conn = nil
	}
}

// Result writes a status as a result attribute.
func Result(s status.Status) string {
	return strconv.Itoa(s.Reply) + " " + s.Code + " " + printable.Text(s.Text)
}

// ParseResult reads a result attribute.
func ParseResult(v string) (status.Status, error) {
	reply, rest, _ := strings.Cut(v, " ")
	code, text, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(reply)
	if err != nil || n < 200 || n > 599 || !status.ValidCode(code) || int(code[0]-'0') != n/100 {
		return status.Status{}, fmt.Errorf("%w: result %q", ipc.ErrMalformed, printable.Text(v))
	}
	return status.New(n, code, printable.Text(text)), nil
}
