package inflate

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// texts are inputs of all kinds: empty, short, repetitive, random, long.
func texts() [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 200<<10)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	words := make([]byte, 0, 300<<10)
	for len(words) < cap(words)-10 {
		words = append(words, []string{"* 1 FETCH ", "FLAGS ", "(\\Seen)", "\r\n", "a ", "b"}[r.IntN(6)]...)
	}
	return [][]byte{nil, []byte("a"), []byte("a1 OK done\r\n"), bytes.Repeat([]byte("x"), 100000), random, words}
}

func TestRoundTrip(t *testing.T) {
	for level := -2; level <= 9; level++ {
		for i, text := range texts() {
			var b bytes.Buffer
			w, err := flate.NewWriter(&b, level)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(text)
			w.Close()
			for name, src := range map[string]io.Reader{"whole": bytes.NewReader(b.Bytes()), "bytes": iotest.OneByteReader(bytes.NewReader(b.Bytes()))} {
				got, err := io.ReadAll(NewReader(src))
				if err != nil || !bytes.Equal(got, text) {
					t.Errorf("level %d, text %d, %s: %d bytes, want %d, %v", level, i, name, len(got), len(text), err)
				}
			}
		}
	}
}

// dry fails the test when it is read although something could be given out.
type dry struct {
	t    *testing.T
	data []byte
}

func (d *dry) Read(p []byte) (int, error) {
	if len(d.data) == 0 {
		return 0, io.ErrNoProgress
	}
	n := copy(p, d.data)
	d.data = d.data[n:]
	return n, nil
}

// TestGivesWhatItHas is what RFC 4978 needs: after a sync or partial flush of
// the sender all is given out before more is read.
func TestGivesWhatItHas(t *testing.T) {
	for i, text := range texts() {
		if len(text) == 0 {
			continue
		}
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, 6)
		src := &dry{t: t}
		r := NewReader(src)
		for range 5 {
			b.Reset()
			w.Write(text)
			w.Flush()
			src.data = bytes.Clone(b.Bytes())
			got := make([]byte, len(text))
			if _, err := io.ReadFull(r, got); err != nil {
				t.Fatalf("text %d: %v", i, err)
			}
			if !bytes.Equal(got, text) {
				t.Fatalf("text %d differs", i)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, text := range texts() {
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, 6)
		w.Write(text[:min(len(text), 2000)])
		w.Close()
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want, werr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), 1<<20))
		got, gerr := io.ReadAll(io.LimitReader(NewReader(bytes.NewReader(data)), 1<<20))
		if werr == io.ErrUnexpectedEOF && gerr == nil {
			return // between two blocks a connection may end
		}
		if (werr == nil) != (gerr == nil) {
			t.Fatalf("error %v, compress/flate has %v", gerr, werr)
		}
		if werr == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, compress/flate has %d", len(got), len(want))
		}
	})
}
