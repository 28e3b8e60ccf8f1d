package main

import "context"

// passSink is the last stage of a message that goes past the queue.
type passSink struct{ p *passed }

// header implements sink. Content that need not be kept goes out from here on.
func (q *passSink) header(ctx context.Context, h *header) (sink, error) {
	p := q.p
	o := p.h.out
	if n := h.count("received"); n > p.h.srv.HopLimit {
		o.refuse(554, "5.4.0", "too many hops")
		return q, nil
	}
	if p.hop.conn != nil && !p.hop.conn.Caps.SMTPUTF8 && o.s.Mail().UTF8 && h.utf8() {
		// RFC 6531 3.6.
		o.refuse(554, "5.6.9", "the header of the message needs SMTPUTF8, which the next mail server does not know")
		return q, nil
	}
	p.slots = h.slots
	if p.keeps(h) {
		p.whole = &spool{all: p.hop.spools}
		if len(h.slots) > 0 && p.d.Converts() {
			o.refuse(554, "5.6.3", "the message has 8-bit text and is signed, and the next mail server takes only 7-bit text")
			return q, nil
		}
	} else if f := p.data(ctx); f != nil {
		p.log(f)
		p.h.Refuse(p.refused(f))
		return q, nil
	}
	for _, line := range p.h.Prepended() {
		q.body([]byte(line), true)
	}
	for line := range h.lines {
		q.body(line, true)
	}
	return q, nil
}

// body implements sink.
func (q *passSink) body(line []byte, eol bool) {
	p := q.p
	switch {
	case p.whole != nil:
		p.whole.line(line, eol)
	case p.err == nil && p.sending:
		p.err = p.d.Line(line, eol)
	}
}

// end implements sink.
func (q *passSink) end(context.Context) error {
	if q.p.whole != nil {
		return q.p.whole.err
	}
	return nil
}

// utf8 reports whether a field has other than ASCII text.
func (h *header) utf8() bool {
	for i := range h.fields {
		if !isASCII(string(h.fields[i].text)) {
			return true
		}
	}
	return false
}
