// Package inject is the client of cleanup: it hands a new message over, for
// smtpd, submission, pickup, bounce and local.
//
// On the wire a submission is an attribute list with the flags, answered by a
// list with the queue id; then queue file records up to the end record,
// answered by a list with status and reason. The connection is kept for the
// next message.
//
// The caller writes the Received header, since it knows the client; cleanup
// adds what else is missing.
package inject

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// Endpoint is the socket of cleanup, relative to the queue directory, unless
// cleanup_service_name says otherwise.
const Endpoint = "public/cleanup"

// Timeout is how long a caller should let a [ipc.Pool] for cleanup wait: the
// reply comes after the message was checked and synced.
const Timeout = 3600 * time.Second

// MaxRecord is the longest record that one message line becomes; longer lines
// are sent as fragments. Postfix's line_length_limit.
const MaxRecord = 2048

// RecSlot is a record that exists only on the way to cleanup: in front of the
// content a line to be replaced, behind it the lines that replace them, in the
// same order.
const RecSlot = 'Y'

// MaxSlots is how many there may be.
const MaxSlots = 256

// Record types that the callers of this package use with [Submission.Rec].
const (
	recTime    = 'T'
	recFull    = 'F'
	recFrom    = 'S'
	recRcpt    = 'R'
	recOrcpt   = 'O'
	recAttr    = 'A'
	recMesg    = 'M'
	recNorm    = 'N'
	recCont    = 'L'
	recXtra    = 'X'
	recEnd     = 'E'
	recordHead = 10
)

// Client hands messages to cleanup. It is safe for concurrent use.
type Client struct{ pool *ipc.Pool }

// NewClient returns a client on the pool's socket.
func NewClient(pool *ipc.Pool) *Client { return &Client{pool: pool} }

// Submission is one message on its way. Its methods must not be called
// concurrently. After the first error the others return it again.
type Submission struct {
	pool      *ipc.Pool
	conn      *ipc.Conn
	id        string
	content   bool
	extracted bool
	err       error
	stop      func() bool
	buf       [recordHead + 1]byte
}

// Begin opens a queue file. The submission must end with Finish or Abort.
// When ctx ends first, the connection is closed and nothing is queued.
func (c *Client) Begin(ctx context.Context, flags Flags) (*Submission, error) {
	o, err := c.Open(ctx, flags)
	if err != nil {
		return nil, err
	}
	return o.Begin(ctx)
}

// Opening is a queue file that was asked for, while its message may not come.
// It must end with Begin or Drop.
type Opening struct {
	client *Client
	flags  Flags
	conn   *ipc.Conn
	reused bool
}

// Open asks for a queue file and does not wait for it, so that cleanup makes it
// while the caller does something else.
func (c *Client) Open(ctx context.Context, flags Flags) (*Opening, error) {
	for {
		conn, reused, err := c.pool.Get(ctx)
		if err != nil {
			return nil, err
		}
		o := &Opening{client: c, flags: flags, conn: conn, reused: reused}
		if err = conn.Send(ipc.List{}.Int("flags", int64(flags))); err == nil {
			return o, nil
		}
		if err := o.failed(err); err != nil {
			return nil, err
		}
	}
}

// failed ends a connection. The error is nil if a new one may do better, since
// cleanup has closed the kept ones.
func (o *Opening) failed(err error) error {
	o.conn.Close()
	if o.reused && !errors.Is(err, ipc.ErrMalformed) && !errors.Is(err, os.ErrDeadlineExceeded) {
		o.client.pool.Close()
		return nil
	}
	return fmt.Errorf("request to cleanup: %w", err)
}

