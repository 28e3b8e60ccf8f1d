package imapserver

import (
	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// uidRanges returns the UIDs that a set of UIDs means.
func (c *conn) uidRanges(set imapwire.NumSet) []imapwire.Range {
	if set.Saved {
		return imapwire.Ranges(c.saved)
	}
	highest := uint32(0)
	if msg, ok := c.mb.Message(c.mb.Len()); ok {
		highest = msg.UID
	}
	return set.Fixed(highest)
}

// seqRanges returns the message numbers that a set means in this command:
// numbers or UIDs. A number beyond the last message is an error (RFC 9051
// 6.4.8: only for numbers).
func (c *conn) seqRanges(set imapwire.NumSet) ([]imapwire.Range, error) {
	n := uint32(c.mb.Len())
	if !c.isUID() && !set.Saved {
		if n == 0 && set.HasStar() {
			return nil, nil // 1:* of nothing; clients ask for it
		}
		ranges := set.Fixed(n)
		for _, r := range ranges {
			if r.From == 0 || r.To > n {
				return nil, badArgs("Invalid messageset")
			}
		}
		return ranges, nil
	}
	var out []imapwire.Range
	for _, r := range c.uidRanges(set) {
		from, _ := c.mb.Find(r.From)
		to, exact := c.mb.Find(r.To)
		if !exact {
			to--
		}
		if from <= to {
			out = append(out, imapwire.Range{From: uint32(from), To: uint32(to)})
		}
	}
	return imapwire.Join(out), nil
}

// each calls f for the messages of ranges of numbers, without those that are
// gone.
func (c *conn) each(ranges []imapwire.Range, f func(seq int, msg *mailstore.Message) bool) error {
	return c.eachIf(ranges, nil, f)
}

func (c *conn) eachIf(ranges []imapwire.Range, want func(*mailstore.Summary) bool, f func(seq int, msg *mailstore.Message) bool) error {
	more := true
	for _, r := range ranges {
		err := c.mb.RangeIf(int(r.From), int(r.To), want, func(seq int, msg *mailstore.Message) bool {
			if msg.Flags&mailstore.Gone != 0 {
				return true
			}
			more = f(seq, msg)
			return more
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// uids returns the UIDs of the messages that a set means.
func (c *conn) uids(set imapwire.NumSet) ([]uint32, error) {
	ranges, err := c.seqRanges(set)
	if err != nil {
		return nil, err
	}
	var out []uint32
	err = c.each(ranges, func(_ int, msg *mailstore.Message) bool {
		out = append(out, msg.UID)
		return true
	})
	return out, err
}

// goneIn reports whether a set of numbers has messages that were expunged and
// not told of.
func (c *conn) goneIn(ranges []imapwire.Range) bool {
	gone := false
	for _, r := range ranges {
		c.mb.Range(int(r.From), int(r.To), func(_ int, msg *mailstore.Message) bool {
			gone = msg.Flags&mailstore.Gone != 0
			return !gone
		})
		if gone {
			return true
		}
	}
	return false
}
