package bdb

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// The files in testdata were made by Postfix 3.7.11's postmap from these
// pairs. Postfix ends keys and values with a NUL.
func samplePairs() map[string]string {
	m := map[string]string{"bigvalue\x00": strings.Repeat("z", 30000) + "\x00"}
	for i := range 800 {
		m[fmt.Sprintf("user%d@example%d.com\x00", i, i%37)] = fmt.Sprintf("value %d\x00", i)
	}
	for i := range 5 {
		m[fmt.Sprintf("k%d%s\x00", i, strings.Repeat("x", 6000))] = fmt.Sprintf("long key %d\x00", i)
	}
	return m
}

func load(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSamples(t *testing.T) {
	want := samplePairs()
	for _, name := range []string{"hash", "btree"} {
		t.Run(name, func(t *testing.T) {
			data := load(t, name)
			r, err := NewReader(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range want {
				got, ok, err := r.Get(k)
				if err != nil || !ok || got != v {
					t.Errorf("%.30q: %.30q %v %v", k, got, ok, err)
				}
			}
			if _, ok, err := r.Get("absent"); ok || err != nil {
				t.Errorf("absent: %v %v", ok, err)
			}
			n := 0
			err = r.All(func(k, v string) bool {
				if want[k] != v {
					t.Errorf("%.30q: wrong value", k)
				}
				n++
				return true
			})
			if err != nil || n != len(want) {
				t.Errorf("All: %d pairs of %d, %v", n, len(want), err)
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	for _, name := range []string{"hash", "btree"} {
		data := load(f, name)
		f.Add(data, "user1@example1.com\x00")
		f.Add(data[:8192], "a")
	}
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		r, err := NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		r.Get(key)
		n := 0
		r.All(func(k, v string) bool { n++; return n < 10000 })
	})
}
