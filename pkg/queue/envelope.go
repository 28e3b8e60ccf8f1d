package queue

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
)

// firstBatch is how many recipients are kept from the first reading of an
// envelope. They are read anyway; most messages have no more.
const firstBatch = 100

// readEnvelope reads all records around the content. Nothing that it keeps is
// in the buffer, which the next message gets.
func (m *Message) readEnvelope() error {
	r := m.buffers.reader(m.f, m.FileSize)
	defer m.buffers.putReader(r)
	p := envelopeParser{m: m, limit: firstBatch}
	done, err := p.run(r)
	if err != nil {
		return err
	}
	switch {
	case !done:
		return fmt.Errorf("%w: missing end record", ErrCorrupt)
	case m.DataOffset == 0:
		return fmt.Errorf("%w: missing size record", ErrCorrupt)
	case m.Arrival.IsZero():
		return fmt.Errorf("%w: missing arrival time record", ErrCorrupt)
	case !p.haveSender:
		return fmt.Errorf("%w: missing sender record", ErrCorrupt)
	case m.DataOffset+m.DataSize > m.FileSize:
		return fmt.Errorf("%w: content beyond the end of the file", ErrCorrupt)
	}
	if m.Created.IsZero() {
		m.Created = m.Arrival
	}
	if m.Client.RewriteContext == "" {
		m.Client.RewriteContext = "local"
	}
	m.first, m.firstNext = p.rcpts, p.next
	return nil
}

// envelopeParser collects envelope records.
type envelopeParser struct {
	m         *Message
	rcptsOnly bool
	limit     int

	rcpts   []envelope.Recipient
	next    int64 // offset after the last recipient taken, when there may be more
	pending envelope.Recipient

	haveSender, haveLogClient bool
}

// run reads up to the end record, jumping over the content, or up to the limit
// of recipients when nothing else is wanted. done tells whether it saw the end.
func (p *envelopeParser) run(r *RecordReader) (done bool, err error) {
	for {
		if p.m.DataOffset > 0 && r.Offset() == p.m.DataOffset {
			if err := r.SeekTo(p.m.DataOffset + p.m.DataSize); err != nil {
				return false, err
			}
		}
		rec, err := r.Next()
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		switch rec.Type {
		case RecEnd:
			return true, nil
		case RecPtr:
			if err := r.Follow(rec); err != nil {
				return false, err
			}
		case RecAttr:
			if err := p.attr(rec); err != nil {
				return false, err
			}
		default:
			if err := p.record(rec.Type, string(rec.Data), rec.Offset, r.Offset()); err != nil {
				return false, err
			}
		}
		if p.rcptsOnly && p.next != 0 {
			return false, nil
		}
	}
}

// attr handles an attribute record.
func (p *envelopeParser) attr(rec Record) error {
	name, value, problem := SplitAttr(rec.Data)
	if problem != "" {
		return fmt.Errorf("%w: attribute at offset %d: %s", ErrCorrupt, rec.Offset, problem)
	}
	if t := pseudoType(name); t != 0 {
		return p.record(t, value, rec.Offset, 0)
	}
	if !p.rcptsOnly {
		p.info(name, value, rec.Offset)
	}
	return nil
}

// record handles all but attributes.
func (p *envelopeParser) record(typ byte, s string, off, after int64) error {
	switch typ {
	case RecRcpt:
		if p.next != 0 {
			return nil
		}
		rcpt := p.pending
		rcpt.Address, rcpt.Offset = s, off
		p.rcpts = append(p.rcpts, rcpt)
		p.pending = envelope.Recipient{}
		if len(p.rcpts) >= p.limit {
			p.next = after
		}
		return nil
	case RecDone, RecDrcp:
		p.pending = envelope.Recipient{}
		return nil
	case RecOrcp:
		p.pending.Original = s
		return nil
	case RecDSNOrcp:
		p.pending.DSNOrcpt = s
		return nil
	case RecDSNNote:
		n, err := strconv.Atoi(s)
		if err != nil || n <= 0 || n > 15 {
			p.m.warnf("ignoring malformed DSN notify flags %.200q", s)
			return nil
		}
		p.pending.Notify = envelope.Notify(n)
		return nil
	}
	if p.rcptsOnly {
		return nil
	}
	return p.once(typ, s, off)
}

