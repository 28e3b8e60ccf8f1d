package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queue/bouncelog"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
	"github.com/posthouse-mail/posthouse/pkg/sched"
)

// Hints that postsuper and the flush service leave in the mode of a file.
const (
	modeUnthrottle  = 0o040 // try dead destinations for this one
	modeForceExpire = 0o010 // return it at the end of the attempt
)

// message is a message in the active queue.
type message struct {
	sched.Message
	id    queue.ID
	flush bool // also try transports that are in defer_transports

	// From the queue file.
	template deliver.Request // all but transport, next hop and recipients
	created  time.Time
	warn     time.Time
	hold     time.Time // when it may leave
	filter   string
	verp     string // delimiters: the sender's address differs for each recipient
	redirect string
	expire   bool // force-expire
	revive   bool // unthrottle
	notify   envelope.Notify

	// The owner's.
	pending int   // recipients' groups that are not done with
	left    bool  // some recipients have to be tried again
	next    int64 // where the unread recipients are; 0 = none
	inCore  int   // recipients in memory
	seen    int   // recipients that were read so far
	// transports are those that its recipients need.
	transports []string
	refilling  bool // more recipients are being read
	noRefill   bool // that failed; the end of the attempt will tell why
	refilled   time.Time
}

// loaded is what came of reading a message.
type loaded struct {
	groups []group
	count  int // recipients read
	total  int // recipients in the file
	next   int64
	left   bool // there are recipients that are not tried any more
}

// load moves a message to the active queue, reads its envelope and resolves
// the first recipients. It runs outside of the owner.
func (d *daemon) load(m *message, c candidate, limit int) {
	if c.hinted && !d.ready(c) {
		d.post(func() {
			d.forget(m)
			d.look(time.Second)
		})
		return
	}
	result, err := d.open(m, c.queue, limit)
	if err != nil {
		d.openFailed(m, err)
		return
	}
	d.post(func() {
		d.loading--
		d.accept(m, result)
	})
}

// ready looks at the file of a hinted message, as a scan would. If it is not
// as it should be, a scan is left to find out.
func (d *daemon) ready(c candidate) bool {
	due, _ := d.incoming.due(queue.Entry{ID: c.id, Path: d.queue.Path(c.queue, c.id)}, scanMode{}, d.now())
	return due
}

// forget gives up to load a message.
func (d *daemon) forget(m *message) {
	d.loading--
	delete(d.active, m.id)
}

// errHeld reports a message that its sender wants to leave later (RFC 4865). The
// time is in the queue file, so no restart and no flush changes it.
var errHeld = errors.New("held as its sender asked")

var errBusy = errors.New("skipped, still being delivered")

