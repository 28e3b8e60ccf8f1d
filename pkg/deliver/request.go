package deliver

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// MaxRecipients bounds the recipients of one delivery request. The queue
// manager keeps below it; an agent refuses more.
const MaxRecipients = 20000

// Flags of a delivery request. A message has them from the start: sendmail's
// -bv and -v options and the verify daemon set them.
const (
	FlagVerifyMTA    = 1 << 8  // address probe of the verify daemon: deliver nothing
	FlagVerifyUser   = 1 << 9  // sendmail -bv: deliver nothing, mail a report
	FlagRecord       = 1 << 10 // sendmail -v: deliver and mail a report
	FlagConnLoad     = 1 << 11 // an open connection may be reused
	FlagConnStore    = 1 << 12 // leave the connection open for the next request
	FlagRecordDelay  = 1 << 13 // the sender was told of a delay, and is told of the delivery
	FlagTraceOnly    = FlagVerifyMTA | FlagVerifyUser
	flagsTraceReport = FlagVerifyUser | FlagRecord
)

// Request is what the queue manager asks of a delivery agent: to deliver one
// message to some of its recipients, all with the same transport and next hop.
type Request struct {
	QueueName  string // "active"
	QueueID    queue.ID
	Flags      int
	DataOffset int64 // of the content in the queue file
	DataSize   int64 // of the content in bytes
	NextHop    string
	Transport  string // name of the service in master.cf
	Sender     envelope.Sender
	Encoding   string
	UTF8       int // envelope.UTF8Requested and so on
	Priority   int // of MT-PRIORITY (RFC 6710), -9 to 9
	Client     envelope.Client
	Times      envelope.Times // Arrival and Active
	Recipients []envelope.Recipient
}

// ProbeOnly reports whether nothing may be delivered, since the request only
// asks whether the recipients exist.
func (r *Request) ProbeOnly() bool { return r.Flags&FlagTraceOnly != 0 }

// Reply codes of an agent.
const (
	ReplyDone    = 0  // each recipient is done with, and marked so
	ReplyLeft    = -1 // some recipients are left for a later try
	ReplyRefused = -2 // the request was not carried out: bad or busy queue file
)

// Reply is the outcome of a request. What happened to each recipient is in
// the logs and in the queue file; the queue manager learns only what it needs
// for scheduling.
type Reply struct {
	Code int
	// Site is not zero when the destination as a whole failed, rather than
	// one recipient: it lowers the concurrency and may declare the
	// destination dead.
	Site      status.Status
	RemoteMTA string
}

// ErrBadRequest reports a request that breaks the rules of this package.
var ErrBadRequest = errors.New("bad delivery request")

// WriteRequest sends a request in as few writes as its size allows.
func WriteRequest(c *ipc.Conn, r *Request) error {
	if len(r.Recipients) == 0 || len(r.Recipients) > MaxRecipients {
		return fmt.Errorf("%w: %d recipients", ErrBadRequest, len(r.Recipients))
	}
	if err := c.Extend(); err != nil {
		return err
	}
	l := make(ipc.List, 0, 32)
	l = l.Int("flags", int64(r.Flags)).Str("queue_name", r.QueueName).
		Str("queue_id", string(r.QueueID)).
		Int("offset", r.DataOffset).Int("size", r.DataSize).
		Str("nexthop", r.NextHop).Str("transport", r.Transport).
		Str("sender", r.Sender.Address).
		Int("recipient_count", int64(len(r.Recipients))).
		Int("arrival", micros(r.Times.Arrival)).Int("active", micros(r.Times.Active))
	l = optInt(l, "smtputf8", int64(r.UTF8))
	l = optInt(l, "priority", int64(r.Priority))
	l = optStr(l, "encoding", r.Encoding)
	l = optStr(l, "envelope_id", r.Sender.EnvID)
	l = optInt(l, "ret_flags", int64(r.Sender.Ret))
	l = optInt(l, "requiretls", int64(r.Sender.TLS))
	l = appendClient(l, &r.Client)
	if err := c.WriteList(l); err != nil {
		return err
	}
	for i := range r.Recipients {
		if err := c.WriteList(appendRecipient(l[:0], &r.Recipients[i])); err != nil {
			return err
		}
	}
	return c.Writer().Flush()
}

