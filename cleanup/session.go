package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/mime"
	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// maxRecord is the longest record that a client may send. Clients cut lines
// at line_length_limit; addresses and attributes are shorter.
const maxRecord = 1 << 16

// session takes messages until the client closes the connection.
func (s *server) session(ctx context.Context, conn net.Conn) error {
	c := ipc.NewConn(conn)
	m := &message{s: s}
	for {
		req, err := c.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		n, err := req.GetInt("flags")
		if err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		flags := inject.Flags(n)
		if !flags.Valid() {
			return fmt.Errorf("%w: flags %#x", ipc.ErrMalformed, n)
		}
		if err := s.message(ctx, c, m, flags); err != nil {
			return err
		}
	}
}

// message takes one message. An error means that the connection is of no more
// use; the queue file is gone then.
func (s *server) message(ctx context.Context, c *ipc.Conn, m *message, flags inject.Flags) error {
	s.flow.admit(ctx, flags)
	s.flow.open.Add(1)
	defer s.flow.open.Add(-1)
	w, err := s.queue.Create(ctx)
	if err != nil {
		s.log.Warn("", "create queue file: %v", err)
		return c.Send(ipc.List{}.Str("queue_id", "").Str("reason", "queue file write error"))
	}
	m.reset(ctx, w, flags)
	defer w.Abort()
	if err := c.Send(ipc.List{}.Str("queue_id", string(w.ID()))); err != nil {
		return fmt.Errorf("send queue id: %w", err)
	}
	if err := m.receive(c); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil // the client of our client went away, which smtpd logs
		}
		return fmt.Errorf("%s: %w", m.id, err)
	}
	m.finish()
	reply := ipc.List{}.Int("status", int64(m.status)).Str("reason", m.reason)
	if m.held {
		reply = reply.Bool("held", true)
	}
	if err := c.Send(reply); err != nil {
		return fmt.Errorf("%s: send status: %w", m.id, err)
	}
	return nil
}

// receive reads the records of one message, up to the end record. Records
// after an error are read and dropped, so that the client gets an answer.
func (m *message) receive(c *ipc.Conn) error {
	r := queue.NewRecordReader(c.Reader())
	r.SetLimit(maxRecord)
	for {
		if c.Reader().Buffered() == 0 {
			if err := c.Extend(); err != nil {
				return err
			}
		}
		rec, err := r.Next()
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if rec.Type == queue.RecEnd && m.phase != inExtract {
			m.malformed("end record in the wrong place")
		}
		if rec.Type == queue.RecEnd {
			return nil
		}
		if m.status != 0 && m.phase != inContent {
			m.skip(rec.Type)
			continue
		}
		switch m.phase {
		case inEnvelope:
			m.envelope(rec.Type, rec.Data)
		case inContent:
			m.content(rec.Type, rec.Data)
		default:
			m.extracted(rec.Type, rec.Data)
		}
	}
}

// skip follows the phases of a message that has failed.
func (m *message) skip(typ byte) {
	switch {
	case m.phase == inEnvelope && typ == queue.RecMesg:
		m.phase = inContent
	case m.phase == inContent && typ == queue.RecXtra:
		m.phase = inExtract
	}
}

// content handles a record between M and X.
func (m *message) content(typ byte, data []byte) {
	switch typ {
	case queue.RecXtra:
		m.endContent()
		m.phase = inExtract
		return
	case queue.RecNorm, queue.RecCont:
	case inject.RecSlot:
		m.slotLine(data)
		return
	default:
		m.malformed(fmt.Sprintf("record %q in content", typ))
	}
	if m.failed() || m.truncated {
		return
	}
	m.length += int64(len(data)) + 1
	if limit := int64(m.s.p.MessageSizeLimit); limit > 0 && m.length > limit {
		m.fail(inject.StatSize, "")
		return
	}
	data = m.clean(data)
	if m.plain || m.scanner.InBody() && !m.filterBody {
		m.write(typ, data)
		return
	}
	if err := m.scanner.Line(data, typ == queue.RecNorm); err != nil {
		m.writeFailed(err)
	}
}

// endContent ends the message's content, and its header if it has no body.
func (m *message) endContent() {
	if m.failed() {
		return
	}
	if err := m.scanner.End(); err != nil {
		m.writeFailed(err)
		return
	}
	m.xtraOffset = m.w.Offset()
	m.write(queue.RecXtra, nil)
	if m.tlsHeader {
		m.attr(queue.AttrRequireTLS, m.tls.String())
	}
	m.extract()
}

var _ mime.Handler = (*message)(nil)
