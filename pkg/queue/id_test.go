package queue

import (
	"testing"
	"time"
)

func TestIDs(t *testing.T) {
	at := time.Unix(1795230845, 707119000)
	for _, tc := range []struct {
		name  string
		id    ID
		long  bool
		inode uint64
		usec  int
		hash  string
	}{
		{"short", NewID(at, 0x9844E8, false), false, 0x9844E8, 707119, "A/C/"},
		{"long", NewID(at, 0x9844E8, true), true, 0x9844E8, 707119, "A/C/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ino, ok := tc.id.Inode()
			usec, ok2 := tc.id.Usec()
			if !ok || !ok2 || ino != tc.inode || usec != tc.usec || tc.id.Long() != tc.long {
				t.Errorf("%s: inode %x %v, usec %d %v, long %v", tc.id, ino, ok, usec, ok2, tc.id.Long())
			}
			if got := tc.id.hashDirs(2); got != tc.hash {
				t.Errorf("hash %q", got)
			}
			fixed, ok := tc.id.WithInode(77, true)
			if ino, _ := fixed.Inode(); !ok || ino != 77 || fixed.Long() != tc.long {
				t.Errorf("fixed %s", fixed)
			}
			if !ValidID(string(tc.id)) {
				t.Error("not valid")
			}
		})
	}
	if id := NewID(at, 0x9844E8, false); id != "ACA2F9844E8" {
		t.Errorf("short id %s", id)
	}
	if ID("short").hashDirs(7) != "s/h/o/r/t/_/_/" {
		t.Error("padding")
	}
	for _, s := range []string{"", ".", "..", "a/b", "a.b", "1234.99", "a\x00"} {
		if ValidID(s) {
			t.Errorf("%q is valid", s)
		}
	}
}
