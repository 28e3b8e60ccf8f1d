package smtpserver

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// command is one row of the command table.
type command struct {
	num       int
	do        func(s *Session, ctx context.Context, args string) bool
	beforeTLS bool // allowed before STARTTLS where TLS is required
	last      bool // nothing may be pipelined behind it
	junk      bool // counts against the junk command limit
}

// find returns the row for a verb. XCLIENT and XFORWARD have their places
// here: a Handler that offers them will implement further interfaces, as
// Authenticator is one.
func (s *Session) find(verb string) (command, bool) {
	switch verb {
	case "HELO":
		return command{num: cmdHelo, do: (*Session).doHelo, beforeTLS: true, last: true, junk: true}, !s.opts.LMTP
	case "EHLO":
		return command{num: cmdEhlo, do: (*Session).doEhlo, beforeTLS: true, last: true, junk: true}, !s.opts.LMTP
	case "LHLO":
		return command{num: cmdEhlo, do: (*Session).doEhlo, beforeTLS: true, last: true, junk: true}, s.opts.LMTP
	case "STARTTLS":
		return command{num: cmdStartTLS, do: (*Session).doStartTLS, beforeTLS: true, last: true}, true
	case "AUTH":
		return command{num: cmdAuth, do: (*Session).doAuth, last: true}, true
	case "XCLIENT":
		return command{num: cmdXclient, do: (*Session).doNotAllowed, beforeTLS: true, last: true}, true
	case "XFORWARD":
		return command{num: cmdXforward, do: (*Session).doNotAllowed}, true
	case "MAIL":
		return command{num: cmdMail, do: (*Session).doMail}, true
	case "RCPT":
		return command{num: cmdRcpt, do: (*Session).doRcpt}, true
	case "DATA":
		return command{num: cmdData, do: (*Session).doData, last: true}, true
	case "BDAT":
		return command{num: cmdBdat, do: (*Session).doBdat}, s.offers("CHUNKING")
	case "RSET":
		return command{num: cmdRset, do: (*Session).doRset, junk: true}, true
	case "NOOP":
		return command{num: cmdNoop, do: (*Session).doNoop, beforeTLS: true, last: true, junk: true}, true
	case "VRFY":
		return command{num: cmdVrfy, do: (*Session).doVrfy, last: true, junk: true}, true
	case "ETRN":
		return command{num: cmdEtrn, do: (*Session).doEtrn, junk: true}, true
	case "QUIT":
		return command{num: cmdQuit, do: (*Session).doQuit, beforeTLS: true}, true
	}
	return command{}, false
}

func (s *Session) doHelo(ctx context.Context, args string) bool { return s.hello(ctx, "HELO", args) }

func (s *Session) doEhlo(ctx context.Context, args string) bool {
	if s.opts.LMTP {
		return s.hello(ctx, "LHLO", args)
	}
	return s.hello(ctx, "EHLO", args)
}

func (s *Session) hello(ctx context.Context, verb, args string) bool {
	name := strings.TrimSpace(args)
	if name == "" {
		return s.fail(501, "", "Syntax: "+verb+" hostname")
	}
	// RFC 5321 4.1.4: a new greeting starts anew.
	s.reset()
	s.log.Pause(s.opts.PauseLines)
	s.esmtp = verb != "HELO"
	s.Client.Helo = neuter(name)
	s.Client.Proto = "SMTP"
	switch {
	case s.opts.LMTP:
		s.Client.Proto = "LMTP" // RFC 3848
	case s.esmtp:
		s.Client.Proto = "ESMTP"
	}
	if st := s.h.Helo(ctx, s); !st.IsZero() {
		s.helo = s.helo || st.Reply < 400
		return s.decide(st, 0, "", "")
	}
	s.helo = true
	if !s.esmtp {
		return s.ok(250, "", s.opts.Hostname)
	}
	s.ehloReply(ctx)
	return true
}

// neuter makes a HELO name safe for logs, headers and attributes.
func neuter(s string) string {
	s = printable.Text(s)
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(` <>()\";@`, r) {
			return '?'
		}
		return r
	}, s)
}

