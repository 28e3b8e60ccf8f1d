package imapserver

import (
	"net"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/session"
)

// setCapabilities makes the list that the client is told after login. Only
// what works is in it.
func (c *conn) setCapabilities() {
	caps := []string{
		"IMAP4rev1", "IMAP4rev2", "ID", "ENABLE", "IDLE", "LITERAL+", "NAMESPACE", "UIDPLUS", "MOVE", "UNSELECT", "CHILDREN",
		"LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE", "CREATE-SPECIAL-USE", "SASL-IR", "CONDSTORE", "QRESYNC",
		"ESEARCH", "SEARCHRES", "WITHIN", "SORT", "SORT=DISPLAY", "ESORT", "PARTIAL", "MULTISEARCH", "CONTEXT=SEARCH", "CONTEXT=SORT",
		"THREAD=REFERENCES", "THREAD=REFS", "THREAD=ORDEREDSUBJECT",
		"STATUS=SIZE", "UTF8=ACCEPT", "MULTIAPPEND", "BINARY", "CATENATE", "URL-PARTIAL", "PREVIEW", "PREVIEW=FUZZY", "SAVEDATE",
		"OBJECTID", "REPLACE", "INPROGRESS", "UIDONLY", "I18NLEVEL=1", "APPENDLIMIT",
	}
	if c.o.MessageLimit > 0 {
		caps[len(caps)-1] = "APPENDLIMIT=" + itoa(c.o.MessageLimit)
	}
	if c.o.FullText {
		caps = append(caps, capFuzzy)
	}
	caps = append(caps, c.storeCapabilities()...)
	if !c.compressed {
		caps = append(caps, "COMPRESS=DEFLATE")
	}
	if c.start.Proxied && !c.compressed {
		caps = append(caps, "UNAUTHENTICATE")
	}
	c.caps = imapwire.Capabilities(caps, c.o.Capability)
}

// has reports whether the client was offered a capability.
func (c *conn) has(name string) bool {
	for _, w := range c.caps {
		if w == name {
			return true
		}
	}
	return false
}

func (c *conn) capability() error {
	if !c.dec.End() {
		return nil
	}
	c.enc.Line("* CAPABILITY %s", strings.Join(c.caps, " "))
	return c.ok("Capability completed.")
}

// noop is NOOP and CHECK: what changed is told by ok.
func (c *conn) noop() error {
	if !c.dec.End() {
		return nil
	}
	return c.ok("%s completed.", c.title())
}

func (c *conn) logout() error {
	if !c.dec.End() {
		return nil
	}
	c.enc.Line("* BYE Logging out")
	c.okNow("Logout completed.")
	c.over = true
	return nil
}

// maxIDFields bounds ID (RFC 2971 3.3).
const maxIDFields = 30

// id answers ID (RFC 2971).
func (c *conn) id() error {
	c.dec.SP()
	var said []string
	if c.dec.Peek() == '(' {
		n := 0
		c.dec.List(func() {
			key := c.dec.String()
			c.dec.SP()
			value, _ := c.dec.NString()
			if n++; n > maxIDFields || len(key) > 30 || len(value) > 1024 {
				c.dec.Fail("Too many or too long ID fields")
				return
			}
			said = append(said, string(key)+"="+string(value))
		})
	} else if _, isNil := c.dec.NString(); !isNil {
		c.dec.Fail("Expected a list or NIL")
	}
	if !c.dec.End() {
		return nil
	}
	if len(said) > 0 {
		c.o.Log("info", "ID sent: %s", strings.Join(said, ", "))
	}
	c.enc.Raw(`* ID ("name" `).String(c.o.Name).Raw(")").CRLF()
	return c.ok("ID completed.")
}

// enable answers ENABLE (RFC 5161, RFC 9051 6.3.1).
func (c *conn) enable() error {
	var words []string
	for c.dec.TrySP() {
		words = append(words, c.dec.Word())
		if len(words) > 100 {
			c.dec.Fail("Too many words")
		}
	}
	if len(words) == 0 {
		c.dec.Fail("Missing arguments")
	}
	if !c.dec.End() {
		return nil
	}
	c.enc.Raw("* ENABLED")
	for _, w := range words {
		if c.enableOne(w) {
			c.enc.SP().Raw(w)
		}
	}
	c.enc.CRLF()
	return c.ok("Enabled.")
}

func (c *conn) enableOne(word string) bool {
	switch word {
	case "CONDSTORE":
		c.enableCondstore()
	case "QRESYNC":
		c.qresync = true
		c.enableCondstore()
	case "UTF8=ACCEPT":
		c.enableUTF8()
	case "IMAP4REV2":
		c.rev2 = true
		c.enableUTF8()
	case "UIDONLY":
		c.uidOnly = true
	default:
		return false
	}
	return true
}

func (c *conn) enableUTF8() {
	c.utf8 = true
	c.dec.UTF8, c.enc.UTF8 = true, true
}

// enableCondstore is for all commands that count as ENABLE CONDSTORE (RFC
// 7162 3.1). A client that has a mailbox selected is told where it stands.
func (c *conn) enableCondstore() {
	if c.condstore {
		return
	}
	c.condstore = true
	if c.mb != nil {
		c.enc.Line("* OK [HIGHESTMODSEQ %d] Highest", c.mb.HighestModSeq())
	}
}

// unauthenticate gives the connection back to the login server (RFC 8437).
func (c *conn) unauthenticate() error {
	if !c.dec.End() {
		return nil
	}
	uc, ok := c.net.(*net.UnixConn)
	if !ok || !c.has("UNAUTHENTICATE") {
		return badArgs("UNAUTHENTICATE is not available here.")
	}
	c.closeMailbox()
	c.okNow("Unauthenticate completed.")
	if err := c.enc.Flush(); err != nil {
		return err
	}
	if len(c.dec.Buffered()) > session.MaxPending {
		return imapwire.ErrTooLong
	}
	if err := session.GiveBack(uc, c.dec.Buffered()); err != nil {
		return err
	}
	return errReturned
}

// comparator answers COMPARATOR: there is one, i;unicode-casemap (RFC 5255
// 4.7, I18NLEVEL=1).
func (c *conn) comparator() error {
	for c.dec.TrySP() {
		c.dec.AString()
	}
	if !c.dec.End() {
		return nil
	}
	c.enc.Line("* COMPARATOR i;unicode-casemap")
	return c.ok("Comparator completed.")
}
