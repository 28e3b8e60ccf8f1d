package index

import (
	"sort"
	"sync/atomic"
)

// ChunkSize is how many records a chunk has at most.
const ChunkSize = 128

// Summary is what a chunk says without being read.
type Summary struct {
	N           int
	First, Last uint32 // UIDs
	Unseen      int
	Deleted     int
	InNew       int
	NoSize      int   // messages whose size is not known
	Bytes       int64 // of the others
	MaxModSeq   uint64
}

func summarize(recs []Record) Summary {
	s := Summary{N: len(recs)}
	if s.N == 0 {
		return s
	}
	s.First, s.Last = recs[0].UID, recs[s.N-1].UID
	for i := range recs {
		s.add(&recs[i])
	}
	return s
}

func (s *Summary) add(r *Record) {
	if r.Flags&Seen == 0 {
		s.Unseen++
	}
	if r.Flags&Deleted != 0 {
		s.Deleted++
	}
	if r.Flags&InNew != 0 {
		s.InNew++
	}
	if r.Size == Unknown {
		s.NoSize++
	} else {
		s.Bytes += r.Size
	}
	s.MaxModSeq = max(s.MaxModSeq, r.ModSeq)
}

// Chunk is a run of records. Its content never changes.
type Chunk struct {
	Summary
	recs atomic.Pointer[[]Record] // nil: not in memory
	at   atomic.Pointer[place]    // nil: not in a file
}

func newChunk(recs []Record) *Chunk {
	c := &Chunk{Summary: summarize(recs)}
	c.recs.Store(&recs)
	return c
}

// records returns the records, from the file if need be.
func (c *Chunk) records() ([]Record, error) {
	if p := c.recs.Load(); p != nil {
		return *p, nil
	}
	recs, err := c.at.Load().read(c)
	if err != nil {
		return nil, err
	}
	c.recs.Store(&recs)
	return recs, nil
}

// look returns the records without keeping what was not in memory.
func (c *Chunk) look() ([]Record, error) {
	if p := c.recs.Load(); p != nil {
		return *p, nil
	}
	return c.at.Load().read(c)
}

// big is from how many messages a walk through a table leaves no chunks in
// memory that were not there before.
const big = 50000

// Table is the state of a folder. It is never changed, and safe for
// concurrent use. The zero value is empty.
type Table struct {
	chunks []*Chunk
	starts []int // how many records stand before each chunk
	n      int
	sum    Summary
}

func newTable(chunks []*Chunk) *Table {
	t := &Table{chunks: chunks, starts: make([]int, len(chunks))}
	for i, c := range chunks {
		t.starts[i] = t.n
		t.n += c.N
		t.sum.Unseen += c.Unseen
		t.sum.Deleted += c.Deleted
		t.sum.InNew += c.InNew
		t.sum.NoSize += c.NoSize
		t.sum.Bytes += c.Bytes
		t.sum.MaxModSeq = max(t.sum.MaxModSeq, c.MaxModSeq)
		t.sum.Last = c.Last
	}
	t.sum.N = t.n
	return t
}

// New makes a table of records, which must be in ascending order of UID.
func New(recs []Record) *Table {
	var chunks []*Chunk
	for len(recs) > 0 {
		n := min(len(recs), ChunkSize)
		chunks = append(chunks, newChunk(recs[:n:n]))
		recs = recs[n:]
	}
	return newTable(chunks)
}

// Len returns the number of messages.
func (t *Table) Len() int { return t.n }

// Summary returns counts over the whole table.
func (t *Table) Summary() Summary { return t.sum }

// At returns the record with index i from 0, and an error only if the index
// file cannot be read.
func (t *Table) At(i int) (Record, error) {
	k := sort.SearchInts(t.starts, i+1) - 1
	recs, err := t.chunks[k].records()
	if err != nil {
		return Record{}, err
	}
	return recs[i-t.starts[k]], nil
}

// Search returns the index of the first message with this UID or a greater
// one, and whether it has exactly this one.
func (t *Table) Search(uid uint32) (int, bool, error) {
	k := sort.Search(len(t.chunks), func(k int) bool { return t.chunks[k].Last >= uid })
	if k == len(t.chunks) {
		return t.n, false, nil
	}
	c := t.chunks[k]
	// A chunk without gaps needs no look inside.
	if uid >= c.First && int(c.Last-c.First) == c.N-1 {
		return t.starts[k] + int(uid-c.First), true, nil
	}
	recs, err := c.records()
	if err != nil {
		return 0, false, err
	}
	i := sort.Search(len(recs), func(i int) bool { return recs[i].UID >= uid })
	return t.starts[k] + i, recs[i].UID == uid, nil
}

// Range calls f for the records with indexes from <= i < to until it returns
// false. f must not change or keep the record.
func (t *Table) Range(from, to int, f func(i int, r *Record) bool) error {
	return t.RangeIf(from, to, nil, f)
}

// RangeIf is Range that leaves out chunks for which want is false.
func (t *Table) RangeIf(from, to int, want func(*Summary) bool, f func(i int, r *Record) bool) error {
	to = min(to, t.n)
	if from < 0 || from >= to {
		return nil
	}
	for k := sort.SearchInts(t.starts, from+1) - 1; k < len(t.chunks) && t.starts[k] < to; k++ {
		if want != nil && !want(&t.chunks[k].Summary) {
			continue
		}
		get := t.chunks[k].records
		if t.n >= big {
			get = t.chunks[k].look
		}
		recs, err := get()
		if err != nil {
			return err
		}
		for j := max(from-t.starts[k], 0); j < len(recs) && t.starts[k]+j < to; j++ {
			if !f(t.starts[k]+j, &recs[j]) {
				return nil
			}
		}
	}
	return nil
}
