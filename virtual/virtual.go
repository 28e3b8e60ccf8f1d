package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/keys"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// params are the parameters that virtual obeys, apart from those of each
// delivery agent.
type params struct {
	deliver.MailboxParams

	GIDMaps      []string `param:"virtual_gid_maps"`
	Base         string   `param:"virtual_mailbox_base"`
	Limit        int64    `param:"virtual_mailbox_limit"`
	Lock         []string `param:"virtual_mailbox_lock"`
	MailboxMaps  []string `param:"virtual_mailbox_maps"`
	FullTempfail bool     `param:"quota_full_tempfail"`
	QuotaRules   []string `param:"quota_rules"`
	QuotaLevels  []string `param:"quota_warning_levels"`
	MinimumUID   int      `param:"virtual_minimum_uid"`
	UIDMaps      []string `param:"virtual_uid_maps"`
}

const (
	workerIdle   = 10 * time.Second
	deliveryTime = time.Hour // for a worker to store one message
)

// agent is virtual in a process.
type agent struct {
	params
	log             *maillog.Logger
	boxes, uid, gid *table.Maps
	users           *authclient.Client // nil: no table of authd
	workers         *worker.Pool
	common          *deliver.Agent
}

func prepare(env *service.Env) (*service.Hooks, error) {
	a := &agent{log: env.Log}
	if err := env.Config.Fill(&a.params); err != nil {
		return nil, err
	}
	if a.Limit != 0 && a.Limit < a.MessageLimit {
		return nil, fmt.Errorf("virtual_mailbox_limit (%d) is smaller than message_size_limit (%d)", a.Limit, a.MessageLimit)
	}
	o := table.Options{ConfigDir: env.Config.Dir(), Log: env.Log, Sensitive: true}
	boxes, fromAuthd := table.WithoutAuthd(a.MailboxMaps)
	if fromAuthd {
		a.users = authclient.New(authclient.Endpoint)
		a.users.RequireMaster()
	}
	for _, m := range []struct {
		name  string
		specs []string
		dst   **table.Maps
	}{
		{"virtual_mailbox_maps", boxes, &a.boxes},
		{"virtual_uid_maps", a.UIDMaps, &a.uid},
		{"virtual_gid_maps", a.GIDMaps, &a.gid},
	} {
		var err error
		if *m.dst, err = table.OpenMaps(m.specs, o); err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	var err error
	a.common, err = deliver.NewAgent(deliver.Options{Config: env.Config, Log: env.Log, Service: env.Service})
	if err != nil {
		return nil, err
	}
	a.workers = worker.NewPool(filepath.Join(a.DaemonDir, "asuser"), workerIdle)
	return &service.Hooks{
		Session: func(ctx context.Context, conn net.Conn) error { return a.common.Serve(ctx, conn, a.deliver) },
		Changed: func() bool { return a.boxes.Changed() || a.uid.Changed() || a.gid.Changed() },
		Drain:   a.workers.Close,
	}, nil
}

// deliver handles a request of the queue manager.
func (a *agent) deliver(ctx context.Context, d *deliver.Delivery) error {
	// Workers get the message read-only, on an open file of their own.
	file, err := d.Message.Reopen()
	if err != nil {
		return fmt.Errorf("open for workers: %w", err)
	}
	defer file.Close()
	for i := range d.Recipients {
		rcpt := &d.Recipients[i]
		s := a.toRecipient(ctx, d, rcpt, file)
		if err := d.Report(ctx, rcpt, deliver.Result{Relay: "virtual", Status: s}); err != nil {
			return err
		}
	}
	return nil
}

// toRecipient delivers to one mailbox.
func (a *agent) toRecipient(ctx context.Context, d *deliver.Delivery, rcpt *envelope.Recipient, file *os.File) status.Status {
	box, err := a.lookup(ctx, a.boxes, rcpt.Address)
	switch {
	case errors.Is(err, errNotFound) && a.users != nil:
		return a.toUser(ctx, d, rcpt, file)
	case errors.Is(err, errNotFound):
		return status.New(0, "5.1.1", fmt.Sprintf("unknown user: \"%s\"", rcpt.Address))
	case err != nil:
		a.log.Warn(string(d.QueueID), "virtual_mailbox_maps: %v", err)
		return status.New(0, "4.3.5", "mail system configuration error")
	}
	id, err := a.owner(ctx, rcpt.Address)
	var path string
	if err == nil {
		path, err = a.path(box)
	}
	if err != nil {
		a.log.Warn(string(d.QueueID), "recipient %s: %v", rcpt.Address, err)
		return status.New(0, "4.3.5", "mail system configuration error")
	}
	req, text := a.request(d, rcpt, path)
	if d.ProbeOnly() {
		return status.New(0, "2.0.0", "delivers to "+text)
	}
	reply, err := a.workers.Do(ctx, id, worker.Job{Request: req, File: file, Timeout: deliveryTime})
	if err != nil {
		a.log.Warn(string(d.QueueID), "%v", err)
		return status.New(0, "4.3.0", "delivery process failed")
	}
	s := worker.Outcome(reply)
	if s.Success() {
		s.Text = "delivered to " + text
	}
	return s
}

// request makes the worker's job.
func (a *agent) request(d *deliver.Delivery, rcpt *envelope.Recipient, path string) (req ipc.List, text string) {
	mail := a.mail(d, rcpt)
	if strings.HasSuffix(path, "/") {
		return worker.Maildir(mail, path, a.Myhostname), "maildir"
	}
	return worker.Mbox(mail, path, d.Sender.Address, worker.MboxOptions{
		Locks: a.Lock, Attempts: a.LockAttempts, Delay: a.LockDelay, Stale: a.StaleLock,
		SizeLimit: a.Limit, Strict: a.StrictOwner,
	}), "mailbox"
}

// mail is the message with the header that final delivery adds.
func (a *agent) mail(d *deliver.Delivery, rcpt *envelope.Recipient) worker.Mail {
	original := ""
	if a.OriginalRecipient {
		original = rcpt.Original
	}
	return worker.Mail{Loop: rcpt.Address, Content: d.Message.DataOffset,
		Prefix: worker.Prefix(d.Sender.Address, true, original, rcpt.Address)}
}

var errNotFound = errors.New("not found")

func (a *agent) lookup(ctx context.Context, m *table.Maps, addr string) (string, error) {
	r, err := keys.Recipient(ctx, m, addr, keys.Options{Delimiters: a.Delimiter})
	if err != nil {
		return "", err
	}
	if !r.Found {
		return "", errNotFound
	}
	return r.Value, nil
}

// owner looks up whose a mailbox is.
func (a *agent) owner(ctx context.Context, addr string) (worker.Identity, error) {
	uid, err := a.number(ctx, a.uid, "virtual_uid_maps", addr, a.MinimumUID)
	if err != nil {
		return worker.Identity{}, err
	}
	gid, err := a.number(ctx, a.gid, "virtual_gid_maps", addr, 1)
	if err != nil {
		return worker.Identity{}, err
	}
	return worker.Identity{UID: uid, GID: gid, Dirs: []string{a.Base}}, nil
}

func (a *agent) number(ctx context.Context, m *table.Maps, name, addr string, minimum int) (int, error) {
	value, err := a.lookup(ctx, m, addr)
	switch {
	case errors.Is(err, errNotFound):
		return 0, fmt.Errorf("not found in %s", name)
	case err != nil:
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is not a number", name, value)
	}
	if n == 0 || int(n) < minimum {
		return 0, fmt.Errorf("%s: %d is below the minimum, %d", name, n, max(minimum, 1))
	}
	return int(n), nil
}

// path makes the path of a mailbox from a table's result, and refuses any
// that could leave virtual_mailbox_base.
func (a *agent) path(box string) (string, error) {
	if box == "" || strings.ContainsAny(box, "\x00\n") {
		return "", fmt.Errorf("virtual_mailbox_maps: bad path %q", box)
	}
	for _, part := range strings.Split(box, "/") {
		if part == ".." {
			return "", fmt.Errorf("virtual_mailbox_maps: path %q has \"..\"", box)
		}
	}
	if !filepath.IsAbs(a.Base) {
		return "", fmt.Errorf("virtual_mailbox_base: %q is not an absolute path", a.Base)
	}
	path := filepath.Join(a.Base, box)
	if strings.HasSuffix(box, "/") {
		path += "/"
	}
	return path, nil
}
