package fulltext

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// ErrDamaged is the error of a segment that cannot be read.
var ErrDamaged = errors.New("full-text index is damaged")

// errStale is that of a segment of another folder, time or version.
var errStale = errors.New("full-text index is of another mailbox or version")

// A segment has blocks of words, the table of the messages, the table of the
// blocks, and a footer that says where these are. A block has its words, each
// without the beginning that it shares with the one before, and behind them the
// numbers of the messages that have it in the header and in the body.
const (
	magic       = "phftsidx"
	format      = 1
	footerSize  = 100
	docSize     = 8
	maxDocs     = 1 << 20
	maxBlocks   = 1 << 20
	maxDict     = 64 << 10
	maxPostings = 32 << 20
	// A block ends when it has so much.
	fullDict     = 16 << 10
	fullPostings = 256 << 10
	opaqueBit    = 1 << 31
)

// Header says what a segment belongs to.
type Header struct {
	Validity uint32
	Mailbox  [16]byte
	Version  uint32 // of how words are found in messages
}

// doc is a message in a segment, which is known there by its place.
type doc struct {
	uid    uint32
	words  uint32 // how many, for ranking
	opaque bool   // its words are not here
}

// block is where a part of the words is.
type block struct {
	first            string
	off              int64
	dict, post       int
	dictSum, postSum uint32
}

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// writer writes a segment.
type writer struct {
	w          *bufio.Writer
	off        int64
	dict, post []byte
	prev       []byte
	first      []byte
	blocks     []byte
	nblocks    int
	words      uint64
	err        error
}

func newWriter(w io.Writer) *writer { return &writer{w: bufio.NewWriterSize(w, 256<<10)} }

// add adds a word behind those before it.
func (w *writer) add(word, header, body []byte) {
	if len(w.dict) == 0 {
		w.first = append(w.first[:0], word...)
		w.prev = w.prev[:0]
	}
	shared := 0
	for shared < min(len(w.prev), len(word)) && w.prev[shared] == word[shared] {
		shared++
	}
	w.dict = binary.AppendUvarint(w.dict, uint64(shared))
	w.dict = binary.AppendUvarint(w.dict, uint64(len(word)-shared))
	w.dict = append(w.dict, word[shared:]...)
	w.dict = binary.AppendUvarint(w.dict, uint64(len(header)))
	w.dict = binary.AppendUvarint(w.dict, uint64(len(body)))
	w.post = append(append(w.post, header...), body...)
	w.prev = append(w.prev[:0], word...)
	w.words++
	if len(w.dict) >= fullDict || len(w.post) >= fullPostings {
		w.flush()
	}
}

func (w *writer) flush() {
	if len(w.dict) == 0 {
		return
	}
	b := binary.LittleEndian.AppendUint64(w.blocks, uint64(w.off))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(w.dict)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(w.post)))
	b = binary.LittleEndian.AppendUint32(b, sum(w.dict))
	b = binary.LittleEndian.AppendUint32(b, sum(w.post))
	b = append(b, byte(len(w.first)))
	w.blocks = append(b, w.first...)
	w.nblocks++
	w.write(w.dict)
	w.write(w.post)
	w.dict, w.post = w.dict[:0], w.post[:0]
}

func (w *writer) write(b []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(b)
		w.off += int64(len(b))
	}
}

// finish writes the tables.
func (w *writer) finish(h Header, docs []doc) error {
	w.flush()
	table := make([]byte, 0, len(docs)*docSize)
	for _, d := range docs {
		info := min(d.words, opaqueBit-1)
		if d.opaque {
			info |= opaqueBit
		}
		table = binary.LittleEndian.AppendUint32(table, d.uid)
		table = binary.LittleEndian.AppendUint32(table, info)
	}
	f := append(make([]byte, 0, footerSize), magic...)
	f = binary.LittleEndian.AppendUint32(f, format)
	f = binary.LittleEndian.AppendUint32(f, h.Version)
	f = binary.LittleEndian.AppendUint32(f, h.Validity)
	f = append(f, h.Mailbox[:]...)
	f = binary.LittleEndian.AppendUint32(f, uint32(len(docs)))
	f = binary.LittleEndian.AppendUint32(f, uint32(w.nblocks))
	f = binary.LittleEndian.AppendUint64(f, w.words)
	f = binary.LittleEndian.AppendUint64(f, uint64(w.off))
	f = binary.LittleEndian.AppendUint64(f, uint64(len(table)))
	f = binary.LittleEndian.AppendUint64(f, uint64(len(w.blocks)))
	f = binary.LittleEndian.AppendUint32(f, sum(table))
	f = binary.LittleEndian.AppendUint32(f, sum(w.blocks))
	for len(f) < footerSize-4 {
		f = append(f, 0)
	}
	f = binary.LittleEndian.AppendUint32(f, sum(f))
	w.write(table)
	w.write(w.blocks)
	w.write(f)
	if w.err == nil {
		w.err = w.w.Flush()
	}
	return w.err
}

// segment is a segment that is open.
type segment struct {
	r      io.ReaderAt
	docs   []doc
	blocks []block
}