// ReadRequest reads and checks a request. It returns io.EOF, bare, when the
// peer closed the connection between two requests.
func ReadRequest(c *ipc.Conn) (*Request, error) {
	l, err := c.Receive()
	if err != nil {
		return nil, err
	}
	r, count, err := parseRequest(l)
	if err != nil {
		return nil, err
	}
	// The count is a claim: grow with what arrives, not with what is said.
	r.Recipients = make([]envelope.Recipient, 0, min(count, 64))
	for range count {
		l, err := ipc.ReadList(c.Reader())
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		rcpt, err := parseRecipient(l)
		if err != nil {
			return nil, err
		}
		r.Recipients = append(r.Recipients, rcpt)
	}
	return r, nil
}

// reader collects the first error over several attributes.
type reader struct {
	l   ipc.List
	err error
}

// num reads a number between 0 and limit; an absent one is 0 if optional.
func (r *reader) num(name string, limit int64, optional bool) int64 {
	if _, ok := r.l.Get(name); !ok && optional {
		return 0
	}
	n, err := r.l.GetInt(name)
	if err == nil && (n < 0 || n > limit) {
		err = fmt.Errorf("%w: %s out of range", ErrBadRequest, name)
	}
	if err != nil && r.err == nil {
		r.err = err
	}
	return n
}

// priority reads the one number that may be negative.
func (r *reader) priority() int {
	if _, ok := r.l.Get("priority"); !ok {
		return 0
	}
	n, err := r.l.GetInt("priority")
	if err == nil && (n < -9 || n > 9) {
		err = fmt.Errorf("%w: priority out of range", ErrBadRequest)
	}
	if err != nil && r.err == nil {
		r.err = err
	}
	return int(n)
}

// need reads a string that must be there.
func (r *reader) need(name string) string {
	v, ok := r.l.Get(name)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("%w: no attribute %q", ErrBadRequest, name)
	}
	return v
}

const maxOffset = 1<<53 - 1

func parseRequest(l ipc.List) (*Request, int, error) {
	in := &reader{l: l}
	r := &Request{
		Flags:      int(in.num("flags", 1<<20, false)),
		QueueName:  in.need("queue_name"),
		QueueID:    queue.ID(in.need("queue_id")),
		DataOffset: in.num("offset", maxOffset, false),
		DataSize:   in.num("size", maxOffset, false),
		NextHop:    in.need("nexthop"),
		Transport:  in.need("transport"),
		Encoding:   l.Value("encoding"),
		UTF8:       int(in.num("smtputf8", 255, true)),
		Priority:   in.priority(),
		Sender: envelope.Sender{
			Address: in.need("sender"),
			EnvID:   l.Value("envelope_id"),
			Ret:     envelope.Ret(in.num("ret_flags", 3, true)),
			TLS:     envelope.TLSWish(in.num("requiretls", 2, true)),
		},
		Client: parseClient(l),
		Times: envelope.Times{
			Arrival: fromMicros(in.num("arrival", maxOffset, false)),
			Active:  fromMicros(in.num("active", maxOffset, false)),
		},
	}
	count := in.num("recipient_count", MaxRecipients, false)
	switch {
	case in.err != nil:
		return nil, 0, in.err
	case count == 0:
		return nil, 0, fmt.Errorf("%w: no recipients", ErrBadRequest)
	case r.QueueName != "active":
		return nil, 0, fmt.Errorf("%w: queue %q", ErrBadRequest, r.QueueName)
	case !queue.ValidID(string(r.QueueID)):
		return nil, 0, fmt.Errorf("%w: queue id %q", ErrBadRequest, r.QueueID)
	}
	return r, int(count), nil
}

func appendRecipient(l ipc.List, r *envelope.Recipient) ipc.List {
	l = l.Str("recipient", r.Address).Int("offset", r.Offset)
	l = optStr(l, "original_recipient", r.Original)
	l = optStr(l, "dsn_orig_rcpt", r.DSNOrcpt)
	return optInt(l, "notify_flags", int64(r.Notify))
}

