package smtpserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// Ways in which a session ends other than by QUIT; they are what the log
// says.
const (
	reasonTimeout = "timeout"
	reasonLost    = "lost connection"
	afterMessage  = "END-OF-MESSAGE"
	reasonErrors  = "too many errors"
)

// Serve runs one session to its end. The caller closes conn.
func Serve(ctx context.Context, conn net.Conn, opts *Options, h Handler) error {
	s := &Session{opts: opts, h: h, where: "CONNECT", log: opts.Notices.Start()}
	s.serve(ctx, conn)
	if opts.Notices.Wanted(s.log) {
		conn.Close() // the client need not wait for the notice
	}
	opts.Notices.Finish(ctx, s.log, transcript.Session{Peer: s.Peer(), Reason: s.reason})
	return nil
}

// serve is the session while there is a connection.
func (s *Session) serve(ctx context.Context, conn net.Conn) {
	opts, h := s.opts, s.h
	s.conn = &timedConn{Conn: nowait.Wrap(conn), ctx: ctx, timeout: opts.Timeout, rate: opts.MinDataRate, request: opts.RequestDeadline}
	s.w = smtpwire.NewWriter(s.conn, opts.Buffers)
	s.r = smtpwire.NewReader(flushReader{s.w, s.conn}, opts.Buffers)
	defer s.r.Release()
	s.conn.begin()
	// A daemon that must go now wakes its sessions.
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	if opts.Leave != nil {
		defer context.AfterFunc(opts.Leave, func() { s.conn.leave(conn) })()
	}
	h.Open(ctx, s)
	defer h.Close(s)
	opts.Log.Info("", "connect from %s", s.Peer())
	s.run(ctx)
	if s.bdat.active && s.where == "BDAT" {
		s.logContentLost() // between chunks
	}
	s.reset()
	s.w.Flush()
	s.logEnd()
}

// flushReader sends what is buffered before it waits for the client: replies
// to pipelined commands leave together (RFC 2920 section 3.2).
type flushReader struct {
	w   *smtpwire.Writer
	src interface{ Read([]byte) (int, error) }
}

func (f flushReader) Read(b []byte) (int, error) {
	if err := f.w.Flush(); err != nil {
		return 0, err
	}
	return f.src.Read(b)
}

// run greets and then does commands until the session ends.
func (s *Session) run(ctx context.Context) {
	if s.opts.TLSWrapper && !s.startTLS(ctx) {
		return
	}
	if !s.Refused.IsZero() {
		s.reply(s.Refused)
		return
	}
	if st := s.h.Connect(ctx, s); !st.IsZero() {
		s.reply(st)
		if s.quit {
			return
		}
	} else {
		s.spokeFirst()
		s.say(220, false, s.opts.Banner)
	}
	for !s.quit && ctx.Err() == nil {
		if s.errors >= s.opts.HardErrors && !s.MayErr {
			s.reason = reasonErrors
			s.Erred(transcript.Protocol)
			s.say(421, false, "4.7.0 "+s.opts.Hostname+" Error: too many errors")
			return
		}
		s.conn.begin()
		s.conn.wait(true)
		line, err := s.r.ReadLine(s.lineLimit())
		leaving := err != nil && s.conn.leaving()
		s.conn.wait(false)
		if leaving {
			s.goAway()
			return
		}
		if errors.Is(err, smtpwire.ErrLineTooLong) {
			s.longLine(line)
			continue
		}
		if err != nil {
			if ctx.Err() == nil {
				s.ioError(err)
			}
			break
		}
		if s.r.BareLF() && s.BareLF == smtpwire.BareReject {
			s.bareCommand()
			return
		}
		if len(line) > s.opts.LineLimit && !isAuth(line) {
			s.longLine(line)
			continue
		}
		s.command(ctx, string(line))
	}
	if ctx.Err() != nil && !s.quit {
		s.goAway()
	}
}

// lineLimit is how long a command may be. An initial response of AUTH may be
// longer than any other argument (RFC 4954 section 4).
func (s *Session) lineLimit() int {
	if s.authenticator() == nil {
		return s.opts.LineLimit
	}
	return max(s.opts.LineLimit, s.opts.AuthLimit)
}

