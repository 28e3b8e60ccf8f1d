package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/dropclient"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queuetool"
)

// Trace flags of a queue file, as in a delivery request.
const (
	traceProbe  = 1 << 9  // -bv
	traceReport = 1 << 10 // -v
)

// Bits of postdrop's status, which are those of cleanup.
const (
	statusBad    = 1
	statusWrite  = 2
	statusSize   = 4
	statusNoPerm = 512
)

// maxRecipients bounds the recipients of one message.
const maxRecipients = 100_000

// submit reads a message and hands it to postdrop.
func (c *command) submit() error {
	name, err := c.identify()
	if err != nil {
		return err
	}
	if c.from, err = c.sender(); err != nil {
		return err
	}
	var rcpts []string
	for _, r := range c.o.recipients {
		rcpts = append(rcpts, splitAddresses(r)...)
	}
	if len(rcpts) == 0 && !c.o.fromHeader {
		return c.fail(exUsage, "Recipient addresses must be specified on the command line or via the -t option")
	}
	return c.drop(func(w *queue.RecordWriter) error {
		return c.write(w, name, rcpts)
	})
}

// sender returns the envelope sender in internal form.
func (c *command) sender() (string, error) {
	if c.o.sender == nil {
		return c.login, nil
	}
	s := strings.TrimSpace(*c.o.sender)
	if s == "" || s == "<>" {
		return "", nil
	}
	list := address.ListAddresses(s, 2)
	if len(list) == 0 {
		return "", fail(exUsage, "-f option specified malformed sender: %s", s)
	}
	if len(list) > 1 {
		fmt.Fprintf(c.stderr, "sendmail: warning: -f option specified malformed sender: %s\n", s)
	}
	return list[0], nil
}

// drop runs postdrop and lets fill write the message to it. If fill fails,
// postdrop sees the end of its input too early and leaves no file.
func (c *command) drop(fill func(*queue.RecordWriter) error) error {
	program := dropclient.Program{Dir: c.p.CommandDir, Config: c.o.configDir,
		OwnConfig: c.o.configDir != queuetool.DefaultConfigDir, Stderr: c.stderr}
	d, err := program.Start(context.Background())
	if err != nil {
		return c.fail(exTempFail, "unable to execute %s: %v", program.Path(), err)
	}
	var own *exit
	if err := fill(d.RecordWriter); errors.As(err, &own) {
		d.Abort()
		return err
	}
	// A write error means that postdrop gave up; its reply says why.
	code, reason, err := d.Finish()
	switch {
	case errors.Is(err, dropclient.ErrGaveUp):
		// Such as of a record that is too long.
		return c.judge(statusWrite, "queue file write error")
	case err != nil:
		return c.fail(exTempFail, "unable to execute %s: %v", program.Path(), err)
	}
	return c.judge(code, reason)
}

// fail is an error with the sender and who that is.
func (c *command) fail(code int, format string, args ...any) error {
	return fail(code, "%s(%d): %s", c.from, c.uid, fmt.Sprintf(format, args...))
}

// judge turns the reply into an exit status.
func (c *command) judge(code int, text string) error {
	if code == 0 {
		return nil
	}
	if text == "" {
		text = "message not accepted"
	}
	exitCode := exUnavailable
	switch {
	case code&statusBad != 0:
		exitCode = exSoftware
	case code&(statusWrite|statusSize) != 0: // Postfix's status also for what is too large
		exitCode = exTempFail
	case code&statusNoPerm != 0:
		exitCode = exNoPerm
	}
	return c.fail(exitCode, "%s", text)
}

// records writes records and remembers the first error.
type records struct {
	w   *queue.RecordWriter
	err error
}

func (r *records) rec(typ byte, s string) {
	if r.err == nil {
		r.err = r.w.RecString(typ, s)
	}
}

func (r *records) attr(name, value string) { r.rec(queue.RecAttr, name+"="+value) }

