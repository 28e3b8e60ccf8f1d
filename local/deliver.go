package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/alias"
	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// maxLevel bounds how deep aliases and include files lead to each other.
const maxLevel = 100

// job is the delivery of one message to one recipient of a request, with all
// that its aliases and .forward files expand to.
type job struct {
	*agent
	d         *deliver.Delivery
	rcpt      *envelope.Recipient // as the queue manager has it
	file      *os.File            // the queue file, for workers to read
	seen      map[string]bool     // destinations that got the message already
	forwards  []*forward
	left      bool // something must be tried again later
	expanded  []expansion
	delivered []string
}

// place is where in the expansion of aliases a destination stands.
type place struct {
	addr    string          // the address that is delivered to
	sender  string          // the sender; an owner- alias changes it
	owner   worker.Identity // of commands and files; zero: see rights
	source  string          // alias, forward or include: what named the destination
	aliases []string        // aliases that led here
	list    string          // the alias with an owner, or the user, that the destination comes from
	users   []string        // users whose .forward led here
	account *account        // the user whose .forward is expanded
	quiet   bool            // of a success the sender hears as one of the alias
	level   int
}

// deliver handles a request of the queue manager.
func (a *agent) deliver(ctx context.Context, d *deliver.Delivery) error {
	// Workers get the message read-only, on an open file of their own.
	file, err := d.Message.Reopen()
	if err != nil {
		return fmt.Errorf("open for workers: %w", err)
	}
	defer file.Close()
	if err := sameFile(file, d.Message.File()); err != nil {
		return err
	}
	delivered, err := a.scan(ctx, file)
	if err != nil {
		return err
	}
	for i := range d.Recipients {
		j := &job{agent: a, d: d, rcpt: &d.Recipients[i], file: file, delivered: delivered, seen: make(map[string]bool)}
		if err := j.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sameFile makes sure that a name still led to the file that is locked.
func sameFile(a, b *os.File) error {
	ia, err := a.Stat()
	if err != nil {
		return err
	}
	ib, err := b.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(ia, ib) {
		return fmt.Errorf("%s is another file now", a.Name())
	}
	return nil
}

// scan has the Delivered-To fields of the message read.
func (a *agent) scan(ctx context.Context, file *os.File) ([]string, error) {
	reply, err := a.workers.Do(ctx, a.owner, worker.Job{
		Request: ipc.List{}.Str("op", "scan"), File: file, Timeout: time.Minute})
	if err != nil {
		return nil, err
	}
	if s := worker.Outcome(reply); !s.Success() {
		return nil, errors.New(s.Text)
	}
	return strings.Split(reply.Value("delivered"), "\n"), nil
}

// run delivers to the recipient and marks it as done unless something of it
// is left.
func (j *job) run(ctx context.Context) error {
	j.toAddress(ctx, place{addr: j.rcpt.Address, sender: j.d.Sender.Address})
	if !j.left {
		// Else they would get another copy with each new try.
		j.flushForwards(ctx)
	}
	if !j.left {
		j.tellExpansions(ctx)
	}
	if j.left {
		j.d.Leave(j.rcpt)
		return nil
	}
	return j.d.Complete(j.rcpt)
}

// expansion is an alias of which the sender is told in place of its members.
type expansion struct {
	place  place
	action string
}

// quietly makes the members of an alias, or of a .forward file, the business of
// the alias if there are several (RFC 3461 5.2.7.3), or if it has an owner (5.2.7.1). A
// single one answers for itself (5.2.7.2).
func (j *job) quietly(p *place, members int, owned bool) {
	action := "expanded"
	switch {
	case p.quiet || members < 2 && !owned:
		return
	case owned:
		action = "delivered"
	}
	j.expanded = append(j.expanded, expansion{*p, action})
	p.quiet = true
}

// tellExpansions records the aliases that were expanded, once: when no member is
// left.
func (j *job) tellExpansions(ctx context.Context) {
	for _, e := range j.expanded {
		r := j.result("2.0.0", "alias expanded")
		r.Action = e.action
		if err := j.d.Expanded(ctx, j.named(e.place), r); err != nil {
			j.log.Warn(string(j.d.QueueID), "%v", err)
		}
	}
}

// result makes the result of a delivery by this agent.
func (j *job) result(code, text string) deliver.Result {
	return deliver.Result{Relay: "local", Status: status.New(0, code, text)}
}

// named is the recipient record for reports on a destination: what it
// expanded to, with the address that the sender wrote. It has no offset,
// since the recipient is done only when all its destinations are.
func (j *job) named(p place) *envelope.Recipient {
	r := *j.rcpt
	r.Offset = 0
	if p.addr != r.Address {
		if r.Original == "" {
			r.Original = r.Address
		}
		r.Address = p.addr
	}
	if p.quiet {
		r.Notify = r.Notify.WithoutSuccess()
	}
	return &r
}

// report tells what became of a destination.
func (j *job) report(ctx context.Context, p place, r deliver.Result) {
	if !r.Status.Success() && !r.Status.Permanent() {
		j.left = true
	}
	if err := j.d.Report(ctx, j.named(p), r); err != nil {
		j.log.Warn(string(j.d.QueueID), "%v", err)
		j.left = true
	}
}

// fail reports a destination that was not delivered to.
func (j *job) fail(ctx context.Context, p place, code, format string, args ...any) {
	j.report(ctx, p, j.result(code, printable.Text(fmt.Sprintf(format, args...))))
}

// once reports whether a destination is new to this message.
func (j *job) once(kind, value string) bool {
	key := kind + " " + value
	if j.seen[key] {
		return false
	}
	j.seen[key] = true
	return true
}

// toAddress delivers to an address that is local: to its alias, or its user.
func (j *job) toAddress(ctx context.Context, p place) {
	if p.level > maxLevel {
		j.fail(ctx, p, "5.4.6", "possible alias database loop for %s", p.addr)
		return
	}
	for _, addr := range j.delivered {
		if strings.EqualFold(addr, address.Quote(p.addr)) || strings.EqualFold(addr, p.addr) {
			j.fail(ctx, p, "5.4.6", "mail forwarding loop for %s", p.addr)
			return
		}
	}
	localpart, _ := address.Split(p.addr)
	name := strings.ToLower(localpart)
	base, ext, _ := j.split.Split(name)
	names := []string{name}
	if base != name {
		names = append(names, base)
	}
	for _, n := range names {
		if last := len(p.aliases) - 1; last >= 0 && p.aliases[last] == n {
			continue // "ann: ann, bob": the first one is the account
		}
		if contains(p.aliases, n) {
			j.log.Warn(string(j.d.QueueID), "alias database loop for %s", n)
			j.fail(ctx, p, "5.4.6", "alias database loop for %s", n)
			return
		}
		hit, err := j.lookupAlias(ctx, n)
		if err != nil {
			j.fail(ctx, p, "4.3.0", "alias database unavailable")
			j.log.Warn(string(j.d.QueueID), "%v", err)
			return
		}
		if hit != nil {
			j.expandAlias(ctx, p, n, hit)
			return
		}
	}
	if p.source == "include" || p.list != "" && p.list != base {
		// A list's members get a message of their own each, whose
		// failures are its owner's and are tried again one by one.
		if j.once("list", address.FoldDomain(p.addr)) {
			j.forwardTo(p, p.addr)
		}
		return
	}
	j.toUser(ctx, p, name, base, ext, false)
}

// toTargets delivers to a list of destinations.
func (j *job) toTargets(ctx context.Context, p place, list []alias.Target) {
	p.level++
	for _, t := range list {
		switch t.Kind {
		case alias.Address:
			j.toTargetAddress(ctx, p, t)
		case alias.Command:
			j.toCommandTarget(ctx, p, t.Value)
		case alias.File:
			j.toFile(ctx, p, t.Value)
		case alias.Include:
			j.toInclude(ctx, p, t.Value)
		}
	}
}

// toTargetAddress delivers to an address in an alias or .forward: at once if
// it is ours, else by a new message.
func (j *job) toTargetAddress(ctx context.Context, p place, t alias.Target) {
	standard, err := j.rewriter.Rewrite(ctx, rewrite.Local, address.Quote(t.Value))
	if err != nil {
		j.fail(ctx, p, "4.3.0", "address rewriting is not available")
		return
	}
	addr := address.Unquote(standard)
	to, err := j.rewriter.Resolve(ctx, p.sender, addr)
	if err != nil {
		j.fail(ctx, p, "4.3.0", "address resolving is not available")
		return
	}
	next := p
	next.addr = addr
	switch {
	case to.Flags&rewrite.Error != 0:
		j.fail(ctx, next, "5.1.3", "bad address syntax")
	case to.Transport == j.service && strings.EqualFold(to.NextHop, j.d.NextHop):
		if t.Escaped {
			name := strings.ToLower(first(address.Split(addr)))
			base, ext, _ := j.split.Split(name)
			j.toUser(ctx, next, name, base, ext, true)
			return
		}
		// What led here is looked at again, since it may be a loop.
		name := strings.ToLower(first(address.Split(addr)))
		if contains(p.users, name) || contains(p.aliases, name) || j.once("address", strings.ToLower(addr)) {
			j.toAddress(ctx, next)
		}
	default:
		if j.once("address", address.FoldDomain(addr)) {
			j.forwardTo(p, addr)
		}
	}
}

// toInclude delivers to the destinations in a file.
func (j *job) toInclude(ctx context.Context, p place, path string) {
	if p.level > maxLevel {
		j.fail(ctx, p, "4.3.0", ":include: files nested too deeply: %s", path)
		return
	}
	if !j.once("include", path) {
		return
	}
	rights := j.rights(p)
	if p.source == "alias" && p.owner.UID == 0 {
		rights = j.owner // the file is the administrator's, and no secret
	}
	rights.Dirs = []string{filepath.Dir(path)}
	list, info, err := j.readTargets(ctx, rights, []string{path}, false)
	switch {
	case err != nil:
		j.fail(ctx, p, "4.3.0", "cannot read :include: file %s", path)
		j.log.Warn(string(j.d.QueueID), "%v", err)
	case info.found == "":
		// The path is not the sender's business.
		j.log.Warn(string(j.d.QueueID), "unable to lookup :include: file %s: no such file, or not a plain one", path)
		j.fail(ctx, p, "5.3.5", "mail system configuration error")
	default:
		p.source, p.level = "include", p.level+1
		j.quietly(&p, len(list), false)
		if info.uid != 0 {
			p.owner = worker.Identity{UID: info.uid, GID: info.gid}
		}
		j.toTargets(ctx, p, list)
	}
}

// rights returns with whose rights a command or file of p is used: those of
// the recipient, or of the owner of the alias file; never root's.
func (j *job) rights(p place) worker.Identity {
	switch {
	case os.Geteuid() != 0:
		return worker.Identity{UID: os.Geteuid(), GID: os.Getegid()}
	case p.account != nil && p.account.uid != 0:
		return worker.Identity{UID: p.account.uid, GID: p.account.gid}
	case p.owner.UID != 0:
		return p.owner
	default:
		return j.nobody
	}
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

func first(a, _ string) string { return a }