// Begin is [Client.Begin] with the queue file that was asked for.
func (o *Opening) Begin(ctx context.Context) (*Submission, error) {
	reply, err := o.conn.Receive()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err := o.failed(err); err != nil {
			return nil, err
		}
		return o.client.Begin(ctx, o.flags)
	}
	id := reply.Value("queue_id")
	if id == "" {
		o.conn.Close()
		return nil, fmt.Errorf("cleanup has no queue file: %s", reply.Value("reason"))
	}
	s := &Submission{pool: o.client.pool, conn: o.conn, id: id}
	s.stop = context.AfterFunc(ctx, func() { s.conn.SetDeadline(time.Unix(1, 0)) })
	return s, nil
}

// Drop gives the queue file up: cleanup removes it.
func (o *Opening) Drop() { o.conn.Close() }

// QueueID is the message's queue id, known from the start.
func (s *Submission) QueueID() string { return s.id }

// Rec sends one record.
func (s *Submission) Rec(kind byte, data []byte) error {
	if !s.head(kind, len(data)) {
		return s.err
	}
	_, s.err = s.conn.Writer().Write(data)
	return s.err
}

// RecString is Rec for a string.
func (s *Submission) RecString(kind byte, data string) error {
	if !s.head(kind, len(data)) {
		return s.err
	}
	_, s.err = s.conn.Writer().WriteString(data)
	return s.err
}

// head writes a record's type and length. It moves the deadline on only when
// bytes are about to leave.
func (s *Submission) head(kind byte, n int) bool {
	if s.err != nil {
		return false
	}
	w := s.conn.Writer()
	if w.Available() < n+recordHead {
		if s.err = s.conn.Extend(); s.err != nil {
			return false
		}
	}
	s.buf[0] = kind
	h := binary.AppendUvarint(s.buf[:1], uint64(n))
	_, s.err = w.Write(h)
	return s.err == nil
}

// Attr sends a named attribute. An empty value is not sent.
func (s *Submission) Attr(name, value string) error {
	if value == "" {
		return s.err
	}
	return s.RecString(recAttr, name+"="+value)
}

// Arrival sends the time at which the message arrived; without it, cleanup
// uses its own.
func (s *Submission) Arrival(t time.Time) error {
	return s.RecString(recTime, fmt.Sprintf("%d %d", t.Unix(), t.Nanosecond()/1000))
}

// FullName sends the sender's full name, which completes a From header.
func (s *Submission) FullName(name string) error { return s.RecString(recFull, name) }

// Sender sends the sender and its DSN wishes.
func (s *Submission) Sender(from envelope.Sender) error {
	s.Attr("envelope_id", from.EnvID)
	if from.Ret != envelope.RetNone {
		s.Attr("ret_flags", strconv.Itoa(int(from.Ret)))
	}
	s.Attr("requiretls", from.TLS.String())
	return s.RecString(recFrom, from.Address)
}

// Client sends where the message came from, once for the log and delivery
// agents. It may come before or after Sender, but before the recipients.
func (s *Submission) Client(c envelope.Client) error {
	s.Attr("rewrite_context", c.RewriteContext)
	s.Attr("sasl_method", c.SASLMethod)
	s.Attr("sasl_username", c.SASLUser)
	s.Attr("sasl_sender", c.SASLSender)
	if c.Ident == "" {
		c.Ident = s.id
	}
	s.Attr("log_ident", c.Ident)
	s.Attr("log_client_name", c.Name)
	s.Attr("log_client_address", c.Addr)
	s.Attr("log_client_port", c.Port)
	if c.Name != "" {
		s.Attr("log_message_origin", c.Name+"["+c.Addr+"]")
	} else {
		s.Attr("log_message_origin", "local")
	}
	s.Attr("log_helo_name", c.Helo)
	s.Attr("log_protocol_name", c.Proto)
	return s.Peer(c)
}

// Peer sends the attributes of the real SMTP client, which milters and
// policies see; Client includes it. A server that uses XFORWARD calls it
// after Client with what it sees itself.
func (s *Submission) Peer(c envelope.Client) error {
	if c.Addr == "" {
		return s.err
	}
	s.Attr("client_name", c.Name)
	s.Attr("reverse_client_name", c.ReverseName)
	s.Attr("client_address", c.Addr)
	s.Attr("client_port", c.Port)
	s.Attr("helo_name", c.Helo)
	s.Attr("protocol_name", c.Proto)
	family := "2"
	if strings.Contains(c.Addr, ":") {
		family = "10"
	}
	return s.Attr("client_address_type", family)
}

