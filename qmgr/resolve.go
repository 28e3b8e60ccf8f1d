package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/sched"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// resolver is what the queue manager needs of trivial-rewrite.
type resolver interface {
	Resolve(ctx context.Context, sender, addr string) (rewrite.Resolved, error)
	Verify(ctx context.Context, sender, addr string) (rewrite.Resolved, error)
}

// group is recipients of a message that go the same way.
type group struct {
	target sched.Target
	rcpts  []envelope.Recipient
	// why is set for recipients that are deferred without a try.
	why status.Status
}

// route is where one recipient goes.
type route struct {
	target  sched.Target
	address string
	why     status.Status
	discard bool // mail to the double-bounce address ends here
}

const resolveWorkers = 8

// resolveAll finds the targets of recipients, and groups them. Both come in
// Postfix's order.
func (d *daemon) resolveAll(m *message, file *queue.Message, rcpts []envelope.Recipient) []group {
	routes := make([]route, len(rcpts))
	if len(rcpts) <= 2 {
		for i := range rcpts {
			routes[i] = d.route(m, &rcpts[i])
		}
	} else {
		d.resolveMany(m, rcpts, routes)
	}
	if len(rcpts) > 1 {
		rcpts, routes = inOrder(rcpts, routes)
	}
	type key struct {
		target sched.Target
		why    status.Status
	}
	index := make(map[key]int, 1)
	var groups []group
	for i, r := range routes {
		if r.discard {
			d.discardDoubleBounce(m, file, &rcpts[i])
			continue
		}
		rcpts[i].Address = r.address
		k := key{r.target, r.why}
		n, ok := index[k]
		if !ok {
			n = len(groups)
			index[k] = n
			groups = append(groups, group{target: r.target, why: r.why})
		}
		groups[n].rcpts = append(groups[n].rcpts, rcpts[i])
	}
	return groups
}

// inOrder sorts recipients by transport, next hop, domain and address, so that those
// of a domain stand together where their number in a delivery is limited.
func inOrder(rcpts []envelope.Recipient, routes []route) ([]envelope.Recipient, []route) {
	type place struct {
		domain string
		at     int
	}
	places := make([]place, len(rcpts))
	for i := range routes {
		places[i] = place{"\xff", i} // those without a domain come last
		if at := strings.LastIndexByte(routes[i].address, '@'); at >= 0 {
			places[i].domain = strings.ToLower(routes[i].address[at:])
		}
	}
	slices.SortFunc(places, func(p, q place) int {
		a, b := &routes[p.at], &routes[q.at]
		if a.target != b.target {
			return cmp.Or(strings.Compare(a.target.Transport, b.target.Transport), strings.Compare(a.target.Destination, b.target.Destination),
				strings.Compare(a.target.NextHop, b.target.NextHop))
		}
		if p.domain != q.domain {
			return strings.Compare(p.domain, q.domain)
		}
		return cmp.Or(strings.Compare(a.address, b.address), p.at-q.at)
	})
	sorted, ways := make([]envelope.Recipient, len(rcpts)), make([]route, len(rcpts))
	for i, p := range places {
		sorted[i], ways[i] = rcpts[p.at], routes[p.at]
	}
	return sorted, ways
}

// resolveMany has several requests under way at once.
func (d *daemon) resolveMany(m *message, rcpts []envelope.Recipient, routes []route) {
	var wg sync.WaitGroup
	jobs := make(chan int)
	for range min(resolveWorkers, len(rcpts)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range jobs {
				routes[i] = d.route(m, &rcpts[i])
			}
		}()
	}
	for i := range rcpts {
		jobs <- i
	}
	close(jobs)
	wg.Wait()
}

