package keys

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/table"
)

// recorder is a table that has nothing and keeps what it was asked for.
type recorder struct {
	asked   []string
	pattern bool
}

func (r *recorder) Lookup(_ context.Context, key string) (string, bool, error) {
	r.asked = append(r.asked, key)
	return "", false, nil
}
func (r *recorder) Close() error  { return nil }
func (r *recorder) Pattern() bool { return r.pattern }

type use = func(context.Context, *table.Maps, Options) (Result, error)

func TestOrders(t *testing.T) {
	local := func(_ context.Context, domain string) (bool, error) { return domain == "local.test", nil }
	canonical := func(addr string) use {
		return func(ctx context.Context, m *table.Maps, o Options) (Result, error) { return Canonical(ctx, m, addr, o) }
	}
	transport := func(addr string) use {
		return func(ctx context.Context, m *table.Maps, o Options) (Result, error) {
			return Transport(ctx, m, addr, "<>", o)
		}
	}
	access := func(addr string) use {
		return func(ctx context.Context, m *table.Maps, o Options) (Result, error) {
			return AccessAddress(ctx, m, addr, "<>", o)
		}
	}
	host := func(name, addr string) use {
		return func(ctx context.Context, m *table.Maps, o Options) (Result, error) {
			return AccessHost(ctx, m, name, addr, o)
		}
	}
	tests := []struct {
		name   string
		use    use
		parent bool
		want   string
	}{
		{"canonical", canonical("u+x@d.test"), false, "u+x@d.test u@d.test @d.test"},
		{"canonical local", canonical("u+x@local.test"), false, "u+x@local.test u@local.test u+x u @local.test"},
		{"canonical bare", canonical("u+x"), false, "u+x u"},
		{"canonical plain", canonical("u@d.test"), false, "u@d.test @d.test"},
		{"quoted", canonical("a b@d.test"), false, `"a b"@d.test a b@d.test @d.test`},
		{"special name", canonical("mailer-daemon@d.test"), false, "mailer-daemon@d.test @d.test"},
		{"transport", transport("u+x@a.b.test"), false, "u+x@a.b.test u@a.b.test a.b.test .b.test .test *"},
		{"transport parent", transport("u@a.b.test"), true, "u@a.b.test a.b.test b.test test *"},
		{"transport null", transport(""), false, "<> *"},
		{"access", access("u+x@a.test"), false, "u+x@a.test u@a.test a.test .test u+x@ u@"},
		{"access null", access(""), false, "<>"},
		{"host", host("a.b.test", "192.0.2.1"), false, "a.b.test .b.test .test 192.0.2.1 192.0.2 192.0 192"},
		{"host parent", host("a.b.test", "192.0.2.1"), true, "a.b.test b.test test 192.0.2.1 192.0.2 192.0 192"},
		{"numeric host", host("192.0.2.1", "2001:db8::1"), true, "192.0.2.1 2001:db8::1 2001:db8: 2001:db8 2001"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fixed, rules := &recorder{}, &recorder{pattern: true}
			o := Options{Delimiters: "+-", MatchParent: tt.parent, Local: local}
			r, err := tt.use(context.Background(), table.NewMaps(fixed, rules), o)
			if err != nil || r.Found {
				t.Fatalf("got %+v %v", r, err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(tt.want, "a b", "a_b"), strings.ReplaceAll(strings.Join(fixed.asked, " "), "a b", "a_b")); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			for _, key := range rules.asked {
				if strings.HasPrefix(key, "@") || strings.HasPrefix(key, ".") {
					t.Errorf("rules were asked for %q", key)
				}
			}
		})
	}
}

func TestExtension(t *testing.T) {
	m, err := table.OpenMaps([]string{"inline:{u@d=x, v+e@d=y, @c=z}"}, table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for addr, want := range map[string]Result{
		"u+e@d": {Value: "x", Key: "u@d", Extension: "+e", Found: true},
		"v+e@d": {Value: "y", Key: "v+e@d", Found: true},
		"w+e@c": {Value: "z", Key: "@c", Found: true},
	} {
		got, err := Canonical(context.Background(), m, addr, Options{Delimiters: "+"})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", addr, err, diff)
		}
	}
}

// A failure ends the search: a later key must not answer for it.
func TestFailure(t *testing.T) {
	m, err := table.OpenMaps([]string{"inline:{@d=x} fail:y"}, table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if r, err := Canonical(context.Background(), m, "u@d", Options{}); err == nil || r.Found {
		t.Errorf("got %+v", r)
	}
	bad := errors.New("bad")
	o := Options{Local: func(context.Context, string) (bool, error) { return false, bad }}
	if _, err := Canonical(context.Background(), table.NewMaps(&recorder{}), "u@d", o); !errors.Is(err, bad) {
		t.Errorf("error %v", err)
	}
}

func TestAddresses(t *testing.T) {
	complete := func(addr string) (string, error) {
		if !strings.Contains(addr, "@") {
			addr += "@here"
		}
		return addr, nil
	}
	for _, test := range []struct {
		addr      string
		result    Result
		propagate bool
		want      []string // none: an error
	}{
		{"u@d", Result{Value: "v"}, true, []string{"v@here"}},
		{"u+e@d", Result{Value: `v, V <w@x>, "q q"@x`, Extension: "+e"}, true, []string{"v+e@here", "w+e@x", "q q+e@x"}},
		{"u+e@d", Result{Value: "v", Extension: "+e"}, false, []string{"v@here"}},
		{"u+e@d", Result{Value: "@x", Extension: "+e"}, true, []string{"u+e@x"}},
		{"u+e@d", Result{Value: "@x", Extension: "+e"}, false, []string{"u@x"}},
		{"u+e@d", Result{Value: "@x"}, false, []string{"u+e@x"}},
		{"q q@d", Result{Value: "@x, v"}, true, []string{"q q@x", "v@here"}},
		{"a@b@d", Result{Value: "@x"}, true, []string{"a@b@x"}},
		{"u", Result{Value: "@x"}, true, []string{"u@x"}},
		{"u@d", Result{Value: " , "}, true, nil},
	} {
		got, err := test.result.Addresses(test.addr, test.propagate, complete)
		if diff := cmp.Diff(test.want, got); diff != "" || (err != nil) != (test.want == nil) {
			t.Errorf("%s, %+v: %v\n%s", test.addr, test.result, err, diff)
		}
	}
}
