package structure

import (
	"strconv"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
)

// Append appends the ENVELOPE of a message (RFC 9051 7.5.2).
func (e *Envelope) Append(b []byte) []byte {
	b = append(b, '(')
	b = nstring(b, e.Date, e.hasDate)
	b = append(b, ' ')
	b = nstring(b, e.Subject, e.hasSubject)
	var from, to int // where From is
	for i, field := range []string{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		b = append(b, ' ')
		switch {
		case i == 0:
			from = len(b)
			b = appendAddresses(b, field)
			to = len(b)
		case i <= 2:
			// RFC 9051 7.5.2: Sender and Reply-To default to From.
			start := len(b)
			if b = appendAddresses(b, field); string(b[start:]) == "NIL" {
				b = append(b[:start], b[from:to]...)
			}
		default:
			b = appendAddresses(b, field)
		}
	}
	b = append(b, ' ')
	b = nstring(b, e.InReplyTo, e.InReplyTo != "")
	b = append(b, ' ')
	b = nstring(b, e.MessageID, e.MessageID != "")
	return append(b, ')')
}

func nstring(b []byte, s string, there bool) []byte {
	if !there {
		return append(b, "NIL"...)
	}
	return imapwire.AppendString(b, s, false)
}

func appendAddresses(b []byte, field string) []byte {
	list := ParseAddresses(field)
	if len(list) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for _, a := range list {
		b = append(b, '(')
		b = nstring(b, a.Name, a.Name != "")
		b = append(b, ' ')
		b = nstring(b, a.Route, a.Route != "")
		b = append(b, ' ')
		b = nstring(b, a.Mailbox, a.Mailbox != "" || !a.Group)
		b = append(b, ' ')
		b = nstring(b, a.Host, !a.Group) // empty, since NIL would begin a group
		b = append(b, ')')
	}
	return append(b, ')')
}

// AppendBody appends BODY, or BODYSTRUCTURE if extended is set. There is no
// blank between the parts of a multipart, nor are encodings in upper case,
// since some clients cannot read these.
func (p *Part) AppendBody(b []byte, extended bool) []byte {
	b = append(b, '(')
	if p.IsMultipart() {
		b = p.appendMultipart(b, extended)
	} else {
		b = p.appendSingle(b, extended)
	}
	return append(b, ')')
}

func (p *Part) appendMultipart(b []byte, extended bool) []byte {
	h := &p.Header
	for _, c := range p.Children {
		b = c.AppendBody(b, extended)
	}
	if len(p.Children) == 0 {
		// The grammar wants one.
		empty := Part{}
		empty.Header.Type = Type{Major: "text", Minor: "plain", missing: true}
		b = empty.AppendBody(b, extended)
	}
	b = append(b, ' ')
	b = imapwire.AppendString(b, h.Type.Minor, false)
	if !extended {
		return b
	}
	b = append(b, ' ')
	b = appendParams(b, h.Type.Params)
	return h.appendExtension(b)
}

func (p *Part) appendSingle(b []byte, extended bool) []byte {
	h := &p.Header
	major, minor := h.Type.Major, h.Type.Minor
	if h.Type.broken {
		major, minor = "application", "octet-stream"
	}
	isMessage := p.IsMessage()
	if major == "message" && (minor == "rfc822" || minor == "global") && !isMessage {
		// One that could not be looked into; the grammar wants an envelope
		// of a message/rfc822.
		major, minor = "application", "octet-stream"
	}
	b = imapwire.AppendString(b, major, false)
	b = append(b, ' ')
	b = imapwire.AppendString(b, minor, false)
	b = append(b, ' ')
	params := h.Type.Params
	if h.Type.missing && major == "text" {
		params = []Param{{"charset", "us-ascii"}} // RFC 2045 5.2
	}
	b = appendParams(b, params)
	b = append(b, ' ')
	b = nstring(b, h.ID, h.ID != "")
	b = append(b, ' ')
	b = nstring(b, h.Description, h.Description != "")
	b = append(b, ' ')
	encoding := h.Encoding
	if encoding == "" {
		encoding = "7bit"
	}
	b = imapwire.AppendString(b, encoding, false)
	b = append(b, ' ')
	b = strconv.AppendInt(b, p.Size(), 10)
	switch {
	case isMessage:
		m := p.Children[0]
		b = append(b, ' ')
		b = m.Header.Envelope.Append(b)
		b = append(b, ' ')
		b = m.AppendBody(b, extended)
		b = append(b, ' ')
		b = strconv.AppendInt(b, p.Lines, 10)
	case major == "text":
		b = append(b, ' ')
		b = strconv.AppendInt(b, p.Lines, 10)
	}
	if !extended {
		return b
	}
	b = append(b, ' ')
	b = nstring(b, h.MD5, h.MD5 != "")
	return h.appendExtension(b)
}

// appendExtension appends disposition, language and location.
func (h *Fields) appendExtension(b []byte) []byte {
	b = append(b, ' ')
	if h.Disposition.Word == "" {
		b = append(b, "NIL"...)
	} else {
		b = append(b, '(')
		b = imapwire.AppendString(b, h.Disposition.Word, false)
		b = append(b, ' ')
		b = appendParams(b, h.Disposition.Params)
		b = append(b, ')')
	}
	b = append(b, ' ')
	switch len(h.Language) {
	case 0:
		b = append(b, "NIL"...)
	case 1:
		b = imapwire.AppendString(b, h.Language[0], false)
	default:
		b = append(b, '(')
		for i, l := range h.Language {
			if i > 0 {
				b = append(b, ' ')
			}
			b = imapwire.AppendString(b, l, false)
		}
		b = append(b, ')')
	}
	b = append(b, ' ')
	return nstring(b, h.Location, h.Location != "")
}

func appendParams(b []byte, params []Param) []byte {
	if len(params) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for i, p := range params {
		if i > 0 {
			b = append(b, ' ')
		}
		b = imapwire.AppendString(b, p.Name, false)
		b = append(b, ' ')
		b = imapwire.AppendString(b, p.Value, false)
	}
	return append(b, ')')
}
