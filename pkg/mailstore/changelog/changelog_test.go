package changelog

import (
	"errors"
	"reflect"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
)

func samples() []Op {
	return []Op{
		{Kind: Append, Record: index.Record{UID: 7, ModSeq: 9, Flags: index.Seen, Keywords: 5, Size: 100, Internal: -3, GUID: [16]byte{1, 2}, Base: "1.x.host,S=9"}},
		{Kind: Update, Record: index.Record{UID: 7, ModSeq: 10, Flags: index.Deleted}},
		{Kind: Expunge, Record: index.Record{UID: 7, ModSeq: 11}},
		{Kind: Keyword, N: 3, Text: "$Junk"},
		{Kind: Facts, Record: index.Record{UID: 8, Size: index.Unknown, Internal: 5}},
		{Kind: Stamp, N: 1, Text: "stamp"},
		{Kind: Recent, Record: index.Record{UID: 8}},
		{Kind: NextUID, Record: index.Record{UID: 9}},
		{Kind: ModSeq, Record: index.Record{ModSeq: 1 << 60}},
		{Kind: ListSize, N: 1 << 33},
		{Kind: End, Record: index.Record{ModSeq: 2}},
	}
}

func TestFramesComeBack(t *testing.T) {
	b := AppendFrame(AppendFrame(nil, samples()), samples()[:1])
	ops, n, err := NextFrame(b)
	if err != nil || !reflect.DeepEqual(ops, samples()) {
		t.Fatalf("%v, %v", ops, err)
	}
	ops, m, err := NextFrame(b[n:])
	if err != nil || len(ops) != 1 || n+m != len(b) {
		t.Fatalf("%v, %d, %v", ops, m, err)
	}
}

// TestCutAndDamagedFrames: every cut is seen as one, every changed byte as
// damage or, in the length, as a frame that is not complete.
func TestCutAndDamagedFrames(t *testing.T) {
	b := AppendFrame(nil, samples())
	for n := range b {
		if ops, m, err := NextFrame(b[:n]); err != nil || m != 0 || ops != nil {
			t.Fatalf("cut at %d: %v, %d, %v", n, ops, m, err)
		}
		bad := append([]byte(nil), b...)
		bad[n] ^= 0x41
		if ops, m, err := NextFrame(bad); err == nil && m != 0 {
			t.Fatalf("damaged at %d: %v, %d, %v", n, ops, m, err)
		}
	}
}

func TestHeader(t *testing.T) {
	h := Header{Validity: 1, Generation: 2, Boot: [16]byte{3}}
	b := h.Encode()
	if got, err := ParseHeader(b); len(b) != HeaderSize || err != nil || got != h {
		t.Errorf("%v, %v", got, err)
	}
	for i := range b {
		b[i] ^= 1
		if _, err := ParseHeader(b); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d: %v", i, err)
		}
		b[i] ^= 1
	}
}

func FuzzNextFrame(f *testing.F) {
	f.Add(AppendFrame(nil, samples()))
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum is made right, so that the fuzzer gets behind it.
		if len(b) > frameHead {
			b = append([]byte(nil), b...)
			n := len(b) - frameHead
			b[0], b[1], b[2], b[3] = byte(n), byte(n>>8), byte(n>>16), 0
			sum := frameSum(b)
			b[4], b[5], b[6], b[7] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
		}
		ops, n, err := NextFrame(b)
		if err != nil || n == 0 {
			return
		}
		again, _, err := NextFrame(AppendFrame(nil, ops))
		if err != nil || !reflect.DeepEqual(ops, again) {
			t.Errorf("%v became %v, %v", ops, again, err)
		}
	})
}
