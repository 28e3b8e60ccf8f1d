package main

import (
	"context"

	"github.com/posthouse-mail/posthouse/pkg/pop3server"
)

// pop3 serves a POP3 session. The answer to the login is part of it, since it
// depends on whether the maildrop can be opened.
func (u *user) pop3(ctx context.Context, c *client) error {
	state, err := pop3server.ParseState(c.Tag)
	if err != nil {
		return err
	}
	access := pop3server.Access{Lock: c.yes("pop3_lock_session"), Delay: c.seconds("pop3_login_delay")}
	if access.Format, err = pop3server.ParseFormat(c.Settings["pop3_uidl_format"]); err != nil {
		return err
	}
	open := func() (pop3server.Maildrop, error) {
		store, err := u.store(c)
		if err != nil {
			return nil, err
		}
		return pop3server.Open(store, access)
	}
	return pop3server.Run(ctx, c.conn, state, c.Pending, open, pop3server.Options{
		Idle:    c.seconds("pop3_idle_timeout"),
		NoSeen:  c.yes("pop3_no_flag_updates"),
		Capa:    pop3server.SiteCapabilities(c.Settings["pop3_expire"], access.Delay),
		Log:     func(format string, args ...any) { c.log("info", format, args...) },
		Warn:    func(format string, args ...any) { c.log("warn", format, args...) },
		Buffers: &u.pop3Buffers,
		Pace:    u.pace,
	})
}
