package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/depositclient"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// contentBuffer is what a message in transfer holds in memory.
const contentBuffer = 32 << 10

// checkTime bounds the question whether a recipient exists.
const checkTime = time.Minute

// session is one client. It is the engine's Handler.
type session struct {
	srv *server
	ok  bool // the client may use the server

	rcpts []string            // those with a mailbox
	order []string            // all, as the client named them
	lists map[string][]string // aliases, with the addresses that they stand for
	msg   *depositclient.Message
	w     *bufio.Writer
	size  int64
	hops  int
	head  bool // the header is still coming
	start bool // at the start of a line
}

// Open learns who the client is. One on a Unix socket is a process of this
// host that may enter the directory of the socket.
func (h *session) Open(ctx context.Context, s *smtpserver.Session) {
	c := &s.Client
	c.Proto, c.Name, c.ReverseName, c.Addr = "LMTP", "localhost", "localhost", "local"
	s.BareLF = smtpwire.BareNormalize
	// Who offers DSN must send the notices of success (RFC 3461 5.2.1); the
	// transfer agent in front of us can do that, and does if we do not offer.
	s.NoKeywords = map[string]bool{"DSN": true}
	h.ok = true
	tcp, ok := s.Conn().RemoteAddr().(*net.TCPAddr)
	if !ok {
		return
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	c.Name, c.ReverseName, c.Addr, c.Port = "unknown", "unknown", addr.String(), strconv.Itoa(tcp.Port)
	known, err := h.srv.nets.Match(ctx, c.Name, c.Addr)
	if err != nil {
		h.srv.log.Warn("", "lmtpd_client_networks: %v", err)
	}
	h.ok = known && err == nil
}

// Connect refuses strangers: who may use LMTP passes by all that an SMTP
// server checks.
func (h *session) Connect(_ context.Context, s *smtpserver.Session) status.Status {
	if h.ok {
		return status.Status{}
	}
	s.Erred(transcript.Policy)
	return status.New(521, "5.7.1", h.srv.Hostname+" Error: your address is not in lmtpd_client_networks")
}

// Helo agrees.
func (h *session) Helo(context.Context, *smtpserver.Session) status.Status { return status.Status{} }

// StartTLS agrees; TLSDone has nothing to do.
func (h *session) StartTLS(context.Context, *smtpserver.Session) status.Status {
	return status.Status{}
}

// TLSDone follows the handshake.
func (h *session) TLSDone(context.Context, *smtpserver.Session, error) {}

// Mail checks the announced size (RFC 1870 6.1).
func (h *session) Mail(_ context.Context, s *smtpserver.Session, m *smtpserver.Mail) status.Status {
	h.Reset(s)
	if limit := h.srv.SizeLimit; limit > 0 && m.Size > limit {
		s.Erred(transcript.Bounce)
		return status.New(552, "5.3.4", "Message size exceeds fixed limit")
	}
	s.QueueID = newID()
	return status.Status{}
}

// newID names a message in our and the client's log.
func newID() string { return strings.ToUpper(rand.Text()[:12]) }

// Rcpt refuses who has no mailbox, or no room in it.
func (h *session) Rcpt(ctx context.Context, s *smtpserver.Session, r *smtpserver.Rcpt) status.Status {
	st, targets := h.check(ctx, r.Address)
	if !st.Success() {
		s.Erred(class(st))
		h.srv.log.Info(s.QueueID, "reject: RCPT from %s: %s; from=<%s> to=<%s> proto=%s helo=<%s>",
			s.Peer(), st, s.Mail().Address, r.Address, s.Client.Proto, s.Client.Helo)
		return st
	}
	h.order = append(h.order, r.Address)
	if len(targets) == 0 {
		h.rcpts = append(h.rcpts, r.Address)
	} else {
		if h.lists == nil {
			h.lists = map[string][]string{}
		}
		h.lists[r.Address] = targets
	}
	return status.Status{}
}

func (h *session) check(ctx context.Context, addr string) (status.Status, []string) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	st, targets, err := h.srv.deposit.Check(ctx, addr)
	if err != nil {
		h.srv.log.Warn("", "%v", err)
		return unavailable(), nil
	}
	return st, targets
}

func unavailable() status.Status {
	return status.New(451, "4.3.0", "Error: mail store is not available")
}

// Data gets a file for the message.
func (h *session) Data(ctx context.Context, s *smtpserver.Session) status.Status {
	msg, err := h.srv.deposit.Begin(ctx)
	if err != nil {
		h.srv.log.Warn(s.QueueID, "%v", err)
		s.Erred(transcript.Resource)
		return unavailable()
	}
	h.msg, h.w, h.size, h.hops, h.head, h.start = msg, bufio.NewWriterSize(msg.File, contentBuffer), 0, 0, true, true
	h.w.WriteString(h.received(s, time.Now()))
	return status.Status{}
}

