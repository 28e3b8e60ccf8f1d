package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// params are the parameters of pipe.
type params struct {
	DaemonDir         string   `param:"daemon_directory"`
	ExportEnvironment []string `param:"export_environment"`
	MailOwner         string   `param:"mail_owner"`
	QueueDir          string   `param:"queue_directory"`
	Delimiter         string   `param:"recipient_delimiter"`
}

// agent is pipe in a process: one service of master.cf.
type agent struct {
	params
	*attributes
	log     *maillog.Logger
	service string
	id      worker.Identity
	limit   time.Duration // of the command
	single  bool          // requests have one recipient
	workers *worker.Pool
	common  *deliver.Agent
}

// workerIdle is how long a worker waits for its next job.
const workerIdle = 10 * time.Second

func prepare(env *service.Env) (*service.Hooks, error) {
	a := &agent{log: env.Log, service: env.Service}
	err := env.Config.Fill(&a.params)
	if err != nil {
		return nil, err
	}
	if a.attributes, err = parseAttributes(env.Args); err != nil {
		return nil, fmt.Errorf("service %s: %w", env.Service, err)
	}
	if a.dir == "" {
		a.dir = a.QueueDir
	}
	if a.id, err = a.identity(); err != nil {
		return nil, fmt.Errorf("service %s: user=%s: %w", env.Service, a.user, err)
	}
	if a.limit, err = env.Config.TransportDuration(env.Service, "time_limit"); err != nil {
		return nil, err
	}
	rcpts, err := env.Config.TransportInt(env.Service, "destination_recipient_limit")
	if err != nil {
		return nil, err
	}
	a.single = rcpts == 1
	if a.common, err = deliver.NewAgent(deliver.Options{Config: env.Config, Log: env.Log, Service: env.Service}); err != nil {
		return nil, err
	}
	a.workers = worker.NewPool(filepath.Join(a.DaemonDir, "asuser"), workerIdle)
	return &service.Hooks{
		Session: func(ctx context.Context, conn net.Conn) error { return a.common.Serve(ctx, conn, a.deliver) },
		Drain:   a.workers.Close,
	}, nil
}

// identity finds the uid and gid of the line's user. Neither root's rights nor
// those of the mail system are for commands that strangers' mail is fed to.
func (a *agent) identity() (id worker.Identity, err error) {
	if os.Geteuid() != 0 {
		return worker.Identity{UID: os.Geteuid(), GID: os.Getegid()}, nil
	}
	u, err := user.Lookup(a.user)
	if err != nil {
		return id, err
	}
	gid := u.Gid
	if a.group != "" {
		g, err := user.LookupGroup(a.group)
		if err != nil {
			return id, err
		}
		gid = g.Gid
	}
	if id.UID, err = strconv.Atoi(u.Uid); err != nil {
		return id, err
	}
	if id.GID, err = strconv.Atoi(gid); err != nil {
		return id, err
	}
	owner, err := user.Lookup(a.MailOwner)
	switch {
	case err != nil:
		return id, fmt.Errorf("mail_owner: %w", err)
	case id.UID == 0 || id.GID == 0:
		return id, fmt.Errorf("must not be root, nor have its group")
	case u.Uid == owner.Uid || gid == owner.Gid:
		return id, fmt.Errorf("must not be the mail owner %s, nor have its group", a.MailOwner)
	}
	return id, nil
}

// deliver handles a request of the queue manager.
func (a *agent) deliver(ctx context.Context, d *deliver.Delivery) error {
	s, diagnostic := a.run(ctx, d)
	for i := range d.Recipients {
		r := deliver.Result{Relay: a.service, Status: s, Action: "relayed", DiagType: "x-unix", DiagText: diagnostic}
		if a.has('X') {
			r.Action = ""
		}
		if err := d.Report(ctx, &d.Recipients[i], r); err != nil {
			return err
		}
	}
	return nil
}

// run runs the command for all recipients of a request, and returns also the
// diagnostic for a notice.
func (a *agent) run(ctx context.Context, d *deliver.Delivery) (s status.Status, diagnostic string) {
	if (a.has('D') || a.has('O')) && !a.single {
		a.log.Warn(string(d.QueueID), "pipe flags D and O require %s_destination_recipient_limit = 1", a.service)
		return status.New(0, "4.3.5", "mail system configuration error"), ""
	}
	if a.size > 0 && d.DataSize > a.size {
		return status.New(0, "5.2.3", fmt.Sprintf("message size %d exceeds size limit %d for transport %s", d.DataSize, a.size, a.service)), ""
	}
	if d.ProbeOnly() {
		return status.New(0, "2.0.0", "delivers to command: "+a.argv[0].fill(nil)), ""
	}
	// Workers get the message read-only, on an open file of their own.
	file, err := d.Message.Reopen()
	if err != nil {
		a.log.Warn(string(d.QueueID), "open for workers: %v", err)
		return status.New(0, "4.3.0", "mail system error"), ""
	}
	defer file.Close()
	argv := a.arguments(d)
	reply, err := a.workers.Do(ctx, a.id, worker.Job{Request: a.request(d, argv), File: file, Timeout: a.limit + time.Minute})
	if err != nil {
		a.log.Warn(string(d.QueueID), "%v", err)
		return status.New(0, "4.3.0", "delivery process failed"), ""
	}
	return a.outcome(argv[0], reply)
}

