package main

import (
	"strconv"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// store opens the mail of the session's user.
func (u *user) store(c *client) (*mailstore.Store, error) {
	return mailstore.Open(mailstore.Options{
		Shared: u.shared, Root: c.User.MailDir, Host: c.Settings["myhostname"], User: c.User.Login, Quota: c.User.Quota,
	})
}

// number returns a parameter that is a number, or 0. sessiond has checked it.
func (c *client) number(name string) int64 {
	n, _ := strconv.ParseInt(c.Settings[name], 10, 64)
	return n
}

// seconds returns a parameter that is a time.
func (c *client) seconds(name string) time.Duration {
	return time.Duration(c.number(name)) * time.Second
}

// yes returns a parameter that is yes or no.
func (c *client) yes(name string) bool { return c.number(name) != 0 }
