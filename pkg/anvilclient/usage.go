package anvilclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// Requests about what a user sends: Spend counts it, Unspend takes back what was
// counted ahead and is not wanted.
const (
	Spend   = "spend"
	Unspend = "unspend"
)

// MaxAhead is the most that is counted ahead.
const MaxAhead = 64

// UsageFile is the name, in the data directory, under which anvil keeps what
// users have sent; it adds ".0" and ".1".
const UsageFile = "anvil_usage"

// Limits are how much a user may send; 0 is no limit.
type Limits struct {
	MessagesHour, MessagesDay, RecipientsHour, RecipientsDay int
}

// Verdict is the answer to Spend.
type Verdict struct {
	// Over names the limit that is reached: messages_hour, messages_day,
	// recipients_hour or recipients_day. "" is none.
	Over  string
	Limit int
	// First is set once for each hour or day in which it is reached.
	First bool
	// Ahead is what was counted beside what was asked for.
	Ahead Ahead
}

// Ahead are messages and recipients that a user has not sent yet and that are
// counted already. There are none where a limit is near.
type Ahead struct {
	Messages, Recipients int
	Time                 int64 // when they were counted
}

// Spend counts messages and recipients of a user, unless that exceeds a limit.
// Other than the counts of events, these survive a restart. Of both it counts up
// to ahead more, which are the caller's to use, or to give back within seconds.
func (c *Client) Spend(ctx context.Context, login string, messages, recipients, ahead int, l Limits) (Verdict, error) {
	reply, err := c.call(ctx, ipc.List{}.Str("request", Spend).Str("ident", login).
		Int("messages", int64(messages)).Int("recipients", int64(recipients)).Int("ahead", int64(ahead)).
		Int("messages_hour", int64(l.MessagesHour)).Int("messages_day", int64(l.MessagesDay)).
		Int("recipients_hour", int64(l.RecipientsHour)).Int("recipients_day", int64(l.RecipientsDay)))
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Over: reply.Value("over"), First: reply.Value("first") == "1"}
	if v.Over != "" {
		n, err := reply.GetInt("limit")
		if err != nil {
			return Verdict{}, err
		}
		v.Limit = int(n)
		return v, nil
	}
	if _, ok := reply.Get("time"); !ok {
		return v, nil
	}
	m, err1 := reply.GetInt("ahead_messages")
	r, err2 := reply.GetInt("ahead_recipients")
	t, err3 := reply.GetInt("time")
	if err := errors.Join(err1, err2, err3); err != nil {
		return Verdict{}, err
	}
	if m < 0 || m > int64(ahead) || r < 0 || r > int64(ahead) {
		return Verdict{}, fmt.Errorf("anvil: %w: %d messages and %d recipients ahead", ipc.ErrMalformed, m, r)
	}
	v.Ahead = Ahead{Messages: int(m), Recipients: int(r), Time: t}
	return v, nil
}

// Unspend takes back what was counted ahead.
func (c *Client) Unspend(ctx context.Context, login string, a Ahead) error {
	_, err := c.call(ctx, ipc.List{}.Str("request", Unspend).Str("ident", login).
		Int("messages", int64(a.Messages)).Int("recipients", int64(a.Recipients)).Int("time", a.Time))
	return err
}

// call makes a request that must be answered with status 0.
func (c *Client) call(ctx context.Context, req ipc.List) (ipc.List, error) {
	reply, err := c.pool.Call(ctx, req)
	if err != nil {
		return nil, err
	}
	if st, err := reply.GetInt("status"); err != nil || st != 0 {
		return nil, fmt.Errorf("anvil: %w: status %q", ipc.ErrMalformed, reply.Value("status"))
	}
	return reply, nil
}