// Recipient sends one recipient.
func (s *Submission) Recipient(r envelope.Recipient) error {
	s.Attr("dsn_orig_rcpt", r.DSNOrcpt)
	if r.Notify != envelope.NotifyNone {
		s.Attr("notify_flags", strconv.Itoa(int(r.Notify)))
	}
	if r.Original != "" {
		s.RecString(recOrcpt, r.Original)
	}
	return s.RecString(recRcpt, r.Address)
}

// StartContent ends the envelope.
func (s *Submission) StartContent() error {
	s.content = true
	return s.Rec(recMesg, nil)
}

// Line sends one line of content, without its line end. Any length will do.
func (s *Submission) Line(b []byte) error {
	for len(b) > MaxRecord {
		if err := s.Rec(recCont, b[:MaxRecord]); err != nil {
			return err
		}
		b = b[MaxRecord:]
	}
	return s.Rec(recNorm, b)
}

// Fragment sends the beginning of a long line; a Line with its end follows.
func (s *Submission) Fragment(b []byte) error {
	for len(b) > MaxRecord {
		if err := s.Rec(recCont, b[:MaxRecord]); err != nil {
			return err
		}
		b = b[MaxRecord:]
	}
	return s.Rec(recCont, b)
}

// Slot sends a line at the start of the content whose text is not known before
// the message's end, such as a signature's. line is as long as the final one,
// which [Submission.Fill] sends.
func (s *Submission) Slot(line string) error { return s.RecString(RecSlot, line) }

// Fill sends the text of the next slot, after StartExtracted.
func (s *Submission) Fill(line string) error { return s.RecString(RecSlot, line) }

// StartExtracted ends the content. Recipients that follow the content, as
// sendmail -t makes them, may come after it.
func (s *Submission) StartExtracted() error {
	s.extracted = true
	return s.Rec(recXtra, nil)
}

// Finish ends the message and waits for cleanup. Only a Result that is OK
// means that the message is on disk. An error means that its fate is not
// known: the caller answers with a temporary failure.
func (s *Submission) Finish() (Result, error) {
	if !s.content {
		s.StartContent()
	}
	if !s.extracted {
		s.StartExtracted()
	}
	s.Rec(recEnd, nil)
	if s.err == nil {
		s.err = s.conn.Extend()
	}
	if s.err == nil {
		s.err = s.conn.Writer().Flush()
	}
	if s.err != nil {
		s.Abort()
		return Result{}, fmt.Errorf("%s: send to cleanup: %w", s.id, s.err)
	}
	reply, err := s.conn.Receive()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		s.conn.Close()
		s.err = err
		return Result{}, fmt.Errorf("%s: reply of cleanup: %w", s.id, err)
	}
	n, err := reply.GetInt("status")
	if err != nil {
		s.conn.Close()
		s.err = err
		return Result{}, fmt.Errorf("%s: reply of cleanup: %w", s.id, err)
	}
	s.err = os.ErrClosed
	if s.stop() {
		s.pool.Put(s.conn)
	} else {
		// Too late to cancel; the connection's deadline is gone, though.
		s.conn.Close()
	}
	return Result{Status: Status(n), Reason: reply.Value("reason"), QueueID: s.id, Held: reply.Value("held") == "1"}, nil
}

// Abort gives up: cleanup removes the queue file. It does nothing after
// Finish.
func (s *Submission) Abort() {
	if errors.Is(s.err, os.ErrClosed) {
		return
	}
	s.stop()
	s.conn.Close()
	if s.err == nil {
		s.err = os.ErrClosed
	}
}
