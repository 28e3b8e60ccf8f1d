package address

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// plainAddresses are those that the short way finds in a list.
func plainAddresses(value string) ([]string, bool) {
	spans, ok := plainList(nil, value)
	var list []string
	for _, a := range spans {
		list = append(list, value[a.start:a.end])
	}
	return list, ok
}

func TestPlainList(t *testing.T) {
	for _, c := range []struct {
		value string
		want  []string // nil: this needs tokens
	}{
		{"a@b.test", []string{"a@b.test"}},
		{" a@b.test\n", []string{"a@b.test"}},
		{"<a@b>", []string{"a@b"}},
		{" J. Doe <j.doe@x-y.test> , b+c@d.test,\n\t\"Doe, <J>\" <e_f@g>", []string{"j.doe@x-y.test", "b+c@d.test", "e_f@g"}},
		{"=?utf-8?Q?J=C3=BCrgen?= <j@x.test>", []string{"j@x.test"}},
		{"J\xfcrgen <j@x.test>", []string{"j@x.test"}},
		{"a@b (name) <c@d>", nil},
		{"", nil}, {",", nil}, {"a@b,", nil}, {"a@b c@d", nil}, {"a", nil}, {"a@b@c", nil}, {"@b", nil}, {"a@", nil},
		{"a..b@c", nil}, {".a@c", nil}, {"a.@c", nil}, {"a@c.", nil}, {"a@.c", nil}, {"\"a\"@b", nil}, {"a%b@c", nil}, {"a!b@c", nil},
		{"g:a@b;", nil}, {"a\\b@c", nil}, {"a@[1.2.3.4]", nil}, {"<a@b", nil}, {"<a@b> c", nil}, {"<a@b>>", nil}, {"<@x:a@b>", nil},
		{"< a@b>", nil}, {"\"x\\\" <a@b>", nil}, {"j\xfc@x.test", nil}, {"a@b_c", nil},
		{strings.Repeat("a", maxPlain) + "@b", nil},
	} {
		got, ok := plainAddresses(c.value)
		if ok != (c.want != nil) || !slices.Equal(got, c.want) {
			t.Errorf("%.60q: %q, %t; want %q", c.value, got, ok, c.want)
		}
	}
}

// FuzzPlainList compares the short way with the long one.
func FuzzPlainList(f *testing.F) {
	for _, seed := range []string{"a@b.test", "J. Doe <a@b>, \"x, <y>\" <c@d>,e@f", "a@b (c) <d@e>", "<a@b> ,\n\tc+d@e.f", "x;y@z: <a@b>,", "a@b\x00", "J\xfc <a@b>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if isPlain(value) {
			if long := Internal(DropComments(Tokenize(value))); long != value || Quote(long) != value {
				t.Errorf("%q is %q, in external form %q", value, long, Quote(long))
			}
		}
		spans, ok := plainList(nil, value)
		if ListComplete([]byte(value)) {
			out, err := RewriteList(value, func(a string) (string, error) {
				if !strings.Contains(Domain(Canonical(a)), ".") {
					t.Errorf("<%s> in %q needs to be completed", a, value)
				}
				return a, nil
			})
			if out != value || err != nil || !ok {
				t.Errorf("%q becomes %q, %v", value, out, err)
			}
		}
		if !ok {
			return
		}
		list := ScanList(value)
		if len(list) != len(spans) {
			t.Fatalf("%d addresses in %q, and by tokens %d", len(spans), value, len(list))
		}
		for i, m := range list {
			got := value[spans[i].start:spans[i].end]
			if m.Start != spans[i].start || m.End != spans[i].end || m.External() != got || m.Internal() != got {
				t.Errorf("%q at %d in %q, and by tokens %q at %d", got, spans[i].start, value, m.External(), m.Start)
			}
		}
	})
}

func TestRewritePlainList(t *testing.T) {
	fn := func(external string) (string, error) {
		if external == "no@x" {
			return "", errors.New("no")
		}
		return strings.Replace(external, "@x", "@y.test", 1), nil
	}
	for value, want := range map[string]string{
		" A <a@x>, b@z ,\n c@x": " A <a@y.test>, b@z ,\n c@y.test",
		"b@z, c@z":              "b@z, c@z",
	} {
		if got, err := RewriteList(value, fn); got != want || err != nil {
			t.Errorf("%q becomes %q, %v; want %q", value, got, err, want)
		}
	}
	if _, err := RewriteList("a@x, no@x", fn); err == nil {
		t.Error("the error is lost")
	}
}

func BenchmarkRewriteList(b *testing.B) {
	same := func(external string) (string, error) { return external, nil }
	for name, value := range map[string]string{"plain": " \"J. Doe\" <j.doe@example.test>, b@example.test", "comment": " j.doe@example.test (J. Doe), b@example.test"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				RewriteList(value, same)
			}
		})
	}
}

func TestListComplete(t *testing.T) {
	for value, want := range map[string]bool{
		"a@b.test": true, ` "x, y" <a@b.test>, c@d.test`: true,
		"a@b": false, "a": false, "": false, "a@b.test, c@d": false, "a@b.test (c)": false, "a.b@c": false, "a@b.test,": false,
	} {
		if got := ListComplete([]byte(value)); got != want {
			t.Errorf("%q: %t", value, got)
		}
	}
}
