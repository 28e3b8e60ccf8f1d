package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/dropclient"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/intake"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queuetool"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// standAlone recognises the command line of sendmail -bs. master gives -S,
// which means stress there, only along with other options.
func standAlone(argv []string) bool { return len(argv) == 2 && argv[1] == "-S" }

// runStandAlone does one session on standard input and output with the rights
// of the caller, and returns the exit status.
func runStandAlone(in io.Reader, out io.Writer) int {
	signal.Ignore(syscall.SIGPIPE)
	t, err := queuetool.Open("smtpd", "", false)
	if err != nil {
		fmt.Fprintln(os.Stderr, queuetool.Line("smtpd", "fatal: "+err.Error()))
		return 1
	}
	defer t.Close()
	h, err := newLocal(t)
	if err != nil {
		t.Fatal("%v", err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	c := newStdio(in, out)
	defer c.finish()
	if err := smtpserver.Serve(ctx, c, &h.srv.opts, h); err != nil {
		t.Fatal("%v", err)
		return 1
	}
	return 0
}

// localServer has the parameters of the server, most of which do not matter.
type localServer struct {
	intake.Params
	log  *maillog.Logger
	opts smtpserver.Options
}

// local is the Handler of the stand-alone mode. It decides nothing: whoever is
// at the other end could as well run postdrop, and has no more rights here.
type local struct {
	srv     *localServer
	program dropclient.Program

	drop   *dropclient.Drop // nil outside a message
	id     string
	first  string // the first recipient
	size   int64
	tooBig bool
	body   bool // a content line was seen
	err    error
}

func newLocal(t *queuetool.Tool) (*local, error) {
	var p struct {
		CommandDir string `param:"command_directory"`
	}
	srv := &localServer{log: t.Log}
	for _, dst := range []any{&srv.Params, &p} {
		if err := t.Config.Fill(dst); err != nil {
			return nil, err
		}
	}
	srv.opts = srv.Options(t.Log)
	// There is no TLS in a pipe, and a script that writes all commands at
	// once harms nobody.
	srv.opts.NoEarlyTalk = false
	dir := t.Config.Dir()
	return &local{srv: srv, program: dropclient.Program{Dir: p.CommandDir, Config: dir,
		OwnConfig: dir != queuetool.DefaultConfigDir, Stderr: os.Stderr}}, nil
}

// Open names the client as Postfix does.
func (h *local) Open(_ context.Context, s *smtpserver.Session) {
	c := &s.Client
	c.Proto, c.Name, c.ReverseName, c.Addr = "SMTP", "localhost", "localhost", "127.0.0.1"
	// Scripts write lines that end in LF, and they are of this machine.
	s.BareLF = smtpwire.BareOff
}

// Connect, Helo, StartTLS and TLSDone have nothing to check.
func (h *local) Connect(context.Context, *smtpserver.Session) status.Status {
	return status.Status{}
}

// Helo agrees.
func (h *local) Helo(context.Context, *smtpserver.Session) status.Status { return status.Status{} }

// StartTLS is not offered.
func (h *local) StartTLS(context.Context, *smtpserver.Session) status.Status {
	return intake.CleanupGone()
}

// TLSDone does not happen.
func (h *local) TLSDone(context.Context, *smtpserver.Session, error) {}

// Mail checks the announced size (RFC 1870 section 6.1).
func (h *local) Mail(_ context.Context, s *smtpserver.Session, m *smtpserver.Mail) status.Status {
	h.Reset(s)
	if limit := h.srv.SizeLimit; limit > 0 && m.Size > limit {
		return status.New(552, "5.3.4", "Message size exceeds fixed limit")
	}
	return status.Status{}
}

// Rcpt starts postdrop with the first recipient.
func (h *local) Rcpt(ctx context.Context, s *smtpserver.Session, r *smtpserver.Rcpt) status.Status {
	if h.drop == nil {
		if err := h.begin(ctx, s); err != nil {
			h.srv.log.Warn("", "%s: %v", h.program.Path(), err)
			h.Reset(s)
			if errors.Is(err, dropclient.ErrDenied) {
				return status.New(550, "5.7.1", "Error: service denied")
			}
			return intake.CleanupGone()
		}
		h.first = r.Address
	}
	if r.Notify != 0 {
		h.attr(queue.AttrDSNNotify, fmt.Sprint(int(r.Notify)))
	}
	if r.DSNOrcpt != "" {
		h.attr(queue.AttrDSNOrcpt, r.DSNOrcpt)
	}
	h.rec(queue.RecRcpt, []byte(r.Address))
	return status.Status{}
}

// begin sends what comes before the recipients.
func (h *local) begin(ctx context.Context, s *smtpserver.Session) (err error) {
	if h.drop, err = h.program.Start(ctx); err != nil {
		return err
	}
	if h.id, err = h.drop.QueueID(); err != nil {
		return err
	}
	s.QueueID = h.id
	m := s.Mail()
	if m.EnvID != "" {
		h.attr(queue.AttrDSNEnvID, m.EnvID)
	}
	if m.Ret != 0 {
		h.attr(queue.AttrDSNRet, fmt.Sprint(int(m.Ret)))
	}
	h.attr(queue.AttrRewriteContext, queue.AttrLocalOrigin)
	h.rec(queue.RecFrom, []byte(m.Address))
	if m.Encoding != "" {
		h.attr(queue.AttrEncoding, m.Encoding)
	}
	if m.UTF8 {
		h.attr(queue.AttrSMTPUTF8, "1")
	}
	h.srv.log.Info(h.id, "client=%s", s.Peer())
	return h.err
}

// rec writes a record and remembers the first error, for End.
func (h *local) rec(typ byte, data []byte) {
	if h.err == nil {
		h.err = h.drop.Rec(typ, data)
	}
}

func (h *local) attr(name, value string) { h.rec(queue.RecAttr, []byte(name+"="+value)) }

// Data starts the content.
func (h *local) Data(_ context.Context, s *smtpserver.Session) status.Status {
	if h.drop == nil {
		return intake.CleanupGone()
	}
	h.rec(queue.RecMesg, nil)
	for _, l := range h.srv.Received(s, h.id, h.first, time.Now()) {
		h.rec(queue.RecNorm, []byte(l))
	}
	return status.Status{}
}

// Content passes a part of the message on.
func (h *local) Content(_ *smtpserver.Session, b []byte, eol bool) {
	h.size += int64(len(b)) + 2
	typ := queue.RecNorm
	if !eol {
		h.size -= 2
		typ = queue.RecCont
	}
	limit := h.srv.SizeLimit
	if h.tooBig = h.tooBig || limit > 0 && h.size > limit; h.tooBig {
		return
	}
	if !h.body {
		b = intake.MailboxLine(b)
		h.body = !bytes.HasPrefix(b, []byte("X-Mailbox-Line:"))
	}
	h.rec(typ, b)
}

// End asks postdrop whether the message is safe.
func (h *local) End(context.Context, *smtpserver.Session, smtpwire.ContentInfo) status.Status {
	if h.drop == nil {
		return intake.CleanupGone()
	}
	if h.tooBig {
		return status.New(552, "5.3.4", "Error: message file too big")
	}
	h.rec(queue.RecXtra, nil)
	h.rec(queue.RecEnd, nil)
	code, reason, err := h.drop.Finish()
	h.drop = nil
	if err != nil {
		h.srv.log.Warn(h.id, "%s: %v", h.program.Path(), err)
		return intake.CleanupGone()
	}
	return inject.Result{Status: inject.Status(code), Reason: reason, QueueID: h.id}.Reply()
}

// Reset drops a message that was not finished.
func (h *local) Reset(*smtpserver.Session) {
	if h.drop != nil {
		h.drop.Abort()
	}
	*h = local{srv: h.srv, program: h.program}
}

// Vrfy says no more than RCPT would.
func (h *local) Vrfy(context.Context, *smtpserver.Session, string) status.Status {
	return status.Status{}
}

// Etrn is for the network; an ordinary user has postqueue -s.
func (h *local) Etrn(context.Context, *smtpserver.Session, string) status.Status {
	return status.New(458, "", "Unable to queue messages")
}

// Close ends the session.
func (h *local) Close(s *smtpserver.Session) { h.Reset(s) }

// stdio makes a connection of standard input and output, which may be files,
// pipes or a terminal and have no deadlines of their own.
type stdio struct {
	net.Conn          // input
	out      net.Conn // output
	written  chan struct{}
}

// finishWait bounds the wait for a caller that reads no more.
const finishWait = 10 * time.Second

// newStdio starts copying; the process ends with the session, and with it the
// goroutine that waits for input.
func newStdio(in io.Reader, out io.Writer) *stdio {
	near, far := net.Pipe()
	outNear, outFar := net.Pipe()
	c := &stdio{Conn: near, out: outNear, written: make(chan struct{})}
	go func() {
		defer far.Close()
		io.Copy(far, in)
	}()
	go func() {
		defer close(c.written)
		defer outFar.Close()
		io.Copy(out, outFar)
	}()
	return c
}

// Write sends to standard output.
func (c *stdio) Write(b []byte) (int, error) { return c.out.Write(b) }

// SetWriteDeadline is about standard output.
func (c *stdio) SetWriteDeadline(t time.Time) error { return c.out.SetWriteDeadline(t) }

// finish waits until all replies have left.
func (c *stdio) finish() {
	c.Close()
	c.out.Close()
	select {
	case <-c.written:
	case <-time.After(finishWait):
	}
}