// received is the trace field of this server (RFC 5321 4.4).
func (h *session) received(s *smtpserver.Session, now time.Time) string {
	c := &s.Client
	with := c.Proto
	if s.TLS != nil {
		with += "S"
	}
	from := "from " + c.Helo
	if c.Port != "" {
		from += fmt.Sprintf(" (%s [%s])", c.Name, c.Addr)
	}
	to := ""
	if len(h.order) == 1 {
		to = fmt.Sprintf("\n\tfor <%s>", h.order[0])
	}
	return fmt.Sprintf("Received: %s\n\tby %s (Posthouse) with %s id %s%s; %s\n", from, h.srv.Hostname, with, s.QueueID, to,
		now.Format("Mon, _2 Jan 2006 15:04:05 -0700 (MST)"))
}

// Content writes a part of the message. bufio.Writer keeps its first error for
// the end.
func (h *session) Content(_ *smtpserver.Session, b []byte, eol bool) {
	if h.head && h.start {
		h.header(b, eol)
	}
	h.start = eol
	if h.size += int64(len(b)); eol {
		h.size += 2
	}
	if limit := h.srv.SizeLimit; limit > 0 && h.size > limit {
		return
	}
	h.w.Write(b)
	if eol {
		h.w.WriteByte('\n')
	}
}

// header looks at the start of a line of the header.
func (h *session) header(b []byte, eol bool) {
	const field = "received:"
	switch {
	case len(b) == 0 && eol:
		h.head = false
	case len(b) >= len(field) && bytes.EqualFold(b[:len(field)], []byte(field)):
		h.hops++
	}
}

// EndEach has the message delivered and answers for each recipient.
func (h *session) EndEach(ctx context.Context, s *smtpserver.Session, _ smtpwire.ContentInfo) []status.Status {
	st := h.whole(s)
	if st.IsZero() {
		return h.answers(s, h.deliver(ctx, s))
	}
	s.Erred(class(st))
	results := make([]status.Status, len(h.order))
	for i := range results {
		results[i] = st
	}
	return results
}

// class says what the postmaster is told of with a refusal: something that is
// amiss here, or a recipient that does not get the message.
func class(st status.Status) transcript.Class {
	if strings.HasPrefix(st.Code, "4.3.") {
		return transcript.Resource
	}
	return transcript.Bounce
}

// deliver returns what became of the recipients, in the order of their RCPT
// commands.
func (h *session) deliver(ctx context.Context, s *smtpserver.Session) []status.Status {
	expanded := map[string]status.Status{}
	for list, targets := range h.lists {
		expanded[list] = h.expand(ctx, s, list, targets)
	}
	var stored []status.Status
	if len(h.rcpts) > 0 {
		var err error
		if stored, err = h.msg.Deliver(ctx, s.QueueID, s.Mail().Address, h.rcpts); err != nil {
			h.srv.log.Warn(s.QueueID, "%v", err)
			stored = nil
		}
	}
	results := make([]status.Status, len(h.order))
	next := 0
	for i, rcpt := range h.order {
		if st, ok := expanded[rcpt]; ok {
			results[i] = st
			continue
		}
		results[i] = unavailable()
		if next < len(stored) {
			results[i] = stored[next]
		}
		next++
	}
	return results
}

// whole returns why the message cannot be delivered to anybody, or zero.
func (h *session) whole(s *smtpserver.Session) status.Status {
	switch limit := h.srv.SizeLimit; {
	case limit > 0 && h.size > limit:
		return status.New(552, "5.3.4", "Error: message file too big")
	case h.hops > h.srv.HopLimit:
		h.srv.log.Info(s.QueueID, "too many hops: %d; from=<%s>", h.hops, s.Mail().Address)
		return status.New(554, "5.4.0", "Error: too many hops")
	}
	if err := h.w.Flush(); err != nil {
		h.srv.log.Warn(s.QueueID, "write message: %v", err)
		return status.New(452, "4.3.1", "Error: message could not be written")
	}
	return status.Status{}
}

// answers puts the recipient in front of each result, as Dovecot does: a client
// shows the sender no more than this text.
func (h *session) answers(s *smtpserver.Session, results []status.Status) []status.Status {
	for i, st := range results {
		if st.Success() {
			st.Text = s.QueueID + " " + st.Text
		} else {
			s.Erred(class(st))
		}
		results[i].Text = "<" + h.order[i] + "> " + st.Text
	}
	return results
}

// End is for SMTP; an LMTP session goes to EndEach.
func (h *session) End(context.Context, *smtpserver.Session, smtpwire.ContentInfo) status.Status {
	return unavailable()
}

// Reset drops a message that was not finished.
func (h *session) Reset(*smtpserver.Session) {
	if h.msg != nil {
		h.msg.Abort()
	}
	h.msg, h.w, h.rcpts, h.order, h.lists = nil, nil, nil, nil, nil
}

// Vrfy says what RCPT would.
func (h *session) Vrfy(ctx context.Context, _ *smtpserver.Session, addr string) status.Status {
	if st, _ := h.check(ctx, addr); !st.Success() {
		return st
	}
	return status.Status{}
}

// Etrn is not for LMTP.
func (h *session) Etrn(context.Context, *smtpserver.Session, string) status.Status {
	return status.New(502, "5.5.1", "Error: command not implemented")
}

// Close ends the session.
func (h *session) Close(s *smtpserver.Session) { h.Reset(s) }
