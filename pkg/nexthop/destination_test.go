package nexthop

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	long := "unix:" + strings.Repeat("x", 101)
	for _, tc := range []struct {
		in   string
		want Destination
		err  string // a part of it
	}{
		{in: "a.test", want: Destination{host: "a.test", port: 25}},
		{in: "a.test:587", want: Destination{host: "a.test", port: 587}},
		{in: "a.test:submission", want: Destination{host: "a.test", port: 587}},
		{in: "a.test:", want: Destination{host: "a.test", port: 25}},
		{in: "[a.test]", want: Destination{host: "a.test", port: 25, literal: true}},
		{in: "[a.test]:24", want: Destination{host: "a.test", port: 24, literal: true}},
		{in: "[192.0.2.1]", want: Destination{host: "192.0.2.1", port: 25, literal: true}},
		{in: "[IPv6:2001:db8::1]:2525", want: Destination{host: "2001:db8::1", port: 2525, literal: true}},
		{in: "[2001:db8::1]", want: Destination{host: "2001:db8::1", port: 25, literal: true}},
		{in: "inet:a.test:24", want: Destination{host: "a.test", port: 24}},
		{in: "inet:[a.test]:24", want: Destination{host: "a.test", port: 24, literal: true}},
		{in: "unix:private/lmtp", want: Destination{unix: "private/lmtp"}},
		{in: "", err: "null destination"},
		{in: "[]", err: "null destination"},
		{in: ":25", err: "null destination"},
		{in: "unix:", err: "bad socket path"},
		{in: "unix:a\x00b", err: "bad socket path"},
		{in: long, err: "bad socket path"},
		{in: "[a.test", err: "missing ']'"},
		{in: "[a.test]25", err: "text after ']'"},
		{in: "a.test:0", err: "bad network port"},
		{in: "a.test:65536", err: "bad network port"},
		{in: "a.test:-1", err: "bad network port"},
		{in: "a.test:no-such-service", err: "bad network port"},
	} {
		got, err := Parse(tc.in, "smtp")
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%q: %v, want %q", tc.in, err, tc.err)
			}
			continue
		}
		if err != nil || got != tc.want {
			t.Errorf("%q: %+v, %v, want %+v", tc.in, got, err, tc.want)
		}
	}
}

func TestSplit(t *testing.T) {
	if got := Split(" [a.test]:25, b.test\tc.test,,"); !slices.Equal(got, []string{"[a.test]:25", "b.test", "c.test"}) {
		t.Errorf("%q", got)
	}
	if got := Split(""); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// FuzzParse: a next hop may come from a table that others fill.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a.test", "[a.test]:25", "inet:[ipv6:::1]:lmtp", "unix:private/x", "[", "]:", "::1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Parse(s, "25")
		if err != nil {
			return
		}
		if (d.unix == "") == (d.host == "") {
			t.Errorf("%q: %+v", s, d)
		}
		if d.unix == "" && (d.port < 1 || d.port > 65535) {
			t.Errorf("%q: port %d", s, d.port)
		}
	})
}
