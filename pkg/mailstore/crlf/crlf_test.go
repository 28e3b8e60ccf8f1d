package crlf

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plain is the conversion written as simply as it can be.
func plain(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

func view(t *testing.T, data string) *Content {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m")
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func random(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "aaaaaaaa\n\n\r"[r.IntN(11)]
	}
	return string(b)
}

func TestView(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 100, Small, Small + 1, 3*step + 17, Small + 5*step} {
		data := random(r, n)
		c := view(t, data)
		want := plain(data)
		if c.Size() != int64(len(want)) {
			t.Fatalf("%d bytes: size %d, want %d", n, c.Size(), len(want))
		}
		var b bytes.Buffer
		if _, err := c.WriteTo(&b); err != nil || b.String() != want {
			t.Fatalf("%d bytes: WriteTo: %v", n, err)
		}
		for range 50 {
			off := r.IntN(len(want) + 1)
			p := make([]byte, r.IntN(2*step))
			m, err := c.ReadAt(p, int64(off))
			end := min(off+len(p), len(want))
			if string(p[:m]) != want[off:end] || m < len(p) && err != io.EOF || m == len(p) && err != nil && off < len(want) {
				t.Fatalf("%d bytes: %d at %d: %d, %v", n, len(p), off, m, err)
			}
		}
	}
}

func TestViewOfCRLFFile(t *testing.T) {
	data := strings.Repeat("line\r\n", Small)
	c := view(t, data)
	if !c.plain || c.Size() != int64(len(data)) {
		t.Errorf("plain %v, size %d", c.plain, c.Size())
	}
}

func FuzzWriter(f *testing.F) {
	f.Add("a\r\nb\nc\rd\r\r\n\r", 3)
	f.Fuzz(func(t *testing.T, s string, cut int) {
		var b bytes.Buffer
		w := NewWriter(&b)
		if cut < 1 {
			cut = 1
		}
		for rest := s; rest != ""; {
			n := min(cut, len(rest))
			if m, err := io.WriteString(w, rest[:n]); m != n || err != nil {
				t.Fatal(m, err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(s, "\r\n", "\n")
		if b.String() != want || w.File != int64(len(want)) {
			t.Fatalf("%q became %q, want %q; size %d", s, b.String(), want, w.File)
		}
		if got := w.Wire; got != int64(len(want)+strings.Count(want, "\n")) {
			t.Fatalf("%q: wire size %d", s, got)
		}
	})
}
