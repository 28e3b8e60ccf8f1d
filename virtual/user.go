package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// toUser delivers to a user that authd knows: it says whose the mailbox is,
// where it is, and how much it may hold.
func (a *agent) toUser(ctx context.Context, d *deliver.Delivery, rcpt *envelope.Recipient, file *os.File) status.Status {
	r, err := a.users.Recipient(ctx, rcpt.Address)
	switch {
	case errors.Is(err, authclient.ErrUnknown):
		return status.New(0, "5.1.1", "unknown user: \""+rcpt.Address+"\"")
	case err != nil:
		a.log.Warn(string(d.QueueID), "recipient %s: %v", rcpt.Address, err)
		return status.New(0, "4.3.0", "temporary user lookup failure")
	case r.User == nil:
		a.log.Warn(string(d.QueueID), "recipient %s is an alias: virtual_alias_maps needs authd:alias", rcpt.Address)
		return status.New(0, "4.3.5", "mail system configuration error")
	}
	u := r.User
	if !filepath.IsAbs(u.MailDir) || u.UID < max(a.MinimumUID, 1) || u.GID < 1 {
		a.log.Warn(string(d.QueueID), "recipient %s: uid %d (virtual_minimum_uid is %d), gid %d or mail directory %q is not allowed",
			rcpt.Address, u.UID, a.MinimumUID, u.GID, u.MailDir)
		return status.New(0, "4.3.5", "mail system configuration error")
	}
	id := worker.Identity{UID: u.UID, GID: u.GID, Dirs: worker.Confine(u.MailDir, u.Home)}
	if d.ProbeOnly() {
		return status.New(0, "2.0.0", "delivers to maildir")
	}
	reply, err := a.workers.Do(ctx, id, worker.Job{Request: a.userRequest(d, rcpt, u), File: file, Timeout: deliveryTime})
	if err != nil {
		a.log.Warn(string(d.QueueID), "%v", err)
		return status.New(0, "4.3.0", "delivery process failed")
	}
	s := worker.Outcome(reply)
	switch {
	case s.Success():
		s.Text = "delivered to maildir"
	case s.Code == "5.2.2" || s.Code == "4.2.2":
		s = status.New(0, "5.2.2", "mailbox is full")
		if a.FullTempfail {
			s.Code = "4.2.2"
		}
	}
	a.tellQuota(ctx, u.Login, reply)
	return s
}

// tellQuota lets authd know of a mailbox that became full, or is no longer, so
// that mail for it is answered accordingly before it comes in.
func (a *agent) tellQuota(ctx context.Context, login string, reply ipc.List) {
	full, ok := worker.Full(reply)
	if !ok {
		return
	}
	if err := a.users.SetQuota(ctx, login, full); err != nil {
		a.log.Warn("", "tell authd of the quota of %s: %v", login, err)
	}
}

// userRequest makes the worker's job. A mailbox without a quota needs nobody
// to count.
func (a *agent) userRequest(d *deliver.Delivery, rcpt *envelope.Recipient, u *authclient.User) ipc.List {
	if u.Quota == "" {
		return worker.Maildir(a.mail(d, rcpt), u.MailDir+"/", a.Myhostname)
	}
	return worker.Store(a.mail(d, rcpt), worker.StoreOptions{Path: u.MailDir, Quota: u.Quota, Host: a.Myhostname,
		User: u.Login, Rules: a.QuotaRules, Warn: a.QuotaLevels})
}
