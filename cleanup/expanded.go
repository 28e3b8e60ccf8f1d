package main

import (
	"errors"
	"os"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// quietly makes the members of a virtual alias the business of the alias, if
// there are several: a sender who wants to hear of success hears that it was
// expanded (RFC 3461 5.2.7.3). A single one answers for itself (5.2.7.2).
func (m *message) quietly(r *envelope.Recipient, members int) {
	if r.Notify&envelope.NotifySuccess == 0 || members < 2 {
		return
	}
	m.expanded = append(m.expanded, *r)
	r.Notify = r.Notify.WithoutSuccess()
}

// tellExpansions records the aliases that were expanded in the trace log, from
// which the queue manager has a notice made.
func (m *message) tellExpansions() {
	if m.returned != "" || m.sender == "" {
		return
	}
	source := bounceclient.Message{QueueName: queue.Incoming, QueueID: m.w.ID(), Sender: envelope.Sender{Address: m.sender}}
	for _, r := range m.expanded {
		entry := bounceclient.Entry{Recipient: r, Relay: "none", Status: status.New(0, "2.0.0", "alias expanded"), Action: "expanded", Time: m.s.now()}
		if err := m.s.reports.Append(m.ctx, bounceclient.Trace, source, entry); err != nil {
			m.s.log.Warn(m.id, "%s service failure: %v", m.s.p.TraceService, err)
			m.fail(inject.StatWrite, "")
			m.forgetExpansions()
			return
		}
	}
}

// forgetExpansions removes the log of a message that is not queued.
func (m *message) forgetExpansions() {
	if len(m.expanded) == 0 {
		return
	}
	if err := m.s.queue.Remove(queue.Trace, m.w.ID()); err != nil && !errors.Is(err, os.ErrNotExist) {
		m.s.log.Warn(m.id, "remove trace log: %v", err)
	}
}
