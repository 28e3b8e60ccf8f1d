package imapserver

import (
	"bytes"
	"io"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mime/structure"
)

// binaryPart finds the part of a BINARY item (RFC 3516 4.2); nil if there is
// none.
func (f *fetching) binaryPart(it *item) (p *structure.Part, whole bool, err error) {
	if len(it.section.path) == 0 {
		return nil, true, nil
	}
	root, err := parseContent(f.content)
	if err != nil {
		return nil, false, err
	}
	return root.Find(it.section.path), false, nil
}

// checkBinary refuses what cannot be decoded before anything is sent.
func (f *fetching) checkBinary(*mailstore.Message) error {
	if f.content == nil {
		return nil
	}
	for i := range f.req.items {
		it := &f.req.items[i]
		if it.kind != itemBinary && it.kind != itemBinarySize {
			continue
		}
		p, _, err := f.binaryPart(it)
		if err != nil {
			return err
		}
		if p == nil || p.IsMultipart() {
			continue
		}
		if _, ok := bodyReader(f.content, p); !ok {
			return refuse("UNKNOWN-CTE", "Unknown Content-Transfer-Encoding.")
		}
	}
	return nil
}

// measure returns the size of what a reader gives, and whether there is a NUL.
func measure(r io.Reader) (n int64, nul bool) {
	buf := make([]byte, 32<<10)
	for {
		m, err := r.Read(buf)
		n += int64(m)
		nul = nul || bytes.IndexByte(buf[:m], 0) >= 0
		if err != nil {
			return n, nul
		}
	}
}

// open returns a new reader of the item's data.
func (f *fetching) binaryReader(p *structure.Part, whole bool) io.Reader {
	switch {
	case whole:
		return io.NewSectionReader(f.content, 0, f.content.Size())
	case p.IsMultipart():
		return io.NewSectionReader(f.content, p.Body, p.End-p.Body)
	}
	r, _ := bodyReader(f.content, p)
	return r
}

// binary appends BINARY[...] or BINARY.SIZE[...]. The data is decoded twice:
// its length comes first.
func (f *fetching) binary(it *item) {
	e := f.c.enc
	f.scratch = it.section.appendLabel(f.scratch[:0], it.name, it.partial)
	e.Bytes(f.scratch).SP()
	p, whole, err := f.binaryPart(it)
	if err != nil || p == nil && !whole {
		if it.kind == itemBinarySize {
			e.Raw("0")
			return
		}
		e.Raw("NIL")
		return
	}
	size, nul := measure(f.binaryReader(p, whole))
	if it.kind == itemBinarySize {
		e.Number(uint64(size))
		return
	}
	off, n := it.partial.cut(size)
	r := f.binaryReader(p, whole)
	if off > 0 {
		io.CopyN(io.Discard, r, off)
	}
	e.LiteralHeader(n, nul)
	if err := e.Copy(r, n); err != nil && e.Err() == nil {
		f.c.o.Log("error", "FETCH: read a message: %v", err)
	}
}

// preview appends PREVIEW (RFC 8970). It was found in any case.
func (f *fetching) preview(*item) {
	e := f.c.enc
	e.Raw("PREVIEW ")
	text, ok := f.get(cachePreview)
	if !ok {
		e.Raw("NIL")
		return
	}
	e.String(string(text))
}