func parseRecipient(l ipc.List) (envelope.Recipient, error) {
	in := &reader{l: l}
	r := envelope.Recipient{
		Address:  in.need("recipient"),
		Original: l.Value("original_recipient"),
		DSNOrcpt: l.Value("dsn_orig_rcpt"),
		Notify:   envelope.Notify(in.num("notify_flags", 15, true)),
		Offset:   in.num("offset", maxOffset, false),
	}
	return r, in.err
}

func appendClient(l ipc.List, c *envelope.Client) ipc.List {
	l = optStr(l, "log_client_name", c.Name)
	l = optStr(l, "log_client_address", c.Addr)
	l = optStr(l, "log_client_port", c.Port)
	l = optStr(l, "log_protocol_name", c.Proto)
	l = optStr(l, "log_helo_name", c.Helo)
	l = optStr(l, "reverse_client_name", c.ReverseName)
	l = optStr(l, "log_ident", c.Ident)
	l = optStr(l, "sasl_method", c.SASLMethod)
	l = optStr(l, "sasl_username", c.SASLUser)
	l = optStr(l, "sasl_sender", c.SASLSender)
	return optStr(l, "rewrite_context", c.RewriteContext)
}

func parseClient(l ipc.List) envelope.Client {
	return envelope.Client{
		Name: l.Value("log_client_name"), Addr: l.Value("log_client_address"),
		Port: l.Value("log_client_port"), Proto: l.Value("log_protocol_name"),
		Helo: l.Value("log_helo_name"), ReverseName: l.Value("reverse_client_name"),
		Ident: l.Value("log_ident"), SASLMethod: l.Value("sasl_method"),
		SASLUser: l.Value("sasl_username"), SASLSender: l.Value("sasl_sender"),
		RewriteContext: l.Value("rewrite_context"),
	}
}

// WriteReply sends an agent's reply.
func WriteReply(c *ipc.Conn, r Reply) error {
	l := ipc.List{}.Int("status", int64(r.Code))
	if !r.Site.IsZero() {
		l = l.Str("dsn_status", r.Site.Code).Int("dsn_reply", int64(r.Site.Reply)).
			Str("dsn_reason", clip(r.Site.Text)).Str("dsn_mta", clip(r.RemoteMTA))
	}
	return c.Send(l)
}

// ReadReply reads an agent's reply.
func ReadReply(c *ipc.Conn) (Reply, error) {
	l, err := c.Receive()
	if err != nil {
		return Reply{}, err
	}
	return parseReply(l)
}

func parseReply(l ipc.List) (Reply, error) {
	code, err := l.GetInt("status")
	if err != nil {
		return Reply{}, err
	}
	if code > ReplyDone || code < ReplyRefused {
		return Reply{}, fmt.Errorf("%w: status %d", ipc.ErrMalformed, code)
	}
	r := Reply{Code: int(code), RemoteMTA: l.Value("dsn_mta")}
	dsn, ok := l.Get("dsn_status")
	if !ok {
		return r, nil
	}
	if !status.ValidCode(dsn) {
		return Reply{}, fmt.Errorf("%w: dsn_status %q", ipc.ErrMalformed, dsn)
	}
	reply, err := l.GetInt("dsn_reply")
	if err != nil || reply < 0 || reply > 999 {
		return Reply{}, fmt.Errorf("%w: dsn_reply", ipc.ErrMalformed)
	}
	r.Site = status.New(int(reply), dsn, l.Value("dsn_reason"))
	return r, nil
}

func optStr(l ipc.List, name, value string) ipc.List {
	if value == "" {
		return l
	}
	return l.Str(name, value)
}

func optInt(l ipc.List, name string, value int64) ipc.List {
	if value == 0 {
		return l
	}
	return l.Int(name, value)
}

// clip keeps a text from the network within what a list carries.
func clip(s string) string {
	const limit = 4000
	if len(s) > limit {
		s = s[:limit]
	}
	return s
}

func micros(t time.Time) int64 {
	if t.IsZero() || t.UnixMicro() < 0 {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n)
}
