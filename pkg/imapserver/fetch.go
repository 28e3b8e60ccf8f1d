package imapserver

import (
	"errors"
	"io"
	"slices"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mime/structure"
)

// fetch is FETCH (RFC 9051 6.4.5).
func (c *conn) fetch() error {
	c.dec.SP()
	set := c.dec.NumSet()
	c.dec.SP()
	req := &fetchRequest{}
	c.readItems(req)
	if c.dec.TrySP() {
		c.readFetchModifiers(req)
	}
	if !c.dec.End() {
		return nil
	}
	if req.vanished && (!c.qresync || !c.isUID() || req.changedSince == 0) {
		return badArgs("VANISHED needs QRESYNC enabled, UID FETCH and CHANGEDSINCE.")
	}
	c.completeItems(req)
	ranges, err := c.seqRanges(set)
	if err != nil {
		return err
	}
	if req.partial != nil {
		if ranges, err = c.cutRanges(ranges, *req.partial); err != nil {
			return err
		}
	}
	if req.vanished {
		if err := c.fetchVanished(set, req.changedSince-1); err != nil {
			return err
		}
	}
	return c.doFetch(ranges, req)
}

// completeItems adds what must be told although it was not asked for: UID in
// UID commands, MODSEQ with CHANGEDSINCE (RFC 7162 3.1.4.1).
func (c *conn) completeItems(req *fetchRequest) {
	has := func(k itemKind) bool {
		for i := range req.items {
			if req.items[i].kind == k {
				return true
			}
		}
		return false
	}
	if c.isUID() && !has(itemUID) && !c.uidOnly {
		req.items = append([]item{{kind: itemUID}}, req.items...)
	}
	if req.changedSince > 0 && !has(itemModSeq) {
		req.items = append(req.items, item{kind: itemModSeq})
	}
}

// cutRanges takes a window of the messages of a set.
func (c *conn) cutRanges(ranges []imapwire.Range, w window) ([]imapwire.Range, error) {
	var seqs []uint32
	err := c.each(ranges, func(seq int, _ *mailstore.Message) bool {
		seqs = append(seqs, uint32(seq))
		return true
	})
	from, to := w.apply(len(seqs))
	return imapwire.Ranges(seqs[from:to]), err
}

// fetchVanished answers UID FETCH ... (CHANGEDSINCE n VANISHED) (RFC 7162
// 3.2.6).
func (c *conn) fetchVanished(set imapwire.NumSet, since uint64) error {
	ranges := set.Fixed(c.mb.UIDNext() - 1)
	gone, err := c.mb.ExpungedSince(since, func(uid uint32) bool { return imapwire.Contains(ranges, uid) })
	if err != nil {
		return err
	}
	c.tellVanishedEarlier(gone, 0)
	return nil
}

// fetching is a FETCH under way.
type fetching struct {
	c       *conn
	req     *fetchRequest
	seen    []uint32 // read, and not \Seen yet
	missing bool     // some messages are gone
	failed  error
	entry   mailstore.Entry
	found   []mailstore.Field // beside entry
	ahead   lookedAt
	dated   bool // size or dates are asked for
	content *mailstore.Content
	thread  []byte // THREADID, where that is asked for
	scratch []byte
}

// numbered is a message with its number.
type numbered struct {
	seq int
	msg mailstore.Message
}

func (c *conn) doFetch(ranges []imapwire.Range, req *fetchRequest) error {
	f := &fetching{c: c, req: req}
	gone := !c.isUID() && c.goneIn(ranges)
	var want func(*mailstore.Summary) bool
	if req.changedSince > 0 {
		want = func(s *mailstore.Summary) bool { return s.MaxModSeq >= req.changedSince }
	}
	err := f.each(ranges, want)
	c.mb.FlushCache()
	switch {
	case err == nil && f.failed != nil:
		err = f.failed
	case err == nil && c.enc.Err() != nil:
		return c.enc.Err()
	}
	if err == nil {
		err = f.markSeen()
	}
	if err != nil {
		return c.after(err)
	}
	if err := c.sync(c.keepsNumbers()); err != nil {
		return err
	}
	if gone || f.missing {
		return mailstore.ErrExpunged
	}
	c.okNow("Fetch completed.")
	return nil
}

