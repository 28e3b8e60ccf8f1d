package printable

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"plain", "hello <a@b>", "hello <a@b>"},
		{"newline", "a\r\nNov 20 fake", "a??Nov 20 fake"},
		{"nul and escape", "a\x00\x1b[31m\x7f", "a??[31m?"},
		{"utf-8 kept", "grüße", "grüße"},
		{"invalid utf-8", "a\xff\xc3", "a??"},
		{"bidi override", "a\u202eb", "a?b"},
		{"c1 control", "a\u0085b", "a?b"},
		{"zero width", "a\u200bb\ufeff", "a?b?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Text(tc.in); got != tc.want {
				t.Errorf("Text(%q) = %q, want %q", tc.in, got, tc.want)
			}
		})
	}
}

func TestTextCutsAtRuneStart(t *testing.T) {
	got := Text(strings.Repeat("é", MaxText))
	if len(got) > MaxText || !utf8.ValidString(got) {
		t.Errorf("length %d, valid %v", len(got), utf8.ValidString(got))
	}
}

func TestASCII(t *testing.T) {
	if got := ASCII("grün\n"); got != "gr?n?" {
		t.Errorf("got %q", got)
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\r\n\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00\x1b") {
			t.Errorf("Text(%q) = %q", s, got)
		}
		if !IsText(got) || Text(got) != got {
			t.Errorf("Text is not idempotent for %q", s)
		}
	})
}
