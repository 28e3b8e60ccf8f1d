package main

import (
	"context"
	"fmt"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/dkim"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/tlskeys"
)

// dkimStage signs by DKIM, with each key of the author's domain.
func (srv *server) dkimStage() stage {
	keys := tlskeys.NewDKIM(ipc.NewPool(tlskeys.Endpoint, tlskeys.Timeout))
	return func(next sink) sink { return &dkimSink{next: next, keys: keys, oversign: srv.Oversign} }
}

// dkimSink signs one message.
type dkimSink struct {
	next     sink
	keys     *tlskeys.DKIM
	oversign []string

	signatures []*dkim.Signature
	slots      []*slot
	bodyHash   *dkim.BodyHash
	inBody     bool
}

// header implements sink. A domain without keys is not signed; one whose keys
// cannot be asked for now must not leave without.
func (d *dkimSink) header(ctx context.Context, h *header) (sink, error) {
	keys, err := d.keys.Keys(ctx, address.Domain(h.from))
	if err != nil {
		return d, fmt.Errorf("DKIM keys: %w", err)
	}
	if len(keys) == 0 {
		return d.next.header(ctx, h)
	}
	d.bodyHash = dkim.NewBodyHash()
	fields := make([][]byte, len(h.fields))
	for i := range h.fields {
		fields[i] = h.fields[i].text
	}
	o := dkim.Options{Oversign: d.oversign, Now: time.Now()}
	for _, k := range keys {
		s := dkim.New(k, fields, o)
		field := &slot{s.Placeholder()}
		d.signatures, d.slots = append(d.signatures, s), append(d.slots, field)
		h.slots = append(h.slots, field)
	}
	d.next, err = d.next.header(ctx, h)
	return d, err
}

// body implements sink.
func (d *dkimSink) body(line []byte, eol bool) {
	if d.inBody {
		d.bodyHash.Line(line, eol)
	}
	d.inBody = true // the empty line behind the header is no part of the body
	d.next.body(line, eol)
}

// end implements sink.
func (d *dkimSink) end(ctx context.Context) error {
	sum := d.bodyHash.Sum()
	for i, s := range d.signatures {
		sig, err := d.keys.Sign(ctx, s.Key(), s.Digest(sum))
		if err != nil {
			return fmt.Errorf("DKIM signature: %w", err)
		}
		if d.slots[i].text, err = s.Field(sum, sig); err != nil {
			return err
		}
	}
	return d.next.end(ctx)
}
