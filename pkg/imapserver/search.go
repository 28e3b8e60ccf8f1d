package imapserver

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// returnOptions are those of ESEARCH (RFC 9051 6.4.4, RFC 5182, RFC 5267, RFC
// 9394).
type returnOptions struct {
	given                      bool
	min, max, all, count, save bool
	update, context            bool
	relevancy                  bool // RFC 6203
	partial                    *window
	partialText                string
	modseq                     bool   // tell MODSEQ
	tag                        string // of the command
	uid                        bool
	mailbox                    string // of a search in several (RFC 7377)
	validity                   uint32
}

// readReturn reads RETURN (...).
func (c *conn) readReturn() returnOptions {
	o := returnOptions{given: true}
	c.dec.SP()
	c.dec.List(func() {
		switch word := c.dec.Word(); word {
		case "MIN":
			o.min = true
		case "MAX":
			o.max = true
		case "ALL":
			o.all = true
		case "COUNT":
			o.count = true
		case "SAVE":
			o.save = true
		case "UPDATE":
			o.update = true
		case "CONTEXT":
			o.context = true
		case "PARTIAL":
			c.dec.SP()
			rest := c.dec.Rest()
			w := c.readWindow()
			o.partial = &w
			o.partialText = rest[:len(rest)-len(c.dec.Rest())]
		case "RELEVANCY":
			if o.relevancy = c.has(capFuzzy); !o.relevancy {
				c.dec.Fail("RELEVANCY is not supported")
			}
		default:
			c.dec.Fail("Unknown return option %s", word)
		}
	})
	if !o.min && !o.max && !o.count && !o.save && o.partial == nil {
		o.all = true // RFC 9051 6.4.4: an empty list, too
	}
	return o
}

// search is SEARCH (RFC 9051 6.4.4).
func (c *conn) search() error {
	var o returnOptions
	r := &searchReader{c: c}
	c.dec.SP()
	k := c.readSearch(&o, r)
	r.checkScored(o.relevancy)
	if !c.dec.End() {
		return nil
	}
	if r.charset != "" && !knownCharset(r.charset) {
		return refuse("BADCHARSET (US-ASCII UTF-8)", "Unknown charset.")
	}
	if r.modseq {
		c.enableCondstore()
	}
	o.tag, o.uid, o.modseq = c.tag, c.isUID(), r.modseq
	found, err := c.find(k)
	if err != nil {
		if o.save {
			c.saved = nil // RFC 5182 2.1
		}
		return err
	}
	c.save(&o, found)
	c.tellFound(&o, found)
	if o.update {
		c.addContext(&o, k, nil)
	}
	return c.ok("%s completed.", c.title())
}

// readSearch reads RETURN, CHARSET and the keys, in the order in which they
// may come.
func (c *conn) readSearch(o *returnOptions, r *searchReader) *key {
	rest := c.dec.Rest()
	if len(rest) > 7 && equalFold(rest[:7], "RETURN ") {
		c.dec.Word()
		*o = c.readReturn()
		c.dec.SP()
		rest = c.dec.Rest()
	}
	if len(rest) > 8 && equalFold(rest[:8], "CHARSET ") {
		c.dec.Word()
		c.dec.SP()
		r.charset = c.dec.AString()
		c.dec.SP()
	}
	return r.readKeys()
}

// checkScored refuses RELEVANCY without FUZZY (RFC 6203 4 and 6).
func (r *searchReader) checkScored(relevancy bool) {
	if relevancy && !r.scored {
		r.c.dec.Fail("RELEVANCY needs FUZZY")
	}
}

// hit is a message that was found.
type hit struct {
	seq    int
	uid    uint32
	modseq uint64
	score  int // with FUZZY, from 1 to 100
}

