package text

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadMap(t *testing.T) {
	in := " lead\n more\na  b \n# c\n\n\"x \\\"y\" z\nfoo: bar\nnoval\nm l1\n  # mid\n l2\n\"open x\nlast v\nn\x00ul x\nnul v\x00w\n x\n\xe9 x\n1\\ 2\"3 4\"5 6"
	var got []Entry
	var problems []string
	err := Source{
		Add:    func(e Entry) error { got = append(got, e); return nil },
		Report: func(p Problem) { problems = append(problems, p.In("t")) },
		UTF8:   true,
	}.ReadMap(strings.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{{"a", "b", 3}, {`"x \"y"`, "z", 6}, {"foo:", "bar", 7}, {"m", "l1 l2", 9}, {"last", "v", 13}, {"nul", "v", 15}, {`1\ 2"3 4"5`, "6", 18}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	wantProblems := []string{`t: logical line must not start with whitespace: " lead more"`,
		`t, line 7: record is in "key: value" format; is this an alias file?`, "t, line 8: expected format: key whitespace value",
		`t, line 12: unbalanced '"' in '"open x' -- ignoring this line`, "t, line 14: expected format: key whitespace value",
		"t, line 17: non-UTF-8 input \"\xe9 x\" -- ignoring this line"}
	if diff := cmp.Diff(wantProblems, problems); diff != "" {
		t.Error(diff)
	}
}

// The expected values are what Postfix's postalias stores.
func TestSplitAlias(t *testing.T) {
	tests := []struct{ line, key, value string }{
		{"root:  admin", "root", "admin"},
		{`Joe:joe@x.test,  "a b"@c,d   e`, "Joe", `joe@x.test, "a b"@c, d e`},
		{`"quoted name": |"/bin/x y z"`, "quoted name", `|"/bin/x y z"`},
		{`cmd: "|/bin/x \"y\" z", /file/x, :include:/etc/list`, "cmd", `"|/bin/x \"y\" z", /file/x, :include:/etc/list`},
		{"a b: c", "a b", "c"},
		{"paren: (comment) joe (other), fred", "paren", "(comment) joe (other), fred"},
		{"ang: <joe@x>, Joe Bloggs <fred@y>", "ang", "<joe@x>, Joe Bloggs <fred@y>"},
		{"grp: mylist: a, b;", "grp", "mylist:a, b;"},
		{`q: a"b"c`, "q", `a "b" c`},
		{`q: a\"b`, "q", `"a\"b"`},
		{`"a:b": c`, "a:b", "c"},
		{"b: a . b", "b", "a.b"},
		{"h: <a> b", "h", "<a>b"},
		{"i: a[b]c", "i", "a [b] c"},
		{"k: a>b,c", "k", "a>b, c"},
		{"o: a , ,b", "o", "a, , b"},
		{`r: "unterm`, "r", `"unterm"`},
		{`esc: \esc2`, "esc", "esc2"},
		{`"u%d": v`, "u%d", "v"},
		{`a\%b: v, `, "a%b", "v, "},
		{`open: "a\`, "open", `"a"`},
		{`open: [a\`, "open", "[a]"},
	}
	for _, tt := range tests {
		key, value, problem := SplitAlias(tt.line)
		if key != tt.key || value != tt.value || problem != "" {
			t.Errorf("%s: got %q %q %q", tt.line, key, value, problem)
		}
	}
	for line, want := range map[string]string{"noval:": "need name:value pair", "nocolon": "need name:value pair",
		":x": "need name:value pair", "u%d: v": "name must be local", "a@b: c": "name must be local"} {
		if _, _, problem := SplitAlias(line); problem != want {
			t.Errorf("%s: %q", line, problem)
		}
	}
}

func FuzzReadMap(f *testing.F) {
	f.Add("a b\n c\n# d\n\"x y\" z\n\"open")
	f.Fuzz(func(t *testing.T, s string) {
		Source{Add: func(e Entry) error {
			if e.Key == "" || e.Value == "" || strings.Contains(e.Key+e.Value, "\x00") {
				t.Errorf("bad entry %+v", e)
			}
			return nil
		}}.ReadMap(strings.NewReader(s))
	})
}

func FuzzReadAliases(f *testing.F) {
	f.Add("a: b, \"c d\"\n (x) <y@z>\n\"e\\\"f\": |cmd\n[l]: g")
	f.Fuzz(func(t *testing.T, s string) {
		Source{Add: func(e Entry) error {
			if e.Key == "" {
				t.Errorf("empty entry %+v", e)
			}
			return nil
		}}.ReadAliases(strings.NewReader(s))
		LooksLikeAliases(strings.NewReader(s))
	})
}
