package cdb

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrTooBig reports a database that would exceed the format's 4 GiB.
var ErrTooBig = errors.New("cdb file would exceed 4 GiB")

// Writer makes a database. The file is valid only after Close returned nil.
type Writer struct {
	f      io.WriteSeeker
	w      *bufio.Writer
	pos    uint64
	tables [256][]slot
	err    error
}

type slot struct{ hash, pos uint32 }

// NewWriter starts a database at the beginning of f.
func NewWriter(f io.WriteSeeker) *Writer {
	w := &Writer{f: f, w: bufio.NewWriterSize(f, 64<<10), pos: headerSize}
	// Room for the header, which is written last.
	_, w.err = w.w.Write(make([]byte, headerSize))
	return w
}

// Put appends a record. It does not check whether the key is there already;
// the first record with a key is the one that a lookup finds.
func (w *Writer) Put(key, value string) error {
	if w.err != nil {
		return w.err
	}
	next := w.pos + 8 + uint64(len(key)) + uint64(len(value))
	if next > 1<<32-1 {
		w.err = ErrTooBig
		return w.err
	}
	h := Hash(key)
	w.tables[h&255] = append(w.tables[h&255], slot{h, uint32(w.pos)})
	w.pair(uint32(len(key)), uint32(len(value)))
	w.w.WriteString(key)
	_, w.err = w.w.WriteString(value)
	w.pos = next
	return w.err
}

// Close writes the hash tables and the header. It does not close the file.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	var header [headerSize]byte
	for i := range w.tables {
		n := len(w.tables[i]) * 2
		if w.pos+uint64(n)*8 > 1<<32-1 {
			return ErrTooBig
		}
		binary.LittleEndian.PutUint32(header[i*8:], uint32(w.pos))
		binary.LittleEndian.PutUint32(header[i*8+4:], uint32(n))
		w.table(w.tables[i], n)
		w.pos += uint64(n) * 8
	}
	if err := w.w.Flush(); err != nil {
		return err
	}
	if _, err := w.f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("seek: %w", err)
	}
	_, err := w.f.Write(header[:])
	return err
}

// table writes one open hash table, twice as large as its entries, so that a
// search ends soon.
func (w *Writer) table(entries []slot, n int) {
	slots := make([]slot, n)
	for _, e := range entries {
		i := (e.hash >> 8) % uint32(n)
		for slots[i].pos != 0 {
			i++
			if i == uint32(n) {
				i = 0
			}
		}
		slots[i] = e
	}
	for _, s := range slots {
		w.pair(s.hash, s.pos)
	}
}

// pair writes two numbers. bufio.Writer keeps the first error for Flush.
func (w *Writer) pair(a, b uint32) {
	var p [8]byte
	binary.LittleEndian.PutUint32(p[:], a)
	binary.LittleEndian.PutUint32(p[4:], b)
	w.w.Write(p[:])
}