// ehloReply offers the extensions, in Postfix's order.
func (s *Session) ehloReply(ctx context.Context) {
	lines := make([]string, 0, 12)
	lines = append(lines, s.opts.Hostname)
	add := func(on bool, keyword, rest string) {
		if on && s.offers(keyword) {
			lines = append(lines, keyword+rest)
		}
	}
	size := ""
	if s.opts.SizeLimit > 0 {
		size = " " + strconv.FormatInt(s.opts.SizeLimit, 10)
	}
	add(true, "PIPELINING", "")
	add(true, "SIZE", size)
	add(!s.opts.NoVRFY, "VRFY", "")
	add(!s.opts.LMTP && !s.opts.NoETRN, "ETRN", "")
	add(s.opts.TLS != nil && s.TLS == nil, "STARTTLS", "")
	lines = append(lines, s.authLines(ctx)...)
	add(s.MayVERP, "XVERP", "")
	add(true, "ENHANCEDSTATUSCODES", "")
	add(true, "8BITMIME", "")
	add(true, "DSN", "")
	add(s.opts.UTF8, "SMTPUTF8", "")
	if hold := s.opts.FutureRelease; hold > 0 {
		add(true, "FUTURERELEASE", " "+strconv.FormatInt(int64(hold/time.Second), 10)+" "+time.Now().Add(hold).UTC().Format(time.RFC3339))
	}
	add(s.opts.Priority || s.MayPriority, "MT-PRIORITY", "")
	add(s.opts.RequireTLS && s.TLS != nil, "REQUIRETLS", "")
	add(true, "CHUNKING", "")
	for i, l := range lines {
		s.say(250, i < len(lines)-1, l)
	}
}

func (s *Session) doMail(ctx context.Context, args string) bool {
	if s.opts.HeloNeeded && !s.helo {
		return s.failAs(transcript.Policy, 503, "5.5.1", "Error: send HELO/EHLO first")
	}
	if s.mail != nil {
		return s.fail(503, "5.5.1", "Error: nested MAIL command")
	}
	path, ok := cutFold(args, "FROM:")
	if !ok || strings.TrimSpace(path) == "" {
		return s.fail(501, "5.5.4", "Syntax: MAIL FROM:<address>")
	}
	// What was left of an earlier transaction must not be seen again.
	s.reset()
	utf := s.opts.UTF8 && strings.Contains(strings.ToUpper(path), " SMTPUTF8")
	addr, rest, err := parsePath(path, s.opts.StrictPaths, utf)
	if err != nil || s.dashed(addr) {
		s.opts.Log.Warn("", "Illegal address syntax from %s in MAIL command: %s", s.Peer(), strings.TrimSpace(path))
		return s.fail(501, "5.1.7", "Bad sender address syntax")
	}
	m := &Mail{}
	m.Address = addr
	s.log.Sender(addr)
	if st := s.mailParams(strings.Fields(rest), m); !st.IsZero() {
		s.Erred(transcript.Protocol)
		return s.decide(st, 0, "", "")
	}
	if !s.decide(s.h.Mail(ctx, s, m), 250, "2.1.0", "Ok") {
		return false
	}
	s.mail = m
	return true
}

// dashed reports an address that a program may take for an option.
func (s *Session) dashed(addr string) bool { return s.opts.NoDashes && strings.HasPrefix(addr, "-") }

