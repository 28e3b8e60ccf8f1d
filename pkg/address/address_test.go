package address

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name, in, want string
		bad            bool
	}{
		{"plain", "user@example.com", "user@example.com", false},
		{"no domain", "postmaster", "postmaster", false},
		{"quoted", `"a b"@x`, "a b@x", false},
		{"quoted at", `"a@b"@x`, "a@b@x", false},
		{"quoted pair", `"a\"b"@x`, `a"b@x`, false},
		{"two ats", "a@b@c", "a@b@c", false},
		{"literal", "u@[192.0.2.1]", "u@[192.0.2.1]", false},
		{"utf-8", "jösé@ü.example", "jösé@ü.example", false},
		{"empty", "", "", true},
		{"blank", "a b@c", "", true},
		{"comment", "a(c)@b", "", true},
		{"unbalanced", `"a@b`, "", true},
		{"newline", "a\nb@c", "", true},
		{"nul", "a\x00@c", "", true},
		{"bad literal", "a@[1", "", true},
		{"all in quotes", `"a@b"`, "a@b", false},
		{"a domain that is none in quotes", `"a@b> SIZE=1"`, "", true},
		{"blank in domain", "a@b c", "", true},
		{"long", strings.Repeat("a", MaxLength+1), "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Parse(tc.in)
			if tc.bad != (err != nil) || got != tc.want || err != nil && !errors.Is(err, ErrSyntax) {
				t.Errorf("Parse(%q) = %q, %v", tc.in, got, err)
			}
		})
	}
}

func TestParsePath(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     Path
		rest     string
		bad      bool
	}{
		{"null", "<> SIZE=1", Path{}, " SIZE=1", false},
		{"plain", "<a@b>", Path{Address: "a@b", Text: "a@b"}, "", false},
		{"route", "<@r1,@r2:a@b> X", Path{Route: "@r1,@r2", Address: "a@b", Text: "a@b"}, " X", false},
		{"quoted bracket", `<"a>b"@c>`, Path{Address: "a>b@c", Text: `"a>b"@c`}, "", false},
		{"no brackets", "a@b SIZE=1", Path{Address: "a@b", Text: "a@b"}, " SIZE=1", false},
		{"not closed", "<a@b", Path{}, "", true},
		{"double", "<<a@b>>", Path{}, "", true},
		{"text after", "<a@b>x", Path{}, "", true},
		{"route only", "<@r:>", Path{}, "", true},
		{"nothing", "", Path{}, "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, rest, err := ParsePath(tc.in)
			if tc.bad != (err != nil) {
				t.Fatalf("error %v", err)
			}
			if err == nil && (got != tc.want || rest != tc.rest) {
				t.Errorf("got %+v, %q", got, rest)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"a@b", "a@b"}, {"a b@c", `"a b"@c`}, {"a@b@c", `"a@b"@c`}, {`a"\@c`, `"a\"\\"@c`},
		{"@c", `""@c`}, {"", ""}, {"a..b@c", `"a..b"@c`}, {".a@c", `".a"@c`}, {"a", "a"},
		{"@r1,@r2:a@b", "@r1,@r2:a@b"}, {"ü@c", "ü@c"},
	} {
		got := Quote(tc.in)
		if got != tc.want {
			t.Errorf("Quote(%q) = %q, want %q", tc.in, got, tc.want)
		}
		if back := Unquote(got); back != tc.in && !strings.HasPrefix(tc.in, "@") {
			t.Errorf("Unquote(%q) = %q", got, back)
		}
	}
}

func TestSplitExtension(t *testing.T) {
	o := Options{Delimiters: "+-", OwnerRequestSpecial: true, DoubleBounce: "double-bounce"}
	for _, tc := range []struct {
		in, base, ext string
		ok            bool
	}{
		{"user", "user", "", false}, {"user+x", "user", "x", true}, {"user+", "user", "", true},
		{"a-b+c", "a", "b+c", true}, {"+x", "+x", "", false}, {"owner-list", "owner-list", "", false},
		{"list-request", "list-request", "", false}, {"double-bounce", "double-bounce", "", false},
		{"MAILER-DAEMON", "MAILER-DAEMON", "", false},
	} {
		base, ext, ok := o.Split(tc.in)
		if base != tc.base || ext != tc.ext || ok != tc.ok {
			t.Errorf("Split(%q) = %q, %q, %v", tc.in, base, ext, ok)
		}
	}
}

