package main

import (
	"errors"
	"os"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
)

// finish ends an attempt, or a part of one: the sender is told of failures,
// and then the message is removed or deferred. It runs outside of the owner.
//
// The order keeps mail from getting lost: a notice is durable in the queue
// before the message that it is about is removed.
func (d *daemon) finish(m *message, limit int) {
	if d.lifetime.Err() != nil {
		return
	}
	if d.queue.Has("bounce", m.id) {
		d.notice(m, "bounce", d.withSlot(func() error {
			return d.flushLog(m, bounceclient.Bounce)
		}))
	}
	if m.next != 0 {
		d.readMore(m, limit)
		return
	}
	if (m.notify&envelope.NotifySuccess != 0 || m.template.Flags != 0) && d.queue.Has("trace", m.id) {
		d.notice(m, "trace", d.withSlot(func() error {
			return d.bounces.FlushTrace(d.lifetime, m.source(), m.template.Flags)
		}))
	}
	if m.left {
		d.lateNotices(m)
	}
	if m.left {
		d.deferMessage(m)
	} else {
		d.remove(m)
	}
	d.post(func() { delete(d.active, m.id) })
}

// flushLog has the sender told what a log says.
func (d *daemon) flushLog(m *message, kind bounceclient.Kind) error {
	if m.verp != "" && !d.params.NoVERPBounces {
		return d.bounces.FlushVERP(d.lifetime, kind, m.source(), m.verp)
	}
	return d.bounces.Flush(d.lifetime, kind, m.source())
}

// withSlot runs f with one of the slots, so that thousands of messages that
// end at once do not become as many connections.
func (d *daemon) withSlot(f func() error) error {
	d.slots <- struct{}{}
	defer func() { <-d.slots }()
	return f()
}

// notice keeps the message if the notice about it could not be queued.
func (d *daemon) notice(m *message, kind string, err error) {
	if err == nil {
		return
	}
	m.left = true
	if d.lifetime.Err() == nil {
		d.log.Warn(string(m.id), "%s notification: %v", kind, err)
	}
}

// readMore goes on with the recipients that did not fit.
func (d *daemon) readMore(m *message, limit int) {
	result, err := d.reopen(m, m.next, limit)
	if err != nil {
		d.post(func() { d.loading++ }) // openFailed counts it as one
		d.openFailed(m, err)
		return
	}
	d.post(func() { d.accept(m, result) })
}

// lateNotices returns a message that is too old, or tells the sender that it
// takes long.
func (d *daemon) lateNotices(m *message) {
	now := d.now()
	lifetime := d.params.MaxLifetime
	if m.template.Sender.Address == "" {
		lifetime = d.params.DSNLifetime
	}
	switch {
	case m.expire || now.Sub(m.created) >= lifetime:
		word := "expired"
		if m.expire {
			word = "force-expired"
		}
		d.log.Info(string(m.id), "from=<%s>, status=%s, returned to sender", m.template.Sender.Address, word)
		err := d.withSlot(func() error { return d.flushLog(m, bounceclient.Defer) })
		if err == nil {
			m.left = false
			return
		}
		d.notice(m, "defer", err)
	case !m.warn.IsZero() && !now.Before(m.warn.Add(-time.Second)):
		err := d.withSlot(func() error { return d.bounces.Warn(d.lifetime, m.source()) })
		if err == nil {
			err = d.clearWarn(m)
		}
		d.notice(m, "delay", err)
	}
}

func (d *daemon) clearWarn(m *message) error {
	file, err := d.queue.OpenMessage("active", m.id)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.ClearWarn()
}

// deferMessage puts a message away until its next attempt. The time between
// attempts grows with the time that the message has been here.
func (d *daemon) deferMessage(m *message) {
	wait := min(max(d.now().Sub(m.created), d.params.MinBackoff), d.params.MaxBackoff)
	// An agent that finds a queue file damaged takes its mode bits away.
	if info, err := d.queue.Stat("active", m.id); err == nil && info.Mode().Perm()&0o700 == 0o400 {
		d.corrupt(m, errors.New("queue file was found damaged by a delivery agent"))
		return
	}
	d.putBack(m, "deferred", d.now().Add(wait))
}

// remove ends a message. It may come back after a power cut, and is then seen
// to have no recipients left.
func (d *daemon) remove(m *message) {
	err := d.queue.Remove("active", m.id)
	switch {
	case err == nil:
		d.log.Info(string(m.id), "removed")
	case errors.Is(err, os.ErrNotExist):
		d.log.Warn(string(m.id), "remove from the active queue: %v", err)
	default:
		// All recipients are marked, so it is removed when it comes again.
		d.strayed(m, err)
	}
}
