package address

import (
	"slices"
	"strings"
	"testing"
)

func TestItems(t *testing.T) {
	for _, tt := range []struct {
		list string
		want []string
		open Open
	}{
		{"", []string{""}, Open{}},
		{"a@x, b@x ;c", []string{"a@x", " b@x ", "c"}, Open{}},
		{`"a, b" <c@x>, d`, []string{`"a, b" <c@x>`, " d"}, Open{}},
		{`"a\", b", c`, []string{`"a\", b"`, " c"}, Open{}},
		{"a (b, (c; d), e), f", []string{"a (b, (c; d), e)", " f"}, Open{}},
		{`<@a,@b:c@x>,d\,e`, []string{"<@a,@b:c@x>", `d\,e`}, Open{}},
		{`a, "b, c`, []string{"a", ` "b, c`}, Open{Quote: true}},
		{"a, (b, c", []string{"a", " (b, c"}, Open{Comment: true}},
		{`a,\`, []string{"a", `\`}, Open{}},
	} {
		got, open := Items(tt.list, ",;")
		if !slices.Equal(got, tt.want) || open != tt.open {
			t.Errorf("Items(%q) = %q, %v; want %q, %v", tt.list, got, open, tt.want, tt.open)
		}
	}
	if got, _ := Items("a;b,c", ","); !slices.Equal(got, []string{"a;b", "c"}) {
		t.Errorf("cut at a separator that was not asked for: %q", got)
	}
}

func FuzzItems(f *testing.F) {
	f.Add(`"a, b" <c>, (d; (e)), f\,`)
	f.Fuzz(func(t *testing.T, s string) {
		items, _ := Items(s, ",")
		if strings.Join(items, ",") != s {
			t.Errorf("%q lost something: %q", s, items)
		}
	})
}
