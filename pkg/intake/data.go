package intake

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/access"
	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// ReceivedDate is the form of a date in a Received header.
const ReceivedDate = "Mon, _2 Jan 2006 15:04:05 -0700 (MST)"

// message is one message on its way to cleanup.
type message struct {
	ahead   *inject.Opening     // a queue file that was asked for; see OpenAhead
	waiting *envelope.Recipient // accepted, and not yet with cleanup
	sub     *inject.Submission
	cancel  context.CancelFunc
	id      string
	first   string // the first recipient, for the Received header
	actions []access.Action
	started bool
	size    int64
	tooBig  bool
	body    bool // a content line was seen
	err     error
	refused status.Status
}

// discarded reports whether a DISCARD action ended all checks.
func (m *message) discarded() bool {
	for _, a := range m.actions {
		if a.Kind == "DISCARD" {
			return true
		}
	}
	return false
}

// abort drops what cleanup has of the message.
func (m *message) abort() {
	if m.sub != nil {
		m.sub.Abort()
	}
}

// CleanupGone is the reply when cleanup cannot be reached or has no answer.
func CleanupGone() status.Status {
	return status.New(451, "4.3.0", "Error: queue file write error")
}

// accept hands an accepted recipient to cleanup. The queue file is asked for
// with the first one, so that what is rejected before logs NOQUEUE, and cleanup
// makes it while the client sends its next command.
func (h *Session) accept(ctx context.Context, s *smtpserver.Session, r *smtpserver.Rcpt) status.Status {
	m := &h.msg
	if m.sub != nil {
		return h.recipient(s, r.Recipient)
	}
	if m.ahead == nil {
		h.OpenAhead(ctx, s.Mail())
	}
	m.first, m.waiting = r.Address, &r.Recipient
	if m.ahead == nil {
		return h.Settle(ctx, s)
	}
	return status.Status{}
}

func (h *Session) recipient(s *smtpserver.Session, r envelope.Recipient) status.Status {
	if err := h.msg.sub.Recipient(r); err != nil {
		return h.cleanupGone(s, err)
	}
	return status.Status{}
}

// Settle waits for a queue file that was asked for, if there is a recipient for
// it. What is logged from here on has the queue id.
func (h *Session) Settle(ctx context.Context, s *smtpserver.Session) status.Status {
	m := &h.msg
	if m.waiting == nil {
		return status.Status{}
	}
	if m.sub == nil {
		if st := h.begin(ctx, s); !st.IsZero() {
			return st
		}
	}
	r := *m.waiting
	m.waiting = nil
	return h.recipient(s, r)
}

// cleanupGone is [CleanupGone] for an error of the connection.
func (h *Session) cleanupGone(s *smtpserver.Session, err error) status.Status {
	s.Erred(transcript.Software)
	h.srv.log.Warn(h.msg.id, "%v", err)
	return CleanupGone()
}

// OpenAhead asks for the queue file, at MAIL for clients whose recipients are
// rarely rejected. The first recipient does not wait for it either, but what
// comes next does, see Settle. If it cannot be asked for, that is tried again,
// and told, with the recipient.
func (h *Session) OpenAhead(ctx context.Context, m *smtpserver.Mail) {
	if o, err := h.srv.cleanup.Open(ctx, h.flags(m)); err == nil {
		h.msg.ahead = o
	}
}

// open takes the queue file that was asked for, or asks now.
func (h *Session) open(ctx context.Context, s *smtpserver.Session) (*inject.Submission, error) {
	if o := h.msg.ahead; o != nil {
		h.msg.ahead = nil
		return o.Begin(ctx)
	}
	return h.srv.cleanup.Begin(ctx, h.flags(s.Mail()))
}

