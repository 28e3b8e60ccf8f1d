package smtpclient

import (
	"context"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
)

// Dialogue is a message that is sent step by step, by a caller who is told of
// it in the same way: each step has its answer before the next one.
//
// It ends with [Dialogue.End]. A caller who gives up before that closes the
// connection once Data was called, since the server must not take the part
// that it has; before Data nothing needs to be done.
type Dialogue struct {
	t *transaction
	b *body
}

// Begin starts a message: MAIL. The recipients and the content of m are not
// looked at.
func (c *Conn) Begin(ctx context.Context, m *Message) (*Dialogue, *Failure) {
	defer c.watch(ctx)()
	own := *m
	own.Recipients, own.Content = nil, nil
	t := &transaction{Conn: c, m: &own}
	if f := t.check(); f != nil {
		return nil, f
	}
	if c.dirty {
		if err := c.Probe(ctx); err != nil {
			f := err.(*Failure)
			f.Early = c.ended()
			return nil, f
		}
	}
	// How fast the content comes is not the server's to answer for.
	c.conn.rate = 0
	c.Uses++
	if f := t.xforward(); f != nil {
		f.Early = true
		return nil, f
	}
	t.dirty = true
	t.command("%s", t.mailCommand())
	if f := t.mailAnswer(); f != nil {
		return nil, f
	}
	return &Dialogue{t: t}, nil
}

// Rcpt names one recipient. A failure may be about it alone.
func (d *Dialogue) Rcpt(ctx context.Context, r envelope.Recipient) *Failure {
	t := d.t
	defer t.watch(ctx)()
	n := len(t.out)
	t.out, t.open = append(t.out, Outcome{}), append(t.open, false)
	if f := checkAddress(r.Address); f != nil {
		t.out[n].Failure = f
		return f
	}
	t.command("%s", t.rcptCommand(&r))
	t.rcptReplies(n, 1)
	return t.out[n].Failure
}

// Data starts the content.
func (d *Dialogue) Data(ctx context.Context) *Failure {
	t := d.t
	defer t.watch(ctx)()
	t.command("DATA")
	r, f := t.dataAnswer()
	if f == nil && !r.Intermediate() {
		f = t.said(ScopeMessage, r, "DATA command")
	}
	if f != nil {
		t.failAll(f)
		return f
	}
	d.b = t.body()
	return nil
}

// Line sends a line of the content, or where eol is false a part of one. An
// error comes again with End.
func (d *Dialogue) Line(b []byte, eol bool) error { return d.b.line(b, eol) }

// Converts reports whether the content is changed for a server without
// 8BITMIME, so that no signature of it would last.
func (d *Dialogue) Converts() bool { return d.t.downgrades() }

// End completes the message, and returns what became of each recipient for
// which Rcpt was called, in their order. err, where it is not nil, is why the
// content is not complete: the server does not get its end then.
func (d *Dialogue) End(ctx context.Context, err error) []Outcome {
	t := d.t
	defer t.watch(ctx)()
	if f := t.endBody(d.b, err); f != nil {
		t.failAll(f)
		return t.out
	}
	t.endReplies()
	return t.out
}
