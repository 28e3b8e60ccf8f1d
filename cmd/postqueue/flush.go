package main

import (
	"context"
	"os"

	"github.com/posthouse-mail/posthouse/pkg/flushclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queuetool"
)

const systemDown = "Cannot flush mail queue - mail system is down"

// flushAll tells qmgr to forget dead destinations, to ignore retry times and
// to scan the deferred queue, and pickup to look into the maildrop.
func flushAll(t *queuetool.Tool) error {
	if err := t.Trigger(t.QueueService, "FAD"); err != nil {
		return fail(exUnavailable, systemDown)
	}
	if err := t.Trigger(t.PickupService, "W"); err != nil {
		return fail(exUnavailable, systemDown)
	}
	return nil
}

// flushID asks the flush service for one message. The superuser and the mail
// owner can do without it.
func flushID(t *queuetool.Tool, id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*dialTimeout)
	defer cancel()
	status, err := flushService(t).File(ctx, id)
	if err != nil && (os.Geteuid() == 0 || os.Geteuid() == t.OwnerUID) {
		return wake(t, queue.ID(id))
	}
	if err != nil {
		noFlush(t, err)
		return fail(exUnavailable, systemDown)
	}
	return answered(status, id)
}

// noFlush says why the flush service was not asked.
func noFlush(t *queuetool.Tool, err error) {
	t.Warn("connect to public/%s: %s", t.FlushService, queuetool.ErrnoText(err))
}

// answered turns an answer of the flush service into an exit status.
func answered(status flushclient.Status, what string) error {
	switch status {
	case flushclient.OK:
		return nil
	case flushclient.Bad:
		return fail(exUsage, "Invalid request: %q", what)
	case flushclient.Fail:
		return fail(exUnavailable, systemDown)
	case flushclient.Deny:
		return fail(exUnavailable, "Flush service is not configured for destination %q", what)
	}
	return fail(exSoftware, "Unexpected flush server reply status %d", status)
}

// wake makes a deferred message due: its destination is to be tried even if it
// was dead, and its time is now.
func wake(t *queuetool.Tool, id queue.ID) error {
	err := t.Queue(".").Hurry(id)
	if err != nil {
		return fail(exUnavailable, "flush %s: %v", id, err)
	}
	if err := t.Trigger(t.QueueService, "I"); err != nil {
		return fail(exUnavailable, systemDown)
	}
	return nil
}

// flushSite asks the flush service for all mail to a domain.
func flushSite(t *queuetool.Tool, site string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*dialTimeout)
	defer cancel()
	status, err := flushService(t).Site(ctx, site)
	if err != nil {
		noFlush(t, err)
		return fail(exUnavailable, systemDown)
	}
	return answered(status, site)
}

func dots(s string) string {
	if len(s) > 100 {
		return "..."
	}
	return ""
}

// flushService is the client of the flush service.
func flushService(t *queuetool.Tool) *flushclient.Client {
	return flushclient.New(ipc.NewPool("public/"+t.FlushService, dialTimeout))
}
