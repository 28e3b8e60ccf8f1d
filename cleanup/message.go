package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/mime"
	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// phase is the part of a message that is being read.
type phase int

const (
	inEnvelope phase = iota
	inContent
	inExtract
)

// message is the state of one message. It is used again for the next one.
type message struct {
	s      *server
	ctx    context.Context
	w      *queue.Writer
	id     string
	flags  inject.Flags
	phase  phase
	status inject.Status
	reason string

	arrival         time.Time
	haveTime        bool
	sender          string
	haveSender      bool
	fullName        string
	context         string // "local", "remote", or "" for headers that stay as they are
	origin          string // log_message_origin
	helo            string
	proto           string
	encoding        string
	utf8            int
	tls             envelope.TLSWish
	tlsHeader       bool               // tls is from the header, and yet to be written
	pending         envelope.Recipient // what came before the next R record
	pendingOriginal bool               // pending.Original was given, if only as ""
	rcpts           int
	hints           int64
	firstRcpt       string
	seen            map[string]struct{} // duplicate filter
	bcc             []string
	expanded        []envelope.Recipient // aliases of which the sender is told

	scanner    mime.Scanner
	plain      bool // the rest of the content needs no look
	filterBody bool // body_checks are on
	bodySeen   int
	inBodyMIME bool
	headers    map[string]bool
	resent     bool
	hops       int
	messageID  string
	length     int64
	dataOffset int64
	xtraOffset int64

	slots  []slot
	filled int // of them

	filter, redirect string
	held             bool
	returned         string // why the message goes back to its sender
	truncated        bool   // the rest of the content is dropped
	lookupFailed     bool
	buf              []byte
}

func (m *message) reset(ctx context.Context, w *queue.Writer, flags inject.Flags) {
	old := *m
	*m = message{s: old.s, ctx: ctx, w: w, id: string(w.ID()), flags: flags, context: "local",
		seen: old.seen, headers: old.headers, scanner: old.scanner, buf: old.buf, slots: old.slots[:0]}
	clear(m.seen)
	clear(m.headers)
	if m.seen == nil {
		m.seen, m.headers = map[string]struct{}{}, map[string]bool{}
	}
	m.scanner.Reset(m, m.s.limits)
	m.filterBody = flags&inject.FlagFilter != 0 && !m.s.bodyChecks.Empty()
	m.arrival = w.Created()
	if err := w.Size(queue.Size{}); err != nil {
		m.writeFailed(err)
	}
}

// failed reports whether the rest of the message is not wanted.
func (m *message) failed() bool { return m.status != 0 || m.flags&inject.FlagDiscard != 0 }

// fail sets a status bit. The first reason stands.
//
// Mail from pickup has nobody at the other end who could be told. It is queued
// for the error transport instead, which returns it to its sender.
func (m *message) fail(bit inject.Status, reason string) {
	const final = inject.StatCont | inject.StatHops | inject.StatSize
	if m.flags&inject.FlagBounce != 0 && m.status == 0 && bit&final == bit && m.haveSender {
		m.bounce(bit, reason)
		return
	}
	m.status |= bit
	if m.reason == "" {
		m.reason = reason
	}
}

// bounce makes the message one that is returned.
func (m *message) bounce(bit inject.Status, reason string) {
	if m.returned == "" {
		st := inject.Result{Status: bit, Reason: reason}.Reply()
		m.returned = st.Code + " " + strings.TrimPrefix(st.Text, "Error: ")
	}
	m.passAll()
	// What is over the limit is not kept.
	m.truncated = m.truncated || bit == inject.StatSize
}

// malformed notes a client that breaks the protocol.
func (m *message) malformed(why string) {
	if m.status&inject.StatBad == 0 {
		m.s.log.Warn(m.id, "message rejected: %s", why)
	}
	m.fail(inject.StatBad, "")
}

func (m *message) writeFailed(err error) {
	if errors.Is(err, errStop) {
		return
	}
	if m.status&inject.StatWrite == 0 {
		m.s.log.Warn(m.id, "write queue file: %v", err)
	}
	m.fail(inject.StatWrite, "")
}

