package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/bouncetext"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queue/bouncelog"
)

// notice is a delivery status notification to be sent.
type notice struct {
	req         *bounceclient.Request
	msg         *queue.Message
	from, to    string
	entries     []bouncelog.Entry
	postmaster  bool // to the postmaster, not to the sender
	headersOnly bool // return the header of the original only
	utf8        bool // message/global and so on
	body8       bool // the text is not US-ASCII
	boundary    string
	err         error
	out         *inject.Submission
}

// maxEntries bounds the recipients that one notice lists; the rest is counted.
const maxEntries = 10000

func (s *server) newNotice(req *bounceclient.Request, msg *queue.Message) *notice {
	return &notice{req: req, msg: msg, utf8: req.Message.UTF8&envelope.UTF8Requested != 0}
}

// send submits a notice and logs its queue id. When it returns nil, the
// notice is on disk.
func (s *server) send(ctx context.Context, n *notice, t bouncetext.Template, what string) error {
	n.body8 = !n.postmaster && t.EightBit()
	flags := inject.Internal(s.params.Filtered, "bounce")
	if n.utf8 {
		flags |= inject.FlagUTF8
	}
	sub, err := s.cleanup.Begin(ctx, flags)
	if err != nil {
		return s.sendFailed(n, what, err)
	}
	n.out = sub
	sub.Attr("rewrite_context", "local")
	if n.eightBit() {
		sub.Attr("encoding", envelope.Encoding8bit)
	}
	// RFC 8689 section 5: what is in a notice needs the same protection.
	sub.Sender(envelope.Sender{Address: n.from, TLS: n.req.Message.Sender.TLS})
	rcpt := envelope.Recipient{Address: n.to}
	if n.from == "" {
		// RFC 3461 section 6.1: no notices about notices.
		rcpt.Notify = envelope.NotifyNever
	}
	sub.Recipient(rcpt)
	sub.StartContent()
	n.boundary = fmt.Sprintf("%s.%d/%s", n.req.Message.QueueID, s.now().Unix(), s.params.Hostname)
	s.header(n, t)
	s.text(n, t)
	s.report(n, t)
	s.original(n, t)
	n.line("")
	n.line("--" + n.boundary + "--")
	if n.err != nil {
		sub.Abort()
		return s.sendFailed(n, what, n.err)
	}
	result, err := sub.Finish()
	if err == nil && !result.OK() {
		err = fmt.Errorf("cleanup: status %d: %s", result.Status, result.Reason)
	}
	if err != nil {
		return s.sendFailed(n, what, err)
	}
	s.log.Info(string(n.req.Message.QueueID), "%s: %s", what, sub.QueueID())
	return nil
}

func (s *server) sendFailed(n *notice, what string, err error) error {
	return fmt.Errorf("%s to <%s>: %w", what, n.to, err)
}

// line writes one line of the notice, with what is not printable replaced.
func (n *notice) line(s string) {
	if n.err == nil {
		n.err = n.out.Line([]byte(s))
	}
}

func (n *notice) linef(format string, args ...any) {
	n.line(printable.Text(fmt.Sprintf(format, args...)))
}

// dateForm is the date of mail headers, RFC 5322 3.3.
const dateForm = "Mon, _2 Jan 2006 15:04:05 -0700 (MST)"

// fromHeader gives the author's name the place that header_from_format asks
// for; the built-in texts have it as a comment.
func (s *server) fromHeader(t *bouncetext.Template) string {
	from := t.From
	if t.OwnFrom {
		return from
	}
	addr, name, ok := strings.Cut(from, " (")
	if !ok || !strings.HasSuffix(name, ")") || s.params.FromFormat == "obsolete" || strings.ContainsAny(addr, " <") {
		return from
	}
	return address.Phrase(strings.TrimSuffix(name, ")")) + " <" + addr + ">"
}

func (s *server) header(n *notice, t bouncetext.Template) {
	now := s.now()
	date := now.Format(dateForm)
	n.linef("Received: by %s (%s)", s.params.Hostname, s.params.MailName)
	n.line("\tid " + n.out.QueueID() + "; " + date)
	n.line("Date: " + date)
	n.linef("From: %s", s.fromHeader(&t))
	subject := t.Subject
	if n.postmaster && t.CopySubject != "" {
		subject = t.CopySubject
	}
	n.linef("Subject: %s", subject)
	n.linef("To: %s", quoteAddress(n.to))
	n.line("Auto-Submitted: " + n.submitted())
	n.line("MIME-Version: 1.0")
	n.line("Content-Type: multipart/report; report-type=" + n.statusType() + ";")
	n.line("\tboundary=\"" + n.boundary + "\"")
	if n.eightBit() {
		n.line("Content-Transfer-Encoding: 8bit")
	}
	n.linef("Message-Id: <%s.%s@%s>", now.Format("20060102150405"), n.out.QueueID(), s.params.Hostname)
	if id := n.originalID(); s.params.Threaded && id != "" {
		n.linef("In-Reply-To: %s", id)
		n.linef("References: %s", id)
	}
	n.line("")
	n.line("This is a MIME-encapsulated message.")
	n.line("")
}

