package alias

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func addr(s string) Target { return Target{Kind: Address, Value: s} }

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []Target
	}{
		{"addresses", "a, b@c , ,d", []Target{addr("a"), addr("b@c"), addr("d")}},
		{"empty", "  ", nil},
		{"escaped", `\root, x`, []Target{{Kind: Address, Value: "root", Escaped: true}, addr("x")}},
		{"command", `"|/bin/cmd -a 'x, y' \"z\""`, []Target{{Kind: Command, Value: `/bin/cmd -a 'x, y' "z"`}}},
		{"command, inner quotes", `|"exec /bin/cmd a,b"`, []Target{{Kind: Command, Value: "exec /bin/cmd a,b"}}},
		{"command, bare", "|/bin/cmd arg", []Target{{Kind: Command, Value: "/bin/cmd arg"}}},
		{"file and Maildir", `/var/mail/x, "/home/a b/Maildir/"`, []Target{{Kind: File, Value: "/var/mail/x"}, {Kind: File, Value: "/home/a b/Maildir/"}}},
		{"include", `:include:/etc/list, ":Include: /etc/other"`, []Target{{Kind: Include, Value: "/etc/list"}, {Kind: Include, Value: "/etc/other"}}},
		{"display name", `"Doe, Jane" <jane@d> (a, b)`, []Target{addr("jane@d")}},
		{"quoted local part", `"a b"@c`, []Target{addr("a b@c")}},
		{"blanks", "a b@c  d", []Target{addr("a"), addr("b@c"), addr("d")}},
		{"blanks in an address", "a @ b.c, d", []Target{addr("a@b.c"), addr("d")}},
		{"semicolons", "a; b;", []Target{addr("a"), addr("b")}},
		{"group", "Friends: a, b;", []Target{addr("a"), addr("b")}},
		{"comments", "(nobody), a (me), (x)", []Target{addr("a")}},
		{"all quoted address", `"a b"`, []Target{addr("a b")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Parse(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{`"a`, `:include:rel`, `|`, `"|"`, "a\x00b", `a (b`, `<>`} {
		if got, err := Parse(in); !errors.Is(err, ErrSyntax) {
			t.Errorf("Parse(%q) = %v, %v", in, got, err)
		}
	}
}

func TestReadTellsLine(t *testing.T) {
	_, err := Read(strings.NewReader("# note\na\n\"b\n"), "/home/u/.forward")
	if err == nil || !strings.Contains(err.Error(), "/home/u/.forward:3: ") {
		t.Errorf("error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`"|a b", \c, :include:/d`, `a (b) <c@d>`, `"x\`, `|"`, `(((`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		targets, err := Parse(s)
		if err != nil {
			return
		}
		for _, target := range targets {
			if target.Value == "" || strings.Contains(target.Value, "\x00") {
				t.Errorf("Parse(%q) has %+v", s, target)
			}
		}
	})
}
