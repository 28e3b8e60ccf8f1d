package transcript

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/printable"
)

// Params are the parameters of notices.
type Params struct {
	Classes      []string `param:"notify_classes"`
	ErrorTo      string   `param:"error_notice_recipient"`
	BounceTo     string   `param:"bounce_notice_recipient"`
	DoubleSender string   `param:"double_bounce_sender"`
	Origin       string   `param:"myorigin"`
	Hostname     string   `param:"myhostname"`
	MailName     string   `param:"mail_name"`
	Filtered     []string `param:"internal_mail_filter_classes"`
	FromFormat   string   `param:"header_from_format"`
}

// Side is whose sessions a program has.
type Side string

// The sides, as subjects name them.
const (
	Server Side = "server"
	Client Side = "client"
)

// sendTime is how long a notice may take. Its session is over by then, but not
// the process that has to wait for it.
const sendTime = 30 * time.Second

// Notifier makes logs and sends those that matter. It is safe for concurrent
// use; a nil Notifier makes none.
type Notifier struct {
	p       Params
	side    Side
	want    Class
	own     string
	cleanup *inject.Client
	log     *maillog.Logger
	free    sync.Pool
	slots   chan struct{} // those that are being sent by FinishLater
	later   sync.WaitGroup
}

// New returns a Notifier, nil if the postmaster wants to hear of nothing that
// can happen in a session.
func New(p Params, side Side, cleanup *inject.Client, log *maillog.Logger) *Notifier {
	want := classes(p.Classes)
	if want == 0 {
		return nil
	}
	return &Notifier{p: p, side: side, want: want, own: p.DoubleSender + "@" + p.Origin, cleanup: cleanup, log: log,
		slots: make(chan struct{}, maxLater)}
}

// Start returns the log of a new session. It must end with [Notifier.Finish].
func (n *Notifier) Start() *Log {
	if n == nil {
		return nil
	}
	l, _ := n.free.Get().(*Log)
	if l == nil {
		l = &Log{buf: make([]byte, 0, 1024)}
	}
	*l = Log{own: n.own, want: n.want, buf: l.buf[:0]}
	return l
}

// Session is what a notice says about a session beside its log.
type Session struct {
	Peer   string // name[address], of a server with its port
	Reason string // why it ended early, or ""
}

// Wanted reports whether Finish will send a notice.
func (n *Notifier) Wanted(l *Log) bool { return l.wanted() != 0 }

// Finish sends the log of a session that is over, if it has something in it
// that the postmaster wants to hear of. What goes wrong is a warning: a notice
// is worth less than the mail that may wait for this process. It returns when
// the notice is on disk.
func (n *Notifier) Finish(ctx context.Context, l *Log, s Session) {
	if l == nil {
		return
	}
	if l.wanted() != 0 {
		// The session may have ended because its context did.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTime)
		defer cancel()
		if err := n.send(ctx, l, s); err != nil {
			n.log.Warn("", "postmaster notify: %v", err)
		}
	}
	const keep = 4096
	if cap(l.buf) <= keep {
		n.free.Put(l)
	}
}

// maxLater is how many notices FinishLater sends at a time. More of them at once
// tell the postmaster nothing new.
const maxLater = 20

// FinishLater is Finish for a caller who has other things to do. The last one
// calls Wait.
func (n *Notifier) FinishLater(l *Log, s Session) {
	if l.wanted() == 0 {
		n.Finish(context.Background(), l, s)
		return
	}
	select {
	case n.slots <- struct{}{}:
	default:
		n.log.Warn("", "postmaster notify: too many notices at once: no transcript of the session with %s", s.Peer)
		return
	}
	n.later.Go(func() {
		defer func() { <-n.slots }()
		n.Finish(context.Background(), l, s)
	})
}

// Wait waits for what FinishLater began.
func (n *Notifier) Wait() {
	if n != nil {
		n.later.Wait()
	}
}

// send submits a notice.
func (n *Notifier) send(ctx context.Context, l *Log, s Session) error {
	to := n.p.ErrorTo
	if l.wanted()&Bounce != 0 {
		to = n.p.BounceTo
	}
	sub, err := n.cleanup.Begin(ctx, inject.Internal(n.p.Filtered, "notify"))
	if err != nil {
		return err
	}
	sub.Attr("rewrite_context", "local")
	sub.Sender(envelope.Sender{Address: n.own})
	sub.Recipient(envelope.Recipient{Address: to})
	sub.StartContent()
	for _, line := range n.text(l, s, to, sub.QueueID()) {
		sub.Line([]byte(line))
	}
	result, err := sub.Finish()
	if err == nil && !result.OK() {
		err = fmt.Errorf("cleanup: status %d: %s", result.Status, result.Reason)
	}
	return err
}

// dateForm is the date of mail headers, RFC 5322 3.3.
const dateForm = "Mon, _2 Jan 2006 15:04:05 -0700 (MST)"

// text returns the lines of a notice, all in US-ASCII.
func (n *Notifier) text(l *Log, s Session, to, id string) []string {
	date := time.Now().Format(dateForm)
	lines := []string{
		"Received: by " + n.p.Hostname + " (" + n.p.MailName + ")",
		"\tid " + id + "; " + date,
		"Date: " + date,
		"From: " + n.mailbox("Mail Delivery System", "MAILER-DAEMON"),
		"To: " + n.mailbox("Postmaster", address.Quote(to)),
		"Subject: " + n.p.MailName + " SMTP " + string(n.side) + ": errors from " + s.Peer,
		"Auto-Submitted: auto-generated",
		"",
	}
	if n.side == Client {
		lines = append(lines, "Unexpected response from "+s.Peer+".", "")
	}
	lines = append(lines, "Transcript of session follows.", "")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	lines = append(l.show(lines), "")
	if s.Reason != "" {
		lines = append(lines, clean("Session aborted, reason: "+s.Reason))
	}
	if n.side == Server {
		lines = append(lines, "")
	}
	return append(lines, "For other details, see the local mail logfile")
}

// mailbox writes an address with a name as header_from_format asks for.
func (n *Notifier) mailbox(name, addr string) string {
	if n.p.FromFormat == "obsolete" {
		return addr + " (" + name + ")"
	}
	return address.Phrase(name) + " <" + addr + ">"
}

// clean makes a line safe. The tab that continues a header is ours.
func clean(line string) string {
	if rest, ok := strings.CutPrefix(line, "\t"); ok {
		return "\t" + printable.ASCII(rest)
	}
	return printable.ASCII(line)
}

// show appends the lines of the log as people read them. Each begins with a
// space, so that none looks like a part of the mail itself.
func (l *Log) show(lines []string) []string {
	const width = 78
	at := 0
	for line := range bytes.Lines(l.buf) {
		if l.gone > 0 && at == l.cut {
			lines = append(lines, fmt.Sprintf(" ... %d lines are left out ...", l.gone))
		}
		at += len(line)
		text := strings.TrimRight(string(line), " \n")
		for _, part := range printable.Wrap(printable.ASCII(text), width, "    ") {
			lines = append(lines, " "+part)
		}
	}
	return lines
}
