package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/mime"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/keys"
)

// outgoing is what happens to messages on their way out: addresses are
// replaced by smtp_generic_maps, and smtp_header_checks and its kin may change
// headers and lines. The queue file stays as it is.
type outgoing struct {
	logger     *maillog.Logger
	rewriter   *rewrite.Client
	title      string // smtp_generic_maps or lmtp_generic_maps
	generic    *table.Maps
	headers    [4]*table.Maps // by mime.Class
	body       *table.Maps
	keys       keys.Options
	propagate  bool // carry extensions over
	bodyLimit  int
	limits     mime.Limits
	changesAny bool // some of the above is in use
}

// openOutgoing opens the tables.
func (a *agent) openOutgoing(o table.Options) error {
	out, p := &a.out, a.p
	for _, m := range []struct {
		dst  **table.Maps
		name string
		spec []string
	}{
		{&out.generic, "generic_maps", p.GenericMaps},
		{&out.headers[mime.Primary], "header_checks", p.HeaderChecks},
		{&out.headers[mime.Part], "mime_header_checks", p.MIMEHeaderChecks},
		{&out.headers[mime.Nested], "nested_header_checks", p.NestedHeaderChecks},
		{&out.body, "body_checks", p.BodyChecks},
	} {
		maps, err := table.OpenMaps(m.spec, o)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		*m.dst = maps
		out.changesAny = out.changesAny || !maps.Empty()
	}
	dests, err := table.NewStringList([]string{p.MyDestination}, table.ListOptions{Options: o, Name: "mydestination"})
	if err != nil {
		return err
	}
	out.keys = keys.Options{Delimiters: p.RecipientDelimiter, Local: func(ctx context.Context, domain string) (bool, error) {
		if strings.EqualFold(domain, p.MyOrigin) {
			return true, nil
		}
		return dests.Match(ctx, domain)
	}}
	for _, class := range p.Propagate {
		out.propagate = out.propagate || class == "generic"
	}
	out.bodyLimit = p.BodyChecksSize
	out.limits = mime.Limits{Header: p.HeaderSizeLimit, Nesting: p.MIMENestingLimit, Boundary: p.MIMEBoundaryLimit}
	return nil
}

// changed reports whether a table was edited.
func (o *outgoing) changed() bool {
	for _, m := range append(o.headers[:], o.generic, o.body) {
		if m.Changed() {
			return true
		}
	}
	return false
}

// address returns what smtp_generic_maps makes of an address in internal form.
func (o *outgoing) address(ctx context.Context, addr string) (string, error) {
	if addr == "" || o.generic.Empty() {
		return addr, nil
	}
	r, err := keys.Canonical(ctx, o.generic, addr, o.keys)
	if err != nil || !r.Found {
		return addr, err
	}
	list, err := r.Addresses(addr, o.propagate, func(a string) (string, error) {
		standard, err := o.rewriter.Rewrite(ctx, rewrite.Local, address.Quote(a))
		return address.Canonical(standard), err
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w", address.Quote(addr), err)
	}
	if len(list) > 1 {
		o.logger.Warn("", "multi-valued %s result for %s", o.title, address.Quote(addr))
	}
	return list[0], nil
}

// filter changes one message; it is a [mime.Handler].
type filter struct {
	*outgoing
	ctx  context.Context
	log  func(format string, args ...any)
	next smtpwire.ContentFunc
	scan mime.Scanner

	bodySeen int
}

// through returns content as the site wants it to leave.
func (o *outgoing) through(ctx context.Context, content func(smtpwire.ContentFunc) error, log func(string, ...any)) func(smtpwire.ContentFunc) error {
	if !o.changesAny {
		return content
	}
	return func(next smtpwire.ContentFunc) error {
		f := &filter{outgoing: o, ctx: ctx, log: log, next: next}
		f.scan.Reset(f, o.limits)
		if err := content(f.scan.Line); err != nil {
			return err
		}
		return f.scan.End()
	}
}

// Header implements [mime.Handler].
func (f *filter) Header(c mime.Class, text []byte) error {
	f.bodySeen = 0
	text, err := f.check("header", f.headers[c], text)
	if err != nil || text == nil {
		return err
	}
	if n := mime.HeaderName(text); c == mime.Primary && n > 0 && !f.generic.Empty() && hasAddresses(text[:n]) {
		colon := n + bytes.IndexByte(text[n:], ':') + 1
		value, err := address.RewriteList(string(text[colon:]), f.external)
		if err != nil {
			return err
		}
		text = append(text[:colon:colon], value...)
	}
	return f.lines(text)
}

// external maps an address as it stands in a header.
func (f *filter) external(ext string) (string, error) {
	internal := address.Canonical(ext)
	mapped, err := f.address(f.ctx, internal)
	if err != nil || mapped == internal {
		return ext, err
	}
	return address.Quote(mapped), nil
}

// hasAddresses tells whether a header has addresses that are rewritten.
func hasAddresses(name []byte) bool {
	return mime.AddressesOf(strings.ToLower(string(name))) != mime.NoAddresses
}

// HeaderEnd implements [mime.Handler].
func (f *filter) HeaderEnd() error { return nil }

// Body implements [mime.Handler].
func (f *filter) Body(line []byte, eol bool) error {
	if f.body.Empty() || len(line) == 0 || f.bodyLimit > 0 && f.bodySeen >= f.bodyLimit {
		return f.next(line, eol)
	}
	f.bodySeen += len(line)
	out, err := f.check("body", f.body, line)
	if err != nil || out == nil {
		return err
	}
	return f.next(out, eol)
}

// lines writes a text of one or more lines.
func (f *filter) lines(text []byte) error {
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if err := f.next(line, true); err != nil {
			return err
		}
	}
	return nil
}

// check applies a table to a header or a line, and returns what is to be sent
// instead, nil for nothing. Here only the actions work that change the text;
// what decides about the message was for cleanup.
func (f *filter) check(what string, maps *table.Maps, text []byte) ([]byte, error) {
	if maps.Empty() {
		return text, nil
	}
	value, found, err := maps.Lookup(f.ctx, string(text))
	if err != nil || !found {
		return text, err
	}
	action, arg, _ := strings.Cut(value, " ")
	action, arg = strings.ToUpper(action), strings.TrimLeft(arg, " \t")
	clean := []byte(strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(arg))
	valid := len(clean) > 0 && (what != "header" || mime.HeaderName(clean) > 0)
	switch {
	case action == "DUNNO" || action == "OK":
	case action == "IGNORE":
		return nil, nil
	case action == "STRIP":
		f.logAct("strip", what, text, arg)
		return nil, nil
	case action == "WARN":
		f.logAct("warning", what, text, arg)
	case action == "INFO":
		f.logAct("info", what, text, arg)
	case action == "REPLACE" && valid:
		f.logAct("replace", what, text, arg)
		return clean, nil
	case action == "PREPEND" && valid:
		f.logAct("prepend", what, text, arg)
		return text, f.next(clean, true)
	default:
		f.log("warning: unsupported or incomplete command in %s checks: %s %s", what, action, arg)
	}
	return text, nil
}

// maxLogged is how much of a header or line goes into the log.
const maxLogged = 200

func (f *filter) logAct(verb, what string, text []byte, arg string) {
	line := fmt.Sprintf("%s: %s %s", verb, what, text[:min(len(text), maxLogged)])
	if arg != "" {
		line += ": " + arg
	}
	f.log("%s", line)
}
