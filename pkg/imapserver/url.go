package imapserver

import (
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// imapURL is a relative IMAP URL of a message or a part (RFC 5092 7).
type imapURL struct {
	mailbox  string
	validity uint32
	uid      uint32
	section  string
	partial  partial
}

// parseURL reads "/mailbox;UIDVALIDITY=1/;UID=2/;SECTION=1.2/;PARTIAL=0.10".
// Without a mailbox it is about the selected one. The form with a server is
// not for CATENATE without URLAUTH.
func parseURL(text string) (u imapURL, ok bool) {
	if strings.Contains(text, "://") {
		return u, false
	}
	at := strings.Index(strings.ToUpper(text), ";UID=")
	if at < 0 {
		return u, false
	}
	box, rest := strings.TrimSuffix(text[:at], "/"), text[at:]
	if i := strings.Index(strings.ToUpper(box), ";UIDVALIDITY="); i >= 0 {
		n, err := strconv.ParseUint(box[i+len(";UIDVALIDITY="):], 10, 32)
		if err != nil {
			return u, false
		}
		u.validity, box = uint32(n), box[:i]
	}
	name, err := url.PathUnescape(strings.TrimPrefix(box, "/"))
	if err != nil {
		return u, false
	}
	u.mailbox = name
	for _, part := range strings.Split(rest, "/;") {
		key, value, _ := strings.Cut(strings.TrimPrefix(part, ";"), "=")
		if value, err = url.PathUnescape(value); err != nil {
			return u, false
		}
		switch strings.ToUpper(key) {
		case "UID":
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil || n == 0 {
				return u, false
			}
			u.uid = uint32(n)
		case "SECTION":
			u.section = value
		case "PARTIAL":
			off, size, ranged := strings.Cut(value, ".")
			u.partial.offset, err = strconv.ParseInt(off, 10, 63)
			u.partial.size = noLimit
			if err == nil && ranged {
				u.partial.size, err = strconv.ParseInt(size, 10, 63)
			}
			if err != nil {
				return u, false
			}
			u.partial.there = true
		default:
			return u, false
		}
	}
	return u, u.uid != 0
}

// openURL opens what a URL names for reading. What is wrong with it is told
// with BADURL (RFC 4469 4).
func (c *conn) openURL(text string) (io.Reader, func(), error) {
	bad := refuse("BADURL "+quoteText(text), "Cannot resolve the URL.")
	u, ok := parseURL(text)
	if !ok {
		return nil, nil, bad
	}
	mb, done, err := c.urlMailbox(u.mailbox)
	if err != nil {
		if isStoreError(err) && !errors.Is(err, mailstore.ErrTemporary) {
			err = bad
		}
		return nil, nil, err
	}
	content, err := mb.Open(u.uid)
	if err != nil || u.validity != 0 && u.validity != mb.UIDValidity() {
		if err == nil {
			content.Close()
		}
		done()
		return nil, nil, bad
	}
	closeAll := func() {
		content.Close()
		done()
	}
	sec, ok := parseSection(u.section)
	var data sectionData
	if ok {
		data, ok = sec.locate(content, nil)
	}
	if !ok || data.bytes == nil && data.from < 0 {
		closeAll()
		return nil, nil, bad
	}
	return data.reader(content, u.partial), closeAll, nil
}

// urlMailbox opens the mailbox of a URL, or takes the selected one.
func (c *conn) urlMailbox(name string) (*mailstore.Mailbox, func(), error) {
	if name == "" || c.mb != nil && c.mb.Name() == name {
		if c.mb == nil {
			return nil, nil, mailstore.ErrNoMailbox
		}
		return c.mb.Mailbox, func() {}, nil
	}
	name, ok := c.dec.DecodeMailbox(name)
	if !ok {
		return nil, nil, mailstore.ErrBadName
	}
	mb, err := c.store.Mailbox(name, true)
	if err != nil {
		return nil, nil, err
	}
	return mb, func() { mb.Close() }, nil
}

// quoteText makes a quoted string for a response code.
func quoteText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s) && i < 500; i++ {
		switch ch := s[i]; {
		case ch == '"' || ch == '\\':
			b.WriteByte('\\')
			b.WriteByte(ch)
		case ch >= 0x20 && ch < 0x7f:
			b.WriteByte(ch)
		default:
			b.WriteByte('?')
		}
	}
	b.WriteByte('"')
	return b.String()
}
