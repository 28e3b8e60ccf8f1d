package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// refusal is a reply of cleanup that is not OK.
type refusal struct {
	id     string
	status inject.Status
	reason string
}

func (r *refusal) Error() string { return fmt.Sprintf("cleanup status %d: %s", r.status, r.reason) }

// message is one maildrop file on its way.
type message struct {
	*pickup
	entry    queue.Entry
	st       *unix.Stat_t
	arrival  time.Time
	requeued bool // by postsuper -r: it was in the queue before
	r        *queue.RecordReader
	s        *inject.Submission

	sender     string
	haveSender bool
	pending    []queue.Record // what belongs to the next recipient
}

func newMessage(p *pickup, e queue.Entry, f *os.File, st *unix.Stat_t) *message {
	r := queue.NewFileReader(f, st.Size)
	r.SetLimit(p.LineLimit)
	return &message{pickup: p, entry: e, st: st, r: r,
		// A user's file is readable by all; one of the queue is not.
		requeued: int(st.Uid) == p.owner && st.Mode&unix.S_IROTH == 0}
}

// send copies the message. It returns nil when the copy is on disk.
func (m *message) send(ctx context.Context) error {
	flags := m.flags
	if m.requeued {
		flags &^= inject.FlagMilter // they have seen it
	} else if m.UTF8 && m.detectUTF8() {
		flags |= inject.FlagAutoUTF8
	}
	s, err := m.client.Begin(ctx, flags)
	if err != nil {
		return err
	}
	defer s.Abort()
	m.s = s
	m.checkTime()
	if err := m.copy(); err != nil {
		return err
	}
	result, err := s.Finish()
	if err != nil {
		return err
	}
	if !result.OK() {
		return &refusal{id: s.QueueID(), status: result.Status, reason: result.Reason}
	}
	return nil
}

func (m *message) detectUTF8() bool {
	return slices.Contains(m.UTF8Classes, "sendmail") || slices.Contains(m.UTF8Classes, "all")
}

// checkTime distrusts times that cannot be.
func (m *message) checkTime() {
	now := time.Now()
	m.arrival = time.Unix(m.st.Mtim.Unix())
	if ahead := m.arrival.Sub(now); ahead > 2*time.Hour {
		m.log.Warn(m.s.QueueID(), "message dated %d seconds into the future", int(ahead.Seconds()))
		m.arrival = now
	} else if ahead < -24*time.Hour {
		m.log.Warn(m.s.QueueID(), "message has been queued for %d days", int(-ahead.Hours()/24))
	}
}

// copy sends the three parts of the file.
func (m *message) copy() error {
	envelope, extract := queue.PostEnvelopeRecords+"T", queue.PostExtractRecords
	if m.requeued {
		envelope, extract = queue.EnvelopeRecords, queue.ExtractRecords
	}
	if err := m.part(envelope, m.envelopeRecord); err != nil {
		return err
	}
	if !m.haveSender {
		return fmt.Errorf("%w: uid=%d: no envelope sender", queue.ErrCorrupt, m.st.Uid)
	}
	m.logIt()
	// Not before the time, which cleanup wants to see first.
	if m.ContentFilter != "" {
		if err := m.s.RecString(queue.RecFilt, m.ContentFilter); err != nil {
			return err
		}
	}
	if err := m.content(); err != nil {
		return err
	}
	if err := m.s.StartExtracted(); err != nil {
		return err
	}
	return m.part(extract, m.extractRecord)
}

// part passes the records of one part to a function, without its last.
func (m *message) part(allowed string, record func(queue.Record) error) error {
	for {
		rec, err := m.next(allowed)
		if err != nil || rec.Type == allowed[0] {
			return err
		}
		if err := record(rec); err != nil {
			return err
		}
	}
}