// write writes the whole message as records, in Postfix's order.
func (c *command) write(w *queue.RecordWriter, name string, rcpts []string) error {
	r := &records{w: w}
	if c.o.envid != "" {
		r.attr(queue.AttrDSNEnvID, c.o.envid)
	}
	if c.o.ret != 0 {
		r.attr(queue.AttrDSNRet, fmt.Sprint(c.o.ret))
	}
	context := queue.AttrLocalOrigin
	if c.o.gateway {
		context = queue.AttrRemoteOrigin
	}
	r.attr(queue.AttrRewriteContext, context)
	if name != "" || c.o.haveName {
		r.rec(queue.RecFull, name)
	}
	r.rec(queue.RecFrom, c.from)
	if c.o.encoding != "" {
		r.attr(queue.AttrEncoding, c.o.encoding)
	}
	if c.o.requireTLS {
		r.attr(queue.AttrRequireTLS, envelope.TLSRequired.String())
	}
	c.trace(r)
	if err := c.verp(r); err != nil {
		return err
	}
	c.recipients(r, rcpts)
	r.rec(queue.RecMesg, "")
	extracted, err := c.content(r, rcpts)
	if err != nil {
		return err
	}
	r.rec(queue.RecXtra, "")
	c.recipients(r, extracted)
	r.rec(queue.RecEnd, "")
	return r.err
}

// verp writes the record for -XV.
func (c *command) verp(r *records) error {
	if c.o.verp == nil {
		return nil
	}
	if c.from == "" {
		return c.fail(exUsage, "-V option requires non-null sender address")
	}
	delims := *c.o.verp
	if delims == "" {
		delims = c.p.VerpDelims
	}
	if !envelope.ValidVERP(delims, c.p.VerpFilter) {
		return fail(exUsage, "-V requires two characters from %s", c.p.VerpFilter)
	}
	r.rec(queue.RecVerp, delims)
	return nil
}

// trace asks for a report, for -v and -bv.
func (c *command) trace(r *records) {
	flag := 0
	switch {
	case c.o.probe:
		flag = traceProbe
	case c.o.report():
		flag = traceReport
	default:
		return
	}
	r.attr(queue.AttrTraceFlags, fmt.Sprint(flag))
	fmt.Fprintf(c.stdout, "Mail Delivery Status Report will be mailed to <%s>.\n", c.from)
}

func (c *command) recipients(r *records, rcpts []string) {
	for _, rcpt := range rcpts {
		if c.o.notify != 0 {
			r.attr(queue.AttrDSNNotify, fmt.Sprint(c.o.notify))
		}
		r.rec(queue.RecRcpt, rcpt)
	}
}

// content writes the message text. It returns the recipients that the headers
// name, for -t.
func (c *command) content(r *records, rcpts []string) ([]string, error) {
	if c.o.probe {
		if c.from != "" {
			r.rec(queue.RecNorm, "From: "+address.Quote(c.from))
		}
		r.rec(queue.RecNorm, "Subject: probe")
		r.rec(queue.RecCont, "To:")
		for i, rcpt := range rcpts {
			comma := ","
			if i == len(rcpts)-1 {
				comma = ""
			}
			r.rec(queue.RecNorm, "\t"+address.Quote(rcpt)+comma)
		}
		return nil, nil
	}
	m := newReader(c.stdin, c.p.LineLength, c.p.FixEndings, !c.o.dotIsData)
	h := &headers{active: c.o.fromHeader, limit: maxHeader}
	for {
		part, eol, err := m.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, c.fail(exTempFail, "error reading input: %v", err)
		}
		h.part(part, eol)
		typ := queue.RecNorm
		if !eol {
			typ = queue.RecCont
		}
		if r.err == nil {
			r.err = r.w.Rec(typ, part)
		}
		if r.err != nil {
			return nil, r.err
		}
	}
	if !c.o.fromHeader {
		return nil, nil
	}
	found, err := h.recipients()
	if err != nil {
		return nil, c.fail(exDataErr, "unable to extract recipients: %v", err)
	}
	if len(found)+len(rcpts) == 0 {
		return nil, c.fail(exUsage, "No recipient addresses found in message header")
	}
	return found, nil
}