// begin opens a queue file and sends what comes before the recipients.
func (h *Session) begin(ctx context.Context, s *smtpserver.Session) status.Status {
	ctx, h.msg.cancel = context.WithCancel(ctx)
	sub, err := h.open(ctx, s)
	if err != nil {
		h.msg.cancel()
		return h.cleanupGone(s, fmt.Errorf("problem talking to cleanup: %w", err))
	}
	h.msg.sub, h.msg.id = sub, sub.QueueID()
	s.QueueID = h.msg.id
	client := s.Client
	client.SASLSender = s.Mail().Auth
	client.RewriteContext = "remote"
	if h.rewritesLocally(ctx, s) {
		client.RewriteContext = "local"
	}
	sub.Arrival(time.Now())
	sub.Client(client)
	sub.Attr("encoding", s.Mail().Encoding)
	if !s.Mail().HoldUntil.IsZero() {
		sub.Attr(queue.AttrHoldUntil, strconv.FormatInt(s.Mail().HoldUntil.Unix(), 10))
	}
	if p := s.Mail().Priority; p != 0 {
		sub.Attr(queue.AttrPriority, strconv.Itoa(p))
	}
	if err := sub.Sender(s.Mail().Sender); err != nil {
		return h.cleanupGone(s, err)
	}
	if f := h.srv.ContentFilter; f != "" {
		sub.RecString(queue.RecFilt, f)
	}
	if v := s.Mail().VERP; v != "" {
		sub.RecString(queue.RecVerp, v)
	}
	h.LogClient(s, h.msg.id)
	return status.Status{}
}

// LogClient tells whose message has an id.
func (h *Session) LogClient(s *smtpserver.Session, id string) {
	client := s.Client
	client.SASLSender = s.Mail().Auth
	h.srv.log.Info(id, "client=%s%s", s.Peer(), saslText(&client))
}

// rewritesLocally reports whether the client's headers are completed with our
// domain (local_header_rewrite_clients).
func (h *Session) rewritesLocally(_ context.Context, _ *smtpserver.Session) bool {
	for _, w := range h.srv.LocalRewrites {
		switch w {
		case "permit_inet_interfaces":
			if h.srv.own[h.addr] {
				return true
			}
		case "permit_mynetworks":
			if h.trusted {
				return true
			}
		}
	}
	return false
}

// Data starts the content with the Received header.
func (h *Session) Data(ctx context.Context, s *smtpserver.Session) status.Status {
	if st := h.StartContent(ctx, s); !st.IsZero() {
		return st
	}
	h.Prepend()
	for _, l := range h.srv.Received(s, h.msg.id, h.msg.first, time.Now()) {
		h.msg.sub.Line([]byte(l))
	}
	return status.Status{}
}

// StartContent runs the DATA restrictions and ends the envelope.
func (h *Session) StartContent(ctx context.Context, s *smtpserver.Session) status.Status {
	if st := h.TakeContent(ctx, s); !st.IsZero() {
		return st
	}
	return h.EndEnvelope(ctx, s)
}

// EndEnvelope has cleanup ready for the content, for a caller who has called
// TakeContent.
func (h *Session) EndEnvelope(ctx context.Context, s *smtpserver.Session) status.Status {
	if st := h.Settle(ctx, s); !st.IsZero() {
		return st
	}
	if h.msg.sub == nil {
		return CleanupGone()
	}
	h.sendActions()
	h.msg.sub.StartContent()
	return status.Status{}
}

// TakeContent runs the DATA restrictions only. They need the queue id for what
// they log.
func (h *Session) TakeContent(ctx context.Context, s *smtpserver.Session) status.Status {
	if len(h.srv.lists.data.Items) > 0 {
		if st := h.Settle(ctx, s); !st.IsZero() {
			return st
		}
	}
	st := h.check(ctx, s, s.Where(), h.srv.lists.data)
	h.msg.started = st.IsZero()
	return st
}

// Prepend writes the headers that access tables asked for.
func (h *Session) Prepend() {
	for _, line := range h.Prepended() {
		h.msg.sub.Line([]byte(line))
	}
}