func (d *daemon) open(m *message, from string, limit int) (*loaded, error) {
	if err := d.queue.Move(m.id, from, "active"); err != nil {
		return nil, fmt.Errorf("move from the %s queue: %w", from, err)
	}
	file, err := d.queue.OpenMessage("active", m.id)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// An agent that outlived its queue manager holds the lock.
	free, err := file.TryLock()
	if err != nil {
		return nil, err
	}
	if !free {
		return nil, errBusy
	}
	d.describe(m, file)
	// What the defer log says is about recipients that are still in the
	// queue file, and will be said again, unless they are not tried any more.
	if !m.expire {
		if err := d.queue.Remove("defer", m.id); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	if m.hold.After(m.Queued) {
		if from == "incoming" {
			d.log.Info(string(m.id), "from=<%s>, held until %s as its sender asked", file.Sender.Address, m.hold.UTC().Format(time.RFC3339))
		}
		return nil, errHeld
	}
	for _, text := range file.Warnings {
		d.log.Warn(string(m.id), "%s", text)
	}
	d.log.Info(string(m.id), "from=<%s>, size=%d, nrcpt=%d (queue active)",
		file.Sender.Address, file.ContentLength, file.RcptCount)
	return d.read(m, file, 0, limit)
}

// describe copies what stays the same over the attempt.
func (d *daemon) describe(m *message, file *queue.Message) {
	m.Queued = d.now()
	m.User = m
	m.template = deliver.Request{
		QueueName: "active", QueueID: m.id, Flags: file.TraceFlags,
		DataOffset: file.DataOffset, DataSize: file.ContentLength,
		Sender: file.Sender, Encoding: file.Encoding, UTF8: int(file.UTF8Flags), Priority: file.Priority,
		Client: file.Client,
		Times:  envelope.Times{Arrival: file.Arrival, Active: m.Queued},
	}
	m.created, m.warn, m.hold, m.Priority = file.Created, file.WarnTime, file.HoldUntil, file.Priority
	if late := m.hold.Sub(m.created); !m.hold.IsZero() && late > 0 {
		// What the sender waited for on purpose is no delay.
		m.created = m.hold
		if !m.warn.IsZero() {
			m.warn = m.warn.Add(late)
		}
	}
	m.filter, m.redirect, m.verp = file.Filter, file.Redirect, file.Verp
	// Of all recipients, also of those that are done: their trace log may
	// still wait for its notice.
	m.notify = envelope.Notify(file.QmgrHints>>1) & envelope.NotifySuccess
	if file.Warned && d.params.TellsCleared {
		m.template.Flags |= deliver.FlagRecordDelay
	}
	m.expire = file.Mode&modeForceExpire != 0
	m.revive = file.Mode&modeUnthrottle != 0
	if m.revive {
		// The hint is for one attempt.
		if err := d.queue.Chmod("active", m.id, file.Mode&^modeUnthrottle); err != nil {
			d.log.Warn(string(m.id), "clear flush hint: %v", err)
		}
	}
}

// read reads and resolves up to limit recipients.
func (d *daemon) read(m *message, file *queue.Message, offset int64, limit int) (*loaded, error) {
	if file.QmgrHints&queue.HintMixed != 0 {
		limit = deliver.MaxRecipients
	}
	rcpts, next, err := file.Recipients(offset, limit)
	if err != nil {
		return nil, err
	}
	result := &loaded{count: len(rcpts), next: next, total: int(file.RcptCount)}
	if m.expire {
		if rcpts, err = d.unexplained(m, rcpts); err != nil {
			return nil, err
		}
		result.left = len(rcpts) < result.count
		result.count = len(rcpts)
	}
	if m.redirect != "" && len(rcpts) > 0 {
		rcpts = d.redirectAll(m, file, rcpts, offset == 0)
	}
	for i := range rcpts {
		m.notify |= rcpts[i].Notify
	}
	result.groups = d.resolveAll(m, file, rcpts)
	return result, nil
}

// unexplained returns the recipients of an expired message for whom the defer log
// has no reason yet.
func (d *daemon) unexplained(m *message, rcpts []envelope.Recipient) ([]envelope.Recipient, error) {
	r, err := bouncelog.Open(d.queue, queue.Defer, m.id)
	if errors.Is(err, os.ErrNotExist) {
		return rcpts, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	open := make(map[int64]bool, len(rcpts))
	for i := range rcpts {
		open[rcpts[i].Offset] = true
	}
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		delete(open, e.Recipient.Offset)
	}
	return slices.DeleteFunc(rcpts, func(rcpt envelope.Recipient) bool { return !open[rcpt.Offset] }), nil
}

// redirectAll replaces all recipients by the one of a REDIRECT action. It
// takes the place of the first; the others are done with.
func (d *daemon) redirectAll(m *message, file *queue.Message, rcpts []envelope.Recipient, first bool) []envelope.Recipient {
	var keep []envelope.Recipient
	if first {
		keep, rcpts = rcpts[:1:1], rcpts[1:]
		keep[0].Address = m.redirect
	}
	for _, r := range rcpts {
		if err := file.MarkDone(r.Offset); err != nil {
			d.log.Warn(string(m.id), "%v", err)
		}
	}
	return keep
}

// openFailed puts a message away that cannot be read now, or at all.
func (d *daemon) openFailed(m *message, err error) {
	id := string(m.id)
	switch {
	case errors.Is(err, os.ErrNotExist):
		// The postmaster removed or moved it meanwhile.
		d.log.Debug("%s: %v", id, err)
	case errors.Is(err, errBusy):
		d.log.Info(id, "%v", err)
		d.putBack(m, "incoming", d.now().Add(busyRetry))
		d.post(func() { d.look(busyRetry + 2*time.Second) })
	case errors.Is(err, errHeld):
		at := heldTime(m.hold)
		// A time stamp further ahead would not be taken for ours.
		if limit := d.now().Add(d.params.MaxBackoff + 23*time.Hour); at.After(limit) {
			at = heldTime(limit)
		}
		d.putBack(m, "deferred", at)
		d.post(func() { d.held.add(at) })
	case errors.Is(err, queue.ErrCorrupt), errors.Is(err, queue.ErrNotReady), errors.Is(err, safefile.ErrUnsafe):
		d.corrupt(m, err)
	default:
		d.log.Warn(id, "%v", err)
		d.putBack(m, "deferred", d.now().Add(d.params.MinBackoff))
	}
	d.post(func() { d.forget(m) })
}

// corrupt moves a damaged file out of the way. It is never deleted.
func (d *daemon) corrupt(m *message, why error) {
	d.log.Warn(string(m.id), "%v", why)
	d.log.Warn("", "saving corrupt file \"%s\" from queue \"active\" to queue \"corrupt\"", m.id)
	if err := d.queue.Move(m.id, "active", "corrupt"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.strayed(m, err)
	}
}

// putBack moves a message to a queue where it waits until a time.
func (d *daemon) putBack(m *message, to string, until time.Time) {
	terr := d.queue.SetTime("active", m.id, until)
	err := d.queue.Move(m.id, "active", to)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil && to != "incoming" {
		// A full disk has no room for a hash directory, but it has for a
		// name in a directory that is there.
		d.log.Error(string(m.id), "%v", err)
		err = d.queue.Move(m.id, "active", "incoming")
	}
	if err != nil {
		d.strayed(m, err)
	} else if terr != nil {
		d.log.Warn(string(m.id), "%v", terr)
	}
}

// strayed remembers a message that should have left the active queue and could
// not.
func (d *daemon) strayed(m *message, err error) {
	d.log.Error(string(m.id), "%v", err)
	d.post(func() { d.strays = append(d.strays, m.id) })
}

// bringBack tries again to get strays out of the active queue. It is the
// owner's.
func (d *daemon) bringBack() {
	strays := d.strays
	d.strays = nil
	for _, id := range strays {
		if _, busy := d.active[id]; busy {
			d.strays = append(d.strays, id)
			continue
		}
		if err := d.queue.Move(id, "active", "incoming"); err != nil && !errors.Is(err, os.ErrNotExist) {
			d.strays = append(d.strays, id)
		}
	}
}

// source says which message a report is about.
func (m *message) source() bounceclient.Message {
	return bounceclient.Message{
		QueueName: "active", QueueID: m.id, Sender: m.template.Sender,
		Encoding: m.template.Encoding, UTF8: m.template.UTF8,
	}
}
