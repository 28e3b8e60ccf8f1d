package mailstore

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/uidlist"
)

// DefaultUIDL is the form of POP3 UIDLs, as in Dovecot: UID and UIDVALIDITY.
const DefaultUIDL = "%08Xu%08Xv"

// UIDLs returns a function that tells the POP3 UIDL of a message of the view:
// the one that it had with the server before, or one in the form of the
// options. It is good until the mailbox is closed.
func (m *Mailbox) UIDLs() (func(msg *Message) string, error) {
	form := m.store.o.UIDLFormat
	if form == "" {
		form = DefaultUIDL
	}
	m.f.mu.Lock()
	list, _, err := m.f.readList()
	m.f.mu.Unlock()
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, uidlist.ErrNoHeader) {
		return nil, temporary(err)
	}
	old := make(map[uint32]string)
	if err == nil && list.Validity == m.st.validity {
		for i := range list.Entries {
			if e := &list.Entries[i]; e.UIDL != "" {
				old[e.UID] = e.UIDL
			}
		}
	}
	validity := m.st.validity
	return func(msg *Message) string {
		if s, ok := old[msg.UID]; ok {
			return s
		}
		return formatUIDL(form, msg, validity)
	}, nil
}

// formatUIDL replaces %u, the UID, %v, the UIDVALIDITY, %f, the base of the
// file name, and %g, the message id; between % and the letter may stand a
// width and an X for hexadecimal, as in Dovecot's pop3_uidl_format.
func formatUIDL(form string, msg *Message, validity uint32) string {
	var b strings.Builder
	for form != "" {
		c := form[0]
		form = form[1:]
		if c != '%' {
			b.WriteByte(c)
			continue
		}
		n := 0
		for n < len(form) && form[n] >= '0' && form[n] <= '9' {
			n++
		}
		width, _ := strconv.Atoi(form[:n])
		zero := n > 0 && form[0] == '0'
		form = form[n:]
		hex := strings.HasPrefix(form, "X")
		form = strings.TrimPrefix(form, "X")
		if form == "" {
			break
		}
		text := uidlPart(form[0], msg, validity, hex)
		form = form[1:]
		if zero && width < 64 && len(text) < width {
			text = strings.Repeat("0", width-len(text)) + text
		}
		b.WriteString(text)
	}
	if out := b.String(); len(out) <= 70 && out != "" {
		return out
	}
	return fmt.Sprintf("%08x%08x", msg.UID, validity) // RFC 1939 7: at most 70
}

func uidlPart(c byte, msg *Message, validity uint32, hex bool) string {
	base := 10
	if hex {
		base = 16
	}
	switch c {
	case 'u':
		return strconv.FormatUint(uint64(msg.UID), base)
	case 'v':
		return strconv.FormatUint(uint64(validity), base)
	case 'f':
		return msg.Base
	case 'g':
		return fmt.Sprintf("%x", msg.GUID)
	}
	return string(c)
}