// Prepended are the headers that access tables asked for.
func (h *Session) Prepended() (lines []string) {
	for _, a := range h.msg.actions {
		if a.Kind == "PREPEND" {
			lines = append(lines, a.Text)
		}
	}
	return lines
}

// NeedsCleanup is the word of an action of an access table that only cleanup
// can carry out, "" if there is none.
func (h *Session) NeedsCleanup() string {
	for _, a := range h.msg.actions {
		switch a.Kind {
		case "HOLD", "FILTER", "REDIRECT", "BCC":
			return a.Kind
		}
	}
	return ""
}

// Discarded reports whether an access table wants the message thrown away.
func (h *Session) Discarded() bool { return h.msg.discarded() }

// FirstRecipient is the one that a Received header names.
func (h *Session) FirstRecipient() string { return h.msg.first }

// Submission is the message on its way to cleanup, nil before the first
// recipient.
func (h *Session) Submission() *inject.Submission { return h.msg.sub }

// sendActions sends what access tables asked for as envelope records. Their
// types are those of the queue file: f flags, L filter, > redirect, R
// recipient.
func (h *Session) sendActions() {
	sub := h.msg.sub
	for _, a := range h.msg.actions {
		switch a.Kind {
		case "HOLD":
			sub.RecString('f', "4")
		case "DISCARD":
			sub.RecString('f', "8")
		case "FILTER":
			sub.RecString('L', a.Text)
		case "REDIRECT":
			sub.RecString('>', a.Text)
		case "BCC":
			sub.Recipient(envelope.Recipient{Address: address.Unquote(a.Text), Notify: envelope.NotifyNever})
		}
	}
}

// Content passes a part of the message on. What is beyond the size limit is
// read and dropped.
func (h *Session) Content(_ *smtpserver.Session, b []byte, eol bool) {
	m := &h.msg
	if !h.Take(len(b), eol) {
		return
	}
	if !m.body {
		b = MailboxLine(b)
		m.body = !bytes.HasPrefix(b, []byte("X-Mailbox-Line:"))
	}
	h.Put(b, eol)
}

// Take counts a part of the content and reports whether it is still wanted.
func (h *Session) Take(n int, eol bool) bool {
	m := &h.msg
	m.size += int64(n) + 2
	if !eol {
		m.size -= 2
	}
	if m.err != nil || m.tooBig || !m.refused.IsZero() || !m.started {
		return false
	}
	if limit := h.srv.SizeLimit; limit > 0 && m.size > limit {
		m.tooBig = true
		m.abort()
		return false
	}
	return true
}

// Put passes a line of the content, or where eol is false a part of one, to
// cleanup.
func (h *Session) Put(b []byte, eol bool) {
	m := &h.msg
	if m.err != nil || m.tooBig || !m.refused.IsZero() {
		return
	}
	if eol {
		m.err = m.sub.Line(b)
	} else {
		m.err = m.sub.Fragment(b)
	}
}

// Refuse drops the message; End gives the status as its reply.
func (h *Session) Refuse(st status.Status) {
	if h.msg.refused.IsZero() {
		h.msg.refused = st
		h.msg.abort()
	}
}

// Refused reports whether nothing more of the message is wanted.
func (h *Session) Refused() bool {
	return h.msg.err != nil || h.msg.tooBig || !h.msg.refused.IsZero()
}

// MailboxLine turns the "From " line of a mailbox file, which clients send by
// mistake in front of the headers, into a header.
func MailboxLine(b []byte) []byte {
	if bytes.HasPrefix(b, []byte("From ")) || bytes.HasPrefix(b, []byte(">From ")) {
		return append([]byte("X-Mailbox-Line: "), b...)
	}
	return b
}

