package main

import (
	"context"
	"slices"
	"time"
)

// counted notes recipients of a message that are in memory for a transport.
func (d *daemon) counted(m *message, transport string, n int) {
	d.inMemory[transport] += n
	if !slices.Contains(m.transports, transport) {
		m.transports = append(m.transports, transport)
	}
}

// refill reads more recipients of a message while others of it are still out,
// so that a long list does not wait for its slowest destination. It does so
// when memory for recipient_refill_limit of them is free, or for fewer after
// recipient_refill_delay. The transports that count are those that the message
// has needed so far.
func (d *daemon) refill(m *message) {
	if m.next == 0 || m.refilling || m.noRefill {
		return
	}
	free, enough, delay := d.params.RcptLimit-d.rcpts, 1, time.Duration(0)
	for _, transport := range m.transports {
		l := d.limits(transport)
		limit := l.InMemory
		if d.sched.Overtakes(&m.Message, transport) {
			// It was let past a long list, which has filled the memory.
			limit += l.Extra
		}
		free = min(free, limit-d.inMemory[transport])
		enough, delay = max(enough, l.Refill), max(delay, l.RefillDelay)
	}
	if free <= 0 || free < enough && d.now().Sub(m.refilled) < delay {
		return
	}
	m.refilling = true
	m.pending++ // the message does not end meanwhile
	offset := m.next
	d.spawn(func() {
		result, err := d.reopen(m, offset, free)
		d.post(func() {
			m.refilling = false
			if err == nil {
				d.accept(m, result)
			} else {
				m.noRefill = true
			}
			d.groupDone(m, 0)
		})
	})
}

// reopen reads recipients of an active message from an offset on.
func (d *daemon) reopen(m *message, offset int64, limit int) (*loaded, error) {
	file, err := d.queue.OpenMessage("active", m.id)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return d.read(m, file, offset, limit)
}

// clogPause is how often the destinations are looked over.
const clogPause = time.Second

// warnClogged warns when one destination takes a fifth of the active queue, and
// more than its share: other mail will have to wait for it.
func (d *daemon) warnClogged() {
	now, limit := d.now(), d.params.ActiveLimit
	if d.params.ClogWarnTime <= 0 || len(d.active) < limit/5 || now.Before(d.clogged) {
		return
	}
	d.clogged = now.Add(clogPause)
	target, n := d.sched.Busiest()
	if n <= limit/5 {
		return
	}
	d.clogged = now.Add(d.params.ClogWarnTime)
	warn := func(format string, args ...any) { d.log.Warn("", format, args...) }
	warn("mail for %s is using up %d of %d active queue entries", target.Destination, n, limit)
	warn("this may slow down other mail deliveries")
	l := d.limits(target.Transport)
	if l.Concurrency > 0 {
		warn("you may need to increase the main.cf %s_destination_concurrency_limit from %d", target.Transport, l.Concurrency)
	}
	warn("you may need to increase the main.cf qmgr_message_active_limit from %d", limit)
	warn("you may need a separate master.cf transport for %s", target.Destination)
	warn("to turn off these warnings specify: qmgr_clog_warn_time = 0")
}

// The owner turns at least every maxSleep; the watchdog looks as often.
const maxSleep = 10 * time.Second

// watch ends the process when the owner hangs (qmgr_daemon_timeout). master
// starts another, which recovers.
func (d *daemon) watch(ctx context.Context) {
	tick := time.NewTicker(min(maxSleep, d.params.DaemonTimeout))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if d.now().Sub(time.Unix(0, d.beat.Load())) > d.params.DaemonTimeout+maxSleep {
			d.log.Fatal("", "watchdog timeout")
			d.die()
			return
		}
	}
}
