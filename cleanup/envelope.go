package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// maxEnvelopeText bounds addresses and attribute values of the envelope.
const maxEnvelopeText = 4096

// envelope handles a record before M. Only records that a client may send are
// taken; the others are ours to write.
func (m *message) envelope(typ byte, data []byte) {
	if typ == queue.RecMesg {
		m.endEnvelope()
		return
	}
	s := string(data)
	if why := badText(s); why != "" {
		m.malformed(fmt.Sprintf("%s in record %q", why, typ))
		return
	}
	switch typ {
	case queue.RecTime:
		m.timeRecord(s)
	case queue.RecFull:
		m.start()
		m.fullName = s
		m.writeString(typ, s)
	case queue.RecFilt, queue.RecRdr, queue.RecVerp:
		m.start()
		m.writeString(typ, s)
	case queue.RecFlgs:
		// What an access table asked for after the flags were sent.
		n, err := strconv.Atoi(s)
		if err != nil {
			m.malformed("flags")
			return
		}
		m.flags |= inject.Flags(n) & (inject.FlagHold | inject.FlagDiscard)
	case queue.RecFrom:
		m.start()
		m.from(s)
	default:
		m.common(typ, s)
	}
}

// common handles the records that may come before and after the content.
func (m *message) common(typ byte, s string) {
	switch typ {
	case queue.RecAttr:
		m.start()
		m.attribute(s)
	case queue.RecOrcp:
		m.pending.Original, m.pendingOriginal = s, true
	case queue.RecRcpt:
		m.start()
		if !m.haveSender {
			m.malformed("recipient before sender")
			return
		}
		m.recipient(s)
	default:
		m.malformed(fmt.Sprintf("record %q in envelope", typ))
	}
}

// extracted handles a record after X: what the client found in the headers.
func (m *message) extracted(typ byte, data []byte) {
	if typ == inject.RecSlot {
		m.fill(data)
		return
	}
	s := string(data)
	if why := badText(s); why != "" {
		m.malformed(fmt.Sprintf("%s in record %q", why, typ))
		return
	}
	m.common(typ, s)
}

// badText checks text that goes into the envelope.
func badText(s string) string {
	if len(s) > maxEnvelopeText {
		return "too long text"
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return "control character"
		}
	}
	return ""
}

// timeRecord takes the arrival time, which must come first.
func (m *message) timeRecord(s string) {
	sec, usec, _ := strings.Cut(s, " ")
	n, err := strconv.ParseInt(sec, 10, 64)
	if err != nil || n <= 0 || m.haveTime {
		m.malformed("arrival time")
		return
	}
	u, _ := strconv.ParseInt(usec, 10, 64)
	m.arrival = time.Unix(n, max(0, min(u, 999999))*1000)
	m.start()
}

// start writes the records that open an envelope.
func (m *message) start() {
	if m.haveTime {
		return
	}
	m.haveTime = true
	m.writeString(queue.RecTime, fmt.Sprintf("%d %d", m.arrival.Unix(), m.arrival.Nanosecond()/1000))
	m.attr(queue.AttrCreateTime, strconv.FormatInt(m.s.now().Unix(), 10))
}

// attribute handles "name=value".
func (m *message) attribute(s string) {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		m.malformed("attribute without value")
		return
	}
	switch name {
	case queue.AttrDSNOrcpt:
		m.pending.DSNOrcpt = value
		return
	case queue.AttrDSNNotify:
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > 15 {
			m.malformed("notify flags")
			return
		}
		m.pending.Notify = envelope.Notify(n)
		m.hints |= queue.HintNotify(m.pending.Notify)
		return
	case queue.AttrCreateTime:
		return // ours to say
	case queue.AttrRewriteContext:
		if !m.setContext(value) {
			return
		}
	case queue.AttrEncoding:
		if value != envelope.Encoding7bit && value != envelope.Encoding8bit {
			m.malformed("encoding")
			return
		}
		m.encoding = value
	case queue.AttrRequireTLS:
		m.tls = envelope.ParseTLSWish(value)
	case queue.AttrLogOrigin:
		m.origin = value
	case queue.AttrLogHelo:
		m.helo = value
	case queue.AttrLogProto:
		m.proto = value
	}
	m.attr(name, value)
}

func (m *message) setContext(value string) bool {
	switch {
	case value == "local":
		m.context = "local"
	case value == "remote" && m.s.p.RemoteRewriteDomain != "":
		m.context = "remote"
	case value == "remote":
		m.context = ""
	default:
		m.malformed("rewrite context")
		return false
	}
	return true
}

// from handles the sender.
func (m *message) from(addr string) {
	if m.haveSender {
		m.malformed("more than one sender")
		return
	}
	m.haveSender = true
	if addr != "" {
		addr = m.senderAddress(addr)
	}
	m.sender = addr
	m.checkUTF8(addr, envelope.UTF8Sender)
	m.writeString(queue.RecFrom, addr)
	if m.flags&inject.FlagBccOK != 0 && addr != "" {
		m.addBCC("sender_bcc_maps", m.s.senderBCC, addr)
		m.putBCC()
	}
	if d := m.s.p.DelayWarningTime; d > 0 {
		m.write(queue.RecWarn, queue.AppendFixed(nil, m.arrival.Add(d).Unix()))
	}
}

// checkUTF8 notes addresses and headers for which the next host must know
// SMTPUTF8.
func (m *message) checkUTF8(s string, bit int) {
	auto := m.flags&inject.FlagAutoUTF8 != 0
	if m.flags&inject.FlagUTF8 == 0 && !auto {
		return
	}
	for i := 0; i < len(s); i++ {
		if s[i] < utf8.RuneSelf {
			continue
		}
		if utf8.ValidString(s) {
			m.utf8 |= bit
			if auto {
				m.utf8 |= envelope.UTF8Requested
			}
		}
		return
	}
}

// endEnvelope ends the envelope. Recipients may still come after the content.
func (m *message) endEnvelope() {
	m.phase = inContent
	m.start()
	if !m.haveSender {
		m.malformed("no sender")
		return
	}
	if m.flags&inject.FlagUTF8 != 0 {
		m.utf8 |= envelope.UTF8Requested
	}
	m.write(queue.RecMesg, nil)
	m.dataOffset = m.w.Offset()
}
