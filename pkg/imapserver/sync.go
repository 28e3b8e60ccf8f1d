package imapserver

import (
	"strconv"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

func itoa[T ~int | ~int64 | ~uint32 | ~uint64](n T) string { return strconv.FormatInt(int64(n), 10) }

// sync brings the session's view up to date and tells the client. keep is for
// commands during which message numbers must not change.
func (c *conn) sync(keep bool) error { return c.syncQuiet(keep, nil) }

// known is what a client knows of messages that it changed itself without
// wanting to be told (STORE with .SILENT).
type known map[uint32]state

type state struct {
	flags    mailstore.Flags
	keywords uint64
}

func (c *conn) syncQuiet(keep bool, silent known) error {
	if c.mb == nil {
		return nil
	}
	changes, err := c.mb.Sync(mailstore.SyncOptions{KeepExpunged: keep && !c.uidOnly})
	if err != nil {
		return err
	}
	c.tellExpunged(&changes)
	if changes.Keywords {
		c.tellFlags()
	}
	if changes.New > 0 {
		c.enc.Line("* %d EXISTS", c.mb.Len())
		if !c.rev2 {
			c.enc.Line("* %d RECENT", c.mb.RecentCount())
		}
	}
	for _, seq := range changes.Changed {
		msg, ok := c.mb.Message(seq)
		if !ok || msg.Flags&mailstore.Gone != 0 {
			continue
		}
		if s, ok := silent[msg.UID]; ok && s.flags == msg.Flags&(mailstore.System|mailstore.Forwarded) && s.keywords == msg.Keywords {
			if c.condstore {
				c.tellModSeq(seq, &msg)
			}
			continue
		}
		c.tellMessage(seq, &msg)
	}
	if len(c.contexts) > 0 && changes.Any() {
		return c.updateContexts(&changes)
	}
	return nil
}

// tellExpunged sends VANISHED (RFC 7162 3.2.10) or EXPUNGE.
func (c *conn) tellExpunged(changes *mailstore.Changes) {
	if len(changes.Expunged) == 0 {
		return
	}
	c.forgetSaved(changes.ExpungedUIDs)
	if c.qresync || c.uidOnly {
		c.enc.Raw("* VANISHED ").Bytes(imapwire.AppendRanges(nil, imapwire.Ranges(changes.ExpungedUIDs))).CRLF()
		return
	}
	for _, seq := range changes.Expunged {
		c.enc.Raw("* ").Number(uint64(seq)).Raw(" EXPUNGE").CRLF()
	}
}

// forgetSaved takes expunged messages out of '$' (RFC 5182 2.1).
func (c *conn) forgetSaved(uids []uint32) {
	if len(c.saved) == 0 {
		return
	}
	gone := imapwire.Join(imapwire.Ranges(uids))
	kept := c.saved[:0]
	for _, uid := range c.saved {
		if !imapwire.Contains(gone, uid) {
			kept = append(kept, uid)
		}
	}
	c.saved = kept
}

// begin starts a FETCH response: by number, or by UID with UIDONLY (RFC 9586
// 3.3).
func (c *conn) beginFetch(seq int, uid uint32) {
	if c.uidOnly {
		c.enc.Raw("* ").Number(uint64(uid)).Raw(" UIDFETCH (")
		return
	}
	c.enc.Raw("* ").Number(uint64(seq)).Raw(" FETCH (")
}

// tellMessage tells of a message with other flags.
func (c *conn) tellMessage(seq int, msg *mailstore.Message) {
	c.beginFetch(seq, msg.UID)
	if c.tellsUID() {
		c.enc.Raw("UID ").Number(uint64(msg.UID)).SP()
	}
	c.enc.Raw("FLAGS ")
	c.flags(msg)
	if c.condstore {
		c.enc.Raw(" MODSEQ (").Number(msg.ModSeq).Byte(')')
	}
	c.enc.Byte(')').CRLF()
}

// tellsUID: RFC 9051 6.4.9 and RFC 7162 3.2 want UIDs in unasked FETCH
// responses of UID commands, and with QRESYNC.
func (c *conn) tellsUID() bool { return !c.uidOnly && (c.qresync || c.isUID() || c.rev2) }

func (c *conn) tellModSeq(seq int, msg *mailstore.Message) {
	c.beginFetch(seq, msg.UID)
	if c.tellsUID() {
		c.enc.Raw("UID ").Number(uint64(msg.UID)).SP()
	}
	c.enc.Raw("MODSEQ (").Number(msg.ModSeq).Raw("))").CRLF()
}

// systemFlags are the system flags in the order in which they are sent.
func systemFlags() [5]struct {
	bit  mailstore.Flags
	name string
} {
	return [5]struct {
		bit  mailstore.Flags
		name string
	}{
		{mailstore.Answered, `\Answered`}, {mailstore.Flagged, `\Flagged`}, {mailstore.Deleted, `\Deleted`},
		{mailstore.Seen, `\Seen`}, {mailstore.Draft, `\Draft`},
	}
}

// flags appends the flags of a message as a list.
func (c *conn) flags(msg *mailstore.Message) {
	c.enc.Byte('(')
	first := true
	word := func(s string) {
		if !first {
			c.enc.SP()
		}
		first = false
		c.enc.Raw(s)
	}
	for _, f := range systemFlags() {
		if msg.Flags&f.bit != 0 {
			word(f.name)
		}
	}
	if !c.rev2 && c.mb.Recent(msg.UID) {
		word(`\Recent`)
	}
	if msg.Keywords != 0 || msg.Flags&mailstore.Forwarded != 0 {
		for _, k := range c.mb.KeywordNames(nil, msg) {
			word(k)
		}
	}
	c.enc.Byte(')')
}

// tellFlags sends FLAGS and PERMANENTFLAGS of the selected mailbox.
func (c *conn) tellFlags() {
	c.mb.keywords = len(c.mb.Keywords())
	list := `\Answered \Flagged \Deleted \Seen \Draft $Forwarded`
	for _, k := range c.mb.Keywords() {
		if k != "" && !equalFold(k, "$Forwarded") {
			list += " " + k
		}
	}
	c.enc.Line("* FLAGS (%s)", list)
	if c.mb.ReadOnly() {
		c.enc.Line("* OK [PERMANENTFLAGS ()] Read-only mailbox.")
		return
	}
	if c.mb.NewKeywords() {
		list += ` \*`
	}
	c.enc.Line("* OK [PERMANENTFLAGS (%s)] Flags permitted.", list)
}
