package envelope

import (
	"testing"
	"unicode/utf8"
)

func TestUTF8Address(t *testing.T) {
	for _, tt := range []struct{ coded, plain, again string }{
		{"a@b.test", "a@b.test", "a@b.test"},
		{`t\x{FC}r@b.test`, "t\u00fcr@b.test", `t\x{FC}r@b.test`},
		{"t\u00fcr@b.test", "t\u00fcr@b.test", `t\x{FC}r@b.test`},
		{`a\x{5C}\x{2B}\x{3D}\x{20}`, `a\+= `, `a\x{5C}\x{2B}\x{3D}\x{20}`},
		{`\x{1F600}\x{10FFFF}`, "\U0001F600\U0010FFFF", `\x{1F600}\x{10FFFF}`},
		{`a+2Bb`, `a+2Bb`, `a\x{2B}2Bb`},
	} {
		plain, ok := DecodeUTF8Address(tt.coded)
		if !ok || plain != tt.plain {
			t.Errorf("decode %q: %q %v", tt.coded, plain, ok)
		}
		if again := EncodeUTF8Address(plain); again != tt.again {
			t.Errorf("encode %q: %q", plain, again)
		}
	}
	for _, bad := range []string{`\`, `\x`, `\x{`, `\x{}`, `\x{FC`, `\x{G}`, `\x{D800}`, `\x{110000}`, `\x{0}`, `\x{A}`, `\x{7F}`, `\y{41}`, `\x{00000041}`, `\x{-1}`, "\xff", "\\x{41}\xff"} {
		if plain, ok := DecodeUTF8Address(bad); ok {
			t.Errorf("%q: %q", bad, plain)
		}
	}
}

func FuzzUTF8Address(f *testing.F) {
	f.Add(`t\x{FC}r\x{5C}@b.test`)
	f.Fuzz(func(t *testing.T, s string) {
		plain, ok := DecodeUTF8Address(s)
		if !ok {
			return
		}
		coded := EncodeUTF8Address(plain)
		for i := range len(coded) {
			if coded[i] >= utf8.RuneSelf {
				t.Fatalf("%q: %q", s, coded)
			}
		}
		if again, ok := DecodeUTF8Address(coded); ok && again != plain {
			t.Fatalf("%q: %q, %q", s, plain, again)
		}
	})
}
