package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
)

// The file: the chunks one after the other, a table of the chunks with their
// summaries, what the owner wants kept along, and a foot of fixed size. Each part has its
// checksum; that of a chunk is looked at when the chunk is read.

// ErrDamaged reports an index file that is not what was written.
var ErrDamaged = errors.New("index file is damaged")

const (
	fileMagic  = "phindex\x01"
	footSize   = 64
	recordSize = 72
	placeSize  = 64
	maxRecords = 1 << 27
	maxMeta    = 64 << 20
	maxName    = 255
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// place is where in a file a chunk is.
type place struct {
	file *os.File
	off  int64
	size int
	sum  uint32
}

func (p *place) read(c *Chunk) ([]Record, error) {
	b := make([]byte, p.size)
	if _, err := p.file.ReadAt(b, p.off); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, p.file.Name(), err)
	}
	if crc32.Checksum(b, castagnoli) != p.sum || len(b) < c.N*recordSize {
		return nil, fmt.Errorf("%w: %s: wrong checksum at %d", ErrDamaged, p.file.Name(), p.off)
	}
	// One string holds all names of the chunk.
	names := string(b[c.N*recordSize:])
	if strings.IndexByte(names, '/') >= 0 { // they are parts of paths
		return nil, fmt.Errorf("%w: %s: no file name at %d", ErrDamaged, p.file.Name(), p.off)
	}
	recs := make([]Record, c.N)
	for i := range recs {
		n := recs[i].decode(b[i*recordSize:])
		if n > len(names) {
			return nil, fmt.Errorf("%w: %s: names at %d", ErrDamaged, p.file.Name(), p.off)
		}
		recs[i].Base, names = names[:n], names[n:]
	}
	return recs, nil
}

func (r *Record) encode(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, r.UID)
	b = le.AppendUint16(b, uint16(r.Flags))
	b = le.AppendUint16(b, uint16(len(r.Base)))
	b = le.AppendUint64(b, r.Keywords)
	b = le.AppendUint64(b, r.ModSeq)
	b = le.AppendUint64(b, uint64(r.Size))
	b = le.AppendUint64(b, uint64(r.Internal))
	b = append(b, r.GUID[:]...)
	return append(b, make([]byte, recordSize-56)...)
}

func (r *Record) decode(b []byte) (nameLen int) {
	le := binary.LittleEndian
	r.UID = le.Uint32(b)
	r.Flags = Flags(le.Uint16(b[4:]))
	nameLen = int(le.Uint16(b[6:]))
	r.Keywords = le.Uint64(b[8:])
	r.ModSeq = le.Uint64(b[16:])
	r.Size = int64(le.Uint64(b[24:]))
	r.Internal = int64(le.Uint64(b[32:]))
	copy(r.GUID[:], b[40:56])
	return nameLen
}

func (s *Summary) encode(b []byte) []byte {
	le := binary.LittleEndian
	for _, n := range [...]uint32{s.First, s.Last, uint32(s.N), uint32(s.Unseen), uint32(s.Deleted), uint32(s.InNew), uint32(s.NoSize)} {
		b = le.AppendUint32(b, n)
	}
	b = le.AppendUint64(b, uint64(s.Bytes))
	return le.AppendUint64(b, s.MaxModSeq)
}

func (s *Summary) decode(b []byte) {
	le := binary.LittleEndian
	s.First, s.Last, s.N = le.Uint32(b), le.Uint32(b[4:]), int(le.Uint32(b[8:]))
	s.Unseen, s.Deleted = int(le.Uint32(b[12:])), int(le.Uint32(b[16:]))
	s.InNew, s.NoSize = int(le.Uint32(b[20:])), int(le.Uint32(b[24:]))
	s.Bytes, s.MaxModSeq = int64(le.Uint64(b[28:])), le.Uint64(b[36:])
}

// Written tells where the chunks of a table went, until [Written.Attach].
type Written struct {
	chunks []*Chunk
	places []place
}

// Attach tells the chunks that they are in f now, so that they may leave the
// memory.
func (w *Written) Attach(f *os.File) {
	for i, c := range w.chunks {
		p := w.places[i]
		p.file = f
		c.at.Store(&p)
	}
}