// each answers for the messages of ranges.
func (f *fetching) each(ranges []imapwire.Range, want func(*mailstore.Summary) bool) error {
	c := f.c
	ahead := f.req.lacking(mailstore.Entry{}).any()
	f.dated = slices.ContainsFunc(f.req.items, func(it item) bool {
		return it.kind == itemSize || it.kind == itemInternalDate || it.kind == itemSaveDate
	})
	b := &bunches{f: f}
	n := 0
	err := c.eachIf(ranges, want, func(seq int, msg *mailstore.Message) bool {
		if msg.ModSeq < f.req.changedSince {
			return true
		}
		if ahead {
			return b.add(numbered{seq, *msg})
		}
		f.message(seq, msg)
		if n++; n&0xff == 0 && c.ctx.Err() != nil {
			return false
		}
		return !f.stopped()
	})
	b.end(err == nil && !f.stopped())
	return err
}

// stopped reports that no more messages are told of.
func (f *fetching) stopped() bool { return f.failed != nil || f.c.enc.Err() != nil }

// markSeen sets \Seen on what was read.
func (f *fetching) markSeen() error {
	if len(f.seen) == 0 || f.c.mb.ReadOnly() {
		return nil
	}
	_, err := f.c.mb.Store(mailstore.StoreRequest{UIDs: f.seen, Op: mailstore.AddFlags, Flags: mailstore.Seen})
	if errors.Is(err, mailstore.ErrNoPermission) {
		return nil // RFC 4314 4: without the right nothing is set
	}
	return err
}

// message answers for one message. What cannot be read is left out, and the
// command fails in the end.
func (f *fetching) message(seq int, msg *mailstore.Message) {
	f.entry, f.found, f.content = mailstore.Entry{}, nil, nil
	if s, ok := f.ahead[msg.UID]; ok && f.dated {
		f.c.mb.SeenDate(msg, s.internal)
	}
	defer f.closeContent()
	if err := f.prepare(msg); err != nil {
		if errors.Is(err, mailstore.ErrExpunged) {
			f.missing = true
			return
		}
		f.failed = err
		return
	}
	c := f.c
	c.beginFetch(seq, msg.UID)
	seen := false
	for i := range f.req.items {
		if i > 0 {
			c.enc.SP()
		}
		it := &f.req.items[i]
		seen = seen || it.seen
		f.item(it, msg)
	}
	c.enc.Byte(')').CRLF()
	if seen && msg.Flags&mailstore.Seen == 0 {
		f.seen = append(f.seen, msg.UID)
	}
}

func (f *fetching) closeContent() {
	if f.content != nil {
		f.content.Close()
	}
}

// prepare gets what the items need, so that nothing can fail in the middle of
// a line.
func (f *fetching) prepare(msg *mailstore.Message) error {
	var need struct{ entry, content bool }
	for i := range f.req.items {
		it := &f.req.items[i]
		switch it.kind {
		case itemSize, itemInternalDate, itemSaveDate:
			if msg.Size == mailstore.Unknown || msg.Internal == mailstore.Unknown {
				if _, err := f.c.mb.Facts(msg); err != nil {
					return err
				}
			}
		case itemEnvelope, itemBodyStructure, itemBody, itemPreview, itemThreadID:
			need.entry = true
		case itemSection:
			if it.section.cachedOnly() {
				need.entry = true
			} else {
				need.content = true
			}
		case itemBinary, itemBinarySize:
			need.content = true
		}
	}
	if need.entry {
		f.entry = f.c.mb.Cached(msg.UID)
		if err := f.fill(msg); err != nil {
			return err
		}
	}
	if err := f.prepareThread(msg); err != nil {
		return err
	}
	if need.content && f.content == nil {
		return f.open(msg)
	}
	return f.checkBinary(msg)
}

func (f *fetching) open(msg *mailstore.Message) error {
	if f.content != nil {
		return nil
	}
	content, err := f.c.mb.Open(msg.UID)
	if err != nil {
		return err
	}
	f.content = content
	return f.checkBinary(msg)
}