// lookup notes an error of a table or of trivial-rewrite: the message is not
// accepted now.
func (m *message) lookup(title, addr string, err error) {
	if !m.lookupFailed {
		m.s.log.Warn(m.id, "%s lookup problem for %s -- message not accepted, try again later: %v", title, addr, err)
	}
	m.lookupFailed = true
	m.fail(inject.StatWrite, "")
}

func (m *message) write(typ byte, data []byte) {
	if m.failed() {
		return
	}
	if err := m.w.Rec(typ, data); err != nil {
		m.writeFailed(err)
	}
}

func (m *message) writeString(typ byte, data string) {
	if m.failed() {
		return
	}
	if err := m.w.RecString(typ, data); err != nil {
		m.writeFailed(err)
	}
}

func (m *message) attr(name, value string) { m.writeString(queue.RecAttr, name+"="+value) }

// text writes header text that may have several lines, cut as long lines are.
func (m *message) text(text []byte) {
	for more := true; more; {
		line := text
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			more = false
		}
		limit := m.s.p.LineLengthLimit
		for limit > 0 && len(line) > limit {
			m.write(queue.RecCont, line[:limit])
			line = line[limit:]
		}
		m.write(queue.RecNorm, line)
	}
}

// clean replaces line ends inside of a line, with which another program could
// see lines that we do not (security: SMTP smuggling), and handles the
// characters that the site does not want.
func (m *message) clean(data []byte) []byte {
	p := &m.s.p
	if p.ReplaceStrayCRLF && (bytes.IndexByte(data, '\r') >= 0 || bytes.IndexByte(data, '\n') >= 0) {
		for i, c := range data {
			if c == '\r' || c == '\n' {
				data[i] = ' '
			}
		}
	}
	if m.s.reject != "" && bytes.ContainsAny(data, m.s.reject) {
		m.s.log.Info(m.id, "reject: disallowed character in message content")
		m.fail(inject.StatCont, "5.7.1 disallowed character")
	}
	if m.s.strip != "" && bytes.ContainsAny(data, m.s.strip) {
		data = bytes.Map(func(r rune) rune {
			if strings.ContainsRune(m.s.strip, r) {
				return -1
			}
			return r
		}, data)
	}
	return data
}

// finish completes the queue file, or gives the reason why not.
func (m *message) finish() {
	if !m.failed() {
		if m.flags&inject.FlagBccOK != 0 && m.s.p.AlwaysBCC != "" {
			m.bcc = append(m.bcc, address.ListAddresses(m.s.p.AlwaysBCC, 1)...)
		}
		m.putBCC()
	}
	if !m.failed() && m.filled != len(m.slots) {
		m.malformed("slots without text")
	}
	if !m.failed() && m.rcpts == 0 {
		m.fail(inject.StatRcpt, "")
	}
	if !m.failed() {
		m.tellExpansions()
	}
	if m.failed() {
		m.w.Abort()
		return
	}
	m.write(queue.RecEnd, nil)
	size := queue.Size{DataSize: m.xtraOffset - m.dataOffset, DataOffset: m.dataOffset,
		RcptCount: int64(m.rcpts), QmgrHints: m.hints, ContentLength: m.xtraOffset - m.dataOffset, UTF8Flags: int64(m.utf8)}
	err := m.w.PatchSize(size)
	if err == nil && m.flags&inject.FlagHold != 0 {
		err = m.w.MoveTo(queue.Hold)
		m.held = true
	}
	if err == nil {
		err = m.w.Commit(m.ctx)
	}
	if err != nil {
		m.writeFailed(err)
		m.forgetExpansions()
		return
	}
	if !m.held && m.status == 0 {
		m.s.trigger(m.w.ID())
	}
}

// timeText is a date as in a header (RFC 5322 3.3), with the zone's name.
func timeText(t time.Time) string {
	zone, _ := t.Zone()
	return fmt.Sprintf("%s (%s)", t.Format("Mon, _2 Jan 2006 15:04:05 -0700"), zone)
}

// external is for addresses in log lines.
func external(addr string) string { return address.Quote(addr) }
