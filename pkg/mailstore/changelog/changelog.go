// Package changelog is the form of a folder's change log: what happened to its
// messages, in the order in which it happened.
//
// The file has a header and then frames. A frame is what one change did, as a
// list of operations; it counts as a whole or not at all. Each has a checksum,
// so that a frame that was cut short by a crash, or damaged since, is not
// taken for one. Whoever reads remembers how far, and reads on from there.
package changelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
)

// Kind says what an operation does.
type Kind byte

// The kinds. Their numbers are in files: they never change.
const (
	Append   Kind = 1  // a message: all of its record
	Update   Kind = 2  // its flags, keywords, place and file name
	Expunge  Kind = 3  // it is gone
	Keyword  Kind = 4  // keyword number N is called Text
	Facts    Kind = 5  // its size and internal date
	Stamp    Kind = 6  // the state of the directories in Text
	Recent   Kind = 7  // messages from UID on are recent to who asks next
	NextUID  Kind = 8  // the next UID is UID or more
	End      Kind = 9  // the log goes on in the file of generation ModSeq
	ModSeq   Kind = 10 // the modification sequence is at ModSeq
	ListSize Kind = 11 // the UID list has N bytes
	Limit    Kind = 12 // UIDs below UID are safe to give
)

// Op is one operation. Which fields count depends on the kind.
type Op struct {
	Kind   Kind
	N      int64
	Text   string
	Record index.Record // UID, ModSeq and so on
}

// Header begins a log.
type Header struct {
	Validity   uint32
	Generation uint64
	Boot       [16]byte // of the system when the log was begun
}

// HeaderSize is the length of an encoded header.
const HeaderSize = 48

// Limits for frames that are read.
const (
	maxFrame = 16 << 20
	maxOps   = 1 << 20
	maxText  = 4096
)

const frameHead = 8

const magic = "phlog\x00\x00\x01"

// ErrDamaged reports bytes that are no log.
var ErrDamaged = errors.New("change log is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the header's bytes.
func (h Header) Encode() []byte {
	b := make([]byte, 0, HeaderSize)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, h.Validity)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, h.Generation)
	b = append(b, h.Boot[:]...)
	b = append(b, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// ParseHeader reads a header.
func ParseHeader(b []byte) (h Header, err error) {
	if len(b) < HeaderSize || string(b[:8]) != magic ||
		crc32.Checksum(b[:HeaderSize-4], castagnoli) != binary.LittleEndian.Uint32(b[HeaderSize-4:]) {
		return h, ErrDamaged
	}
	h.Validity = binary.LittleEndian.Uint32(b[8:])
	h.Generation = binary.LittleEndian.Uint64(b[16:])
	copy(h.Boot[:], b[24:40])
	return h, nil
}

// AppendFrame adds a frame with ops to b.
func AppendFrame(b []byte, ops []Op) []byte {
	start := len(b)
	b = append(b, make([]byte, frameHead)...)
	b = binary.AppendUvarint(b, uint64(len(ops)))
	for i := range ops {
		b = appendOp(b, &ops[i])
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-frameHead))
	binary.LittleEndian.PutUint32(b[start+4:], frameSum(b[start:]))
	return b
}

// frameSum covers the length too, so that zeros are no frame.
func frameSum(b []byte) uint32 {
	sum := crc32.Update(0x9e3779b9, castagnoli, b[:4])
	return crc32.Update(sum, castagnoli, b[frameHead:])
}

func appendOp(b []byte, op *Op) []byte {
	r := &op.Record
	b = append(b, byte(op.Kind))
	b = binary.AppendUvarint(b, uint64(r.UID))
	b = binary.AppendUvarint(b, r.ModSeq)
	switch op.Kind {
	case Append, Update:
		b = binary.AppendUvarint(b, uint64(r.Flags))
		b = binary.AppendUvarint(b, r.Keywords)
		if op.Kind == Append {
			b = binary.AppendVarint(b, r.Size)
			b = binary.AppendVarint(b, r.Internal)
			b = append(b, r.GUID[:]...)
			b = appendText(b, r.Base)
		}
	case Facts:
		b = binary.AppendVarint(b, r.Size)
		b = binary.AppendVarint(b, r.Internal)
	case Keyword, Stamp, ListSize:
		b = binary.AppendVarint(b, op.N)
		b = appendText(b, op.Text)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// NextFrame reads the frame at the start of b and returns its operations and
// length. A length of 0 without an error means that b ends within the frame.
func NextFrame(b []byte) ([]Op, int, error) {
	if len(b) < frameHead {
		return nil, 0, nil
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n == 0 || n > maxFrame {
		return nil, 0, fmt.Errorf("%w: a frame of %d bytes", ErrDamaged, n)
	}
	if len(b) < frameHead+n {
		return nil, 0, nil
	}
	b = b[:frameHead+n]
	if frameSum(b) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, 0, fmt.Errorf("%w: a wrong checksum", ErrDamaged)
	}
	d := decoder{b: b[frameHead:]}
	count := d.uvarint()
	if count > maxOps || count > uint64(n) {
		return nil, 0, ErrDamaged
	}
	ops := make([]Op, count)
	for i := range ops {
		d.op(&ops[i])
	}
	if d.bad || len(d.b) > 0 {
		return nil, 0, fmt.Errorf("%w: a malformed frame", ErrDamaged)
	}
	return ops, frameHead + n, nil
}

// decoder takes values from the front of b; bad is set when it cannot.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes(n uint64) []byte {
	if n > maxText || n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) op(op *Op) {
	kind := d.bytes(1)
	if d.bad {
		return
	}
	op.Kind = Kind(kind[0])
	r := &op.Record
	uid := d.uvarint()
	r.UID, r.ModSeq = uint32(uid), d.uvarint()
	if uid > 1<<32-1 || r.ModSeq > 1<<63-1 {
		d.bad = true
	}
	switch op.Kind {
	case Append, Update:
		r.Flags, r.Keywords = index.Flags(d.uvarint()), d.uvarint()
		if op.Kind == Append {
			r.Size, r.Internal = d.varint(), d.varint()
			copy(r.GUID[:], d.bytes(16))
			r.Base = string(d.bytes(d.uvarint()))
			// It is part of a path.
			d.bad = d.bad || strings.IndexByte(r.Base, '/') >= 0
		}
	case Facts:
		r.Size, r.Internal = d.varint(), d.varint()
	case Keyword, Stamp, ListSize:
		op.N, op.Text = d.varint(), string(d.bytes(d.uvarint()))
	case Expunge, Recent, NextUID, End, ModSeq, Limit:
	default:
		d.bad = true
	}
}