// route finds the target of one recipient.
func (d *daemon) route(m *message, rcpt *envelope.Recipient) route {
	p := &d.params
	if rcpt.Address == "" {
		return d.toError(rcpt.Address, "5.1.3 null recipient address")
	}
	if strings.EqualFold(rcpt.Address, p.DoubleBounce+"@"+p.Origin) {
		return route{discard: true}
	}
	r, err := d.resolve(m, rcpt.Address)
	switch {
	case err != nil:
		if !errors.Is(err, rewrite.ErrFail) && d.lifetime.Err() == nil {
			d.log.Warn(string(m.id), "resolve %s: %v", rcpt.Address, err)
		}
		return route{address: rcpt.Address, why: status.New(0, "4.3.0", "address resolver failure")}
	case r.Flags&rewrite.Error != 0 && r.Transport != p.ErrorService:
		return d.toError(rcpt.Address, "5.1.3 bad address syntax")
	case r.Recipient == "":
		return d.toError(rcpt.Address, "5.1.3 null recipient address")
	case strings.HasPrefix(r.Recipient, "-") && !p.AllowMinUser:
		return d.toError(r.Recipient, "5.1.3 bad address syntax")
	}
	out := route{address: r.Recipient, target: sched.Target{Transport: r.Transport, NextHop: r.NextHop}}
	if m.expire {
		out.why = status.New(0, "4.7.0", "message is administratively expired")
		return out
	}
	if m.filter != "" && m.template.Flags&deliver.FlagTraceOnly == 0 {
		out.target = d.filterTarget(m.filter, r.Recipient)
	}
	if !validTransport(out.target.Transport) {
		out.why = status.New(0, "4.3.5", "bad mail transport name")
		return out
	}
	for _, name := range p.DeferNames {
		if name == out.target.Transport && !m.flush {
			out.why = status.New(0, "4.3.2", "deferred transport")
			return out
		}
	}
	out.target.Destination = d.destination(out.target, out.address)
	return out
}

// resolve asks trivial-rewrite, with some patience, since it may be about to
// start or to start again.
func (d *daemon) resolve(m *message, addr string) (rewrite.Resolved, error) {
	ask := d.resolver.Resolve
	if m.template.Flags&deliver.FlagVerifyMTA != 0 {
		ask = d.resolver.Verify
	}
	for try := 0; ; try++ {
		r, err := ask(d.lifetime, m.template.Sender.Address, addr)
		if err == nil || errors.Is(err, rewrite.ErrFail) || try == 3 {
			return r, err
		}
		select {
		case <-time.After(time.Duration(try+1) * 500 * time.Millisecond):
		case <-d.lifetime.Done():
			return r, err
		}
	}
}

// toError routes a recipient to the error transport, with the reason.
func (d *daemon) toError(addr, reason string) route {
	t := sched.Target{Transport: d.params.ErrorService, NextHop: reason}
	t.Destination = d.destination(t, addr)
	return route{address: addr, target: t}
}

// filterTarget reads "transport:nexthop" of content_filter or FILTER.
func (d *daemon) filterTarget(filter, rcpt string) sched.Target {
	transport, nexthop, _ := strings.Cut(filter, ":")
	if nexthop == "" {
		nexthop = d.params.FilterNexthop
	}
	if nexthop == "" {
		if i := strings.LastIndexByte(rcpt, '@'); i >= 0 {
			nexthop = rcpt[i+1:]
		}
	}
	return sched.Target{Transport: transport, NextHop: nexthop}
}

// destination is the name under which concurrency is counted. Where each
// recipient is sent to alone it is the recipient, without extension: two
// messages to one mailbox compete, two mailboxes do not.
func (d *daemon) destination(t sched.Target, addr string) string {
	if d.recipientLimit(t.Transport) != 1 {
		return t.NextHop
	}
	local := addr
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		local = addr[:i]
	}
	if i := strings.IndexAny(local, d.params.Delimiters); i > 0 {
		local = local[:i]
	}
	return strings.ToLower(local) + "@" + t.NextHop
}

// validTransport keeps a name from leading out of the private directory.
func validTransport(name string) bool {
	return name != "" && len(name) <= 100 && name[0] != '.' && !strings.ContainsAny(name, "/\x00")
}

// discardDoubleBounce ends mail to the sender of double bounces: nobody could
// be told anything any more.
func (d *daemon) discardDoubleBounce(m *message, file *queue.Message, rcpt *envelope.Recipient) {
	r := d.result(m, status.New(0, "2.0.0", "undeliverable postmaster notification discarded"))
	d.log.Info(string(m.id), "%s", deliver.LogLine(rcpt, &r, "sent", d.params.DelayDigits))
	if err := file.MarkDone(rcpt.Offset); err != nil {
		d.log.Warn(string(m.id), "%v", err)
	}
}

// cached is a resolver that remembers its answers for a moment.
type cached struct {
	resolver
	known *rewrite.Cache
}

const (
	cacheTime = time.Second
	cacheSize = 10000
)

func newCache(r resolver) *cached { return &cached{r, rewrite.NewCache(cacheTime, cacheSize)} }

func (c *cached) Resolve(ctx context.Context, sender, addr string) (rewrite.Resolved, error) {
	return c.known.Get(sender, addr, func() (rewrite.Resolved, error) { return c.resolver.Resolve(ctx, sender, addr) })
}