// outcome is the result. What a command that succeeded said is told, too.
func (a *agent) outcome(command string, reply ipc.List) (status.Status, string) {
	s, diagnostic := worker.CommandOutcome(command, reply, fmt.Sprintf("delivered via %s service", a.service))
	if out := worker.Output(reply); s.Success() && out != "" {
		s.Text += " (" + out + ")"
	}
	return s, diagnostic
}

// request makes the worker's job.
func (a *agent) request(d *deliver.Delivery, argv []string) ipc.List {
	rcpt := &d.Recipients[0]
	req := ipc.List{}.Str("op", "pipe").Str("queue_id", string(d.QueueID)).Str("prefix", a.prefix(d, rcpt)).
		Str("dir", a.dir).Str("eol", a.eol).Int("seconds", int64(a.limit/time.Second)).
		Bool("from", a.has('>')).Bool("dots", a.has('.')).Bool("blank", a.has('B'))
	if a.has('D') {
		req = req.Str("loop", a.folded(rcpt.Address))
	}
	for _, arg := range argv {
		req = req.Str("argv", arg)
	}
	req = req.Str("env", "PATH=/usr/bin:/bin")
	for _, v := range worker.Exported(a.ExportEnvironment) {
		req = req.Str("env", v)
	}
	return req
}

// prefix is what stands before the message.
func (a *agent) prefix(d *deliver.Delivery, rcpt *envelope.Recipient) string {
	out, original, delivered := "", "", ""
	sender := d.Sender.Address
	if sender == "" {
		sender = a.nullSender
	}
	if a.has('F') {
		out = "From " + worker.FromLine(a.quoted(sender)) + "  " + time.Now().Format(time.ANSIC) + "\n"
	}
	if a.has('O') {
		if original = rcpt.Original; original == "" {
			original = rcpt.Address
		}
	}
	if a.has('D') {
		delivered = a.folded(rcpt.Address)
	}
	return out + worker.Prefix(a.quoted(sender), a.has('R'), original, delivered)
}

func (a *agent) quoted(addr string) string {
	if a.has('q') {
		return address.Quote(addr)
	}
	return addr
}

// folded applies the flags u and h to an address.
func (a *agent) folded(addr string) string {
	local, domain := addr, ""
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		local, domain = addr[:i], addr[i:]
	}
	if a.has('u') {
		local = strings.ToLower(local)
	}
	if a.has('h') {
		domain = strings.ToLower(domain)
	}
	return local + domain
}

// arguments fills the command's arguments.
func (a *agent) arguments(d *deliver.Delivery) []string {
	message := a.messageValues(d)
	each := make([]map[string]string, len(d.Recipients))
	for i := range d.Recipients {
		each[i] = a.recipientValues(message, &d.Recipients[i])
	}
	var argv []string
	for _, t := range a.argv {
		if !t.repeats() {
			argv = append(argv, t.fill(message))
			continue
		}
		for _, values := range each {
			argv = append(argv, t.fill(values))
		}
	}
	return argv
}

func (a *agent) messageValues(d *deliver.Delivery) map[string]string {
	sender, hop := d.Sender.Address, d.NextHop
	if sender == "" {
		sender = a.nullSender
	}
	if a.has('h') {
		hop = strings.ToLower(hop)
	}
	c := &d.Client
	return map[string]string{
		"client_address": c.Addr, "client_helo": c.Helo, "client_hostname": c.Name, "client_port": c.Port,
		"client_protocol": c.Proto, "envid": d.Sender.EnvID, "nexthop": hop, "queue_id": string(d.QueueID),
		"sasl_method": c.SASLMethod, "sasl_sender": c.SASLSender, "sasl_username": c.SASLUser,
		"sender": a.quoted(sender), "size": strconv.FormatInt(d.DataSize, 10),
	}
}

func (a *agent) recipientValues(message map[string]string, rcpt *envelope.Recipient) map[string]string {
	addr := a.folded(rcpt.Address)
	original := rcpt.Original
	if original == "" {
		original = rcpt.Address
	}
	mailbox, domain := addr, ""
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		mailbox, domain = addr[:i], addr[i+1:]
	}
	name, ext := address.SplitExtension(mailbox, a.Delimiter)
	values := map[string]string{
		"recipient": a.quoted(addr), "original_recipient": a.quoted(a.folded(original)),
		"mailbox": mailbox, "domain": domain, "user": name, "extension": ext,
	}
	for k, v := range message {
		values[k] = v
	}
	return values
}
