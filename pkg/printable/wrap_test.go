package printable

import (
	"slices"
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	long := strings.Repeat("x", 30)
	for _, tc := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"one two", []string{"one two"}},
		{"0123456789 1234", []string{"0123456789", "  1234"}},
		{"012345678 01234567 1234", []string{"012345678", "  01234567", "  1234"}},
		{"a " + long + " b", []string{"a", "  " + long, "  b"}},
		{long, []string{long}},
		{" " + long, []string{" " + long}},
	} {
		if got := Wrap(tc.text, 10, "  "); !slices.Equal(got, tc.want) {
			t.Errorf("%q: %q, want %q", tc.text, got, tc.want)
		}
	}
}

func FuzzWrap(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		var words []string
		for _, line := range Wrap(text, 20, "    ") {
			words = append(words, strings.Fields(line)...)
		}
		if !slices.Equal(words, strings.Fields(text)) {
			t.Errorf("%q became %q", text, words)
		}
	})
}
