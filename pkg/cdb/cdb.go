// Package cdb reads and writes constant databases: one file that maps keys to
// values, is never changed once written, and answers a lookup with two or
// three reads. The format is D. J. Bernstein's, so that other programs can
// read the files; it is limited to 4 GiB.
//
// A file starts with 256 pairs (position, slots) for the hash tables at its
// end. In between are the records: key length, value length, key, value. All
// numbers are 32 bits, low byte first.
package cdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// ErrFormat reports a file that is not a constant database, or is damaged.
var ErrFormat = errors.New("not a valid cdb file")

// headerSize is the length of the table of hash tables.
const headerSize = 256 * 8

// Reader answers lookups in one file. It is safe for concurrent use.
type Reader struct {
	data   []byte
	mapped bool
}

// Open maps the file f, which may be closed afterwards. The file must not be
// overwritten in place while it is in use; if it is, lookups fail but the
// process survives.
func Open(f *os.File) (*Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	if size < headerSize || size > 1<<32 {
		return nil, fmt.Errorf("%s: %w: size %d", f.Name(), ErrFormat, size)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	return &Reader{data: data, mapped: true}, nil
}

// NewReader returns a Reader on the content of a file.
func NewReader(data []byte) (*Reader, error) {
	if len(data) < headerSize {
		return nil, fmt.Errorf("%w: size %d", ErrFormat, len(data))
	}
	return &Reader{data: data}, nil
}

// Close releases the file. No other call may be in progress.
func (r *Reader) Close() error {
	data := r.data
	r.data = nil
	if !r.mapped || data == nil {
		return nil
	}
	return unix.Munmap(data)
}

// Hash is the hash function of the format.
func Hash(key string) uint32 {
	h := uint32(5381)
	for i := 0; i < len(key); i++ {
		h = (h<<5 + h) ^ uint32(key[i])
	}
	return h
}

// guard turns a fault on a page that the file no longer has into an error. A
// file that is cut while it is mapped must not end the process.
func guard(err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		r := recover()
		if r == nil {
			return
		}
		if e, ok := r.(runtime.Error); ok {
			if _, fault := r.(interface{ Addr() uintptr }); fault {
				*err = fmt.Errorf("%w: file was cut while in use: %v", ErrFormat, e)
				return
			}
		}
		panic(r)
	}
}

// Get returns the first value of a key.
func (r *Reader) Get(key string) (value string, found bool, err error) {
	defer guard(&err)()
	h := Hash(key)
	pos, slots := r.pair(int(h&255) * 8)
	if slots == 0 {
		return "", false, nil
	}
	if uint64(pos)+uint64(slots)*8 > uint64(len(r.data)) {
		return "", false, fmt.Errorf("%w: hash table out of range", ErrFormat)
	}
	slot := (h >> 8) % slots
	for range slots {
		slotHash, at := r.pair(int(pos) + int(slot)*8)
		if at == 0 {
			return "", false, nil
		}
		if slotHash == h {
			k, v, _, err := r.record(at)
			if err != nil {
				return "", false, err
			}
			if string(k) == key {
				return string(v), true, nil
			}
		}
		slot++
		if slot == slots {
			slot = 0
		}
	}
	return "", false, nil
}

// All calls yield with each record in the order of the file, until it returns
// false.
func (r *Reader) All(yield func(key, value string) bool) (err error) {
	defer guard(&err)()
	end, err := r.recordsEnd()
	if err != nil {
		return err
	}
	for pos := uint32(headerSize); pos < end; {
		k, v, next, err := r.record(pos)
		if err != nil {
			return err
		}
		if !yield(string(k), string(v)) {
			return nil
		}
		pos = next
	}
	return nil
}

// recordsEnd returns where the records end: at the first hash table.
func (r *Reader) recordsEnd() (uint32, error) {
	end := uint32(0xffffffff)
	for i := 0; i < 256; i++ {
		pos, slots := r.pair(i * 8)
		if slots == 0 && pos == 0 {
			continue // some writers leave unused entries zero
		}
		end = min(end, pos)
	}
	if end == 0xffffffff {
		return headerSize, nil
	}
	if end < headerSize || uint64(end) > uint64(len(r.data)) {
		return 0, fmt.Errorf("%w: hash table out of range", ErrFormat)
	}
	return end, nil
}

// record returns the record at pos and where the next one starts.
func (r *Reader) record(pos uint32) (key, value []byte, next uint32, err error) {
	size := uint64(len(r.data))
	at := uint64(pos)
	if at < headerSize || at+8 > size {
		return nil, nil, 0, fmt.Errorf("%w: record out of range", ErrFormat)
	}
	klen, vlen := r.pair(int(at))
	at += 8
	end := at + uint64(klen) + uint64(vlen)
	if end > size || end > 1<<32-1 {
		return nil, nil, 0, fmt.Errorf("%w: record out of range", ErrFormat)
	}
	return r.data[at : at+uint64(klen)], r.data[at+uint64(klen) : end], uint32(end), nil
}

func (r *Reader) pair(at int) (a, b uint32) {
	p := r.data[at : at+8]
	return binary.LittleEndian.Uint32(p), binary.LittleEndian.Uint32(p[4:])
}
