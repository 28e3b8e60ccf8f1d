package cdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func build(t testing.TB, pairs ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.cdb")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := new(Writer)
	for i := 0; i < len(pairs); i += 2 {
		if err := w.Put(pairs[i], pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *Reader {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := Open(f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRoundTrip(t *testing.T) {
	var pairs []string
	for i := range 5000 {
		pairs = append(pairs, fmt.Sprintf("key%d", i), fmt.Sprintf("value %d", i))
	}
	pairs = append(pairs, "key7", "second")
	r := open(t, build(t, pairs...))
	defer r.Close()
	for i := 0; i < 10000; i += 2 {
		v, ok, err := r.Get(pairs[i])
		if err != nil || !ok || v != pairs[i+1] {
			t.Fatalf("%s: %q %v %v", pairs[i], v, ok, err)
		}
	}
	if _, ok, err := r.Get("absent"); ok || err != nil {
		t.Errorf("absent: %v %v", ok, err)
	}
	n := 0
	if err := r.All(func(k, v string) bool { n++; return k != "" }); err != nil || n != 5001 {
		t.Errorf("All: %d records, %v", n, err)
	}
}

func TestEmpty(t *testing.T) {
	r := open(t, build(t))
	defer r.Close()
	if _, ok, err := r.Get("x"); ok || err != nil {
		t.Errorf("got %v %v", ok, err)
	}
	if err := r.All(func(k, v string) bool { t.Errorf("record %q", k); return true }); err != nil {
		t.Error(err)
	}
}

// A file that someone cuts while it is mapped gives an error, not a dead
// process.
func TestCutWhileOpen(t *testing.T) {
	path := build(t, "a", "b")
	r := open(t, path)
	defer r.Close()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Get("a"); !errors.Is(err, ErrFormat) {
		t.Errorf("error %v, want ErrFormat", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{}, "a")
	data, err := os.ReadFile(build(f, "a", "b", "c", "d", "a", "z"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, "a")
	f.Add(bytes.Repeat([]byte{0xff}, headerSize), "a")
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		r, err := NewReader(data)
		if err != nil {
			return
		}
		n := 0
		if v, ok, err := r.Get(key); ok && err == nil && len(v) > len(data) {
			t.Errorf("value longer than the file")
		}
		r.All(func(k, v string) bool { n++; return n < 1000 })
	})
}