// next returns the next record. Pointers exist in files that cleanup made.
func (m *message) next(allowed string) (queue.Record, error) {
	read := m.r.Next
	if m.requeued {
		read = m.r.NextFollow
	}
	rec, err := read()
	switch {
	case err == nil:
	case errors.Is(err, io.EOF), errors.Is(err, queue.ErrCorrupt):
		return rec, fmt.Errorf("%w: uid=%d: %w", queue.ErrCorrupt, m.st.Uid, err)
	default:
		// A disk that cannot be read now says nothing about the file.
		return rec, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if strings.IndexByte(allowed, rec.Type) < 0 {
		return rec, fmt.Errorf("%w: uid=%d: unexpected or malformed record type %d", queue.ErrCorrupt, m.st.Uid, rec.Type)
	}
	return rec, nil
}

// logIt logs who sent the message.
func (m *message) logIt() {
	from := address.Quote(m.sender)
	if m.requeued {
		m.log.Info(m.s.QueueID(), "uid=%d from=<%s> orig_id=%s", m.st.Uid, from, m.entry.ID)
		return
	}
	m.log.Info(m.s.QueueID(), "uid=%d from=<%s>", m.st.Uid, from)
}

// envelopeRecord passes on what cleanup is to know, and drops what it makes by
// itself.
func (m *message) envelopeRecord(rec queue.Record) error {
	switch rec.Type {
	case queue.RecFrom:
		if !m.haveSender {
			m.haveSender, m.sender = true, string(rec.Data)
		}
	case queue.RecSize, queue.RecFilt, queue.RecRdr, queue.RecKill, queue.RecWarn:
		return nil
	case queue.RecRcpt, queue.RecDone, queue.RecDrcp, queue.RecOrcp, queue.RecDSNOrcp, queue.RecDSNNote:
		return m.recipient(rec)
	case queue.RecAttr:
		return m.attr(rec)
	}
	return m.s.Rec(rec.Type, rec.Data)
}

// recipient keeps what belongs to a recipient until it is known whether that
// one still has to be delivered to.
func (m *message) recipient(rec queue.Record) error {
	switch rec.Type {
	case queue.RecRcpt:
		for _, p := range m.pending {
			if err := m.s.Rec(p.Type, p.Data); err != nil {
				return err
			}
		}
		m.pending = m.pending[:0]
		return m.s.Rec(rec.Type, rec.Data)
	case queue.RecDone, queue.RecDrcp:
		m.pending = m.pending[:0]
		return nil
	}
	const most = 8
	if len(m.pending) == most {
		return fmt.Errorf("%w: recipient records without a recipient", queue.ErrCorrupt)
	}
	rec.Data = slices.Clone(rec.Data)
	m.pending = append(m.pending, rec)
	return nil
}

// attr passes attributes on: those that a user may set, or all of a message
// that was in the queue.
func (m *message) attr(rec queue.Record) error {
	name, value, problem := queue.SplitAttr(rec.Data)
	if problem != "" {
		return fmt.Errorf("%w: attribute: %s", queue.ErrCorrupt, problem)
	}
	if name == queue.AttrDSNOrcpt || name == queue.AttrDSNNotify {
		return m.recipient(rec)
	}
	if !m.requeued && !queue.UserAttr(name, value) {
		m.log.Warn(m.s.QueueID(), "uid=%d: ignoring attribute record: %.200s=%.200s", m.st.Uid, name, value)
		return nil
	}
	return m.s.Rec(rec.Type, rec.Data)
}

// extractRecord passes on recipients after the content, and their attributes.
// What cleanup took from the headers it will take again.
func (m *message) extractRecord(rec queue.Record) error {
	switch rec.Type {
	case queue.RecRcpt, queue.RecDone, queue.RecDrcp, queue.RecOrcp, queue.RecDSNOrcp, queue.RecDSNNote:
		return m.recipient(rec)
	case queue.RecAttr:
		name, _, _ := queue.SplitAttr(rec.Data)
		if name == queue.AttrDSNOrcpt || name == queue.AttrDSNNotify {
			return m.recipient(rec)
		}
	}
	return nil
}

// content sends the message with our Received header, which tells the owner of
// the file and not the name of the user.
func (m *message) content() error {
	s := m.s
	if err := s.StartContent(); err != nil {
		return err
	}
	uid := strconv.FormatUint(uint64(m.st.Uid), 10)
	s.RecString(queue.RecNorm, "Received: by "+m.Hostname+" ("+m.MailName+", from userid "+uid+")")
	s.RecString(queue.RecNorm, "\tid "+s.QueueID()+"; "+m.arrival.Format("Mon, _2 Jan 2006 15:04:05 -0700 (MST)"))
	first := true
	return m.part(queue.ContentRecords, func(rec queue.Record) error {
		// A first line with a blank in front would become part of our header.
		if first && len(rec.Data) > 0 && (rec.Data[0] == ' ' || rec.Data[0] == '\t') {
			if err := s.Rec(queue.RecNorm, nil); err != nil {
				return err
			}
		}
		first = false
		return s.Rec(rec.Type, rec.Data)
	})
}