// submitted is the keyword of RFC 3834 5: the sender gets a reply, the
// postmaster a report.
func (n *notice) submitted() string {
	if n.postmaster {
		return "auto-generated"
	}
	return "auto-replied"
}

// originalID returns the Message-ID of the original, or "".
func (n *notice) originalID() string {
	const maxLines = 1000
	c := n.msg.Content()
	defer c.Close()
	for range maxLines {
		data, eol, err := c.Next()
		if err != nil || eol && len(data) == 0 {
			return ""
		}
		name, value, ok := strings.Cut(string(data), ":")
		value = strings.TrimSpace(value)
		// An id that is folded, or is not one, is left out.
		if ok && eol && strings.EqualFold(strings.TrimSpace(name), "Message-ID") &&
			strings.HasPrefix(value, "<") && strings.HasSuffix(value, ">") && printable.IsText(value) {
			return value
		}
	}
	return ""
}

// eightBit reports whether the notice has parts that are not US-ASCII.
func (n *notice) eightBit() bool { return n.utf8 || n.body8 || n.msg.Encoding == envelope.Encoding8bit }

func (n *notice) statusType() string {
	if n.utf8 {
		return "global-delivery-status"
	}
	return "delivery-status"
}

// text writes the part for people.
func (s *server) text(n *notice, t bouncetext.Template) {
	n.line("--" + n.boundary)
	n.line("Content-Description: Notification")
	charset := "us-ascii"
	switch {
	case t.Charset != "" && !n.postmaster:
		charset = t.Charset
	case n.utf8:
		charset = "utf-8"
	}
	n.linef("Content-Type: text/plain; charset=%s", charset)
	if n.utf8 || n.body8 {
		n.line("Content-Transfer-Encoding: 8bit")
	}
	n.line("")
	// The text is for senders; a postmaster knows.
	if !n.postmaster {
		for _, l := range t.Text {
			n.line(l)
		}
	}
	for i := range n.entries {
		if i == maxEntries {
			n.line("")
			n.linef("... and %d more.", len(n.entries)-i)
			break
		}
		e := &n.entries[i]
		text := "<" + e.Recipient.Address + ">"
		if o := e.Recipient.Original; o != "" && !strings.EqualFold(o, e.Recipient.Address) {
			text += " (expanded from <" + o + ">)"
		}
		n.line("")
		n.fold(text+": "+e.Reason, "    ")
	}
	n.line("")
}

// fold writes a long text in lines of some 80 bytes, broken at spaces.
func (n *notice) fold(text, indent string) {
	for _, line := range printable.Wrap(n.clean(text), 79, indent) {
		n.line(line)
	}
}

// clean makes text safe for a part of the notice's character set.
func (n *notice) clean(text string) string {
	if n.utf8 {
		return printable.Text(text)
	}
	return printable.ASCII(text)
}

// original writes the part with the message itself, or its header.
func (s *server) original(n *notice, t bouncetext.Template) {
	headers := n.headersOnly || n.req.Message.Sender.TLS == envelope.TLSRequired || n.msg.ContentLength > s.params.SizeLimit
	kind, description := "message/rfc822", t.Content
	switch {
	case headers && n.utf8:
		kind = "message/global-headers"
	case headers:
		kind = "text/rfc822-headers"
	case n.utf8:
		kind = "message/global"
	}
	if headers {
		description += " Headers"
	}
	n.line("")
	n.line("--" + n.boundary)
	n.line("Content-Description: " + description)
	n.line("Content-Type: " + kind)
	if n.eightBit() {
		n.line("Content-Transfer-Encoding: 8bit")
	}
	n.line("")
	n.linef("Return-Path: <%s>", s.shownSender(n))
	n.copyContent(headers)
}

// copyContent copies the lines of the original, up to the empty line if only
// the header is wanted.
func (n *notice) copyContent(headers bool) {
	c := n.msg.Content()
	defer c.Close()
	start := true
	for n.err == nil {
		data, eol, err := c.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			n.err = err
			return
		}
		if headers && start && eol && len(data) == 0 {
			return
		}
		if eol {
			n.err = n.out.Line(data)
		} else {
			n.err = n.out.Fragment(data)
		}
		start = eol
	}
}
