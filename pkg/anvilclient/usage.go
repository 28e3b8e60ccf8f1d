package anvilclient

import (
	"context"
	"fmt"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// Spend is the request that counts what a user sends.
const Spend = "spend"

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
}

// Spend counts messages and recipients of a user, unless that exceeds a limit.
// Other than the counts of events, these survive a restart.
func (c *Client) Spend(ctx context.Context, login string, messages, recipients int, l Limits) (Verdict, error) {
	reply, err := c.pool.Call(ctx, ipc.List{}.Str("request", Spend).Str("ident", login).
		Int("messages", int64(messages)).Int("recipients", int64(recipients)).
		Int("messages_hour", int64(l.MessagesHour)).Int("messages_day", int64(l.MessagesDay)).
		Int("recipients_hour", int64(l.RecipientsHour)).Int("recipients_day", int64(l.RecipientsDay)))
	if err != nil {
		return Verdict{}, err
	}
	if st, err := reply.GetInt("status"); err != nil || st != 0 {
		return Verdict{}, fmt.Errorf("anvil: %w: status %q", ipc.ErrMalformed, reply.Value("status"))
	}
	v := Verdict{Over: reply.Value("over"), First: reply.Value("first") == "1"}
	if v.Over != "" {
		n, err := reply.GetInt("limit")
		if err != nil {
			return Verdict{}, err
		}
		v.Limit = int(n)
	}
	return v, nil
}
