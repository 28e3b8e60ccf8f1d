package main

import (
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/bouncetext"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/queue/bouncelog"
)

// report writes the part for programs, RFC 3464 section 2.
func (s *server) report(n *notice, t bouncetext.Template) {
	m := &n.req.Message
	n.line("--" + n.boundary)
	n.line("Content-Description: Delivery report")
	n.line("Content-Type: message/" + n.statusType())
	if n.utf8 {
		n.line("Content-Transfer-Encoding: 8bit")
	}
	n.line("")
	n.linef("Reporting-MTA: dns; %s", s.params.Hostname)
	if id := strings.TrimLeft(decodeXtext(m.Sender.EnvID), " "); id != "" {
		n.linef("Original-Envelope-Id: %s", n.clean(id))
	}
	// The names are Postfix's, since programs look for them.
	n.linef("X-Postfix-Queue-ID: %s", m.QueueID)
	n.linef("X-Postfix-Sender: %s; %s", n.addressType(m.Sender.Address), n.clean(s.shownSender(n)))
	n.linef("Arrival-Date: %s", n.msg.Arrival.Format(dateForm))
	for i := range n.entries {
		if i == maxEntries {
			break
		}
		n.line("")
		n.recipient(&n.entries[i])
		if t.Retry {
			n.linef("Will-Retry-Until: %s", n.msg.Created.Add(s.params.MaxLifetime).Format(dateForm))
		}
	}
}

// shownSender is the sender in external form. The null sender has a name here,
// since X-Postfix-Sender is read as an address.
func (s *server) shownSender(n *notice) string {
	if addr := n.req.Message.Sender.Address; addr != "" {
		return quoteAddress(addr)
	}
	return "MAILER-DAEMON@" + s.params.Origin
}

// recipient writes the fields of one recipient, RFC 3464 section 2.3. Its
// addresses are in external form, as they are in the logs.
func (n *notice) recipient(e *bouncelog.Entry) {
	r := &e.Recipient
	n.linef("Final-Recipient: %s; %s", n.addressType(r.Address), n.clean(r.Address))
	switch {
	case r.DSNOrcpt != "":
		if typ, text, ok := strings.Cut(r.DSNOrcpt, ";"); ok {
			if envelope.IsUTF8Type(typ) && !n.utf8 && !envelope.IsASCII(text) {
				text = envelope.EncodeUTF8Address(text)
			}
			n.linef("Original-Recipient: %s;%s", n.clean(typ), n.clean(text))
		}
	case r.Original != "":
		n.linef("Original-Recipient: %s;%s", n.addressType(r.Original), n.clean(r.Original))
	}
	n.linef("Action: %s", e.Action)
	n.linef("Status: %s", e.Status)
	if e.MTAType != "" && e.MTAName != "" {
		n.linef("Remote-MTA: %s; %s", e.MTAType, n.clean(e.MTAName))
	}
	typ, text := e.DiagType, e.DiagText
	if typ == "" || text == "" {
		typ, text = "X-Postfix", e.Reason
	}
	n.fold("Diagnostic-Code: "+typ+"; "+text, "    ")
}

// addressType is rfc822, or utf-8 for an address that needs it (RFC 6533
// section 3).
func (n *notice) addressType(addr string) string {
	if !n.utf8 {
		return "rfc822"
	}
	if !envelope.IsASCII(addr) {
		return "utf-8"
	}
	return "rfc822"
}

// external returns a recipient with its addresses in external form.
func external(r envelope.Recipient) envelope.Recipient {
	r.Address, r.Original = quoteAddress(r.Address), quoteAddress(r.Original)
	return r
}

func quoteAddress(addr string) string {
	if addr == "" {
		return ""
	}
	return address.Quote(addr)
}

// decodeXtext undoes the encoding of RFC 3461 section 4. What is not well
// formed stays as it is.
func decodeXtext(s string) string {
	if !strings.Contains(s, "+") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return s
		}
		hi, lo := hexValue(s[i+1]), hexValue(s[i+2])
		if hi < 0 || lo < 0 {
			return s
		}
		out = append(out, byte(hi<<4|lo))
		i += 2
	}
	return string(out)
}

// hexValue takes upper case only, as xtext does.
func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
