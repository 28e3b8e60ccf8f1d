package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// toUser delivers to an account: name with its extension if there is an
// account of that name, else base. direct leaves .forward out.
func (j *job) toUser(ctx context.Context, p place, name, base, ext string, direct bool) {
	u, found, err := j.lookupUser(ctx, name)
	if err == nil && !found && base != name {
		u, found, err = j.lookupUser(ctx, base)
	} else if found {
		ext = ""
	}
	if err != nil {
		j.log.Warn(string(j.d.QueueID), "%v", err)
		j.fail(ctx, p, "4.3.0", "user lookup is not available")
		return
	}
	if found && !direct && !contains(p.users, u.name) {
		if done := j.dotForward(ctx, p, u, ext); done {
			return
		}
	}
	if !j.once("mailbox", strings.ToLower(base)) {
		return
	}
	j.toMailbox(ctx, p, base, ext, u, found)
}

// dotForward expands the user's .forward file; false means there is none.
func (j *job) dotForward(ctx context.Context, p place, u account, ext string) bool {
	paths, err := j.forwardPaths(u, ext)
	if err != nil {
		j.log.Warn(string(j.d.QueueID), "forward_path: %v", err)
		j.fail(ctx, p, "4.3.5", "mail system configuration error")
		return true
	}
	if len(paths) == 0 || u.uid == 0 {
		// What root's .forward says would need root's rights.
		return false
	}
	id := j.rights(place{account: &u})
	for _, path := range paths {
		id.Dirs = append(id.Dirs, filepath.Dir(path))
	}
	list, info, err := j.readTargets(ctx, id, paths, true)
	if err != nil {
		j.log.Warn(string(j.d.QueueID), "%v", err)
		j.fail(ctx, p, "4.3.0", "cannot read the .forward file of %s", u.name)
		return true
	}
	if info.found == "" || len(list) == 0 {
		return false
	}
	if !j.once("forward", info.found) {
		return true
	}
	p.users = append(p.users[:len(p.users):len(p.users)], u.name)
	p.account, p.source, p.list = &u, "forward", u.name
	j.quietly(&p, len(list), false)
	j.toTargets(ctx, p, list)
	return true
}

