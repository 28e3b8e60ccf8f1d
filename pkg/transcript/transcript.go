// Package transcript records what is said in an SMTP session, and sends it to
// the postmaster when something happened in it that notify_classes names. It
// serves both sides of the protocol.
//
// A [Log] holds a bounded part of one session. What belongs to a login is
// never in it, and of a message only what was said about it. A [Notifier] makes
// the logs and mails them; its mail has the sender of double bounces, and a
// session that passes such mail on is not reported, so that a notice never
// leads to another.
package transcript

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/inject"
)

// Class is a set of the classes of notify_classes that a session can belong to.
type Class uint8

// The classes.
const (
	Bounce   Class = 1 << iota // a recipient or message that a bounce would be about
	Data                       // a table could not be read
	Policy                     // a request that the site does not want
	Protocol                   // the peer breaks the protocol
	Resource                   // no room, or a file that cannot be written
	Software                   // a mistake in the configuration or in a program
)

// classes reads notify_classes. The classes that only bounce(8) knows are
// passed over.
func classes(names []string) (set Class) {
	for _, name := range names {
		switch strings.ToLower(name) {
		case "bounce":
			set |= Bounce
		case "data":
			set |= Data
		case "policy":
			set |= Policy
		case "protocol":
			set |= Protocol
		case "resource":
			set |= Resource
		case "software":
			set |= Software
		}
	}
	return set
}

// Of is the class of what cleanup says about a message.
func Of(r inject.Result) (c Class) {
	for _, t := range []struct {
		bits  inject.Status
		class Class
	}{
		{inject.StatSize | inject.StatHops | inject.StatRcpt, Bounce},
		{inject.StatCont | inject.StatDefer | inject.StatNoPerm, Policy},
		{inject.StatBareLF, Protocol},
		{inject.StatWrite, Resource},
		{inject.StatBad | inject.StatProxy, Software},
	} {
		if r.Status&t.bits != 0 {
			c |= t.class
		}
	}
	return c
}

// Bounds of a log. Of a session that is longer its beginning and its end are
// kept.
const (
	maxLog  = 48 << 10
	maxHead = 8 << 10
	maxLine = 2048
)

// Directions of a line, as the notice shows them.
const (
	out = "Out: "
	in  = "In:  "
)

// hidden takes the place of what may be a password.
const hidden = "(not shown)"

// Log is the record of one session. A nil Log records nothing.
type Log struct {
	own   string // the sender of notices
	want  Class
	buf   []byte // lines
	seen  Class  // in what must be kept
	fresh Class  // in what came after mark
	mark  int    // end of what must be kept
	lines int    // after mark
	cut   int    // where lines are left out
	gone  int    // how many
	login bool   // AUTH was said, so that what is no command may be a password
	loop  bool   // mail from own was seen
}

// Sent records a line that we said.
func (l *Log) Sent(line string) {
	if l != nil {
		l.start(out)
		l.end(line)
	}
}

// Got records a line that the peer said.
func (l *Log) Got(line string) {
	if l != nil {
		l.start(in)
		l.end(line)
	}
}

// SentReply records a line of a reply of ours.
func (l *Log) SentReply(code int, more bool, text string) { l.reply(out, code, more, text) }

// GotReply records a line of a reply of the peer.
func (l *Log) GotReply(code int, more bool, text string) { l.reply(in, code, more, text) }

func (l *Log) reply(direction string, code int, more bool, text string) {
	if l == nil {
		return
	}
	l.start(direction)
	l.buf = strconv.AppendInt(l.buf, int64(code), 10)
	switch {
	case code == 334:
		text = hidden
		fallthrough
	case !more:
		l.buf = append(l.buf, ' ')
	default:
		l.buf = append(l.buf, '-')
	}
	l.end(text)
}

// GotCommand records a command of a client. known is false for what is not one:
// a client that has lost its place may send a password so.
func (l *Log) GotCommand(line string, known bool) {
	if l != nil {
		l.Got(l.safe(line, known))
	}
}

// SentCommand records a command of ours.
func (l *Log) SentCommand(line string) {
	if l != nil {
		l.Sent(l.safe(line, true))
	}
}

