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
	scanner mime.Scanner
	first   sink
	queue   queueSink
	header  header
	size    int
	lines   int // of the header
	partial bool
	started bool // the header has gone on
}

// newOutgoing returns one for the next message, in memory that messages before
// it have used.
func newOutgoing(ctx context.Context, h *session, s *smtpserver.Session) *outgoing {
	o, _ := h.srv.used.Get().(*outgoing)
	if o == nil {
		o = &outgoing{}
	}
	o.h, o.s, o.ctx = h, s, ctx
	// One more than the limit shows what is over it.
	o.scanner.Reset((*events)(o), mime.Limits{Header: h.srv.HeaderSize + 1, Plain: true})
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
	*o = outgoing{scanner: o.scanner, header: o.header}
	o.scanner.Reset(nil, mime.Limits{})
	srv.used.Put(o)
}

// line takes a line of the message, or a part of one.
func (o *outgoing) line(b []byte, eol bool) {
	// Cleanup makes blanks of stray line ends, and what is signed must be
	// what is queued.
	if bytes.IndexByte(b, '\r') >= 0 || bytes.IndexByte(b, '\n') >= 0 {
		b = noLineEnds(b)
	}
	if o.started { // nobody looks for anything in the body
		if !o.h.Refused() {
			o.first.body(b, eol)
		}
		return
	}
	if !o.partial {
		o.lines++
		if o.lines == 1 {
			b = intake.MailboxLine(b)
		}
		// Later fields would be taken for text by whoever reads the message.
		if len(b) > 0 && b[0] != ' ' && b[0] != '\t' && mime.HeaderName(b) == 0 && o.lines > 1 {
			o.refuse(554, "5.6.0", fmt.Sprintf("line %d of the header is no header field: %q; there must be an empty line before the text",
				o.lines, shorten(printable.Text(string(b)), 40)))
			return
		}
	}
	o.partial = !eol
	// Errors are noted as they happen.
	_ = o.scanner.Line(b, eol)
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
	_ = o.scanner.End()
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

// events is what the scanner tells.
type events outgoing

// Header implements mime.Handler.
func (e *events) Header(_ mime.Class, text []byte) error {
	o := (*outgoing)(e)
	name := lowerName(text[:mime.HeaderName(text)])
	if len(text) > o.h.srv.HeaderSize {
		o.refuse(552, "5.3.4", fmt.Sprintf("the header field %s is longer than %d bytes", shorten(name, 60), o.h.srv.HeaderSize))
	}
	if o.size += len(text); o.size > maxHeader || len(o.header.fields) == maxFields {
		o.refuse(552, "5.3.4", fmt.Sprintf("the header of the message is too long: more than %d fields or %d bytes", maxFields, maxHeader))
	}
	if !o.h.Refused() {
		o.header.keep(name, text)
	}
	return nil
}

// HeaderEnd implements mime.Handler.
func (e *events) HeaderEnd() error {
	o := (*outgoing)(e)
	o.started = true
	if !o.h.Refused() {
		o.complete()
	}
	if o.h.Refused() {
		return nil
	}
	o.header.trace = o.trace()
	if err := o.first.header(o.ctx, &o.header); err != nil {
		o.failed(err)
	}
	o.header.forget()
	return nil
}

// Body implements mime.Handler.
func (e *events) Body(line []byte, eol bool) error {
	if o := (*outgoing)(e); !o.h.Refused() {
		o.first.body(line, eol)
	}
	return nil
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