// forwardPaths expands forward_path for a user.
func (j *job) forwardPaths(u account, ext string) ([]string, error) {
	if strings.ContainsAny(ext, "/\x00\n") {
		j.log.Warn(string(j.d.QueueID), "address with illegal extension: %s", printable.Text(first(address.Split(j.rcpt.Address))))
		ext = ""
	}
	var paths []string
	for _, raw := range config.SplitList(j.ForwardPath) {
		path, err := j.expand(raw, j.macros(u, place{addr: j.rcpt.Address, sender: j.d.Sender.Address}, u.name, ext), j.ForwardFilter)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(path, "/") && (len(paths) == 0 || paths[len(paths)-1] != path) {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// toMailbox makes the final delivery, by whatever the site has set up first.
func (j *job) toMailbox(ctx context.Context, p place, name, ext string, u account, found bool) {
	if to, err := firstOf(ctx, j.boxes, name, j.MailboxTransport); err != nil {
		j.log.Warn(string(j.d.QueueID), "%v", err)
		j.fail(ctx, p, "4.3.0", "mailbox_transport_maps lookup error")
		return
	} else if to != "" {
		j.pass(ctx, p, to)
		return
	}
	if !found {
		j.unknown(ctx, p, name, ext)
		return
	}
	command, err := firstOf(ctx, j.commands, name, j.MailboxCommand)
	switch {
	case err != nil:
		j.log.Warn(string(j.d.QueueID), "%v", err)
		j.fail(ctx, p, "4.3.0", "mailbox_command_maps lookup error")
	case command != "":
		p.account = &u
		j.run1(ctx, p, command, u, name, ext)
	case j.HomeMailbox != "":
		j.toHome(ctx, p, u)
	default:
		j.toSpool(ctx, p, u)
	}
}

// firstOf looks a user up in a table and falls back to a parameter.
func firstOf(ctx context.Context, m lookuper, name, parameter string) (string, error) {
	value, found, err := m.Lookup(ctx, name)
	if err != nil || found {
		return value, err
	}
	return parameter, nil
}

type lookuper interface {
	Lookup(ctx context.Context, key string) (string, bool, error)
}

// toHome delivers to home_mailbox, as the user.
func (j *job) toHome(ctx context.Context, p place, u account) {
	id := j.userRights(u)
	id.Dirs = []string{u.home}
	path := filepath.Join(u.home, j.HomeMailbox)
	if strings.HasSuffix(j.HomeMailbox, "/") {
		path += "/"
	}
	j.toPath(ctx, p, id, path, "mailbox")
}

// userRights are a user's rights, or default_privs for root.
func (j *job) userRights(u account) worker.Identity {
	return j.rights(place{account: &u})
}

// toSpool delivers to the user's file or Maildir in mail_spool_directory. A
// spool that a group may write is used with that group, so that the worker
// can make the mailbox and its lock.
func (j *job) toSpool(ctx context.Context, p place, u account) {
	id := j.userRights(u)
	info, err := os.Stat(j.MailSpool)
	if err != nil {
		j.log.Warn(string(j.d.QueueID), "mail_spool_directory: %v", err)
		j.fail(ctx, p, "4.2.0", "mail spool directory is not available")
		return
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Mode&0o002 == 0 && st.Mode&0o020 != 0 && os.Geteuid() == 0 {
		id.GID = int(st.Gid)
	}
	id.Dirs = []string{j.MailSpool}
	path := filepath.Join(j.MailSpool, u.name)
	if strings.HasSuffix(j.MailSpool, "/") {
		path += "/"
	}
	j.toPath(ctx, p, id, path, "mailbox")
}

// toFile delivers to a file or Maildir that an alias or .forward names.
func (j *job) toFile(ctx context.Context, p place, path string) {
	if !contains(j.AllowFiles, p.source) {
		j.fail(ctx, p, "5.7.1", "mail to file is restricted")
		return
	}
	if !j.once("file", path) {
		return
	}
	if path == "/dev/null" {
		j.report(ctx, p, j.result("2.0.0", "delivered to file: /dev/null"))
		return
	}
	id := j.rights(p)
	id.Dirs = worker.Confine(filepath.Dir(strings.TrimRight(path, "/")))
	j.toPath(ctx, p, id, path, "file: "+path)
}

// toPath delivers to a mailbox file or, if the path ends in '/', a Maildir.
func (j *job) toPath(ctx context.Context, p place, id worker.Identity, path, what string) {
	mail := worker.Mail{Prefix: j.prefix(p, "file"), Content: j.d.Message.DataOffset}
	req := worker.Mbox(mail, path, p.sender, worker.MboxOptions{
		Locks: j.MailboxLock, Attempts: j.LockAttempts, Delay: j.LockDelay, Stale: j.StaleLock,
		SizeLimit: j.MailboxLimit, Strict: j.StrictOwner,
	})
	if strings.HasSuffix(path, "/") {
		req = worker.Maildir(mail, path, j.Myhostname)
		what = "maildir"
	}
	j.finish(ctx, p, id, worker.Job{Request: req, File: j.file, Timeout: j.CommandTimeLimit + j.lockTime()}, "delivered to "+what)
}

// prefix is the header in front of the message. which is the word of
// prepend_delivered_header for this kind of destination.
func (j *job) prefix(p place, which string) string {
	delivered, original := "", ""
	if contains(j.PrependDelivered, which) {
		delivered = j.rcpt.Address
	}
	if j.OriginalRecipient && j.rcpt.Original != "" {
		original = j.rcpt.Original
	}
	return worker.Prefix(p.sender, true, original, delivered)
}

// finish has a worker make a delivery and reports on it.
func (j *job) finish(ctx context.Context, p place, id worker.Identity, work worker.Job, text string) {
	if j.d.ProbeOnly() {
		j.report(ctx, p, j.result("2.0.0", strings.Replace(text, "delivered to", "delivers to", 1)))
		return
	}
	reply, err := j.workers.Do(ctx, id, work)
	if err != nil {
		j.log.Warn(string(j.d.QueueID), "%v", err)
		j.fail(ctx, p, "4.3.0", "delivery process failed")
		return
	}
	s := worker.Outcome(reply)
	if s.Success() {
		s.Text = text
	}
	j.report(ctx, p, deliver.Result{Relay: "local", Status: s})
}

// unknown handles a name that is no account.
func (j *job) unknown(ctx context.Context, p place, name, ext string) {
	to, err := firstOf(ctx, j.fallback, name, j.FallbackTransport)
	switch {
	case err != nil:
		j.log.Warn(string(j.d.QueueID), "%v", err)
		j.fail(ctx, p, "4.3.0", "fallback_transport_maps lookup error")
	case to != "":
		j.pass(ctx, p, to)
	case j.LuserRelay != "":
		j.toLuserRelay(ctx, p, name, ext)
	case name == "postmaster" || name == "mailer-daemon" || name == j.DoubleBounce:
		// RFC 5321 4.5.1: postmaster must be accepted. A bounce would
		// go to the postmaster again.
		j.log.Warn("", "required alias not found: %s", name)
		j.report(ctx, p, j.result("2.0.0", "discarded"))
	default:
		j.fail(ctx, p, "5.1.1", "unknown user: \"%s\"", name)
	}
}

// toLuserRelay delivers to what luser_relay says for unknown names.
func (j *job) toLuserRelay(ctx context.Context, p place, name, ext string) {
	if contains(p.users, "luser_relay") {
		j.fail(ctx, p, "5.1.1", "unknown user: \"%s\"", name)
		return
	}
	value, err := j.expand(j.LuserRelay, j.macros(account{}, p, name, ext), j.ForwardFilter)
	if err != nil {
		j.log.Warn(string(j.d.QueueID), "luser_relay: %v", err)
		j.fail(ctx, p, "4.3.5", "mail system configuration error")
		return
	}
	hit := &aliasHit{targets: value}
	p.users = append(p.users[:len(p.users):len(p.users)], "luser_relay")
	j.expandAlias(ctx, p, name, hit)
}

// pass has another delivery agent deliver: "transport:nexthop".
func (j *job) pass(ctx context.Context, p place, to string) {
	transport, nexthop, _ := strings.Cut(to, ":")
	if nexthop == "" {
		nexthop = j.d.NextHop
	}
	if transport == j.service || strings.ContainsAny(transport, "/\x00") {
		j.fail(ctx, p, "4.3.5", "mail system configuration error")
		j.log.Warn(string(j.d.QueueID), "a transport of %s cannot be %q", j.service, transport)
		return
	}
	req := *j.d.Request
	req.Transport, req.NextHop = transport, nexthop
	req.Sender.Address = p.sender
	rcpt := j.named(p)
	if p.addr == j.rcpt.Address {
		rcpt.Offset = j.rcpt.Offset
	}
	req.Recipients = append(req.Recipients[:0:0], *rcpt)
	j.log.Info(string(j.d.QueueID), "passing <%s> to transport=%s", address.Quote(p.addr), transport)
	reply, err := deliver.NewClient("private/"+transport).Deliver(ctx, &req)
	switch {
	case err != nil && errors.Is(err, deliver.ErrUnavailable):
		j.fail(ctx, p, "4.3.0", "mail transport unavailable")
	case err != nil:
		j.log.Warn(string(j.d.QueueID), "%v", err)
		j.left = true
	case reply.Code != deliver.ReplyDone:
		j.left = true
		if !reply.Site.IsZero() {
			j.d.SiteFailure(status.New(0, reply.Site.Code, reply.Site.Text), reply.RemoteMTA)
		}
	}
}