// Write writes the table and meta to out, in the form that Read reads.
func (t *Table) Write(out io.Writer, meta []byte) (*Written, error) {
	w := &Written{chunks: t.chunks, places: make([]place, len(t.chunks))}
	off := int64(0)
	table := make([]byte, 0, placeSize*len(t.chunks))
	var buf []byte
	for i, c := range t.chunks {
		recs, err := c.look()
		if err != nil {
			return nil, err
		}
		start := len(buf)
		buf = encodeChunk(buf, recs)
		size, sum := len(buf)-start, crc32.Checksum(buf[start:], castagnoli)
		w.places[i] = place{off: off, size: size, sum: sum}
		table = binary.LittleEndian.AppendUint64(table, uint64(off))
		table = binary.LittleEndian.AppendUint32(table, uint32(size))
		table = binary.LittleEndian.AppendUint32(table, sum)
		table = c.Summary.encode(table)
		table = append(table, make([]byte, placeSize*(i+1)-len(table))...)
		off += int64(size)
		if len(buf) < 256<<10 {
			continue
		}
		if _, err := out.Write(buf); err != nil {
			return nil, err
		}
		buf = buf[:0]
	}
	for _, b := range [][]byte{buf, table, meta, foot(off, table, meta)} {
		if _, err := out.Write(b); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func encodeChunk(b []byte, recs []Record) []byte {
	for i := range recs {
		b = recs[i].encode(b)
	}
	for i := range recs {
		b = append(b, recs[i].Base...)
	}
	return b
}

func foot(tableOff int64, table, meta []byte) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, footSize)
	b = append(b, fileMagic...)
	b = le.AppendUint64(b, uint64(tableOff))
	b = le.AppendUint32(b, uint32(len(table)))
	b = le.AppendUint32(b, uint32(len(meta)))
	b = le.AppendUint32(b, crc32.Checksum(table, castagnoli))
	b = le.AppendUint32(b, crc32.Checksum(meta, castagnoli))
	b = append(b, make([]byte, footSize-4-len(b))...)
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Read reads the table of the index file f, whose chunks are read when they
// are needed, from f: it must stay open as long as the table is used.
func Read(f *os.File) (t *Table, meta []byte, err error) {
	le := binary.LittleEndian
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	h := make([]byte, footSize)
	if _, err := f.ReadAt(h, info.Size()-footSize); err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrDamaged, f.Name(), err)
	}
	if !strings.HasPrefix(string(h), fileMagic) || crc32.Checksum(h[:footSize-4], castagnoli) != le.Uint32(h[footSize-4:]) {
		return nil, nil, fmt.Errorf("%w: %s: no index", ErrDamaged, f.Name())
	}
	off, tableLen, metaLen := int64(le.Uint64(h[8:])), int(le.Uint32(h[16:])), int(le.Uint32(h[20:]))
	if tableLen%placeSize != 0 || tableLen > maxRecords || metaLen > maxMeta ||
		off < 0 || off+int64(tableLen+metaLen+footSize) != info.Size() {
		return nil, nil, fmt.Errorf("%w: %s: sizes", ErrDamaged, f.Name())
	}
	b := make([]byte, tableLen+metaLen)
	if _, err := f.ReadAt(b, off); err != nil && len(b) > 0 {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrDamaged, f.Name(), err)
	}
	table, meta := b[:tableLen], b[tableLen:]
	if crc32.Checksum(table, castagnoli) != le.Uint32(h[24:]) || crc32.Checksum(meta, castagnoli) != le.Uint32(h[28:]) {
		return nil, nil, fmt.Errorf("%w: %s: checksum", ErrDamaged, f.Name())
	}
	chunks := make([]*Chunk, tableLen/placeSize)
	var last uint32
	for i := range chunks {
		e := table[i*placeSize:]
		c := new(Chunk)
		p := &place{file: f, off: int64(le.Uint64(e)), size: int(le.Uint32(e[8:])), sum: le.Uint32(e[12:])}
		c.decode(e[16:])
		if c.N < 1 || c.N > ChunkSize || c.First <= last || c.Last < c.First || p.size > ChunkSize*(recordSize+maxName) {
			return nil, nil, fmt.Errorf("%w: %s: chunk %d", ErrDamaged, f.Name(), i)
		}
		last = c.Last
		c.at.Store(p)
		chunks[i] = c
	}
	return newTable(chunks), meta, nil
}

// Drop takes chunks that are in the file out of memory.
func (t *Table) Drop() {
	for _, c := range t.chunks {
		if c.at.Load() != nil {
			c.recs.Store(nil)
		}
	}
}

// Load reads all chunks.
func (t *Table) Load() error {
	for _, c := range t.chunks {
		if _, err := c.records(); err != nil {
			return err
		}
	}
	return nil
}
