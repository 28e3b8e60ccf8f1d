package imapserver

import (
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// rightsText is rights by their letters, with those of RFC 2086 that old
// clients know (RFC 4314 2.1.1).
func rightsText(r mailstore.Rights) string {
	text := r.String()
	if r&(mailstore.RightCreate|mailstore.RightDeleteMailbox) != 0 && !strings.Contains(text, "c") {
		text += "c"
	}
	if r&(mailstore.RightDelete|mailstore.RightExpunge) != 0 && !strings.Contains(text, "d") {
		text += "d"
	}
	return text
}

// getACL is GETACL (RFC 4314 3.3).
func (c *conn) getACL() error {
	c.dec.SP()
	name := c.dec.Mailbox()
	if !c.dec.End() {
		return nil
	}
	list, err := c.store.ACL(name)
	if err != nil {
		return err
	}
	c.enc.Raw("* ACL ").Mailbox(name)
	for _, e := range list {
		id := e.Identifier
		if e.Negative {
			id = "-" + id
		}
		c.enc.SP().AString(id).SP().AString(rightsText(e.Rights))
	}
	c.enc.CRLF()
	return c.ok("Getacl completed.")
}

// identifier reads an identifier; a '-' in front is for negative rights.
func (c *conn) identifier() string {
	id := c.dec.AString()
	if len(id) > 255 || strings.ContainsAny(id, "\r\n\x00\t") {
		c.dec.Fail("Invalid identifier")
	}
	return id
}

// setACL is SETACL (RFC 4314 3.1).
func (c *conn) setACL() error {
	c.dec.SP()
	name := c.dec.Mailbox()
	c.dec.SP()
	id := c.identifier()
	c.dec.SP()
	text := c.dec.AString()
	if !c.dec.End() {
		return nil
	}
	mode := byte(0)
	if text != "" && (text[0] == '+' || text[0] == '-') {
		mode, text = text[0], text[1:]
	}
	rights, err := mailstore.ParseRights(text)
	if err != nil {
		return badArgs("Invalid rights.")
	}
	if err := c.store.SetACL(name, id, mode, rights); err != nil {
		return err
	}
	return c.ok("Setacl completed.")
}

// deleteACL is DELETEACL (RFC 4314 3.2).
func (c *conn) deleteACL() error {
	c.dec.SP()
	name := c.dec.Mailbox()
	c.dec.SP()
	id := c.identifier()
	if !c.dec.End() {
		return nil
	}
	if err := c.store.DeleteACL(name, id); err != nil {
		return err
	}
	return c.ok("Deleteacl completed.")
}

// listRights is LISTRIGHTS (RFC 4314 3.4): none is tied to another.
func (c *conn) listRights() error {
	c.dec.SP()
	name := c.dec.Mailbox()
	c.dec.SP()
	id := c.identifier()
	if !c.dec.End() {
		return nil
	}
	if _, err := c.store.ACL(name); err != nil {
		return err
	}
	c.enc.Raw("* LISTRIGHTS ").Mailbox(name).SP().AString(id).Raw(` "" l r s w i p k x t e a c d`).CRLF()
	return c.ok("Listrights completed.")
}

// myRights is MYRIGHTS (RFC 4314 3.5).
func (c *conn) myRights() error {
	c.dec.SP()
	name := c.dec.Mailbox()
	if !c.dec.End() {
		return nil
	}
	if err := c.tellRights(name); err != nil {
		return err
	}
	return c.ok("Myrights completed.")
}

func (c *conn) tellRights(name string) error {
	rights, err := c.store.MyRights(name)
	if err != nil {
		return err
	}
	c.enc.Raw("* MYRIGHTS ").Mailbox(name).SP().AString(rightsText(rights)).CRLF()
	return nil
}
