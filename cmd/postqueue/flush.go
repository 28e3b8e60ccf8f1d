package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queuetool"
)

// Replies of the flush service.
const (
	flushOK   = 0
	flushFail = -1
	flushBad  = -2
	flushDeny = -3
)

const systemDown = "Cannot flush mail queue - mail system is down"

// flushAll tells qmgr to forget dead destinations, to ignore retry times and
// to scan the deferred queue, and pickup to look into the maildrop.
func flushAll(t *queuetool.Tool) error {
	if err := ipc.Trigger("public/"+t.QueueService, []byte("FAD")); err != nil {
		return fail(exUnavailable, systemDown)
	}
	if err := ipc.Trigger("public/"+t.PickupService, []byte("W")); err != nil {
		return fail(exUnavailable, systemDown)
	}
	return nil
}

// flushID asks the flush service for one message. The superuser and the mail
// owner can do without it.
func flushID(t *queuetool.Tool, id string) error {
	if !queue.ValidID(id) {
		return fail(exUsage, "Cannot flush queue ID - invalid name: \"%.100s%s\"", id, dots(id))
	}
	status, err := ask(t, ipc.List(nil).Str("request", "send_file").Str("queue_id", id))
	if err != nil && (os.Geteuid() == 0 || os.Geteuid() == t.OwnerUID) {
		return wake(t, queue.ID(id))
	}
	if err != nil {
		return fail(exUnavailable, systemDown)
	}
	switch status {
	case flushOK:
		return nil
	case flushBad:
		return fail(exUsage, "Invalid request: %q", id)
	case flushFail:
		return fail(exUnavailable, systemDown)
	}
	return fail(exSoftware, "Unexpected flush server reply status %d", status)
}

// wake makes a deferred message due: its destination is to be tried even if it
// was dead, and its time is now.
func wake(t *queuetool.Tool, id queue.ID) error {
	q := t.Queue(".")
	fi, err := q.Stat(queue.Deferred, id)
	if errors.Is(err, os.ErrNotExist) {
		return nil // not deferred: nothing to hurry
	}
	if err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o700 == queue.ModeReady {
		err = q.Chmod(queue.Deferred, id, fi.Mode().Perm()|queue.ModeUnflush)
	}
	if err == nil {
		err = q.SetTime(queue.Deferred, id, time.Now())
	}
	if err == nil {
		err = q.Move(id, queue.Deferred, queue.Incoming)
	}
	if err != nil {
		return fail(exUnavailable, "flush %s: %v", id, err)
	}
	if err := ipc.Trigger("public/"+t.QueueService, []byte("I")); err != nil {
		return fail(exUnavailable, systemDown)
	}
	return nil
}

// flushSite asks the flush service for all mail to a domain.
func flushSite(t *queuetool.Tool, site string) error {
	if !validSite(site) {
		return fail(exUsage, "Cannot flush mail queue - invalid destination: \"%.100s%s\"", site, dots(site))
	}
	status, err := ask(t, ipc.List(nil).Str("request", "send_site").Str("site", strings.ToLower(site)))
	if err != nil {
		return fail(exUnavailable, systemDown)
	}
	switch status {
	case flushOK:
		return nil
	case flushBad:
		return fail(exUsage, "Invalid request: %q", site)
	case flushFail:
		return fail(exUnavailable, systemDown)
	case flushDeny:
		return fail(exUnavailable, "Flush service is not configured for destination %q", site)
	}
	return fail(exSoftware, "Unknown flush server reply status %d", status)
}

// validSite accepts a domain, or an address in brackets.
func validSite(site string) bool {
	if inner, ok := strings.CutPrefix(site, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		inner = strings.TrimPrefix(strings.ToLower(inner), "ipv6:")
		return ok && net.ParseIP(inner) != nil
	}
	return address.ValidHostname(site)
}

func dots(s string) string {
	if len(s) > 100 {
		return "..."
	}
	return ""
}

// ask sends a request to the flush service.
func ask(t *queuetool.Tool, req ipc.List) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*dialTimeout)
	defer cancel()
	pool := ipc.NewPool("public/"+t.FlushService, dialTimeout)
	defer pool.Close()
	reply, err := pool.Call(ctx, req)
	if err != nil {
		return 0, err
	}
	return reply.GetInt("status")
}
