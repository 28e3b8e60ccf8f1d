package bounceclient

import (
	"fmt"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Verb says what the daemon is to do. The numbers are those of Postfix.
type Verb int

// The verbs.
const (
	VerbAppend Verb = iota
	VerbFlush
	VerbWarn
	VerbVerp
	VerbOne
	VerbTrace
)

// Request is one request to the bounce daemon. Entry is there with VerbAppend
// and VerbOne.
type Request struct {
	Verb    Verb
	Flags   int
	Message Message
	Entry   Entry
	// Delimiters are there with VerbVerp.
	Delimiters string
}

// maxText bounds a text from the network, so that a request fits in a list.
const maxText = 4000

// List returns the request as an attribute list.
func (r *Request) List() ipc.List {
	m := &r.Message
	l := make(ipc.List, 0, 24)
	l = l.Int("nrequest", int64(r.Verb)).Int("flags", int64(r.Flags)).
		Str("queue_name", m.QueueName).Str("queue_id", string(m.QueueID)).
		Str("encoding", m.Encoding).Int("smtputf8", int64(m.UTF8)).
		Str("sender", m.Sender.Address).Str("envelope_id", m.Sender.EnvID).
		Int("ret_flags", int64(m.Sender.Ret)).Int("requiretls", int64(m.Sender.TLS))
	if r.Verb == VerbVerp {
		return l.Str("verp_delimiters", r.Delimiters)
	}
	if r.Verb != VerbAppend && r.Verb != VerbOne {
		return l
	}
	e := &r.Entry
	return l.Str("recipient", e.Recipient.Address).
		Str("original_recipient", e.Recipient.Original).
		Str("dsn_orig_rcpt", e.Recipient.DSNOrcpt).
		Int("notify_flags", int64(e.Recipient.Notify)).
		Int("offset", e.Recipient.Offset).
		Str("relay", clip(e.Relay)).
		Str("status", e.Status.Code).Int("reply", int64(e.Status.Reply)).
		Str("action", e.Action).Str("reason", clip(e.Status.Text)).
		Str("diag_type", e.DiagType).Str("diag_text", clip(e.DiagText)).
		Str("mta_type", e.MTAType).Str("mta", clip(e.MTA)).
		Int("time", e.Time.Unix())
}

// ParseRequest reads and checks a request. Its texts still have to be made
// printable before they are shown.
func ParseRequest(l ipc.List) (*Request, error) {
	in := &reader{l: l}
	r := &Request{
		Verb:  Verb(in.num("nrequest", int64(VerbTrace))),
		Flags: int(in.num("flags", 1<<20)),
		Message: Message{
			QueueName: in.str("queue_name"),
			QueueID:   queue.ID(in.str("queue_id")),
			Encoding:  in.str("encoding"),
			UTF8:      int(in.num("smtputf8", 255)),
			Sender: envelope.Sender{
				Address: in.str("sender"), EnvID: in.str("envelope_id"),
				Ret: envelope.Ret(in.num("ret_flags", 3)),
				TLS: envelope.TLSWish(in.num("requiretls", 2)),
			},
		},
	}
	if in.err == nil && (r.Verb == VerbAppend || r.Verb == VerbOne) {
		r.Entry = in.entry()
	}
	if r.Verb == VerbVerp {
		r.Delimiters = in.str("verp_delimiters")
		if in.err == nil && len(r.Delimiters) != 2 {
			in.err = fmt.Errorf("%w: VERP delimiters %q", ipc.ErrMalformed, r.Delimiters)
		}
	}
	switch q := r.Message.QueueName; {
	case in.err != nil:
		return nil, in.err
	case !queue.ValidID(string(r.Message.QueueID)):
		return nil, fmt.Errorf("%w: queue id %q", ipc.ErrMalformed, r.Message.QueueID)
	case q != "active" && q != "incoming" && q != "deferred" && q != "hold":
		return nil, fmt.Errorf("%w: queue %q", ipc.ErrMalformed, q)
	}
	return r, nil
}

// reader keeps the first error over several attributes.
type reader struct {
	l   ipc.List
	err error
}

func (r *reader) str(name string) string {
	v, ok := r.l.Get(name)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("%w: no attribute %q", ipc.ErrMalformed, name)
	}
	return v
}

func (r *reader) num(name string, limit int64) int64 {
	n, err := r.l.GetInt(name)
	if err == nil && (n < 0 || n > limit) {
		err = fmt.Errorf("%w: %s out of range", ipc.ErrMalformed, name)
	}
	if err != nil && r.err == nil {
		r.err = err
	}
	return n
}

func (r *reader) entry() Entry {
	e := Entry{
		Recipient: envelope.Recipient{
			Address: r.str("recipient"), Original: r.str("original_recipient"),
			DSNOrcpt: r.str("dsn_orig_rcpt"),
			Notify:   envelope.Notify(r.num("notify_flags", 15)),
			Offset:   r.num("offset", 1<<53-1),
		},
		Relay:    r.str("relay"),
		Status:   status.New(int(r.num("reply", 999)), r.str("status"), r.str("reason")),
		Action:   r.str("action"),
		DiagType: r.str("diag_type"), DiagText: r.str("diag_text"),
		MTAType: r.str("mta_type"), MTA: r.str("mta"),
		Time: time.Unix(r.num("time", 1<<40), 0),
	}
	if r.err == nil && !status.ValidCode(e.Status.Code) {
		r.err = fmt.Errorf("%w: status %q", ipc.ErrMalformed, e.Status.Code)
	}
	if r.err == nil && !validAction(e.Action) {
		r.err = fmt.Errorf("%w: action %q", ipc.ErrMalformed, e.Action)
	}
	return e
}

func validAction(s string) bool {
	switch s {
	case "failed", "delayed", "delivered", "relayed", "expanded", "deliverable", "undeliverable":
		return true
	}
	return false
}

func clip(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return s
}
