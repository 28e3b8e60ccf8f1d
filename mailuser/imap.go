package main

import (
	"context"

	"github.com/posthouse-mail/posthouse/pkg/imapserver"
)

// imap serves an IMAP session.
func (u *user) imap(ctx context.Context, c *client) error {
	store, err := u.store(c)
	if err != nil {
		return err
	}
	defer store.Close()
	o := imapserver.OptionsFrom(c.Settings)
	o.Log, o.Parting, o.Deflaters = c.log, c.parting, &u.deflaters
	o.Indexer, o.Background, o.Pace = &u.indexer, u.ctx, u.pace
	return imapserver.Serve(ctx, c.conn, c.Start, store, o)
}