// Verdict says why a complete message is refused, or nothing.
func (h *Session) Verdict(ctx context.Context, s *smtpserver.Session) status.Status {
	m := &h.msg
	switch {
	case !m.started:
		return CleanupGone()
	case m.tooBig:
		s.Erred(transcript.Bounce)
		return status.New(552, "5.3.4", "Error: message file too big")
	case !m.refused.IsZero():
		return h.Reject(s, "END-OF-MESSAGE", m.refused)
	case m.err == nil:
		return h.check(ctx, s, "END-OF-MESSAGE", h.srv.lists.eod)
	}
	return status.Status{}
}

// End asks cleanup whether the message is safe.
func (h *Session) End(ctx context.Context, s *smtpserver.Session, info smtpwire.ContentInfo) status.Status {
	m := &h.msg
	if st := h.Verdict(ctx, s); !st.IsZero() {
		return st
	}
	if m.sub == nil {
		return CleanupGone()
	}
	result, err := m.sub.Finish()
	if err != nil {
		return h.cleanupGone(s, err)
	}
	s.Erred(transcript.Of(result))
	return result.Reply()
}

// Reset drops a message that was not finished. The log tells of each that had a
// recipient.
func (h *Session) Reset(s *smtpserver.Session) {
	h.Settle(context.Background(), s)
	if h.msg.ahead != nil {
		h.msg.ahead.Drop()
	}
	if h.msg.sub != nil {
		h.msg.sub.Abort()
		h.msg.cancel()
	}
	h.msg = message{}
}

// Received makes the lines of the Received header (RFC 5321 4.4), in
// Postfix's form.
func (p *Params) Received(s *smtpserver.Session, id, first string, now time.Time) []string {
	c := &s.Client
	addr := c.Addr
	if strings.Contains(addr, ":") {
		addr = "IPv6:" + addr
	}
	from := c.Helo
	if from == "" {
		from = c.Name
	}
	lines := []string{"Received: from " + from + " (" + c.Name + " [" + addr + "])"}
	if s.TLS != nil && p.TLSReceived {
		lines = append(append(lines, tlsComment(tlspolicy.ServerSummary(s.TLS, &s.Signed))...), p.certComment(s))
	}
	if c.SASLUser != "" && p.SASLHeader {
		lines = append(lines, "\t(Authenticated sender: "+comment(c.SASLUser)+")")
	}
	proto := c.Proto
	if s.Mail().UTF8 {
		// RFC 6531 section 4.3.
		proto = "UTF8SMTP"
	}
	if s.TLS != nil {
		proto += "S"
	}
	if c.SASLMethod != "" {
		proto += "A" // RFC 3848
	}
	by := "\tby " + p.Hostname + " (" + p.MailName + ") with " + proto + " id " + id
	if s.Recipients() == 1 {
		lines, by = append(lines, by), "\tfor <"+address.Quote(first)+">"
	}
	if n := s.Mail().Priority; n != 0 {
		// RFC 6710 section 4.1: the priority is part of the trace.
		lines, by = append(lines, by), "\t(PRIORITY "+strconv.Itoa(n)+")"
	}
	return append(lines, by+"; "+now.Format(ReceivedDate))
}

// saslText is how the log names who has logged in.
func saslText(c *envelope.Client) string {
	if c.SASLMethod == "" {
		return ""
	}
	text := ", sasl_method=" + c.SASLMethod + ", sasl_username=" + c.SASLUser
	if c.SASLSender != "" {
		text += ", sasl_sender=" + printable.Text(c.SASLSender)
	}
	return text
}

// comment makes a name fit for a comment (RFC 5322 3.2.2).
func comment(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("()\\", r) {
			return '?'
		}
		return r
	}, name)
}

// tlsComment makes the comment lines about TLS.
func tlsComment(summary string) []string {
	first, rest, found := strings.Cut(summary, " key-exchange ")
	lines := []string{"\t(using " + first}
	if found {
		rest, client, both := strings.Cut(rest, " client-signature ")
		if lines = append(lines, "\t key-exchange "+rest); both {
			lines = append(lines, "\t client-signature "+client)
		}
	}
	lines[len(lines)-1] += ")"
	return lines
}
