package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/depositclient"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// maxAliases bounds how often an alias may lead to another.
const maxAliases = 10

// target is the mailbox of a recipient.
type target struct {
	user   *authclient.User
	folder string // "" is the inbox
	// aliases are the addresses that the recipient stands for, when there is no
	// user.
	aliases []string
}

// lookup finds out whose mailbox an address is. The status says why there is
// none, or that there is no room.
func (srv *server) lookup(ctx context.Context, addr string) (target, status.Status) {
	r, ext, err := srv.recipient(ctx, addr)
	shown := "<" + printable.Text(addr) + ">"
	switch {
	case errors.Is(err, authclient.ErrUnknown):
		return target{}, status.New(550, "5.1.1", shown+" User doesn't exist: "+printable.Text(addr))
	case err != nil:
		srv.log.Warn("", "recipient %s: %v", addr, err)
		return target{}, status.New(451, "4.3.0", shown+" Temporary user lookup failure")
	case r.User == nil && len(r.Targets) > depositclient.MaxTargets:
		srv.log.Warn("", "recipient %s: alias for %d addresses, more than %d", addr, len(r.Targets), depositclient.MaxTargets)
		return target{}, status.New(451, "4.3.5", shown+" Address is not set up correctly")
	case r.User == nil:
		// The queue does that: one reply could not say whom the message did
		// not reach.
		return target{aliases: r.Targets}, status.New(250, "2.1.5", "Ok")
	case !filepath.IsAbs(r.User.MailDir) || r.User.UID < max(srv.MinimumUID, 1) || r.User.GID < 1:
		srv.log.Warn("", "recipient %s: uid %d (virtual_minimum_uid is %d), gid %d or mail directory %q is not allowed", addr,
			r.User.UID, srv.MinimumUID, r.User.GID, r.User.MailDir)
		return target{}, status.New(451, "4.3.5", shown+" Mailbox is not set up correctly")
	case r.OverQuota:
		return target{}, srv.full(shown + " Mailbox is full")
	}
	t := target{user: r.User}
	if srv.Detail {
		t.folder = ext
	}
	return t, status.New(250, "2.1.5", "Ok")
}

// full is the answer for a mailbox over its quota.
func (srv *server) full(text string) status.Status {
	if srv.FullTempfail {
		return status.New(452, "4.2.2", text)
	}
	return status.New(552, "5.2.2", text)
}

// recipient asks authd for the address as it is, and then without its
// extension. An alias that stands for one address is followed.
func (srv *server) recipient(ctx context.Context, addr string) (r *authclient.Recipient, ext string, err error) {
	for range maxAliases {
		r, err = srv.users.Recipient(ctx, addr)
		base, x, split := address.Options{Delimiters: srv.Delimiter}.SplitAddress(addr)
		if errors.Is(err, authclient.ErrUnknown) && split {
			r, err = srv.users.Recipient(ctx, base)
		}
		if split && ext == "" {
			ext = x
		}
		if err != nil || r.User != nil || len(r.Targets) != 1 {
			return r, ext, err
		}
		addr = r.Targets[0]
	}
	return nil, "", errors.New("too many aliases that lead to one another")
}

// delivery is one message on its way into mailboxes.
type delivery struct {
	srv    *server
	file   *os.File
	size   int64
	id     string
	sender string
}

// all delivers to all recipients, a few at a time, and returns their results in
// the same order.
func (d *delivery) all(ctx context.Context, rcpts []string) []status.Status {
	results := make([]status.Status, len(rcpts))
	slots := make(chan struct{}, parallel)
	var running sync.WaitGroup
	for i, rcpt := range rcpts {
		slots <- struct{}{}
		running.Add(1)
		go func() {
			defer running.Done()
			defer func() { <-slots }()
			results[i] = d.one(ctx, rcpt)
		}()
	}
	running.Wait()
	return results
}

// one delivers to one recipient.
func (d *delivery) one(ctx context.Context, rcpt string) status.Status {
	if d.tooBig() {
		return status.New(552, "5.3.4", "Message is too big")
	}
	t, st := d.srv.lookup(ctx, rcpt)
	if st.Success() && t.user == nil {
		// It has become one since it was asked for.
		st = temporary()
	}
	if !st.Success() {
		d.logged(rcpt, target{}, st)
		return st
	}
	st = d.store(ctx, rcpt, t)
	d.logged(rcpt, t, st)
	return st
}

// store has a worker put the message into the mailbox.
func (d *delivery) store(ctx context.Context, rcpt string, t target) status.Status {
	file, err := reopen(d.file)
	if err != nil {
		d.srv.log.Warn(d.id, "%v", err)
		return temporary()
	}
	defer file.Close()
	// The transfer agent in front of us may have added Delivered-To already
	// (flags=D of lmtp(8)), so it tells no loop here; lmtpd counts hops.
	mail := worker.Mail{Prefix: worker.Prefix(d.sender, true, "", rcpt)}
	req := worker.Store(mail, worker.StoreOptions{
		Path: t.user.MailDir, Folder: t.folder, Create: d.srv.Autocreate, Subscribe: d.srv.Autosubscribe,
		Quota: t.user.Quota, Host: d.srv.Myhostname, Plain: true,
		User: t.user.Login, Rules: d.srv.QuotaRules, Warn: d.srv.QuotaLevels,
	})
	id := worker.Identity{UID: t.user.UID, GID: t.user.GID, Dirs: worker.Confine(t.user.MailDir, t.user.Home)}
	reply, err := d.srv.workers.Do(ctx, id, worker.Job{Request: req, File: file, Timeout: deliveryTime})
	if err != nil {
		d.srv.log.Warn(d.id, "%v", err)
		return temporary()
	}
	st := worker.Outcome(reply)
	if full, said := worker.Full(reply); said {
		// So that the next message is refused before it is sent.
		if err := d.srv.users.SetQuota(ctx, t.user.Login, full); err != nil {
			d.srv.log.Warn(d.id, "%v", err)
		}
	}
	return d.srv.outcome(st)
}

// outcome makes an SMTP reply of a worker's answer.
func (srv *server) outcome(s status.Status) status.Status {
	switch {
	case s.Success():
		return status.New(250, "2.0.0", "Saved")
	case s.Code == "5.2.2":
		return srv.full("Mailbox is full")
	case s.Code == "4.2.2", s.Code == "4.3.1":
		return status.New(452, s.Code, "Message could not be saved: no space")
	case s.Permanent():
		return status.New(554, s.Code, s.Text)
	}
	// What went wrong in detail is for the log.
	return status.New(451, s.Code, "Message could not be saved")
}

// reopen returns an open file of its own, for reading, on the client's: workers
// that read at the same time must not share a position, and none may write.
func reopen(f *os.File) (*os.File, error) {
	ro, err := os.Open("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		return nil, fmt.Errorf("open message for a worker: %w", err)
	}
	return ro, nil
}

// logged writes what became of a recipient.
func (d *delivery) logged(rcpt string, t target, st status.Status) {
	outcome := "not saved"
	if st.Success() {
		outcome = "saved mail to INBOX"
		if t.folder != "" {
			outcome = "saved mail to " + t.folder
		}
	}
	user := rcpt
	if t.user != nil {
		user = t.user.Login
	}
	d.srv.log.Info(d.id, "lmtp(%s): from=<%s>, to=<%s>, size=%d, %s (%s)", user, d.sender, rcpt, d.size, outcome, st)
}
