// Package bdb reads Berkeley DB files, hash and btree, of versions 8 and 9,
// as Postfix makes them. It never writes.
//
// The files may be damaged or hostile: all offsets, lengths and page numbers
// are checked, and no chain of pages is followed for longer than the file has
// pages.
package bdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrFormat reports a file that is not a Berkeley DB hash or btree file, or
// is damaged.
var ErrFormat = errors.New("not a valid Berkeley DB file")

const (
	hashMagic  = 0x061561
	btreeMagic = 0x053162

	pageHeader = 26
	maxItem    = 16 << 20 // bytes in one key or value
	maxDepth   = 64       // levels of a btree
)

// Page types.
const (
	pageHashUnsorted = 2
	pageInternal     = 3
	pageLeaf         = 5
	pageOverflow     = 7
	pageHashMeta     = 8
	pageBtreeMeta    = 9
	pageHash         = 13
)

// Reader answers lookups in one file. It is safe for concurrent use.
type Reader struct {
	r     io.ReaderAt
	order binary.ByteOrder
	size  int    // of a page
	last  uint32 // page number
	hash  *hashMeta
	root  uint32 // of a btree
}

// Open reads the description of the database in f, which must stay open.
func Open(f *os.File) (*Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return r, nil
}

// NewReader reads the description of the database of the given size.
func NewReader(f io.ReaderAt, size int64) (*Reader, error) {
	meta := make([]byte, 512)
	if _, err := f.ReadAt(meta, 0); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrFormat, err)
	}
	r := &Reader{r: f}
	magic, err := r.byteOrder(meta)
	if err != nil {
		return nil, err
	}
	r.size = int(r.order.Uint32(meta[20:]))
	if r.size < 512 || r.size > 65536 || r.size&(r.size-1) != 0 {
		return nil, fmt.Errorf("%w: page size %d", ErrFormat, r.size)
	}
	if meta[24] != 0 || meta[26]&1 != 0 {
		return nil, fmt.Errorf("%w: encrypted or with checksums", ErrFormat)
	}
	pages := size / int64(r.size)
	if pages < 1 || pages > 1<<32-1 {
		return nil, fmt.Errorf("%w: size %d", ErrFormat, size)
	}
	r.last = uint32(pages - 1)
	version := r.order.Uint32(meta[16:])
	if version < 8 || version > 9 {
		return nil, fmt.Errorf("%w: version %d is not supported", ErrFormat, version)
	}
	if magic == btreeMagic {
		r.root = r.order.Uint32(meta[88:])
		return r, nil
	}
	r.hash, err = r.readHashMeta(meta)
	return r, err
}

// byteOrder finds the order in which the machine that made the file wrote
// its numbers.
func (r *Reader) byteOrder(meta []byte) (uint32, error) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		magic := order.Uint32(meta[12:])
		switch {
		case magic == hashMagic && meta[25] == pageHashMeta, magic == btreeMagic && meta[25] == pageBtreeMeta:
			r.order = order
			return magic, nil
		}
	}
	return 0, fmt.Errorf("%w: bad magic number", ErrFormat)
}

// Get returns the value of a key.
func (r *Reader) Get(key string) (value string, found bool, err error) {
	if r.hash != nil {
		return r.getHash(key)
	}
	return r.getBtree(key)
}

// All calls yield with each pair in the order of the database, until it
// returns false.
func (r *Reader) All(yield func(key, value string) bool) error {
	if r.hash != nil {
		return r.allHash(yield)
	}
	return r.allBtree(yield)
}

// page is one page in memory.
type page struct {
	data       []byte
	order      binary.ByteOrder
	next       uint32
	entries    int
	freeOffset int // start of data; length of data in an overflow page
	kind       byte
}

func (r *Reader) page(number uint32) (page, error) {
	if number > r.last {
		return page{}, fmt.Errorf("%w: page %d beyond the end", ErrFormat, number)
	}
	data := make([]byte, r.size)
	if _, err := r.r.ReadAt(data, int64(number)*int64(r.size)); err != nil {
		return page{}, fmt.Errorf("%w: page %d: %v", ErrFormat, number, err)
	}
	p := page{
		data:       data,
		order:      r.order,
		next:       r.order.Uint32(data[16:]),
		entries:    int(r.order.Uint16(data[20:])),
		freeOffset: int(r.order.Uint16(data[22:])),
		kind:       data[25],
	}
	if p.kind != pageOverflow && pageHeader+2*p.entries > len(data) {
		return page{}, fmt.Errorf("%w: page %d has %d entries", ErrFormat, number, p.entries)
	}
	return p, nil
}

// offset returns where item i starts.
func (p *page) offset(i int) (int, error) {
	at := int(p.order.Uint16(p.data[pageHeader+2*i:]))
	if at < pageHeader+2*p.entries || at >= len(p.data) {
		return 0, fmt.Errorf("%w: item out of its page", ErrFormat)
	}
	return at, nil
}

// overflow collects an item that has pages of its own.
func (r *Reader) overflow(number, total uint32) (string, error) {
	if total > maxItem || uint64(total) > uint64(r.last+1)*uint64(r.size) {
		return "", fmt.Errorf("%w: item of %d bytes", ErrFormat, total)
	}
	item := make([]byte, 0, total)
	for range r.last + 1 {
		if number == 0 || len(item) >= int(total) {
			break
		}
		p, err := r.page(number)
		if err != nil {
			return "", err
		}
		n := p.freeOffset
		if p.kind != pageOverflow || n == 0 || pageHeader+n > len(p.data) {
			return "", fmt.Errorf("%w: page %d is not an overflow page", ErrFormat, number)
		}
		item = append(item, p.data[pageHeader:pageHeader+n]...)
		number = p.next
	}
	if len(item) != int(total) {
		return "", fmt.Errorf("%w: item is cut short", ErrFormat)
	}
	return string(item), nil
}