// once handles the records that describe the message.
func (p *envelopeParser) once(typ byte, s string, off int64) error {
	m := p.m
	switch typ {
	case RecSize:
		if m.DataOffset != 0 {
			return nil
		}
		size, err := ParseSize([]byte(s))
		if err != nil {
			return err
		}
		m.Size = size
	case RecTime:
		if m.Arrival.IsZero() {
			m.Arrival = parseTime(s)
		}
	case RecCtime:
		if n, err := parseNumber([]byte(s)); err == nil && m.Created.IsZero() {
			m.Created = time.Unix(n, 0)
		}
	case RecFrom:
		if !p.haveSender {
			p.haveSender = true
			m.Sender.Address = s
		}
	case RecDSNEnv:
		if m.Sender.EnvID == "" {
			m.Sender.EnvID = s
		}
	case RecDSNRet:
		n, err := strconv.Atoi(s)
		if err != nil || n != int(envelope.RetFull) && n != int(envelope.RetHdrs) {
			m.warnf("ignoring malformed DSN RET flags %.100q", s)
		} else if m.Sender.Ret == 0 {
			m.Sender.Ret = envelope.Ret(n)
		}
	case RecWarn:
		if s == warned && m.warnOffset == 0 {
			m.warnOffset, m.Warned = off, true
		} else if n, err := parseNumber([]byte(s)); err == nil && m.warnOffset == 0 && len(s) == 15 {
			m.warnOffset = off
			if n > 0 {
				m.WarnTime = time.Unix(n, 0)
			}
		}
	case RecFull:
		m.FullName = s
	case RecFilt:
		m.Filter = s
	case RecInsp:
		m.Inspect = s
	case RecRdr:
		m.Redirect = s
	case RecVerp:
		if len(s) == 2 && m.Sender.Address != "" && m.Verp == "" {
			m.Verp = s
		} else if m.Verp == "" {
			m.warnf("ignoring VERP request %.100q", s)
		}
	}
	return nil
}

// info handles the attributes that describe the message and its client. What
// is to be logged, which XFORWARD may have changed, wins over what was seen.
func (p *envelopeParser) info(name, value string, off int64) {
	m, c := p.m, &p.m.Client
	actual := func(field *string) {
		if !p.haveLogClient && *field == "" {
			*field = value
		}
	}
	logged := func(field *string) {
		if !p.haveLogClient {
			p.haveLogClient = true
			c.Name, c.Addr, c.Port, c.Helo, c.Proto = "", "", "", "", ""
		}
		*field = value
	}
	first := func(field *string) {
		if *field == "" {
			*field = value
		} else {
			m.warnf("ignoring multiple %s attribute: %.200q", name, value)
		}
	}
	switch name {
	case AttrEncoding:
		m.Encoding = value
	case AttrClientName:
		actual(&c.Name)
	case AttrClientAddr:
		actual(&c.Addr)
	case AttrClientPort:
		actual(&c.Port)
	case AttrHelo:
		actual(&c.Helo)
	case AttrProto:
		actual(&c.Proto)
	case AttrLogClientName:
		logged(&c.Name)
	case AttrLogClientAddr:
		logged(&c.Addr)
	case AttrLogClientPort:
		logged(&c.Port)
	case AttrLogHelo:
		logged(&c.Helo)
	case AttrLogProto:
		logged(&c.Proto)
	case AttrReverseName:
		c.ReverseName = value
	case AttrLogIdent:
		first(&c.Ident)
	case AttrSASLMethod:
		first(&c.SASLMethod)
	case AttrSASLUser:
		first(&c.SASLUser)
	case AttrSASLSender:
		first(&c.SASLSender)
	case AttrRewriteContext:
		first(&c.RewriteContext)
	case AttrHoldUntil:
		m.HoldUntil = parseTime(value)
	case AttrRequireTLS:
		if m.Sender.TLS != envelope.TLSRequired {
			m.Sender.TLS = envelope.ParseTLSWish(value)
		}
	case AttrPriority:
		if n, err := strconv.Atoi(value); err == nil && n >= -9 && n <= 9 {
			m.Priority = n
		}
	case AttrTraceFlags:
		if n, err := strconv.Atoi(value); err == nil && n >= 0 {
			m.TraceFlags, m.traceOffset = n, off
		}
	}
}

// warnf notes an oddity; their number is bounded.
func (m *Message) warnf(format string, args ...any) {
	if len(m.Warnings) < 20 {
		m.Warnings = append(m.Warnings, fmt.Sprintf(format, args...))
	}
}

// parseTime reads "seconds" or "seconds microseconds".
func parseTime(s string) time.Time {
	var sec, usec int64
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' {
			usec, _ = parseNumber([]byte(s[i+1:]))
			s = s[:i]
			break
		}
	}
	sec, err := parseNumber([]byte(s))
	if err != nil || sec == 0 || usec >= 1e6 {
		return time.Time{}
	}
	return time.Unix(sec, usec*1000)
}

// Recipients returns recipients that are not done, at most limit of them,
// starting at an offset that an earlier call returned, or at 0. next is where
// to go on, or 0 when there are no more.
func (m *Message) Recipients(from int64, limit int) (rcpts []envelope.Recipient, next int64, err error) {
	if limit <= 0 {
		return nil, from, nil
	}
	if from == 0 && m.firstNext == 0 && len(m.first) <= limit && m.first != nil {
		rcpts, m.first = m.first, nil // marks may follow: use it once
		return rcpts, 0, nil
	}
	r := m.buffers.reader(m.f, m.FileSize)
	defer m.buffers.putReader(r)
	if err := r.SeekTo(from); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", m.f.Name(), err)
	}
	p := envelopeParser{m: m, rcptsOnly: true, limit: limit}
	if _, err := p.run(r); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", m.f.Name(), err)
	}
	return p.rcpts, p.next, nil
}
