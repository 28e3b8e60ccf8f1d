package queue

import (
	"bytes"
	"strings"
	"testing"
)

func TestHint(t *testing.T) {
	long := ID(strings.Repeat("x", maxHint))
	for _, id := range []ID{"A", "3Fz0Wk1mQxz1", "0123ABCDEF", long} {
		p := append(AppendHint(nil, id), "IW"...)
		if got, rest := CutHint(p); got != id || string(rest) != "IW" {
			t.Errorf("%s: %q, %q", id, got, rest)
		}
		for n := range len(p) - 3 { // cut short
			if got, rest := CutHint(p[:n]); got != "" || len(rest) != 0 {
				t.Errorf("%q: %q, %q", p[:n], got, rest)
			}
		}
	}
	if p := AppendHint([]byte("I"), long+"x"); string(p) != "I" {
		t.Errorf("a hint that is too long: %q", p)
	}
	for _, text := range []string{"../x", "a b", "", string(long) + "x"} {
		p := []byte(text + "\n")
		for i := range p {
			p[i] |= hintBit
		}
		if got, rest := CutHint(append(p, 'D')); got != "" || string(rest) != "D" {
			t.Errorf("%q: %q, %q", text, got, rest)
		}
	}
}

func FuzzHint(f *testing.F) {
	f.Add([]byte("\xc1\xc2\x8aI"))
	f.Add([]byte("I\x8a\x8a"))
	f.Fuzz(func(t *testing.T, p []byte) {
		id, rest := CutHint(p)
		if !bytes.HasSuffix(p, rest) {
			t.Fatalf("%q is no rest of %q", rest, p)
		}
		if len(p) > 0 && IsHint(p[0]) && len(rest) == len(p) {
			t.Fatalf("nothing cut off %q", p)
		}
		if id != "" && (!ValidID(string(id)) || !bytes.Equal(p[:len(p)-len(rest)], AppendHint(nil, id))) {
			t.Fatalf("%q of %q", id, p)
		}
	})
}
