package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/imapserver"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// store opens the mail of the session's user.
func (u *user) store(c *client) (*mailstore.Store, error) {
	o := mailstore.Options{
		Shared: u.shared, Root: c.User.MailDir, Host: c.Settings["myhostname"], User: c.User.Login, Quota: c.User.Quota,
		CacheVersion: imapserver.CacheVersion, SpecialUse: map[string]string{}, Subscribe: true, SyncChanges: c.Settings["mail_fsync"] == "always",
	}
	for _, word := range strings.Fields(c.Settings["mail_special_folders"]) {
		name, use, ok := strings.Cut(word, "=")
		if !ok {
			use = name
		}
		o.SpecialUse[name] = use
	}
	for _, word := range strings.Fields(c.Settings["mail_shared_folders"]) {
		if prefix, root, ok := strings.Cut(word, "="); ok {
			o.Trees = append(o.Trees, mailstore.Tree{Prefix: prefix, Root: root})
		}
	}
	if c.User.Quota != "" {
		o.Full = func(full bool) { c.task.Tell("quota", ipc.List{}.Bool("over_quota", full)) }
	}
	err := o.SetQuota(mailstore.QuotaOptions{Quota: c.User.Quota, Rules: strings.Fields(c.Settings["quota_rules"]),
		Levels: strings.Fields(c.Settings["quota_warning_levels"]), Hostname: c.Settings["myhostname"]})
	if err != nil {
		return nil, err
	}
	s, err := mailstore.Open(o)
	if err != nil {
		return nil, err
	}
	if err := s.ExpireRules(strings.Fields(c.Settings["mail_expire"])); err != nil {
		c.log("warn", "expire old messages: %v", err)
	}
	return s, nil
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
