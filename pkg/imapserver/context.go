package imapserver

import (
	"slices"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// searchContext is a search whose result the client is kept informed of (RFC
// 5267 4.3).
type searchContext struct {
	tag   string
	key   *key
	keys  []sortKey // of SORT, else nil
	uid   bool
	known []uint32 // the UIDs of the result, in its order
}

// maxContexts bounds them in a session.
const maxContexts = 16

// addContext keeps a search going.
func (c *conn) addContext(o *returnOptions, k *key, keys []sortKey) {
	if len(c.contexts) >= maxContexts {
		c.enc.Line("* NO [NOUPDATE %s] Too many contexts.", quoteText(o.tag))
		return
	}
	sc := &searchContext{tag: o.tag, key: k, keys: keys, uid: o.uid}
	found, err := c.contextResult(sc)
	if err != nil {
		c.enc.Line("* NO [NOUPDATE %s] Search failed.", quoteText(o.tag))
		return
	}
	sc.known = uidsOf(found)
	c.contexts = append(c.contexts, sc)
}

func uidsOf(found []hit) []uint32 {
	out := make([]uint32, len(found))
	for i, h := range found {
		out[i] = h.uid
	}
	return out
}

func (c *conn) contextResult(sc *searchContext) ([]hit, error) {
	found, err := c.find(sc.key)
	if err != nil || sc.keys == nil {
		return found, err
	}
	return c.order(found, sc.keys)
}

// updateContexts tells what changed in the results.
func (c *conn) updateContexts(*mailstore.Changes) error {
	c.since = time.Now()
	for _, sc := range c.contexts {
		found, err := c.contextResult(sc)
		if err != nil {
			return err
		}
		c.tellContext(sc, found)
	}
	return nil
}

// tellContext sends REMOVEFROM and ADDTO, one message each, so that positions
// are those at that moment (RFC 5267 4.4).
func (c *conn) tellContext(sc *searchContext, found []hit) {
	now := uidsOf(found)
	in := make(map[uint32]bool, len(now))
	for _, uid := range now {
		in[uid] = true
	}
	for i := 0; i < len(sc.known); {
		if in[sc.known[i]] {
			i++
			continue
		}
		c.contextLine(sc, "REMOVEFROM", i+1, sc.known[i])
		sc.known = slices.Delete(sc.known, i, i+1)
	}
	for i, uid := range now {
		if i < len(sc.known) && sc.known[i] == uid {
			continue
		}
		if j := slices.Index(sc.known, uid); j >= 0 {
			// It is elsewhere now, as the order has changed.
			c.contextLine(sc, "REMOVEFROM", j+1, uid)
			sc.known = slices.Delete(sc.known, j, j+1)
		}
		c.contextLine(sc, "ADDTO", i+1, uid)
		sc.known = slices.Insert(sc.known, i, uid)
	}
}

// contextLine sends one change. A message that is gone has no number any
// more; such a change is told by EXPUNGE already.
func (c *conn) contextLine(sc *searchContext, what string, position int, uid uint32) {
	number := uid
	if !sc.uid {
		seq, ok := c.mb.Find(uid)
		if !ok {
			return
		}
		number = uint32(seq)
	}
	c.enc.Raw("* ESEARCH (TAG ").String(sc.tag).Byte(')')
	if sc.uid {
		c.enc.Raw(" UID")
	}
	c.enc.SP().Raw(what).Raw(" (").Number(uint64(position)).SP().Number(uint64(number)).Byte(')').CRLF()
}

// cancelUpdate is CANCELUPDATE (RFC 5267 4.5).
func (c *conn) cancelUpdate() error {
	var tags []string
	for c.dec.TrySP() {
		tags = append(tags, string(c.dec.String()))
		if len(tags) > maxContexts {
			c.dec.Fail("Too many tags")
		}
	}
	if len(tags) == 0 {
		c.dec.Fail("Missing tag")
	}
	if !c.dec.End() {
		return nil
	}
	for _, tag := range tags {
		i := slices.IndexFunc(c.contexts, func(sc *searchContext) bool { return sc.tag == tag })
		if i < 0 {
			return badArgs("Unknown tag.")
		}
		c.contexts = slices.Delete(c.contexts, i, i+1)
	}
	return c.ok("No more updates.")
}