func isAuth(line []byte) bool { return len(line) > 5 && bytes.EqualFold(line[:5], []byte("AUTH ")) }

func (s *Session) longLine(line []byte) {
	if isAuth(line) {
		line = line[:5] // what follows may be a password
	}
	s.opts.Log.Warn("", "%s: request longer than %d: %.30s...", s.Peer(), s.opts.LineLimit, line)
	s.where = "UNKNOWN"
	s.counts.add(cmdUnknown, false)
	s.log.GotCommand(string(line[:min(len(line), 100)])+"...", false)
	s.fail(500, "5.5.2", "Error: line too long")
}

// goAway takes leave. RFC 5321 3.8: a server that must go says so.
func (s *Session) goAway() {
	s.say(421, false, "4.3.2 "+s.opts.Hostname+" Service shutting down")
}

// ioError notes why the connection cannot go on, and tells a client that was
// slow.
func (s *Session) ioError(err error) {
	s.quit = true
	if s.reason != "" {
		return
	}
	switch {
	case errors.Is(err, smtpwire.ErrLineFlood):
		s.reason = reasonErrors
		s.say(500, false, "5.5.2 Error: line too long")
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.reason = reasonTimeout
		s.say(421, false, "4.4.2 "+s.opts.Hostname+" Error: timeout exceeded")
	default:
		s.reason = reasonLost
	}
}

func (s *Session) bareCommand() {
	s.opts.Log.Info("", "disconnect: bare <LF> received after %s from %s", s.where, s.Peer())
	s.say(521, false, "5.5.2 "+s.opts.Hostname+" Error: bare <LF> received")
	s.quit = true
}

// logEnd writes the last lines of a session.
func (s *Session) logEnd() {
	// Many clients just go after their message; Postfix does not log it.
	if s.reason != "" && (s.where != afterMessage || s.reason != reasonLost) {
		s.opts.Log.Info("", "%s after %s from %s", s.reason, s.where, s.Peer())
	}
	s.opts.Log.Info("", "disconnect from %s %s", s.Peer(), &s.counts)
}

// reply sends a status, slowing down a client that makes many errors.
func (s *Session) reply(st status.Status) {
	if st.Reply == 421 || st.Reply == 521 {
		s.quit = true
	}
	if st.Reply >= 400 && s.errors >= s.opts.SoftErrors && !s.MayErr {
		s.w.Flush()
		time.Sleep(s.opts.ErrorSleep)
	}
	text := st.Text
	if st.Code != "" {
		text = st.Code + " " + text
	}
	if !s.opts.UTF8 {
		text = printable.ASCII(text)
	} else {
		text = printable.Text(text)
	}
	s.say(st.Reply, false, text)
}

// say sends a line of a reply.
func (s *Session) say(code int, more bool, text string) {
	s.log.SentReply(code, more, text)
	s.w.Reply(code, more, text)
}

// ok and fail are reply with the result that a command returns.
func (s *Session) ok(code int, enhanced, text string) bool {
	s.reply(status.Status{Reply: code, Code: enhanced, Text: text})
	return true
}

// fail is for what breaks the protocol, failAs for other errors: class is what
// the postmaster may want to be told of, or 0.
func (s *Session) fail(code int, enhanced, text string) bool {
	return s.failAs(transcript.Protocol, code, enhanced, text)
}

func (s *Session) failAs(class transcript.Class, code int, enhanced, text string) bool {
	s.errors++
	s.Erred(class)
	s.reply(status.Status{Reply: code, Code: enhanced, Text: text})
	return false
}

// decide answers for a handler: its status, or the given reply where it
// agreed.
func (s *Session) decide(st status.Status, code int, enhanced, text string) bool {
	if st.IsZero() {
		return s.ok(code, enhanced, text)
	}
	if st.Reply >= 400 {
		s.errors++
	}
	s.reply(st)
	return st.Reply < 400
}