// prepareKey resolves sets and keywords of a search.
func (c *conn) prepareKey(k *key) error {
	k.found, k.scores = nil, nil
	switch k.kind {
	case keySet:
		if k.uid || k.set.Saved {
			k.ranges = c.uidRanges(k.set)
			return nil
		}
		if c.uidOnly {
			return &imapwire.SyntaxError{Text: "[UIDREQUIRED] Message numbers are not allowed once UIDONLY is enabled."}
		}
		if c.mb.Len() == 0 {
			return nil
		}
		k.ranges = k.set.Fixed(uint32(c.mb.Len()))
		for _, r := range k.ranges {
			if r.To > uint32(c.mb.Len()) {
				return badArgs("Invalid messageset")
			}
		}
	case keyKeyword:
		for i, name := range c.mb.Keywords() {
			if equalFold(name, k.word) {
				k.bit = 1 << i
			}
		}
	}
	for _, sub := range k.keys {
		if err := c.prepareKey(sub); err != nil {
			return err
		}
	}
	return nil
}

// find returns the messages that match, in the order of their numbers. What
// needs no file comes first; the rest is done on all cores.
func (c *conn) find(k *key) ([]hit, error) {
	if err := c.prepareKey(k); err != nil {
		return nil, err
	}
	p := c.startProgress(c.mb.Len())
	defer p.stop()
	m := c.newMatcher()
	var found []hit
	var open []hit
	n := 0
	sift := func(h hit, msg *mailstore.Message) {
		switch m.try(k, h.seq, msg, false) {
		case yes:
			h.score = m.score()
			found = append(found, h)
		case maybe:
			open = append(open, h)
		}
	}
	err := c.each([]imapwire.Range{{From: 1, To: uint32(max(c.mb.Len(), 1))}}, func(seq int, msg *mailstore.Message) bool {
		sift(hit{seq: seq, uid: msg.UID, modseq: msg.ModSeq}, msg)
		n++
		return n&0xfff != 0 || !c.late()
	})
	if err == nil {
		err = c.lateError()
	}
	if err == nil && m.err == nil && c.lookUp(k, len(open)) {
		again := open
		open = nil
		for _, h := range again {
			if msg, ok := c.mb.Message(h.seq); ok {
				sift(h, &msg)
			}
		}
		c.wantIndex(len(open))
	}
	if err == nil {
		err = m.err
	}
	if err == nil && len(open) > 0 {
		var more []hit
		if more, err = c.findInFiles(k, open, p); err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	slices.SortFunc(found, func(a, b hit) int { return a.seq - b.seq })
	fullRange(found)
	return found, err
}

// late reports that a search has to end: it has had its time, or the session
// ends.
func (c *conn) late() bool {
	return c.ctx.Err() != nil || c.o.SearchTime > 0 && time.Since(c.since) > c.o.SearchTime
}

// lateError is the error of a search that is late, or nil.
func (c *conn) lateError() error {
	switch {
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case c.late():
		return refuse("LIMIT", "The search takes too long.") // RFC 9051 7.1
	}
	return nil
}

// batchSize is how many messages a goroutine takes at once.
const batchSize = 16

// findInFiles tries messages for which their files must be opened.
func (c *conn) findInFiles(k *key, open []hit, p *progress) ([]hit, error) {
	var (
		mu    sync.Mutex
		found []hit
		next  int
		fail  error
		wg    sync.WaitGroup
	)
	take := func() []hit {
		mu.Lock()
		defer mu.Unlock()
		if fail != nil || next >= len(open) || c.late() {
			return nil
		}
		part := open[next:min(next+batchSize, len(open))]
		next += len(part)
		p.add(len(part))
		return part
	}
	if len(open) > batchSize {
		defer c.o.Pace.Hurry()()
	}
	for range min(runtime.GOMAXPROCS(0), (len(open)+batchSize-1)/batchSize) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			m := c.newMatcher()
			for part := take(); part != nil; part = take() {
				for _, h := range part {
					msg, ok := c.mb.Message(h.seq)
					match := ok && m.try(k, h.seq, &msg, true) == yes
					if len(m.put) > 0 {
						c.mb.PutCache(h.uid, m.put)
					}
					mu.Lock()
					if match {
						h.score = m.score()
						found = append(found, h)
					}
					if m.err != nil {
						fail = m.err
					}
					mu.Unlock()
				}
			}
		}()
	}
	wg.Wait()
	c.mb.FlushCache()
	if fail == nil {
		fail = c.lateError()
	}
	return found, fail
}