func (s *Session) doRcpt(ctx context.Context, args string) bool {
	if s.mail == nil {
		return s.fail(503, "5.5.1", "Error: need MAIL command")
	}
	if s.bdat.active {
		return s.fail(503, "5.5.1", "Error: RCPT after BDAT")
	}
	path, ok := cutFold(args, "TO:")
	if !ok || strings.TrimSpace(path) == "" {
		return s.fail(501, "5.5.4", "Syntax: RCPT TO:<address>")
	}
	addr, rest, err := parsePath(path, s.opts.StrictPaths, s.mail.UTF8)
	if err != nil || addr == "" || s.dashed(addr) {
		s.opts.Log.Warn("", "Illegal address syntax from %s in RCPT command: %s", s.Peer(), strings.TrimSpace(path))
		return s.fail(501, "5.1.3", "Bad recipient address syntax")
	}
	r := &Rcpt{}
	r.Address = addr
	if st := s.rcptParams(strings.Fields(rest), r); !st.IsZero() {
		s.Erred(transcript.Protocol)
		return s.decide(st, 0, "", "")
	}
	if s.nrcpt >= s.opts.RcptLimit {
		return s.tooManyRcpts()
	}
	if !s.decide(s.h.Rcpt(ctx, s, r), 250, "2.1.5", "Ok") {
		return false
	}
	s.nrcpt++
	return true
}

// tooManyRcpts answers recipients beyond the limit. A client that sends a
// few more in the same group has done nothing wrong.
func (s *Session) tooManyRcpts() bool {
	s.over++
	s.Erred(transcript.Policy)
	if s.over > s.opts.RcptOver {
		return s.failAs(transcript.Policy, 452, "4.5.3", "Error: too many recipients")
	}
	s.say(452, false, "4.5.3 Error: too many recipients")
	return true
}

func (s *Session) doRset(_ context.Context, args string) bool {
	if args != "" {
		return s.fail(501, "5.5.4", "Syntax: RSET")
	}
	s.reset()
	s.log.Pause(s.opts.PauseLines)
	return s.ok(250, "2.0.0", "Ok")
}

func (s *Session) doNoop(context.Context, string) bool { return s.ok(250, "2.0.0", "Ok") }

func (s *Session) doVrfy(ctx context.Context, args string) bool {
	if s.opts.NoVRFY {
		return s.failAs(transcript.Policy, 502, "5.5.1", "VRFY command is disabled")
	}
	text := strings.TrimSpace(args)
	utf := false
	if s.opts.UTF8 {
		if i := strings.LastIndexByte(text, ' '); i > 0 && strings.EqualFold(text[i+1:], "SMTPUTF8") {
			text, utf = strings.TrimSpace(text[:i]), true
		}
	}
	if text == "" {
		return s.fail(501, "5.5.4", "Syntax: VRFY address"+map[bool]string{true: " [SMTPUTF8]"}[s.opts.UTF8])
	}
	addr, rest, err := parsePath(text, false, utf)
	if err != nil || addr == "" || rest != "" || s.dashed(addr) {
		s.opts.Log.Warn("", "Illegal address syntax from %s in VRFY command: %s", s.Peer(), text)
		return s.fail(501, "5.1.3", "Bad recipient address syntax")
	}
	return s.decide(s.h.Vrfy(ctx, s, addr), 252, "2.0.0", text)
}

func (s *Session) doEtrn(ctx context.Context, args string) bool {
	if s.opts.NoETRN {
		return s.fail(502, "5.5.1", "Error: command not implemented")
	}
	if s.opts.HeloNeeded && !s.helo {
		return s.failAs(transcript.Policy, 503, "", "Error: send HELO/EHLO first")
	}
	fields := strings.Fields(args)
	if len(fields) != 1 {
		return s.fail(500, "", "Syntax: ETRN domain")
	}
	// RFC 1985 5.3: '@' means the domain and its subdomains, '#' a queue.
	domain := strings.TrimLeft(fields[0], "@#")
	if checkDomain(domain, false) != nil && checkLiteral(domain) != nil {
		return s.fail(501, "", "Error: invalid parameter syntax")
	}
	return s.decide(s.h.Etrn(ctx, s, domain), 250, "", "Queuing started")
}

func (s *Session) doNotAllowed(context.Context, string) bool {
	return s.failAs(transcript.Policy, 550, "5.7.0", "Error: insufficient authorization")
}

func (s *Session) doQuit(context.Context, string) bool {
	s.reset()
	s.quit = true
	return s.ok(221, "2.0.0", "Bye")
}
