package imapserver

import "strings"

// itemKind is what a FETCH item is.
type itemKind int

const (
	itemFlags itemKind = iota
	itemUID
	itemInternalDate
	itemSize
	itemModSeq
	itemEmailID
	itemThreadID
	itemSaveDate
	itemEnvelope
	itemBodyStructure
	itemBody // BODY without a section
	itemPreview
	itemSection
	itemBinary
	itemBinarySize
)

// item is one thing that FETCH asks for.
type item struct {
	kind    itemKind
	section section
	partial partial
	name    string // as it is told: BODY, BINARY, or one of the old names
	seen    bool   // marks the message as \Seen
	lazy    bool   // PREVIEW (LAZY)
}

// maxItems bounds one FETCH.
const maxItems = 500

// fetchRequest is a FETCH that was read.
type fetchRequest struct {
	items        []item
	changedSince uint64
	vanished     bool
	partial      *window // PARTIAL (RFC 9394 3.3)
}

// readItems reads the items of FETCH (RFC 9051 6.4.5).
func (c *conn) readItems(req *fetchRequest) {
	if c.dec.Peek() != '(' {
		c.readItem(req, true)
		return
	}
	c.dec.List(func() { c.readItem(req, false) })
	if len(req.items) == 0 {
		c.dec.Fail("Missing FETCH items")
	}
}

// macros are what ALL, FAST and FULL stand for.
func macro(name string) []itemKind {
	switch name {
	case "ALL":
		return []itemKind{itemFlags, itemInternalDate, itemSize, itemEnvelope}
	case "FAST":
		return []itemKind{itemFlags, itemInternalDate, itemSize}
	case "FULL":
		return []itemKind{itemFlags, itemInternalDate, itemSize, itemEnvelope, itemBody}
	}
	return nil
}

func (c *conn) readItem(req *fetchRequest, alone bool) {
	if len(req.items) > maxItems {
		c.dec.Fail("Too many FETCH items")
		return
	}
	name := c.dec.Name()
	// Macros are for a FETCH of nothing else; clients are not so strict.
	if kinds := macro(name); kinds != nil {
		for _, k := range kinds {
			req.items = append(req.items, item{kind: k})
		}
		return
	}
	it := item{name: name}
	switch name {
	case "FLAGS":
		it.kind = itemFlags
	case "UID":
		it.kind = itemUID
	case "INTERNALDATE":
		it.kind = itemInternalDate
	case "RFC822.SIZE":
		it.kind = itemSize
	case "MODSEQ":
		it.kind = itemModSeq
		c.enableCondstore()
	case "EMAILID":
		it.kind = itemEmailID
	case "THREADID":
		it.kind = itemThreadID
	case "SAVEDATE":
		it.kind = itemSaveDate
	case "ENVELOPE":
		it.kind = itemEnvelope
	case "BODYSTRUCTURE":
		it.kind = itemBodyStructure
	case "PREVIEW":
		c.readPreview(&it)
	default:
		c.readSectionItem(&it, name)
	}
	req.items = append(req.items, it)
}

// readPreview reads PREVIEW and its modifiers (RFC 8970 3.1).
func (c *conn) readPreview(it *item) {
	it.kind = itemPreview
	rest := c.dec.Rest()
	if !strings.HasPrefix(rest, " (") {
		return
	}
	c.dec.SP()
	c.dec.List(func() {
		switch word := c.dec.Word(); word {
		case "LAZY":
			it.lazy = true
		case "FUZZY": // of drafts of the extension
		default:
			c.dec.Fail("Unknown PREVIEW modifier %s", word)
		}
	})
}

func (c *conn) readSectionItem(it *item, name string) {
	it.kind = itemSection
	switch name {
	case "RFC822":
		it.seen = true
	case "RFC822.PEEK":
		it.name = "RFC822"
	case "RFC822.HEADER", "RFC822.HEADER.PEEK":
		it.name, it.section.what = "RFC822.HEADER", "HEADER"
	case "RFC822.TEXT":
		it.section.what, it.seen = "TEXT", true
	case "RFC822.TEXT.PEEK":
		it.name, it.section.what = "RFC822.TEXT", "TEXT"
	case "BODY", "BODY.PEEK":
		if c.dec.Peek() != '[' {
			if name == "BODY.PEEK" {
				c.dec.Fail("Missing section")
			}
			it.kind = itemBody
			return
		}
		it.name, it.seen = "BODY", name == "BODY"
		it.section = c.readSection()
		it.partial = c.readPartial()
	case "BINARY", "BINARY.PEEK", "BINARY.SIZE":
		c.readBinary(it, name)
	default:
		c.dec.Fail("Unknown FETCH item %s", name)
	}
}

// readBinary reads BINARY[1.2]<off.n> (RFC 3516 4.2).
func (c *conn) readBinary(it *item, name string) {
	it.kind, it.name, it.seen = itemBinary, "BINARY", name == "BINARY"
	it.section = c.readSection()
	if it.section.what != "" {
		c.dec.Fail("BINARY takes a part number only")
	}
	if name == "BINARY.SIZE" {
		it.kind, it.name, it.seen = itemBinarySize, name, false
		return
	}
	it.partial = c.readPartial()
}

// readFetchModifiers reads (CHANGEDSINCE n VANISHED PARTIAL 1:100).
func (c *conn) readFetchModifiers(req *fetchRequest) {
	c.dec.List(func() {
		switch word := c.dec.Word(); word {
		case "CHANGEDSINCE":
			c.dec.SP()
			req.changedSince = c.dec.Number64() + 1
			c.enableCondstore()
		case "VANISHED":
			req.vanished = true
		case "PARTIAL":
			c.dec.SP()
			w := c.readWindow()
			req.partial = &w
		default:
			c.dec.Fail("Unknown FETCH modifier %s", word)
		}
	})
}

// window is a range of results: from 1 on, or counted from the end if negative
// (RFC 9394 3).
type window struct{ from, to int64 }

func (c *conn) readWindow() window {
	var w window
	negative := c.dec.TrySpecial('-')
	w.from = int64(c.dec.Number())
	c.dec.Special(':')
	if c.dec.TrySpecial('-') != negative {
		c.dec.Fail("Invalid range")
	}
	w.to = int64(c.dec.Number())
	if w.from == 0 || w.to == 0 {
		c.dec.Fail("Invalid range")
	}
	if w.from > w.to {
		w.from, w.to = w.to, w.from
	}
	if negative {
		w.from, w.to = -w.to, -w.from
	}
	return w
}

// apply returns which of n results are in the window, as a slice's bounds.
func (w window) apply(n int) (from, to int) {
	lo, hi := w.from, w.to
	if lo < 0 {
		lo, hi = int64(n)+lo+1, int64(n)+hi+1
	}
	lo, hi = max(lo, 1), min(hi, int64(n))
	if lo > hi {
		return 0, 0
	}
	return int(lo) - 1, int(hi)
}
