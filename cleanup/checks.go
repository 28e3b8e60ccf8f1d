package main

import (
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/mime"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/table"
)

// checkHeader applies header_checks and its kin to a logical header. It
// returns what is to be kept of it.
func (m *message) checkHeader(c mime.Class, text []byte) (out []byte, keep bool) {
	m.bodySeen = 0
	return m.check("header", titles()[c], m.s.headerChecks[c], text)
}

func titles() [4]string {
	return [...]string{mime.Primary: "header_checks", mime.Part: "mime_header_checks", mime.Nested: "nested_header_checks"}
}

// checkBody applies body_checks to a line.
func (m *message) checkBody(line []byte) (out []byte, keep bool) {
	limit := m.s.p.BodyChecksSize
	if limit > 0 && m.bodySeen >= limit {
		return line, true
	}
	m.bodySeen += len(line)
	return m.check("body", "body_checks", m.s.bodyChecks, line)
}

// check looks text up and does what the result says.
func (m *message) check(what, title string, maps *table.Maps, text []byte) (out []byte, keep bool) {
	if maps.Empty() || len(text) == 0 || m.flags&inject.FlagFilter == 0 {
		return text, true
	}
	value, found, err := maps.Lookup(m.ctx, string(text))
	if err != nil {
		m.lookup(title, string(text[:min(len(text), 100)]), err)
		return text, true
	}
	if !found {
		return text, true
	}
	return m.act(what, title, text, value)
}

// act does what the result of a table says.
func (m *message) act(what, title string, text []byte, value string) (out []byte, keep bool) {
	action, arg, _ := strings.Cut(value, " ")
	action, arg = strings.ToUpper(action), strings.TrimLeft(arg, " \t")
	switch action {
	case "DUNNO", "OK":
	case "IGNORE":
		return nil, false
	case "STRIP":
		m.logAct("strip", what, text, arg)
		return nil, false
	case "WARN":
		m.logAct("warning", what, text, arg)
	case "INFO":
		m.logAct("info", what, text, arg)
	case "PASS":
		m.logAct("pass", what, text, arg)
		m.passAll()
	case "REJECT":
		m.reject(what, text, arg)
	case "DISCARD":
		m.logAct("discard", what, text, arg)
		m.flags |= inject.FlagDiscard
	case "HOLD":
		if m.flags&inject.FlagHold == 0 {
			m.logAct("hold", what, text, arg)
			m.flags |= inject.FlagHold
		}
	case "PREPEND":
		return m.prepend(what, title, text, arg)
	case "REPLACE":
		return m.replace(what, title, text, arg)
	case "FILTER", "REDIRECT", "BCC", "DELAY":
		m.divert(what, title, text, action, arg)
	default:
		m.s.log.Warn("", "unknown command in %s map: %s", title, value)
	}
	return text, true
}

// passAll turns the checks off for the rest of the message.
func (m *message) passAll() {
	m.flags &^= inject.FlagFilter
	m.filterBody = false
}

func (m *message) reject(what string, text []byte, arg string) {
	st := status.Parse(arg, "5.7.1")
	if st.Text == "" {
		st.Text = "message content rejected"
	}
	if st.Success() {
		// A reply that refuses must not say that all is well (RFC 3463 3.1).
		m.s.log.Warn(m.id, "bad DSN action in %s -- need 4.x.x or 5.x.x", arg)
		st = st.As('4')
	}
	bit := inject.StatCont
	if m.s.p.SoftBounce || st.Temporary() {
		st = st.As('4')
		bit = inject.StatDefer
	}
	m.logAct("reject", what, text, st.String())
	m.fail(bit, st.String())
}

func (m *message) prepend(what, title string, text []byte, arg string) ([]byte, bool) {
	if arg == "" {
		m.s.log.Warn(m.id, "PREPEND action without text in %s map", title)
		return text, true
	}
	if what == "header" && mime.HeaderName([]byte(arg)) == 0 {
		m.s.log.Warn(m.id, "bad PREPEND header text in %s map: %s", title, arg)
		return text, true
	}
	m.logAct("prepend", what, text, arg)
	m.text([]byte(oneLine(arg, what)))
	return text, true
}

func (m *message) replace(what, title string, text []byte, arg string) ([]byte, bool) {
	if arg == "" || what == "header" && mime.HeaderName([]byte(arg)) == 0 {
		m.s.log.Warn(m.id, "bad REPLACE text in %s map: %s", title, arg)
		return text, true
	}
	m.logAct("replace", what, text, arg)
	return []byte(oneLine(arg, what)), true
}

// oneLine keeps the line ends of a header that is folded, and no others.
func oneLine(s, what string) string {
	s = strings.ReplaceAll(s, "\r", " ")
	lines := strings.Split(s, "\n")
	for i, line := range lines[1:] {
		if what != "header" || !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			lines[i+1] = "\x00" + line
		}
	}
	return strings.ReplaceAll(strings.Join(lines, "\n"), "\n\x00", " ")
}

// divert handles actions that name a transport or an address.
func (m *message) divert(what, title string, text []byte, action, arg string) {
	switch {
	case arg == "":
		m.s.log.Warn(m.id, "missing %s argument in %s map", action, title)
	case action == "FILTER" && !strings.Contains(arg, ":"):
		m.s.log.Warn(m.id, "bad FILTER command %s in %s map: need transport:destination", arg, title)
	case action == "FILTER":
		m.logAct("filter", what, text, arg)
		m.filter = arg
	case action == "REDIRECT" && !strings.Contains(arg, "@"):
		m.s.log.Warn(m.id, "bad REDIRECT target %s in %s map: need user@domain", arg, title)
	case action == "REDIRECT":
		m.logAct("redirect", what, text, arg)
		m.redirect = address.Canonical(arg)
		m.passAll()
	case action == "BCC" && !strings.Contains(arg, "@"):
		m.s.log.Warn(m.id, "bad BCC address %s in %s map: need user@domain", arg, title)
	case action == "BCC":
		m.logAct("bcc", what, text, arg)
		m.bcc = append(m.bcc, address.Canonical(arg))
	default:
		m.s.log.Warn(m.id, "unsupported command in %s map: %s %s", title, action, arg)
	}
}

// maxLogged is how much of a header or line goes into the log.
const maxLogged = 200

// logAct logs an action in the form that log analysers know.
func (m *message) logAct(verb, what string, text []byte, arg string) {
	origin := m.origin
	if origin == "" {
		origin = "local"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s %s from %s;", verb, what, text[:min(len(text), maxLogged)], origin)
	fmt.Fprintf(&b, " from=<%s>", external(m.sender))
	if m.firstRcpt != "" {
		fmt.Fprintf(&b, " to=<%s>", external(m.firstRcpt))
	}
	if m.proto != "" {
		fmt.Fprintf(&b, " proto=%s", m.proto)
	}
	if m.helo != "" {
		fmt.Fprintf(&b, " helo=<%s>", m.helo)
	}
	if arg != "" {
		fmt.Fprintf(&b, ": %s", arg)
	}
	m.s.log.Info(m.id, "%s", b.String())
}

// extract writes what headers and checks added, after the content.
func (m *message) extract() {
	if m.returned != "" {
		m.filter = "error:" + m.returned
	}
	if m.filter != "" {
		m.writeString(queue.RecFilt, m.filter)
	}
	if m.redirect != "" {
		m.writeString(queue.RecRdr, m.redirect)
	}
	if m.encoding != "" {
		m.attr(queue.AttrEncoding, m.encoding)
	}
}
