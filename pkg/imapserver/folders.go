package imapserver

import (
	"errors"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mutf7"
)

func isNoMailbox(err error) bool { return errors.Is(err, mailstore.ErrNoMailbox) }

// specialUses are the attributes of RFC 6154 2 and RFC 8457, in the form of
// the store.
func specialUse(attr string) (string, bool) {
	for _, u := range []string{"All", "Archive", "Drafts", "Flagged", "Junk", "Sent", "Trash", "Important"} {
		if equalFold(attr, u) {
			return u, true
		}
	}
	return "", false
}

// create is CREATE (RFC 9051 6.3.4), with special uses (RFC 6154 3).
func (c *conn) create() error {
	c.dec.SP()
	name := c.dec.Mailbox()
	var uses []string
	bad := ""
	if c.dec.TrySP() {
		c.dec.List(func() {
			if word := c.dec.Word(); word != "USE" {
				c.dec.Fail("Unknown CREATE parameter %s", word)
				return
			}
			c.dec.SP()
			c.dec.List(func() {
				c.dec.Special('\\')
				attr := c.dec.Atom()
				if use, ok := specialUse(attr); ok {
					uses = append(uses, use)
				} else {
					bad = attr
				}
			})
		})
	}
	if !c.dec.End() {
		return nil
	}
	if bad != "" {
		return refuse("USEATTR", `Unsupported special use \`+bad+".")
	}
	if err := c.store.Create(name, uses...); err != nil {
		return err
	}
	code := ""
	if st, err := c.store.Status(trimSeparator(name), false); err == nil {
		code = "[MAILBOXID (" + st.MailboxID + ")] "
	}
	c.changedFolders()
	return c.ok("%sCreate completed.", code)
}

func trimSeparator(name string) string {
	if len(name) > 1 && name[len(name)-1] == '/' {
		return name[:len(name)-1]
	}
	return name
}

// delete is DELETE (RFC 9051 6.3.5).
func (c *conn) delete() error {
	c.dec.SP()
	name := c.dec.Mailbox()
	if !c.dec.End() {
		return nil
	}
	if name == "INBOX" {
		return refuse("CANNOT", "INBOX can't be deleted.")
	}
	if c.mb != nil && c.mb.Name() == name {
		// The client must not be left with a mailbox that is not there.
		c.closeMailbox()
		c.enc.Line("* OK [CLOSED] Previous mailbox closed.")
	}
	if err := c.store.Delete(name); err != nil {
		return err
	}
	c.changedFolders()
	return c.ok("Delete completed.")
}

// rename is RENAME (RFC 9051 6.3.6).
func (c *conn) rename() error {
	c.dec.SP()
	from := c.dec.Mailbox()
	c.dec.SP()
	to := c.dec.Mailbox()
	if !c.dec.End() {
		return nil
	}
	if c.mb != nil && c.mb.Name() == from && from != "INBOX" {
		c.closeMailbox()
		c.enc.Line("* OK [CLOSED] Previous mailbox closed.")
	}
	if err := c.store.Rename(from, to); err != nil {
		return err
	}
	c.changedFolders()
	return c.ok("Rename completed.")
}

// subscribe is SUBSCRIBE and UNSUBSCRIBE (RFC 9051 6.3.7, 6.3.8).
func (c *conn) subscribe() error {
	c.dec.SP()
	name := c.dec.Mailbox()
	if !c.dec.End() {
		return nil
	}
	change := c.store.Subscribe
	if c.name == "UNSUBSCRIBE" {
		change = c.store.Unsubscribe
	} else if name != "INBOX" {
		if _, err := c.store.Status(trimSeparator(name), false); isNoMailbox(err) || errors.Is(err, mailstore.ErrBadName) {
			return err
		}
	}
	if err := change(trimSeparator(name)); err != nil {
		return err
	}
	c.changedFolders()
	return c.ok("%s completed.", c.title())
}

// namespace is NAMESPACE (RFC 2342).
func (c *conn) namespace() error {
	if !c.dec.End() {
		return nil
	}
	c.enc.Raw("* NAMESPACE ")
	c.namespaces()
	c.enc.CRLF()
	return c.ok("Namespace completed.")
}

// namespaces appends the user's own namespace, and those of trees that belong
// to others and to nobody.
func (c *conn) namespaces() {
	var others, shared []string
	for _, t := range c.store.Trees() {
		first, _, _ := strings.Cut(t.Prefix, "/")
		list := &shared
		if t.Owner != "" {
			list = &others
		}
		if !slices.Contains(*list, first+"/") {
			*list = append(*list, first+"/")
		}
	}
	c.enc.Raw(`(("" "/"))`)
	for _, list := range [][]string{others, shared} {
		if len(list) == 0 {
			c.enc.Raw(" NIL")
			continue
		}
		c.enc.Raw(" (")
		for _, prefix := range list {
			c.enc.Byte('(')
			c.enc.String(c.mailboxText(prefix)).Raw(` "/")`)
		}
		c.enc.Byte(')')
	}
}

// mailboxText is a mailbox name as it is sent.
func (c *conn) mailboxText(name string) string {
	if c.enc.UTF8 {
		return name
	}
	return mutf7.Encode(name)
}

// statusItems are what STATUS asks for.
type statusItems struct {
	names []string
	size  bool
}

// readStatusItems reads (MESSAGES UNSEEN ...).
func (c *conn) readStatusItems() statusItems {
	var items statusItems
	c.dec.List(func() {
		word := c.dec.Word()
		switch word {
		case "MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED", "MAILBOXID", "APPENDLIMIT":
		case "HIGHESTMODSEQ":
			c.enableCondstore()
		case "SIZE", "DELETED-STORAGE":
			items.size = true
		default:
			c.dec.Fail("Invalid status item %s", word)
		}
		items.names = append(items.names, word)
		if len(items.names) > 50 {
			c.dec.Fail("Too many status items")
		}
	})
	return items
}

// status is STATUS (RFC 9051 6.3.11).
func (c *conn) status() error {
	c.dec.SP()
	name := c.dec.Mailbox()
	c.dec.SP()
	items := c.readStatusItems()
	if !c.dec.End() {
		return nil
	}
	if err := c.tellStatus(name, items); err != nil {
		return err
	}
	return c.ok("Status completed.")
}

func (c *conn) tellStatus(name string, items statusItems) error {
	st, err := c.store.Status(name, items.size)
	if err != nil {
		return err
	}
	c.enc.Raw("* STATUS ").Mailbox(name).Raw(" (")
	for i, item := range items.names {
		if i > 0 {
			c.enc.SP()
		}
		c.enc.Raw(item).SP()
		switch item {
		case "MESSAGES":
			c.enc.Number(uint64(st.Messages))
		case "RECENT":
			c.enc.Number(uint64(st.Recent))
		case "UIDNEXT":
			c.enc.Number(uint64(st.UIDNext))
		case "UIDVALIDITY":
			c.enc.Number(uint64(st.UIDValidity))
		case "UNSEEN":
			c.enc.Number(uint64(st.Unseen))
		case "DELETED":
			c.enc.Number(uint64(st.Deleted))
		case "DELETED-STORAGE": // RFC 9208 4.1.4: in octets, like SIZE
			c.enc.Number(uint64(st.DeletedSize))
		case "SIZE":
			c.enc.Number(uint64(st.Size))
		case "HIGHESTMODSEQ":
			c.enc.Number(st.HighestModSeq)
		case "MAILBOXID":
			c.enc.Byte('(').Raw(st.MailboxID).Byte(')')
		case "APPENDLIMIT":
			if c.o.MessageLimit > 0 {
				c.enc.Number(uint64(c.o.MessageLimit))
			} else {
				c.enc.Raw("NIL")
			}
		}
	}
	c.enc.Byte(')').CRLF()
	return nil
}