// GotSecret and SentSecret record that a line of a login was said.
func (l *Log) GotSecret() { l.Got(hidden) }

// SentSecret is the other direction of [Log.GotSecret].
func (l *Log) SentSecret() { l.Sent(hidden) }

// safe leaves out of a command what may be secret.
func (l *Log) safe(line string, known bool) string {
	word := strings.TrimLeft(line, " \t")
	if len(word) >= 4 && strings.EqualFold(word[:4], "AUTH") {
		l.login = true
		fields := strings.Fields(word)
		switch {
		case len(fields) == 1 && len(word) == 4:
			return line
		case len(fields) == 2 && len(fields[0]) == 4 && mechanism(fields[1]):
			return line
		case len(fields) > 2 && len(fields[0]) == 4 && mechanism(fields[1]):
			return fields[0] + " " + fields[1] + " " + hidden
		}
		return "AUTH " + hidden
	}
	if !known && l.login {
		return hidden
	}
	return line
}

// mechanism reports whether a word is the name of a mechanism for sure, and not
// a password in its place.
func mechanism(word string) bool {
	switch strings.ToUpper(word) {
	case "PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256",
		"SCRAM-SHA-256-PLUS", "EXTERNAL", "ANONYMOUS", "GSSAPI", "NTLM", "XOAUTH2", "OAUTHBEARER":
		return true
	}
	return false
}

// Sender records whose mail the session carries.
func (l *Log) Sender(addr string) {
	if l != nil && strings.EqualFold(addr, l.own) {
		l.loop = true
	}
}

// Erred says what is wrong with the session.
func (l *Log) Erred(c Class) {
	if l != nil {
		l.fresh |= c
	}
}

// Forgive forgets what was wrong so far, since the peer did well in the end.
// What was said stays.
func (l *Log) Forgive() {
	if l != nil {
		l.seen, l.fresh, l.mark = 0, 0, 0
	}
}

// Pause is a point at which a session can be forgotten: what came since the
// last one is, if it is more than some lines and nothing was wrong.
func (l *Log) Pause(lines int) {
	if l == nil || l.lines <= lines {
		return
	}
	if l.fresh&l.want == 0 {
		l.buf = l.buf[:l.mark]
		if l.cut > l.mark {
			l.cut, l.gone = 0, 0
		}
	}
	l.seen |= l.fresh
	l.fresh, l.mark, l.lines = 0, len(l.buf), 0
}

// String returns the lines of the log.
func (l *Log) String() string {
	if l == nil {
		return ""
	}
	return string(l.buf)
}

// wanted returns which of the classes that the postmaster wants to hear of the
// session belongs to.
func (l *Log) wanted() Class {
	if l == nil || l.loop {
		return 0
	}
	return (l.seen | l.fresh) & l.want
}

func (l *Log) start(direction string) {
	if len(l.buf) > maxLog-maxLine-16 {
		l.shorten()
	}
	l.buf = append(l.buf, direction...)
}

func (l *Log) end(text string) {
	if len(text) > maxLine {
		text = text[:maxLine-3] + "..."
	}
	at := len(l.buf)
	l.buf = append(l.buf, text...)
	// A line end here would make a line of what is none.
	for i, c := range l.buf[at:] {
		if c == '\n' {
			l.buf[at+i] = '?'
		}
	}
	l.buf = append(l.buf, '\n')
	l.lines++
}

// shorten leaves out lines in the middle.
func (l *Log) shorten() {
	if l.gone == 0 {
		l.cut = bytes.LastIndexByte(l.buf[:maxHead], '\n') + 1
	}
	to := l.cut + maxLog/4
	to += bytes.IndexByte(l.buf[to:], '\n') + 1
	l.gone += bytes.Count(l.buf[l.cut:to], []byte{'\n'})
	l.buf = append(l.buf[:l.cut], l.buf[to:]...)
	switch {
	case l.mark >= to:
		l.mark -= to - l.cut
	case l.mark > l.cut:
		l.mark = l.cut
	}
}