// readSegment opens a segment. Its words are read when they are needed.
func readSegment(r io.ReaderAt, size int64, h Header) (*segment, error) {
	f := make([]byte, footerSize)
	if size < footerSize {
		return nil, ErrDamaged
	}
	if _, err := r.ReadAt(f, size-footerSize); err != nil {
		return nil, err
	}
	if string(f[:8]) != magic || sum(f[:footerSize-4]) != binary.LittleEndian.Uint32(f[footerSize-4:]) {
		return nil, ErrDamaged
	}
	le := binary.LittleEndian
	if le.Uint32(f[8:]) != format || le.Uint32(f[12:]) != h.Version || le.Uint32(f[16:]) != h.Validity || string(f[20:36]) != string(h.Mailbox[:]) {
		return nil, errStale
	}
	ndocs, nblocks := int64(le.Uint32(f[36:])), int64(le.Uint32(f[40:]))
	off, docsLen, blocksLen := int64(le.Uint64(f[52:])), int64(le.Uint64(f[60:])), int64(le.Uint64(f[68:]))
	if ndocs > maxDocs || nblocks > maxBlocks || docsLen != ndocs*docSize || blocksLen < 0 || blocksLen > nblocks*(25+maxWord) ||
		off < 0 || off > size || off+docsLen+blocksLen+footerSize != size {
		return nil, ErrDamaged
	}
	tables := make([]byte, docsLen+blocksLen)
	if _, err := r.ReadAt(tables, off); err != nil {
		return nil, err
	}
	if sum(tables[:docsLen]) != le.Uint32(f[76:]) || sum(tables[docsLen:]) != le.Uint32(f[80:]) {
		return nil, ErrDamaged
	}
	s := &segment{r: r}
	if !s.readDocs(tables[:docsLen]) || !s.readBlocks(tables[docsLen:], int(nblocks), off) {
		return nil, ErrDamaged
	}
	return s, nil
}

func (s *segment) readDocs(b []byte) bool {
	s.docs = make([]doc, len(b)/docSize)
	for i := range s.docs {
		info := binary.LittleEndian.Uint32(b[i*docSize+4:])
		s.docs[i] = doc{binary.LittleEndian.Uint32(b[i*docSize:]), info &^ opaqueBit, info&opaqueBit != 0}
		if i > 0 && s.docs[i].uid <= s.docs[i-1].uid {
			return false
		}
	}
	return true
}

func (s *segment) readBlocks(b []byte, n int, end int64) bool {
	s.blocks = make([]block, 0, n)
	for range n {
		if len(b) < 25 || len(b) < 25+int(b[24]) {
			return false
		}
		le := binary.LittleEndian
		x := block{off: int64(le.Uint64(b)), dict: int(le.Uint32(b[8:])), post: int(le.Uint32(b[12:])),
			dictSum: le.Uint32(b[16:]), postSum: le.Uint32(b[20:]), first: string(b[25 : 25+int(b[24])])}
		if x.dict > maxDict || x.post > maxPostings || x.off < 0 || x.off+int64(x.dict)+int64(x.post) > end {
			return false
		}
		s.blocks = append(s.blocks, x)
		b = b[25+len(x.first):]
	}
	return len(b) == 0
}

// entries reads the words of a block one after another.
type entries struct {
	s    *segment
	b    *block
	dict []byte
	post []byte // nil before somebody asked

	word         []byte
	from, header int // where in post, and how much is for the header
	body         int
}

// read begins with a block. buffers are used again.
func (e *entries) read(s *segment, n int) error {
	e.s, e.b = s, &s.blocks[n]
	e.post, e.word, e.from, e.header, e.body = e.post[:0], e.word[:0], 0, 0, 0
	e.dict = sized(e.dict, e.b.dict)
	if _, err := s.r.ReadAt(e.dict, e.b.off); err != nil {
		return err
	}
	if sum(e.dict) != e.b.dictSum {
		return ErrDamaged
	}
	return nil
}

func sized(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n, n+n/4)
	}
	return b[:n]
}

// next goes to the next word; ok is false after the last.
func (e *entries) next() (ok bool, err error) {
	e.from += e.header + e.body
	if len(e.dict) == 0 {
		return false, nil
	}
	shared, n1 := binary.Uvarint(e.dict)
	if n1 <= 0 || shared > uint64(len(e.word)) {
		return false, ErrDamaged
	}
	n, n2 := binary.Uvarint(e.dict[n1:])
	rest := e.dict[n1+max(n2, 0):]
	if n2 <= 0 || n > uint64(len(rest)) || shared+n > maxWord {
		return false, ErrDamaged
	}
	e.word = append(e.word[:shared], rest[:n]...)
	rest = rest[n:]
	header, n3 := binary.Uvarint(rest)
	if n3 <= 0 {
		return false, ErrDamaged
	}
	body, n4 := binary.Uvarint(rest[n3:])
	left := uint64(e.b.post - e.from)
	if n4 <= 0 || header > left || body > left-header {
		return false, ErrDamaged
	}
	e.header, e.body, e.dict = int(header), int(body), rest[n3+n4:]
	return true, nil
}

// postings returns the messages of the present word, still packed.
func (e *entries) postings() (header, body []byte, err error) {
	if len(e.post) == 0 && e.b.post > 0 {
		e.post = sized(e.post, e.b.post)
		if _, err := e.s.r.ReadAt(e.post, e.b.off+int64(e.b.dict)); err != nil {
			e.post = e.post[:0]
			return nil, nil, err
		}
		if sum(e.post) != e.b.postSum {
			e.post = e.post[:0]
			return nil, nil, ErrDamaged
		}
	}
	return e.post[e.from : e.from+e.header], e.post[e.from+e.header : e.from+e.header+e.body], nil
}

// unpack calls f for each number of a packed list, all below limit.
func unpack(b []byte, limit int, f func(n int)) error {
	at := uint64(0)
	for len(b) > 0 {
		step, n := binary.Uvarint(b)
		if n <= 0 || step >= uint64(limit) || at+step >= uint64(limit) {
			return ErrDamaged
		}
		at += step
		f(int(at))
		b = b[n:]
	}
	return nil
}
