package cdb

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// ErrTooBig reports a database that would exceed the format's 4 GiB.
var ErrTooBig = errors.New("cdb file would exceed 4 GiB")

// Writer collects the records of a database. The zero value is empty.
type Writer struct {
	records []byte
	tables  [256][]slot
}

type slot struct{ hash, pos uint32 }

// Put appends a record. It does not check whether the key is there already;
// the first record with a key is the one that a lookup finds.
func (w *Writer) Put(key, value string) error {
	pos := headerSize + uint64(len(w.records))
	if pos+8+uint64(len(key))+uint64(len(value)) > 1<<32-1 {
		return ErrTooBig
	}
	h := Hash(key)
	w.tables[h&255] = append(w.tables[h&255], slot{h, uint32(pos)})
	w.records = binary.LittleEndian.AppendUint32(w.records, uint32(len(key)))
	w.records = binary.LittleEndian.AppendUint32(w.records, uint32(len(value)))
	w.records = append(w.records, key...)
	w.records = append(w.records, value...)
	return nil
}

// WriteTo writes the database.
func (w *Writer) WriteTo(dst io.Writer) (int64, error) {
	var header [headerSize]byte
	pos := headerSize + uint64(len(w.records))
	for i, t := range w.tables {
		binary.LittleEndian.PutUint32(header[i*8:], uint32(pos))
		binary.LittleEndian.PutUint32(header[i*8+4:], uint32(2*len(t)))
		pos += 2 * uint64(len(t)) * 8
		if pos > 1<<32-1 {
			return 0, ErrTooBig
		}
	}
	out := bufio.NewWriterSize(dst, 64<<10)
	// bufio.Writer keeps its first error for Flush.
	out.Write(header[:])
	out.Write(w.records)
	for _, t := range w.tables {
		writeTable(out, t)
	}
	if err := out.Flush(); err != nil {
		return 0, err
	}
	return int64(pos), nil
}

// writeTable writes one open hash table, twice as large as its entries, so
// that a search ends soon.
func writeTable(out *bufio.Writer, entries []slot) {
	n := uint32(2 * len(entries))
	slots := make([]slot, n)
	for _, e := range entries {
		i := (e.hash >> 8) % n
		for slots[i].pos != 0 {
			i++
			if i == n {
				i = 0
			}
		}
		slots[i] = e
	}
	var p [8]byte
	for _, s := range slots {
		binary.LittleEndian.PutUint32(p[:], s.hash)
		binary.LittleEndian.PutUint32(p[4:], s.pos)
		out.Write(p[:])
	}
}
