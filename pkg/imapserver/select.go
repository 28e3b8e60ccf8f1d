package imapserver

import (
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// resync is what a client with QRESYNC knows (RFC 7162 3.2.5).
type resync struct {
	validity  uint32
	modseq    uint64
	uids      []imapwire.Range // that the client knows; nil: all
	seqs      []imapwire.Range // sample of what it has in its cache
	seqUIDs   []imapwire.Range
	requested bool
}

// selectMailbox is SELECT and EXAMINE (RFC 9051 6.3.2), with any number of
// parameters.
func (c *conn) selectMailbox() error {
	c.dec.SP()
	name := c.dec.Mailbox()
	var q resync
	condstore := false
	if c.dec.TrySP() {
		c.dec.List(func() {
			switch word := c.dec.Word(); word {
			case "CONDSTORE":
				condstore = true
			case "QRESYNC":
				c.readResync(&q)
			default:
				c.dec.Fail("Unknown parameter %s", word)
			}
		})
	}
	if !c.dec.End() {
		return nil
	}
	if q.requested && !c.qresync {
		return badArgs("QRESYNC is not enabled.")
	}
	if c.mb != nil {
		c.closeMailbox()
		c.enc.Line("* OK [CLOSED] Previous mailbox closed.")
	}
	mb, err := c.store.Mailbox(name, c.name == "EXAMINE")
	if err != nil {
		return err
	}
	c.mb = &selected{Mailbox: mb}
	if mb.Len() >= worthIndex {
		c.o.Indexer.want(c, worthIndex)
	}
	if condstore {
		c.condstore = true
	}
	c.describe(name)
	if q.requested {
		if err := c.answerResync(&q); err != nil {
			c.closeMailbox()
			return err
		}
	}
	mode := "READ-WRITE"
	if mb.ReadOnly() {
		mode = "READ-ONLY"
	}
	c.okNow("[%s] %s completed.", mode, c.title())
	return nil
}

// readResync reads (uidvalidity modseq [uids] [(seqs uids)]).
func (c *conn) readResync(q *resync) {
	d := c.dec
	d.SP()
	d.Special('(')
	q.requested = true
	q.validity = d.Number()
	d.SP()
	q.modseq = d.Number64()
	if d.TrySP() {
		if d.Peek() != '(' {
			q.uids = d.NumSet().Fixed(^uint32(0))
			if !d.TrySP() {
				d.Special(')')
				return
			}
		}
		d.Special('(')
		q.seqs = d.NumSet().Fixed(^uint32(0))
		d.SP()
		q.seqUIDs = d.NumSet().Fixed(^uint32(0))
		d.Special(')')
	}
	d.Special(')')
}

// describe sends what a client is told of a mailbox that it selects.
func (c *conn) describe(name string) {
	c.tellFlags()
	c.enc.Line("* %d EXISTS", c.mb.Len())
	if !c.rev2 {
		c.enc.Line("* %d RECENT", c.mb.RecentCount())
		if first := c.mb.FirstUnseen(); first > 0 {
			c.enc.Line("* OK [UNSEEN %d] First unseen.", first)
		}
	}
	c.enc.Line("* OK [UIDVALIDITY %d] UIDs valid", c.mb.UIDValidity())
	c.enc.Line("* OK [UIDNEXT %d] Predicted next UID", c.mb.UIDNext())
	c.enc.Line("* OK [HIGHESTMODSEQ %d] Highest", c.mb.HighestModSeq())
	c.enc.Line("* OK [MAILBOXID (%s)] Ok", c.mb.MailboxID())
	if c.rev2 {
		c.enc.Raw(`* LIST () "/" `).Mailbox(name).CRLF()
	}
}

// answerResync tells what happened since the client was here (RFC 7162
// 3.2.5).
func (c *conn) answerResync(q *resync) error {
	if q.validity != c.mb.UIDValidity() {
		return nil
	}
	inKnown := func(uid uint32) bool { return q.uids == nil || imapwire.Contains(q.uids, uid) }
	since := q.modseq
	gone, err := c.mb.ExpungedSince(since, inKnown)
	if err != nil {
		return err
	}
	c.tellVanishedEarlier(gone, c.sameUpTo(q))
	return c.mb.RangeIf(1, c.mb.Len(), func(s *mailstore.Summary) bool { return s.MaxModSeq > since },
		func(seq int, msg *mailstore.Message) bool {
			if msg.ModSeq > since && inKnown(msg.UID) {
				c.beginFetch(seq, msg.UID)
				if !c.uidOnly {
					c.enc.Raw("UID ").Number(uint64(msg.UID)).SP()
				}
				c.enc.Raw("FLAGS ")
				c.flags(msg)
				c.enc.Raw(" MODSEQ (").Number(msg.ModSeq).Raw("))").CRLF()
			}
			return c.enc.Err() == nil
		})
}

// sameUpTo returns the highest UID of the client's sample that still has its
// number: nothing was expunged before it that the client does not know.
func (c *conn) sameUpTo(q *resync) uint32 {
	seqs, uids := numbers(q.seqs), numbers(q.seqUIDs)
	var last uint32
	for i := range min(len(seqs), len(uids)) {
		msg, ok := c.mb.Message(int(seqs[i]))
		if !ok || msg.UID != uids[i] {
			break
		}
		last = msg.UID
	}
	return last
}

// maxSample bounds a client's sample.
const maxSample = 1000

func numbers(ranges []imapwire.Range) []uint32 {
	var out []uint32
	for _, r := range ranges {
		for n := r.From; n <= r.To && len(out) < maxSample; n++ {
			out = append(out, n)
		}
	}
	return out
}

// tellVanishedEarlier sends VANISHED (EARLIER), without UIDs up to same.
func (c *conn) tellVanishedEarlier(gone [][2]uint32, same uint32) {
	var ranges []imapwire.Range
	for _, r := range gone {
		if r[1] <= same {
			continue
		}
		ranges = append(ranges, imapwire.Range{From: max(r[0], same+1), To: r[1]})
	}
	if len(ranges) > 0 {
		c.enc.Raw("* VANISHED (EARLIER) ").Bytes(imapwire.AppendRanges(nil, imapwire.Join(ranges))).CRLF()
	}
}

// closeSelected is CLOSE, which expunges without telling (RFC 9051 6.4.1),
// and UNSELECT, which does not.
func (c *conn) closeSelected() error {
	if !c.dec.End() {
		return nil
	}
	code := ""
	if c.name == "CLOSE" && !c.mb.ReadOnly() {
		uids, err := c.mb.DeletedUIDs()
		if err == nil && len(uids) > 0 {
			uids, err = c.mb.Expunge(uids, false)
			c.appended.expunged += len(uids)
		}
		if err != nil && !isStoreError(err) {
			return err
		}
		if c.qresync && err == nil && len(uids) > 0 {
			if _, err := c.mb.Sync(mailstore.SyncOptions{}); err == nil {
				code = "[HIGHESTMODSEQ " + itoa(c.mb.HighestModSeq()) + "] "
			}
		}
	}
	c.closeMailbox()
	c.okNow("%s%s completed.", code, c.title())
	return nil
}

// expunge is EXPUNGE and UID EXPUNGE (RFC 9051 6.4.3, 6.4.9).
func (c *conn) expunge() error {
	var set *imapwire.NumSet
	if c.isUID() {
		c.dec.SP()
		s := c.dec.NumSet()
		set = &s
	}
	if !c.dec.End() {
		return nil
	}
	if c.mb.ReadOnly() {
		return mailstore.ErrReadOnly
	}
	uids, err := c.mb.DeletedUIDs()
	if err != nil {
		return err
	}
	if set != nil {
		want := c.uidRanges(*set)
		kept := uids[:0]
		for _, uid := range uids {
			if imapwire.Contains(want, uid) {
				kept = append(kept, uid)
			}
		}
		uids = kept
	}
	gone, err := c.mb.Expunge(uids, false)
	c.appended.expunged += len(gone)
	if err != nil {
		return c.after(err)
	}
	if err := c.sync(false); err != nil {
		return err
	}
	code := ""
	if c.qresync && len(gone) > 0 {
		code = "[HIGHESTMODSEQ " + itoa(c.mb.HighestModSeq()) + "] "
	}
	c.okNow("%s%s completed.", code, c.title())
	return nil
}

// after tells what a command did before it failed.
func (c *conn) after(err error) error {
	if serr := c.sync(c.keepsNumbers()); serr != nil {
		return serr
	}
	return err
}
