package pop3server

import (
	"strings"
	"testing"
)

func TestUIDLFormat(t *testing.T) {
	m := Identity{UID: 1, Validity: 0x6b0095fc, Base: "1795200507.M1P2.host", GUID: [16]byte{0xab, 15: 1}}
	for _, tc := range []struct{ format, want string }{
		{"%08Xu%08Xv", "000000016b0095fc"},
		{"%{uid | hex(8)}%{uidvalidity | hex(8)}", "000000016b0095fc"},
		{"%v.%u", "1795200508.1"},
		{"%Xv%Xu", "6b0095fc1"},
		{"UID%u-%v", "UID1-1795200508"},
		{"%f", "1795200507.M1P2.host"},
		{"%{guid}", "ab000000000000000000000000000001"},
		{"%%%5u", "%00001"},
	} {
		f, err := ParseFormat(tc.format)
		if err != nil {
			t.Errorf("%s: %v", tc.format, err)
			continue
		}
		if got := f.Make(m); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.format, got, tc.want)
		}
	}
	for _, bad := range []string{"", "%v", "abc", "%", "%{uid", "%{uid | md5}", "%z", "%m", "%999u", "%{x}"} {
		if _, err := ParseFormat(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzUIDLFormat(f *testing.F) {
	f.Add("%08Xu%08Xv", "name")
	f.Add("%{uid | hex(8)}%f", "\x00ü")
	f.Fuzz(func(t *testing.T, format, base string) {
		p, err := ParseFormat(format)
		if err != nil {
			return
		}
		id := p.Make(Identity{UID: 7, Validity: 8, Base: "x" + base})
		if id == "" || len(id) > MaxUIDL || strings.Trim(id, "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") != "" {
			t.Errorf("%q makes %q", format, id)
		}
	})
}