// item appends one item.
func (f *fetching) item(it *item, msg *mailstore.Message) {
	e := f.c.enc
	switch it.kind {
	case itemFlags:
		e.Raw("FLAGS ")
		f.c.flags(msg)
	case itemUID:
		e.Raw("UID ").Number(uint64(msg.UID))
	case itemSize:
		facts, _ := f.c.mb.Facts(msg)
		e.Raw("RFC822.SIZE ").Number(uint64(max(facts.Size, 0)))
	case itemInternalDate:
		facts, _ := f.c.mb.Facts(msg)
		e.Raw(`INTERNALDATE "`)
		f.date(facts.Internal)
		e.Byte('"')
	case itemSaveDate:
		facts, _ := f.c.mb.Facts(msg)
		if facts.Saved == mailstore.Unknown {
			e.Raw("SAVEDATE NIL")
			return
		}
		e.Raw(`SAVEDATE "`)
		f.date(facts.Saved)
		e.Byte('"')
	case itemModSeq:
		e.Raw("MODSEQ (").Number(msg.ModSeq).Byte(')')
	case itemEmailID:
		e.Raw("EMAILID (").Raw(mailstore.EmailID(msg)).Byte(')')
	case itemThreadID:
		e.Raw("THREADID (").Bytes(f.thread).Byte(')')
	case itemEnvelope:
		f.cached("ENVELOPE ", cacheEnvelope)
	case itemBodyStructure:
		f.cached("BODYSTRUCTURE ", cacheBodyStructure)
	case itemBody:
		f.cached("BODY ", cacheBody)
	case itemPreview:
		f.preview(it)
	case itemSection:
		f.section(it, msg)
	default:
		f.binary(it)
	}
}

// date appends a time as INTERNALDATE has it.
func (f *fetching) date(unix int64) {
	f.scratch = time.Unix(unix, 0).AppendFormat(f.scratch[:0], imapwire.DateTimeLayout)
	f.c.enc.Bytes(f.scratch)
}

func (f *fetching) cached(name string, id uint16) {
	f.c.enc.Raw(name)
	data, ok := f.get(id)
	if !ok {
		f.c.enc.Raw("NIL")
		return
	}
	f.c.enc.Bytes(data)
}

// section appends BODY[...] and its relatives.
func (f *fetching) section(it *item, msg *mailstore.Message) {
	e := f.c.enc
	if it.name == "BODY" {
		f.scratch = it.section.appendLabel(f.scratch[:0], "BODY", it.partial)
		e.Bytes(f.scratch)
	} else {
		e.Raw(it.name)
	}
	e.SP()
	if it.section.cachedOnly() {
		if header, ok := f.get(cacheFields); ok {
			data := it.section.filter(header)
			off, n := it.partial.cut(int64(len(data)))
			e.LiteralHeader(n, false).Bytes(data[off : off+n])
			return
		}
	}
	if f.content == nil {
		e.Raw("NIL")
		return
	}
	data, ok := it.section.locate(f.content, f.tree(it, msg))
	switch {
	case !ok || data.bytes == nil && data.from < 0:
		e.Raw("NIL")
		return
	case data.bytes != nil:
		off, n := it.partial.cut(int64(len(data.bytes)))
		e.LiteralHeader(n, false).Bytes(data.bytes[off : off+n])
		return
	}
	off, n := it.partial.cut(data.to - data.from)
	e.LiteralHeader(n, false)
	f.send(data.from+off, n)
}

// send copies a piece of the message.
func (f *fetching) send(from, n int64) {
	if b := f.content.Bytes(); b != nil {
		f.c.enc.Bytes(b[from : from+n])
		return
	}
	if err := f.c.enc.Copy(io.NewSectionReader(f.content, from, n), n); err != nil && f.c.enc.Err() == nil {
		f.c.o.Log("error", "FETCH: read a message: %v", err)
	}
}

// tree returns the parts of the message, which are kept for the next piece.
func (f *fetching) tree(it *item, msg *mailstore.Message) *structure.Part {
	if len(it.section.path) == 0 {
		return nil
	}
	if t := f.c.lastTree; t != nil && t.uid == msg.UID {
		return t.part
	}
	part, err := parseContent(f.content)
	if err != nil {
		return nil
	}
	f.c.lastTree = &partTree{uid: msg.UID, part: part}
	return part
}
