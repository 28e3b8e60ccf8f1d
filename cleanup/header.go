package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/mime"
	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// errStop ends the scan of a message that has failed already.
var errStop = errors.New("message refused")

// addressHeader says which rewriting a header's addresses get; 0 is none.
// Names are in lower case.
func addressHeader(name string) class {
	switch mime.AddressesOf(name) {
	case mime.Senders:
		return headerSender
	case mime.Recipients:
		return headerRecipient
	}
	return 0
}

// Header handles a logical header line.
func (m *message) Header(c mime.Class, text []byte) error {
	if m.failed() {
		return errStop
	}
	text = mime.TrimName(text)
	if m.flags&inject.FlagFilter != 0 {
		var keep bool
		if text, keep = m.checkHeader(c, text); !keep {
			return nil
		}
		text = mime.TrimName(text)
	}
	primary := !m.inBodyMIME
	n := mime.HeaderName(text)
	if !primary || n == 0 {
		m.text(text)
		return nil
	}
	m.primary(text, n)
	return nil
}

// primary handles a header of the message itself.
func (m *message) primary(text []byte, n int) {
	name := strings.ToLower(string(text[:n]))
	if m.s.drop[name] {
		return
	}
	base, resent := strings.CutPrefix(name, "resent-")
	if known(base) {
		m.headers[name] = true
		m.resent = m.resent || resent
	}
	value := bytes.TrimSpace(text[n+1:])
	switch name {
	case "message-id", "resent-message-id":
		m.noteMessageID(name, string(value))
	case "received":
		if m.hops++; m.hops >= m.s.p.HopcountLimit {
			m.s.log.Warn(m.id, "message rejected: hopcount exceeded")
			m.fail(inject.StatHops, "")
		}
	case "content-transfer-encoding":
		m.noteEncoding(string(value))
	case "tls-required":
		// RFC 8689 section 4.1: what MAIL said wins.
		if m.tls == envelope.TLSDefault && m.s.p.TLSRequiredHeader && strings.EqualFold(string(value), "no") {
			m.tls, m.tlsHeader = envelope.TLSOptional, true
		}
	}
	m.checkUTF8(string(text), envelope.UTF8Header)
	if cl := addressHeader(name); cl != 0 && m.context != "" {
		text = m.rewriteHeader(text, n+1, cl)
	}
	m.text(text)
}

// known reports headers whose presence matters when the header is completed.
func known(base string) bool {
	switch base {
	case "message-id", "date", "from", "to", "cc", "bcc", "sender", "reply-to":
		return true
	}
	return false
}

func (m *message) noteMessageID(name, value string) {
	if name == "message-id" {
		if m.messageID != "" {
			return
		}
		m.messageID = value
	}
	m.s.log.Info(m.id, "%s=%s", name, value)
}

// noteEncoding overrides what the client said by what the message says.
func (m *message) noteEncoding(value string) {
	switch strings.ToLower(value) {
	case "7bit", "quoted-printable", "base64":
		if m.encoding == "" || strings.EqualFold(value, "7bit") {
			m.encoding = envelope.Encoding7bit
		}
	case "8bit", "binary":
		m.encoding = envelope.Encoding8bit
	}
}

// rewriteHeader rewrites the addresses of a header in place. All bytes that
// are not an address stay.
func (m *message) rewriteHeader(text []byte, colon int, c class) []byte {
	value := string(text[colon:])
	first := &m.s.senderCanonical
	if c == headerRecipient {
		first = &m.s.rcptCanonical
	}
	out, err := address.RewriteList(value, func(ext string) (string, error) {
		ext = m.rewriteExternal(m.context, ext)
		if m.flags&inject.FlagMapOK == 0 {
			return ext, nil
		}
		internal := address.Canonical(ext)
		if mapped := m.applyMaps(internal, c, first); mapped != internal {
			return address.Quote(mapped), nil
		}
		return ext, nil
	})
	if err != nil || out == value {
		return text
	}
	m.buf = append(append(m.buf[:0], text[:colon]...), out...)
	return m.buf
}

// HeaderEnd completes the header of the message.
func (m *message) HeaderEnd() error {
	if m.failed() {
		return errStop
	}
	m.inBodyMIME = true
	if m.context != "" || m.s.p.AlwaysAddMissing {
		m.complete()
	}
	if m.messageID == "" {
		m.noteMessageID("message-id", "<>")
	}
	m.plain = m.s.limits.Plain && !m.filterBody
	return nil
}

// complete adds the headers that a message must have (RFC 5322 3.6).
func (m *message) complete() {
	prefix, lower := "", ""
	if m.resent {
		prefix, lower = "Resent-", "resent-"
	}
	now := m.arrival
	if !m.headers[lower+"message-id"] {
		id := fmt.Sprintf("<%s.%s@%s>", now.UTC().Format("20060102150405"), m.id, m.s.p.Myhostname)
		m.writeString(queue.RecNorm, prefix+"Message-Id: "+id)
		m.noteMessageID(lower+"message-id", id)
	}
	if !m.headers[lower+"date"] {
		m.writeString(queue.RecNorm, prefix+"Date: "+timeText(now))
	}
	if !m.headers[lower+"from"] {
		m.text([]byte(m.fromHeader(prefix)))
	}
	if m.s.p.UndisclosedHeader != "" && !m.headers[lower+"to"] && !m.headers[lower+"cc"] && !m.headers[lower+"bcc"] {
		m.text([]byte(prefix + m.s.p.UndisclosedHeader))
	}
}

// fromHeader makes a From header of the envelope sender.
func (m *message) fromHeader(prefix string) string {
	if m.sender == "" {
		return prefix + "From: MAILER-DAEMON"
	}
	addr := address.Quote(m.sender)
	switch name := m.fullName; {
	case name == "":
		return prefix + "From: " + addr
	case m.s.p.HeaderFromFormat == "obsolete":
		return prefix + "From: " + addr + " (" + strings.Map(notParen, name) + ")"
	default:
		return prefix + "From: " + address.Phrase(name) + " <" + addr + ">"
	}
}

func notParen(r rune) rune {
	if r == '(' || r == ')' || r == '\\' {
		return ' '
	}
	return r
}

// Body handles a line of the body, or a part of one.
func (m *message) Body(line []byte, eol bool) error {
	if m.failed() {
		return errStop
	}
	if m.filterBody {
		var keep bool
		if line, keep = m.checkBody(line); !keep {
			return nil
		}
	}
	typ := queue.RecCont
	if eol {
		typ = queue.RecNorm
	}
	m.write(typ, line)
	return nil
}