func TestScanList(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []string
	}{
		{"plain", " a@b, c", []string{"a@b", "c"}},
		{"names", ` "X, Y" <a@b> (c, d), Joe Doe <c@d>`, []string{"a@b", "c@d"}},
		{"group", "friends: a@b, c@d;, e", []string{"a@b", "c@d", "e"}},
		{"empty group", "undisclosed-recipients:;", nil},
		{"route", "<@r1,@r2:a@b>", []string{"@r1, @r2:a@b"}},
		{"two words", "a b", []string{"a", "b"}},
		{"comment in address", "a(x)@b(y)", []string{"a@b"}},
		{"not closed", "<a@b, c@d", []string{"a@b", "c@d"}},
		{"folded", "a@b,\n\tc@d", []string{"a@b", "c@d"}},
		{"null", "<>", nil},
		{"quoted", `"a b"@c`, []string{`"a b"@c`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, m := range ScanList(tc.in) {
				got = append(got, m.External())
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRewriteList(t *testing.T) {
	add := func(s string) (string, error) {
		if strings.Contains(s, "@") {
			return s, nil
		}
		return s + "@x", nil
	}
	for _, tc := range []struct{ in, want string }{
		{" a@b ,c (see)  ,\n\t\"Q, R\" <d>", " a@b ,c@x (see)  ,\n\t\"Q, R\" <d@x>"},
		{" a b c", " a@x, b@x, c@x"},
		{" g: a;", " g: a@x;"},
	} {
		got, err := RewriteList(tc.in, add)
		if err != nil || got != tc.want {
			t.Errorf("RewriteList(%q) = %q, %v, want %q", tc.in, got, err, tc.want)
		}
	}
}

// TestHostileLists checks that odd lists take linear time.
func TestHostileLists(t *testing.T) {
	for _, in := range []string{strings.Repeat("a@b,", 25000), strings.Repeat("(", 100000), strings.Repeat("<", 100000),
		strings.Repeat("\"", 100000), strings.Repeat("a ", 50000), strings.Repeat("@a,", 30000), strings.Repeat("a:", 50000)} {
		d := testkit.CPU(func() { RewriteList(in, func(s string) (string, error) { return s + "x", nil }) })
		if d > 2*time.Second {
			t.Errorf("%.10q...: %v", in, d)
		}
	}
}

func TestToASCII(t *testing.T) {
	for _, tc := range []struct {
		in, want string
		bad      bool
	}{
		{"Example.COM", "Example.COM", false},
		{"bücher.example", "xn--bcher-kva.example", false},
		{"BÜCHER.example", "xn--bcher-kva.example", false},
		{"例え。テスト", "xn--r8jz45g.xn--zckzah", false},
		{"ｅxample．com", "example.com", false},
		{"правда.рф", "xn--80aafi6cg.xn--p1ai", false},
		{"a\u0308.example", "xn--4ca.example", false},
		{"a\u200b.example", "a.example", false},
		{"\xff.example", "", true},
		{"ü b.example", "", true},
		{strings.Repeat("ü", 64) + ".example", "", true},
	} {
		got, err := ToASCII(tc.in)
		if got != tc.want || (err != nil) != tc.bad {
			t.Errorf("ToASCII(%q) = %q, %v", tc.in, got, err)
		}
	}
}

func TestLiteral(t *testing.T) {
	for _, tc := range []struct {
		in string
		ok bool
	}{{"[192.0.2.1]", true}, {"[IPv6:2001:db8::1]", true}, {"[2001:db8::1]", false}, {"[IPv6:192.0.2.1]", false},
		{"192.0.2.1", false}, {"[]", false}, {"[300.1.1.1]", false}, {"[IPv6:fe80::1%eth0]", false}} {
		if IsIPLiteral(tc.in) != tc.ok {
			t.Errorf("IsIPLiteral(%q) is not %v", tc.in, tc.ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a@b", `"a b"@c`, `<@r:"x\"y"@[1.2.3.4]> SIZE=1`, "a(c)@b", "\\", "\"", "@:@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, rest, err := ParsePath(s); err == nil && !strings.HasSuffix(s, rest) {
			t.Errorf("rest %q of %q, path %+v", rest, s, p)
		}
		internal, err := Parse(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(internal, "\r\n\x00") {
			t.Errorf("control character in %q", internal)
		}
		// What is queued must come back from its external form.
		if local, domain := Split(internal); local != "" && domain != "" && !strings.HasPrefix(local, "@") {
			if back, err := Parse(Quote(internal)); len(Quote(internal)) <= MaxLength && (err != nil || back != internal) {
				t.Errorf("%q -> %q -> %q, %v", s, internal, back, err)
			}
		}
	})
}

func FuzzList(f *testing.F) {
	for _, s := range []string{"a, b <c@d> (e), \"f\" <g>", "g: a, b;", "<@a,@b:c>", "a b c", "((", "\"", "[", "<<a>>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		end := 0
		for _, m := range ScanList(s) {
			if m.Start < end || m.End < m.Start || m.End > len(s) {
				t.Fatalf("%q: address at %d to %d after %d", s, m.Start, m.End, end)
			}
			end = m.End
		}
		same, err := RewriteList(s, func(a string) (string, error) { return a, nil })
		if err != nil || same != s {
			t.Errorf("RewriteList(%q) = %q, %v", s, same, err)
		}
	})
}

func FuzzToASCII(f *testing.F) {
	f.Add("bücher.example")
	f.Fuzz(func(t *testing.T, s string) {
		out, err := ToASCII(s)
		if err == nil && !isASCII(out) {
			t.Errorf("ToASCII(%q) = %q", s, out)
		}
	})
}
