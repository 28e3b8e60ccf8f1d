package imapserver

import (
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// maxKeyword bounds the name of a keyword.
const maxKeyword = 128

// flagList is what a client wrote as flags.
type flagList struct {
	flags    mailstore.Flags
	keywords []string
}

// readFlags reads a list of flags; bare allows it without parentheses, as in
// STORE.
func (c *conn) readFlags(bare bool) flagList {
	var l flagList
	if bare && c.dec.Peek() != '(' {
		c.readFlag(&l)
		for c.dec.TrySP() {
			c.readFlag(&l)
		}
		return l
	}
	c.dec.List(func() { c.readFlag(&l) })
	return l
}

func (c *conn) readFlag(l *flagList) {
	if !c.dec.TrySpecial('\\') {
		word := c.dec.Atom()
		switch {
		case len(word) > maxKeyword:
			c.dec.Fail("Keyword is too long")
		case equalFold(word, "$Forwarded"):
			l.flags |= mailstore.Forwarded
			l.keywords = append(l.keywords, "$Forwarded")
		default:
			l.keywords = append(l.keywords, word)
		}
		if len(l.keywords) > 200 {
			c.dec.Fail("Too many keywords")
		}
		return
	}
	word := `\` + c.dec.Atom()
	for _, f := range systemFlags() {
		if equalFold(word, f.name) {
			l.flags |= f.bit
			return
		}
	}
	if !equalFold(word, `\Recent`) { // which nobody can set; some try
		c.dec.Fail("Invalid system flag %s", word)
	}
}

// storeFlags is STORE (RFC 9051 6.4.6, RFC 7162 3.1.3).
func (c *conn) storeFlags() error {
	c.dec.SP()
	set := c.dec.NumSet()
	c.dec.SP()
	req := mailstore.StoreRequest{}
	if c.dec.Peek() == '(' {
		c.dec.List(func() {
			if word := c.dec.Word(); word != "UNCHANGEDSINCE" {
				c.dec.Fail("Unknown STORE modifier %s", word)
				return
			}
			c.dec.SP()
			req.Conditional, req.UnchangedSince = true, c.dec.Number64()
		})
		c.dec.SP()
	}
	silent := c.readStoreItem(&req)
	c.dec.SP()
	list := c.readFlags(true)
	if !c.dec.End() {
		return nil
	}
	req.Flags, req.Keywords = list.flags, list.keywords
	if req.Conditional {
		c.enableCondstore()
	}
	return c.doStore(set, req, silent)
}

// readStoreItem reads FLAGS, +FLAGS, -FLAGS, each perhaps with .SILENT.
func (c *conn) readStoreItem(req *mailstore.StoreRequest) (silent bool) {
	switch {
	case c.dec.TrySpecial('+'):
		req.Op = mailstore.AddFlags
	case c.dec.TrySpecial('-'):
		req.Op = mailstore.RemoveFlags
	}
	word := c.dec.Word()
	base, silent := strings.CutSuffix(word, ".SILENT")
	if base != "FLAGS" {
		c.dec.Fail("Invalid STORE item %s", word)
	}
	return silent
}

func (c *conn) doStore(set imapwire.NumSet, req mailstore.StoreRequest, silent bool) error {
	ranges, err := c.seqRanges(set)
	if err != nil {
		return err
	}
	if c.mb.ReadOnly() {
		return mailstore.ErrReadOnly
	}
	quiet := known{}
	err = c.each(ranges, func(_ int, msg *mailstore.Message) bool {
		req.UIDs = append(req.UIDs, msg.UID)
		if silent {
			quiet[msg.UID] = state{flags: msg.Flags & (mailstore.System | mailstore.Forwarded), keywords: msg.Keywords}
		}
		return true
	})
	if err != nil {
		return err
	}
	gone := !c.isUID() && c.goneIn(ranges)
	res, err := c.mb.Store(req)
	if err != nil {
		return c.after(err)
	}
	c.expect(quiet, &req)
	if err := c.syncQuiet(c.keepsNumbers(), quiet); err != nil {
		return err
	}
	if req.Op != mailstore.RemoveFlags && req.Flags&mailstore.Deleted != 0 {
		c.appended.deleted += len(req.UIDs) - len(res.Modified) - len(res.Missing)
	}
	return c.endStore(ranges, &res, silent || len(req.UIDs) > maxEcho, gone)
}

// maxEcho is how many messages a STORE without .SILENT tells of although it
// has not changed them.
const maxEcho = 100000

// expect computes what the client thinks that it has made of the flags.
func (c *conn) expect(quiet known, req *mailstore.StoreRequest) {
	if len(quiet) == 0 {
		return
	}
	// The numbers of keywords are known once the view has them.
	names := c.mb.Keywords()
	var bits uint64
	for _, k := range req.Keywords {
		for i, name := range names {
			if equalFold(name, k) {
				bits |= 1 << i
			}
		}
	}
	for uid, s := range quiet {
		switch req.Op {
		case mailstore.SetFlags:
			s = state{req.Flags, bits}
		case mailstore.AddFlags:
			s = state{s.flags | req.Flags, s.keywords | bits}
		case mailstore.RemoveFlags:
			s = state{s.flags &^ req.Flags, s.keywords &^ bits}
		}
		quiet[uid] = s
	}
}

// endStore answers STORE.
func (c *conn) endStore(ranges []imapwire.Range, res *mailstore.StoreResult, silent, gone bool) error {
	if !silent && res.ModSeq > 0 {
		// RFC 9051 6.4.6: the new value is told, also where it is the old
		// one. What has changed was told by sync.
		err := c.each(ranges, func(seq int, msg *mailstore.Message) bool {
			if msg.ModSeq < res.ModSeq {
				c.tellMessage(seq, msg)
			}
			return c.enc.Err() == nil
		})
		if err != nil {
			return err
		}
	}
	if len(res.Modified) > 0 {
		numbers := res.Modified
		if !c.isUID() {
			numbers = nil
			for _, uid := range res.Modified {
				if seq, ok := c.mb.Find(uid); ok {
					numbers = append(numbers, uint32(seq))
				}
			}
		}
		c.okNow("[MODIFIED %s] Conditional STORE failed for some.", imapwire.AppendRanges(nil, imapwire.Ranges(numbers)))
		return nil
	}
	if gone || len(res.Missing) > 0 && !c.isUID() {
		return mailstore.ErrExpunged
	}
	c.okNow("Store completed.")
	return nil
}

// copy is COPY and MOVE (RFC 9051 6.4.7, 6.4.8).
func (c *conn) copy() error {
	c.dec.SP()
	set := c.dec.NumSet()
	c.dec.SP()
	name := c.dec.Mailbox()
	if !c.dec.End() {
		return nil
	}
	move := strings.HasSuffix(c.name, "MOVE")
	uids, err := c.uids(set)
	if err != nil {
		return err
	}
	if len(uids) == 0 {
		return c.ok("%s completed, no messages found.", c.title())
	}
	run := c.mb.Copy
	if move {
		run = c.mb.Move
	}
	p := c.startProgress(len(uids))
	done := c.o.Pace.Wait()
	res, err := run(uids, name)
	done()
	p.stop()
	if err != nil {
		return c.after(tryCreate(err))
	}
	code := ""
	if len(res.From) > 0 {
		code = "[COPYUID " + itoa(res.UIDValidity) + " " + string(imapwire.AppendRanges(nil, imapwire.Ranges(res.From))) +
			" " + string(imapwire.AppendRanges(nil, imapwire.Ranges(res.To))) + "] "
	}
	if !move {
		return c.ok("%s%s completed.", code, c.title())
	}
	// RFC 6851 4.3: COPYUID comes before the EXPUNGEs.
	c.appended.expunged += len(res.From)
	if code != "" {
		c.enc.Line("* OK %sMoved UIDs.", code)
	}
	if err := c.sync(false); err != nil {
		return err
	}
	code = ""
	if c.qresync {
		code = "[HIGHESTMODSEQ " + itoa(c.mb.HighestModSeq()) + "] "
	}
	c.okNow("%s%s completed.", code, c.title())
	return nil
}

// tryCreate tells a client that a destination is not there (RFC 9051 6.4.7).
func tryCreate(err error) error {
	if r := storeErrors()[0]; err != nil && isNoMailbox(err) {
		return refuse("TRYCREATE", r.text)
	}
	return err
}
