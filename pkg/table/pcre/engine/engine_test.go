package engine

import (
	"errors"
	"strings"
	"testing"
)

// all are the options of TestBounds and FuzzMatch.
var all = Options{Caseless: true, DotAll: true}

// TestBounds: what would take for ever ends with an error, or without a match.
func TestBounds(t *testing.T) {
	long := strings.Repeat("a", 100_000)
	for _, c := range []struct {
		pattern, subject string
		want             error
	}{
		{"(a+)+$", strings.Repeat("a", 40) + "b", ErrLimit},
		{"(a*)*b", strings.Repeat("a", 5000), ErrLimit},
		{"(?:a|a)*b", long, ErrLimit},
		{"(a|b)*c", long, ErrLimit},
		{"(?R)", "a", ErrLoop},
		{"a*(?R)b", "aaa", ErrLoop},
		{"(a(?1)|b)", long, ErrLimit},
		{"(*NO_START_OPT)(?:(?:(?:){65535}){65535}){65535}b", "a", ErrLimit},
		{"(*LIMIT_MATCH=10)a.*b.*c", "a" + long, ErrLimit},
		{"(*UTF)a", "\xff", ErrUTF},
		{".*b", long, nil},
		{"^(?:a++)*+b", long, nil},
		{"a.*?b", "a" + strings.Repeat("x", 1000), nil},
	} {
		re, err := Compile(c.pattern, all)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		groups, err := re.Match(c.subject)
		if groups != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v %v, want %v", c.pattern, groups, err, c.want)
		}
	}
}

// TestUTF: what begins with (*UTF) is about characters.
func TestUTF(t *testing.T) {
	for _, c := range []struct{ pattern, subject, want string }{
		{`(*UTF)^.$`, "\u00e4", "\u00e4"},
		{`(*UTF)\x{e4}`, "a\u00c4b", "\u00c4"},
		{`(*UTF)[\x{e0}-\x{ff}]+`, "xÄÖy", "ÄÖ"},
		{`(*UTF)[^a]`, "a\u4e2d", "\u4e2d"},
		{`(*UTF)\p{Han}+`, "a\u4e2d\u6587b", "\u4e2d\u6587"},
		{`(*UTF)\p{Greek}+`, "aαβγ", "αβγ"},
		{`(*UTF)(?<=ä)b`, "äb", "b"},
		{`(*UTF).+?b`, "äöb", "äöb"},
		{`(*UTF).*ö`, "äöüx", "äö"},
		{`(*UTF)\w+`, "äa", "a"},
		{`(*UTF)(*UCP)\w+`, "-äa", "äa"},
		{`(*UTF)\X`, "e\u0301x", "e\u0301"},
		{`(*UTF)\X\X`, "\U0001F1E9\U0001F1EA\U0001F1EB\U0001F1F7x", "\U0001F1E9\U0001F1EA\U0001F1EB\U0001F1F7"},
		{`(*UTF)\R`, "a\u2028b", "\u2028"},
		{`(*UTF)\h`, "a\u3000b", "\u3000"},
		{`(*UTF)(.)\1`, "xäÄ", "äÄ"},
		{`(*UCP)\w+`, "-\xe4a", "\xe4a"},
		{`\w+`, "-\xe4a", "a"},
	} {
		re, err := Compile(c.pattern, all)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		groups, err := re.Match(c.subject)
		if err != nil || groups == nil || c.subject[groups[0]:groups[1]] != c.want {
			t.Errorf("%s with %q: %v %v", c.pattern, c.subject, groups, err)
		}
	}
}

func FuzzMatch(f *testing.F) {
	for _, p := range strings.Split(strings.TrimSpace(examplePatterns), "\n") {
		f.Add(p, "aabab\n", uint8(len(p)))
	}
	f.Add(`(*UTF)(*UCP)(?|(\X)|\p{L}(?1))++(*SKIP)`, "\u00e4\u0301b", uint8(3))
	f.Fuzz(func(t *testing.T, p, subject string, o uint8) {
		if len(p) > 300 || len(subject) > 300 {
			return
		}
		re, err := Compile(p, Options{Caseless: o&1 != 0, Multiline: o&2 != 0, DotAll: o&4 != 0, Extended: o&8 != 0, Ungreedy: o&16 != 0, Anchored: o&32 != 0, DollarEnd: o&64 != 0})
		if err != nil {
			return
		}
		re.limit = min(re.limit, 200_000)
		groups, err := re.Match(subject)
		if err != nil || groups == nil {
			return
		}
		for i := 0; i < len(groups); i += 2 {
			if groups[i+1] >= 0 && (groups[i] < 0 || groups[i] > groups[i+1] || groups[i+1] > len(subject)) {
				t.Fatalf("/%s/ with %q: group %d is %v", p, subject, i/2, groups)
			}
		}
	})
}