// save keeps the result for '$' (RFC 5182 2.1).
func (c *conn) save(o *returnOptions, found []hit) {
	if !o.save {
		return
	}
	c.saved = nil
	keep := found
	if (o.min || o.max) && !o.all && !o.count && o.partial == nil {
		keep = nil
		if o.min && len(found) > 0 {
			keep = append(keep, found[0])
		}
		if o.max && len(found) > 1 || o.max && !o.min && len(found) > 0 {
			keep = append(keep, found[len(found)-1])
		}
	}
	for _, h := range keep {
		c.saved = append(c.saved, h.uid)
	}
	slices.Sort(c.saved)
}

// tellFound sends SEARCH or ESEARCH.
func (c *conn) tellFound(o *returnOptions, found []hit) {
	if !o.given && (c.rev2 || c.uidOnly) {
		o.given, o.all = true, true
	}
	if !o.given {
		c.enc.Raw("* SEARCH")
		for _, h := range found {
			c.enc.SP().Number(uint64(h.number(o.uid)))
		}
		if o.modseq && len(found) > 0 {
			c.enc.Raw(" (MODSEQ ").Number(highestOf(found)).Byte(')')
		}
		c.enc.CRLF()
		return
	}
	if o.save && !o.min && !o.max && !o.all && !o.count && o.partial == nil {
		return // RFC 5182 2.1: SAVE alone has no response
	}
	c.tellESearch(o, found, found)
}

func (h hit) number(uid bool) uint32 {
	if uid {
		return h.uid
	}
	return uint32(h.seq)
}

func highestOf(found []hit) uint64 {
	var n uint64
	for _, h := range found {
		n = max(n, h.modseq)
	}
	return n
}

// tellESearch sends ESEARCH. ordered is the result in its order, which for
// SORT is not that of the numbers.
func (c *conn) tellESearch(o *returnOptions, found, ordered []hit) {
	e := c.enc
	e.Raw("* ESEARCH (TAG ").String(o.tag)
	if o.mailbox != "" {
		e.Raw(" MAILBOX ").Mailbox(o.mailbox).Raw(" UIDVALIDITY ").Number(uint64(o.validity))
	}
	e.Byte(')')
	if o.uid {
		e.Raw(" UID")
	}
	if o.min && len(ordered) > 0 {
		e.Raw(" MIN ").Number(uint64(ordered[0].number(o.uid)))
	}
	if o.max && len(ordered) > 0 {
		e.Raw(" MAX ").Number(uint64(ordered[len(ordered)-1].number(o.uid)))
	}
	if o.count {
		e.Raw(" COUNT ").Number(uint64(len(found)))
	}
	if o.all && len(ordered) > 0 {
		e.Raw(" ALL ").Bytes(setOf(ordered, o.uid))
	}
	scored := ordered
	if o.partial != nil {
		from, to := o.partial.apply(len(ordered))
		scored = ordered[from:to]
		e.Raw(" PARTIAL (").Raw(o.partialText).SP()
		if from == to {
			e.Raw("NIL)")
		} else {
			e.Bytes(setOf(ordered[from:to], o.uid)).Byte(')')
		}
	}
	if o.relevancy && len(scored) > 0 {
		e.Raw(" RELEVANCY (")
		for i, h := range scored {
			if i > 0 {
				e.SP()
			}
			e.Number(uint64(h.score))
		}
		e.Byte(')')
	}
	if o.modseq && len(found) > 0 {
		e.Raw(" MODSEQ ").Number(o.relevant(found, ordered))
	}
	e.CRLF()
}

// relevant is the modification sequence to tell: with only MIN or MAX, of
// these messages (RFC 7162 3.1.10).
func (o *returnOptions) relevant(found, ordered []hit) uint64 {
	if (o.min || o.max) && !o.all && !o.count && o.partial == nil {
		var n uint64
		if o.min {
			n = ordered[0].modseq
		}
		if o.max {
			n = max(n, ordered[len(ordered)-1].modseq)
		}
		return n
	}
	return highestOf(found)
}

// setOf makes a set of hits in their order.
func setOf(found []hit, uid bool) []byte {
	numbers := make([]uint32, len(found))
	for i, h := range found {
		numbers[i] = h.number(uid)
	}
	return imapwire.AppendRanges(nil, imapwire.Ranges(numbers))
}
