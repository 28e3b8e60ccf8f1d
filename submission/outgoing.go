package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/intake"
	"github.com/posthouse-mail/posthouse/pkg/mime"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Limits of a header, which is kept in memory until it is complete.
const (
	maxFields = 2000
	maxHeader = 1 << 20
	// keepHeader is how much memory a header leaves to the next one.
	keepHeader = 32 << 10
)

// outgoing is the content of one message. Its header is collected, checked and
// completed; the body streams through.
type outgoing struct {
	h       *session
	s       *smtpserver.Session
	ctx     context.Context
	first   sink
	queue   queueSink
	header  header
	lines   int  // of the header
	partial bool // the line before had no end
	started bool // the header has gone on
	direct  bool // and the body goes to cleanup as it comes
}

// newOutgoing returns one for the next message, in memory that messages before
// it have used.
func newOutgoing(ctx context.Context, h *session, s *smtpserver.Session) *outgoing {
	o, _ := h.srv.used.Get().(*outgoing)
	if o == nil {
		o = &outgoing{}
	}
	o.h, o.s, o.ctx = h, s, ctx
	o.queue = queueSink{h: h}
	o.first = &o.queue
	if h.pass != nil {
		o.first = &passSink{h.pass}
	}
	for i := len(h.srv.signers) - 1; i >= 0; i-- {
		o.first = h.srv.signers[i](o.first)
	}
	return o
}

// release ends the use of what a message had. What a large header took is left
// to the collector.
func (o *outgoing) release() {
	srv := o.h.srv
	if cap(o.header.text) > keepHeader {
		return
	}
	o.header.forget()
	*o = outgoing{header: o.header}
	srv.used.Put(o)
}

// line takes a line of the message, or a part of one.
func (o *outgoing) line(b []byte, eol bool) {
	// Cleanup makes blanks of stray line ends, and what is signed must be
	// what is queued.
	if o.s.StrayCR() {
		b = noLineEnds(b)
	}
	switch {
	case o.started: // nobody looks for anything in the body
		o.first.body(b, eol)
	case o.partial:
		o.partial = !eol
		o.header.extend(b, o.fieldLimit())
	default:
		o.partial = !eol
		o.headerLine(b, eol)
	}
}

// headerLine takes what begins a line in front of the body.
func (o *outgoing) headerLine(b []byte, eol bool) {
	if o.lines++; o.lines == 1 {
		b = intake.MailboxLine(b)
	}
	blank := len(b) > 0 && (b[0] == ' ' || b[0] == '\t')
	if blank && o.header.open {
		o.header.extend([]byte{'\n'}, o.fieldLimit())
		o.header.extend(b, o.fieldLimit())
		return
	}
	n := mime.HeaderName(b)
	// Later fields would be taken for text by whoever reads the message.
	if n == 0 && len(b) > 0 && !blank && o.lines > 1 {
		o.refuse(554, "5.6.0", fmt.Sprintf("line %d of the header is no header field: %q; there must be an empty line before the text",
			o.lines, shorten(printable.Text(string(b)), 40)))
		return
	}
	o.endField()
	switch {
	case o.h.Refused():
	case n > 0:
		o.header.begin(lowerName(b[:n]))
		o.header.extend(b, o.fieldLimit())
	default:
		o.endHeader()
		o.startBody(b, eol)
	}
}

// startBody takes the first line behind the header. A header that ends without
// an empty line gets one.
func (o *outgoing) startBody(b []byte, eol bool) {
	if o.h.Refused() {
		return
	}
	if len(b) > 0 || !eol {
		o.first.body(nil, true)
	}
	o.first.body(b, eol)
}

// fieldLimit is how much of a field is kept: one more than the limit shows what
// is over it.
func (o *outgoing) fieldLimit() int { return o.h.srv.HeaderSize + 1 }

// endField checks the field that is complete now, if there is one.
func (o *outgoing) endField() {
	h := &o.header
	if !h.open {
		return
	}
	f := h.end()
	if len(f.text) > o.h.srv.HeaderSize {
		o.refuse(552, "5.3.4", fmt.Sprintf("the header field %s is longer than %d bytes", shorten(f.name, 60), o.h.srv.HeaderSize))
	}
	if len(h.text) > maxHeader || len(h.fields) > maxFields {
		o.refuse(552, "5.3.4", fmt.Sprintf("the header of the message is too long: more than %d fields or %d bytes", maxFields, maxHeader))
	}
}

// noLineEnds returns a line without line ends in it.
func noLineEnds(b []byte) []byte {
	b = bytes.Clone(b)
	for i, c := range b {
		if c == '\r' || c == '\n' {
			b[i] = ' '
		}
	}
	return b
}

// refuse drops the message with a text for the human who wrote it.
func (o *outgoing) refuse(reply int, code, text string) {
	o.h.Refuse(status.New(reply, code, "Error: "+text))
}

// end ends the message.
func (o *outgoing) end(ctx context.Context) {
	o.ctx = ctx
	if !o.started {
		o.endField()
		o.endHeader()
	}
	if o.h.Refused() {
		return
	}
	if err := o.first.end(ctx); err != nil {
		o.failed(err)
	}
}

// failed refuses the message for now.
func (o *outgoing) failed(err error) {
	o.h.srv.Log().Warn(o.s.QueueID, "%v", err)
	o.refuse(451, "4.3.0", "the message cannot be processed now; please try again later")
}

// endHeader completes the header and passes it on.
func (o *outgoing) endHeader() {
	o.started = true
	if !o.h.Refused() && o.h.pass == nil {
		if st := o.h.EndEnvelope(o.ctx, o.s); !st.IsZero() {
			o.h.Refuse(st)
		}
	}
	if !o.h.Refused() {
		o.complete()
	}
	if o.h.Refused() {
		return
	}
	o.header.trace = o.trace()
	var err error
	if o.first, err = o.first.header(o.ctx, &o.header); err != nil {
		o.failed(err)
	}
	_, o.direct = o.first.(*queueSink)
	o.header.forget()
}

// trace makes the Received field. Without the client's address it says only
// who took the message.
func (o *outgoing) trace() []string {
	h := o.h
	first := h.FirstRecipient()
	if h.pass != nil {
		first = h.pass.first()
	}
	lines := h.srv.Received(o.s, o.s.QueueID, first, time.Now())
	if !h.srv.ShowClient {
		for i, l := range lines {
			if by, ok := strings.CutPrefix(l, "\tby "); ok {
				lines = append([]string{"Received: by " + by}, lines[i+1:]...)
				break
			}
		}
	}
	return lines
}
