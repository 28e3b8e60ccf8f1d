package main

import (
	"context"
	"fmt"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/imapserver"
	"github.com/posthouse-mail/posthouse/pkg/session"
)

// sorryWait is how long a client may take to hear that there is no session.
const sorryWait = 10 * time.Second

// imap serves an IMAP session.
func (u *user) imap(ctx context.Context, c *client) error {
	store, err := u.store(c)
	if err != nil {
		// The login server said that the answer comes from here.
		c.conn.SetWriteDeadline(time.Now().Add(sorryWait))
		why := session.Unavailable()
		fmt.Fprintf(c.conn, "%s NO [%s] %s\r\n", c.Tag, why.Code, why.Text)
		return err
	}
	defer store.Close()
	o := imapserver.OptionsFrom(c.Settings)
	o.Log, o.Parting, o.Deflaters = c.log, c.parting, &u.deflaters
	o.Indexer, o.Background, o.Pace = &u.indexer, u.ctx, u.pace
	return imapserver.Serve(ctx, c.conn, c.Start, store, o)
}