// command does one command line. A line that cannot be read as one is an
// error, but not a command that the log counts.
func (s *Session) command(ctx context.Context, line string) {
	line = strings.TrimRight(line, " \t")
	verb, args, _ := strings.Cut(strings.TrimLeft(line, " \t"), " ")
	verb = strings.ToUpper(verb)
	c, known := s.find(verb)
	s.log.GotCommand(line, known)
	if s.opts.UTF8 && !utf8.ValidString(line) {
		s.fail(500, "5.5.2", "Error: bad UTF-8 syntax")
		return
	}
	if verb == "" {
		s.fail(500, "5.5.2", "Error: bad syntax")
		return
	}
	if !known {
		s.unknown(verb, line)
		return
	}
	s.where = verb
	if !s.Refused.IsZero() {
		s.counts.add(c.num, false)
		s.reply(s.Refused)
		s.quit = true
		return
	}
	if s.earlyTalk(c) {
		return
	}
	if c.junk {
		if s.junk++; s.junk > s.opts.JunkLimit {
			s.errors++
		}
	}
	if s.opts.TLSRequired && s.TLS == nil && !c.beforeTLS {
		s.counts.add(c.num, s.failAs(0, 530, "5.7.0", "Must issue a STARTTLS command first"))
		return
	}
	s.counts.add(c.num, c.do(s, ctx, strings.TrimLeft(args, " \t")))
}

// unknown answers what is no command. A forbidden word, or a line that does
// not begin with a letter, is another protocol or an attack: the client is
// thrown out.
func (s *Session) unknown(verb, line string) {
	s.where = "UNKNOWN"
	forbidden := verb[0] < 'A' || verb[0] > 'Z'
	for _, w := range s.opts.Forbidden {
		forbidden = forbidden || strings.EqualFold(w, verb)
	}
	if forbidden {
		s.counts.add(cmdUnknown, false)
		s.opts.Log.Warn("", "non-SMTP command from %s: %.100s", s.Peer(), line)
		s.say(221, false, "2.7.0 Error: I can break rules, too. Goodbye.")
		s.quit = true
		return
	}
	s.counts.add(cmdUnknown, s.fail(500, "5.5.2", "Error: command not recognized"))
}

// earlyTalk notices commands that a client sends before it may: behind
// commands that must come last in a group (RFC 2920 section 3.1), and behind
// any before EHLO.
func (s *Session) earlyTalk(c command) bool {
	if !s.Pending() || s.esmtp && !c.last || s.early && !s.opts.NoEarlyTalk {
		return false
	}
	s.early = true
	s.opts.Log.Info("", "improper command pipelining after %s from %s: %s", s.where, s.Peer(), escape(s.r.Pending()))
	if !s.opts.NoEarlyTalk {
		return false
	}
	s.counts.add(c.num, false)
	s.say(554, false, "5.5.0 Error: SMTP protocol synchronization")
	s.quit = true
	return true
}

// spokeFirst notices a client that sends commands before the greeting, which it
// must wait for (RFC 5321 section 4.3.1).
func (s *Session) spokeFirst() {
	if c, ok := s.conn.Conn.(*nowait.Conn); ok && !s.opts.TLSWrapper {
		s.r.Preload(c.ReadNow)
	}
	if s.Pending() {
		s.early = true
		s.opts.Log.Info("", "improper command pipelining after %s from %s: %s", s.where, s.Peer(), escape(s.r.Pending()))
	}
}

// escape returns the first bytes of what is pending, with what is not printable
// in the form that C has for it.
func escape(b []byte) string {
	var out []byte
	for _, c := range b[:min(len(b), 100)] {
		if i := strings.IndexByte("\a\b\f\n\r\t\v\\", c); i >= 0 {
			out = append(out, '\\', `abfnrtv\`[i])
		} else if c < ' ' || c >= 0x7f {
			out = fmt.Appendf(out, "\\%03o", c)
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

// reset ends the transaction, whatever state it is in.
func (s *Session) reset() {
	if s.mail != nil || s.nrcpt > 0 || s.bdat.active {
		s.h.Reset(s)
	}
	s.mail, s.nrcpt, s.over, s.QueueID = nil, 0, 0, ""
	s.bdat = bdatState{}
	s.body = smtpwire.Content{}
}

// logContentLost writes why a message did not arrive, with its size so far.
func (s *Session) logContentLost() {
	s.where = fmt.Sprintf("%s (%d bytes)", s.where, s.body.Info.Size)
}
