package uidlist

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
)

func sample() *List {
	return &List{Validity: 77, Folder: [16]byte{1}, Limit: 100, Boot: "b", Keywords: []string{"$Junk", "", "x"}, Entries: []Entry{
		{UID: 3, Base: "1.a.h,S=3", GUID: GUID("1.a.h,S=3")},
		{UID: 4, Base: "name with space", GUID: [16]byte{9}, UIDL: "UID1-5", More: 1 << 40},
		{UID: 9, Base: "3.c.h", GUID: GUID("3.c.h")},
	}}
}

func TestComesBack(t *testing.T) {
	got, err := Parse(sample().Encode())
	if err != nil || !reflect.DeepEqual(got, sample()) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestDamage: a changed byte costs at most the line that has it, and never
// gives a message another's UID.
func TestDamage(t *testing.T) {
	whole := sample()
	byBase := map[string]Entry{}
	for _, e := range whole.Entries {
		byBase[e.Base] = e
	}
	data := whole.Encode()
	for i := range data {
		for _, bit := range []byte{1, 0x80, '\n' ^ data[i]} {
			bad := bytes.Clone(data)
			if bad[i] ^= bit; bad[i] == data[i] {
				continue
			}
			l, err := Parse(bad)
			if err != nil {
				if !errors.Is(err, ErrNoHeader) || i > len(whole.AppendHeader(nil)) {
					t.Fatalf("byte %d: %v", i, err)
				}
				continue
			}
			if l.Damaged == 0 || len(l.Entries) < 1 {
				t.Fatalf("byte %d: %+v", i, l)
			}
			for _, e := range l.Entries {
				if want := byBase[e.Base]; want.UID != e.UID || want.UIDL != e.UIDL {
					t.Fatalf("byte %d: %+v", i, e)
				}
			}
		}
	}
	for n := range data {
		if l, err := Parse(data[:n]); err == nil {
			for _, e := range l.Entries {
				if byBase[e.Base].UID != e.UID {
					t.Fatalf("cut at %d: %+v", n, e)
				}
			}
		}
	}
}

func TestFirstLineCounts(t *testing.T) {
	l := sample()
	b := AppendEntry(l.Encode(), &Entry{UID: 3, Base: "other"})
	b = AppendEntry(b, &Entry{UID: 50, Base: "3.c.h"})
	got, err := Parse(b)
	if err != nil || len(got.Entries) != 3 || got.Damaged != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(string(sample().Encode()))
	f.Fuzz(func(t *testing.T, text string) {
		var b []byte
		for i, line := range bytes.Split([]byte(text), []byte{'\n'}) {
			if i%2 == 0 {
				line = fmt.Appendf(nil, "%s", bytes.TrimSuffix(appendLine(nil, string(line)), []byte{'\n'}))
			}
			b = append(append(b, line...), '\n')
		}
		for _, data := range [][]byte{[]byte(text), b} {
			l, err := Parse(data)
			if err != nil {
				continue
			}
			l.Damaged = 0
			again, err := Parse(l.Encode())
			if err != nil || !reflect.DeepEqual(l.Entries, again.Entries) && len(l.Entries) > 0 {
				t.Errorf("%+v became %+v, %v", l, again, err)
			}
		}
	})
}
