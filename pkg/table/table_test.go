package table

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/cdb"
)

// warnings collects what a table complains about.
type warnings []string

func (w *warnings) Warn(_, format string, args ...any) { *w = append(*w, fmt.Sprintf(format, args...)) }

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func lookup(t testing.TB, m Table, key string) string {
	t.Helper()
	v, found, err := m.Lookup(context.Background(), key)
	switch {
	case err != nil:
		return "ERROR"
	case !found:
		return "NOTFOUND"
	}
	return v
}

func TestTypes(t *testing.T) {
	text := filepath.Join(t.TempDir(), "map")
	write(t, text, "a  b c \n\"x y\"\tquoted\nA dup\n# comment\nlong one\n  # comment\n  two\n")
	t.Setenv("POSTHOUSE_TEST", "Env")
	tests := []struct{ spec, key, want string }{
		{"inline:{a=b, {c = d e}, k={a b}}", "C", "d e"},
		{"inline:{a=b, {c = d e}, k={a b}}", "k", "{a b}"},
		{"inline:{a=1,A=2}", "a", "2"},
		{"inline:{a=b}", "b", "NOTFOUND"},
		{"static:any text", "x", "any text"},
		{"static:{any text }", "x", "any text"},
		{"texthash:" + text, "A", "b c"},
		{"texthash:" + text, "\"x Y\"", "quoted"},
		{"texthash:" + text, "long", "one  two"},
		{"hash:" + text, "a", "b c"},
		{"texthash:{{a b},{C d e}}", "c", "d e"},
		{"environ:x", "POSTHOUSE_TEST", "Env"},
		{"environ:x", "POSTHOUSE_NONE", "NOTFOUND"},
		{"fail:x", "a", "ERROR"},
		{"unionmap:{static:a,inline:{x=y},static:b}", "z", "a,b"},
		{"unionmap:{static:a,fail:x}", "z", "ERROR"},
		{"pipemap:{static:a,inline:{a=c}}", "z", "c"},
		{"pipemap:{inline:{a=c},static:x}", "z", "NOTFOUND"},
		{"randmap:{v,v}", "z", "v"},
		{"debug:static:v", "z", "v"},
		{"proxy:static:v", "z", "v"},
		{"internal:x", "z", "NOTFOUND"},
		{"cidr:{{10.0.0.0/8 ten},{!10.0.0.0/8 other}}", "10.1.2.3", "ten"},
		{"cidr:{{10.0.0.0/8 ten},{!10.0.0.0/8 other}}", "2001:db8::1", "NOTFOUND"},
		{"regexp:{{/^(.*)@(.*)$/ ${2}-$(1)$$}}", "A@b", "b-A$"},
		{"regexp:{{/(foo|foobar)/ $1}}", "foobar", "foobar"},
		{"regexp:{{/^\\(a\\)\\{2\\}+$/x bre}}", "aa+", "bre"},
		{"regexp:{{/(.)\\1/ twice}}", "aBBa", "twice"},
		{"regexp:{{/^a.b$/ byte}}", "a\xe9b", "byte"},
		{"regexp:{{/^[^]x]*$/ set}}", "a]b", "NOTFOUND"},
		{"regexp:{{/*a/ bad}, {/x*?/ good}}", "a", "good"},
		{"pcre:{{/^(?<n>a+)(?=b)(.*)$/ $2 $1}}", "aab", "b aa"},
		{"pcre:{{/^a++a/ never}}", "aaa", "NOTFOUND"},
		{"pcre:{{/^\\xe9$/ byte}}", "\xe9", "byte"},
		{"pcre:{{/^\\xe9$/ byte}}", "\xff", "NOTFOUND"},
		{"pcre:{{/^\\p{L}+\\K(?!\\X)/ letters}}", "abc", "letters"},
		{"pcre:{{/^(\\((?:[^()]++|(?1))*\\))$/ balanced}}", "(a(b)(c))", "balanced"},
		{"pcre:{{/^(\\((?:[^()]++|(?1))*\\))$/ balanced}}", "(a(b)(c)", "NOTFOUND"},
		{"pcre:{{/spam(*SKIP)(*FAIL)|(\\w+)/ $1}}", "spam ham", "ham"},
		{"pcre:{{/^(<)?a(?(1)>)$/ same}}", "<a>", "same"},
		{"pcre:{{/^(<)?a(?(1)>)$/ same}}", "<a", "NOTFOUND"},
		{"pcre:{{/(*UTF)^.$/ one}}", "\u00e4", "one"},
		{"pcre:{{/a+(.*)/U [$1]}}", "aab", "[]"},
		{"pcre:{{/^[[:alpha:]]{2,}$/ alpha}}", "xyz", "alpha"},
	}
	for _, tt := range tests {
		t.Run(tt.spec+" "+tt.key, func(t *testing.T) {
			m, err := Open(tt.spec, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if got := lookup(t, m, tt.key); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	for _, spec := range []string{
		"", "nocolon", ":x", "foo:x", "mysql:/x", "netinfo:x", "texthash:/nonexistent", "hash:/nonexistent",
		"inline:{a=b", "inline:{}", "inline:{a}", "inline:a=b", "static:{a} b", "unix:shadow",
		"unionmap:{}", "unionmap:{x}", "randmap:{}", "pipemap:x", "regexp:/nonexistent", "texthash:/etc",
		"tcp:x", "socketmap:x", "socketmap:foo:x:y", strings.Repeat("debug:", 50) + "static:x",
	} {
		if m, err := Open(spec, Options{Position: "main.cf:3"}); err == nil {
			m.Close()
			t.Errorf("%s: opened", spec)
		} else if !strings.HasPrefix(err.Error(), "main.cf:3: ") {
			t.Errorf("%s: no position in %v", spec, err)
		}
	}
}

// Where text from a message would choose a file, rules that copy it are left
// out.
func TestSensitive(t *testing.T) {
	var w warnings
	m, err := Open("regexp:{{/^(.*)$/ $1}}", Options{Sensitive: true, Log: &w})
	if err != nil {
		t.Fatal(err)
	}
	if got := lookup(t, m, "/etc/passwd"); got != "NOTFOUND" || len(w) != 1 {
		t.Errorf("got %q, warnings %q", got, w)
	}
	if _, err := Open("tcp:127.0.0.1:1", Options{Sensitive: true}); err == nil {
		t.Error("tcp: opened for sensitive data")
	}
}

func writeIndex(t *testing.T, path string, pairs ...string) {
	t.Helper()
	var w cdb.Writer
	for i := 0; i < len(pairs); i += 2 {
		if err := w.Put(pairs[i], pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := w.WriteTo(f); err != nil {
		t.Fatal(err)
	}
}

func TestIndexChoice(t *testing.T) {
	now := time.Now()
	berkeley, err := os.ReadFile("testdata/map.db")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name           string
		text, cdb, bdb int // age in minutes, -1 = absent
		want           string
		warns          int
	}{
		{"text alone", 1, -1, -1, "text", 0},
		{"index alone", -1, 1, -1, "cdb", 0},
		{"index newer", 5, 1, -1, "cdb", 0},
		{"same age", 5, 5, -1, "cdb", 0},
		{"text newer", 1, 5, -1, "text", 1},
		{"berkeley alone", -1, -1, 1, "bdb", 0},
		{"berkeley newer than text", 5, -1, 1, "bdb", 0},
		{"text newer than berkeley", 1, -1, 5, "text", 1},
		{"berkeley newest", 5, 3, 1, "bdb", 0},
		{"cdb newest", 5, 1, 3, "cdb", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "map")
			age := func(name string, minutes int) {
				when := now.Add(-time.Duration(minutes) * time.Minute)
				if err := os.Chtimes(name, when, when); err != nil {
					t.Fatal(err)
				}
			}
			if tt.text >= 0 {
				write(t, path, "key text\n")
				age(path, tt.text)
			}
			if tt.cdb >= 0 {
				writeIndex(t, path+".cdb", "key", "cdb")
				age(path+".cdb", tt.cdb)
			}
			if tt.bdb >= 0 {
				write(t, path+".db", string(berkeley))
				age(path+".db", tt.bdb)
			}
			var w warnings
			m, err := Open("hash:"+path, Options{Log: &w})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if got := lookup(t, m, "KEY"); got != tt.want || len(w) != tt.warns {
				t.Errorf("got %q, warnings %q", got, w)
			}
		})
	}
}

// Text behind hash: may be that of postmap or of postalias.
func TestAliasText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aliases")
	write(t, path, "# comment\nroot: admin,joe\nCmd: \"|/bin/x y\"\n\"a b\": c\nnospace:x\nnoval:\nno colon at all\n")
	for _, force := range []bool{false, true} {
		m, err := Open("hash:"+path, Options{Aliases: force})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for key, want := range map[string]string{"root": "admin, joe", "cmd": `"|/bin/x y"`, "a b": "c", "nospace": "x"} {
			if got := lookup(t, m, key); got != want {
				t.Errorf("%s: got %q, want %q", key, got, want)
			}
		}
	}
	write(t, path, "inet:x value\n2001:db8::1 OK\n")
	m, err := Open("hash:"+path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := lookup(t, m, "2001:db8::1"); got != "OK" {
		t.Errorf("got %q", got)
	}
}

func TestLMDBAdvice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map")
	write(t, path+".lmdb", "x")
	_, err := Open("lmdb:"+path, Options{})
	if err == nil || !strings.Contains(err.Error(), "convert") {
		t.Errorf("error %v", err)
	}
}

func TestChanged(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"edited":  func(p string) error { return os.WriteFile(p, []byte("a c\n"), 0o644) },
		"removed": os.Remove,
		"renamed": func(p string) error { return os.Rename(p, p+"~") },
		"replaced": func(p string) error {
			if err := os.WriteFile(p+".new", []byte("a c\n"), 0o644); err != nil {
				return err
			}
			return os.Rename(p+".new", p)
		},
	} {
		for _, kind := range []string{"hash", "texthash", "regexp"} {
			path := filepath.Join(t.TempDir(), "map")
			write(t, path, "/a/ b\n")
			past := time.Now().Add(-time.Hour)
			if err := os.Chtimes(path, past, past); err != nil {
				t.Fatal(err)
			}
			m, err := OpenMaps([]string{kind + ":" + path}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if m.Changed() {
				t.Errorf("%s %s: changed at once", kind, name)
			}
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			if !m.Changed() {
				t.Errorf("%s %s: change not seen", kind, name)
			}
			m.Close()
		}
	}
}

func TestMaps(t *testing.T) {
	m, err := OpenMaps([]string{"inline:{a=1}, regexp:{{/b/ 2}}", "inline:{b=3,c=4}"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ctx := context.Background()
	for key, want := range map[string]string{"a": "1", "b": "2", "c": "4", "d": "", "": ""} {
		if v, found, err := m.Lookup(ctx, key); v != want || found != (want != "") || err != nil {
			t.Errorf("%s: %q %v %v", key, v, found, err)
		}
	}
	if v, _, _ := m.LookupFixed(ctx, "b"); v != "3" {
		t.Errorf("fixed: %q", v)
	}
	bad := NewMaps(failTable{}, staticTable{"ok"})
	if v, found, err := bad.Lookup(ctx, "a"); err == nil || found {
		t.Errorf("after a failed table: %q %v", v, found)
	}
	if _, _, err := NewMaps(staticTable{""}).Lookup(ctx, "a"); !errors.Is(err, ErrEmpty) {
		t.Errorf("empty value: %v", err)
	}
	var none *Maps
	var w warnings
	utf, err := OpenMaps([]string{"static:x"}, Options{UTF8: true, Log: &w})
	if _, found, _ := utf.Lookup(ctx, "\xff"); err != nil || found || len(w) != 1 {
		t.Errorf("key that is not UTF-8: %v %v %q", found, err, w)
	}
	if _, found, err := none.Lookup(ctx, "a"); found || err != nil || !none.Empty() {
		t.Error("nil Maps")
	}
}

func TestUnix(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "etc/passwd"), "root:x:0:0::/root:/bin/sh\n+nis:x:1:1\nbad\nuser:x:5:5::/h:\n")
	m, err := Open("unix:passwd.byname", Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for key, want := range map[string]string{"user": "user:x:5:5::/h:", "+nis": "NOTFOUND", "bad": "NOTFOUND", "User": "user:x:5:5::/h:"} {
		if got := lookup(t, m, key); got != want {
			t.Errorf("%s: got %q", key, got)
		}
	}
	u := m.(*unixTable)
	write(t, filepath.Join(root, "etc/passwd"), "new:x:6:6::/h:\n")
	if !u.Changed() {
		t.Error("change not seen")
	}
	u.now = func() time.Time { return time.Now().Add(time.Minute) }
	if got := lookup(t, m, "new"); got == "NOTFOUND" {
		t.Error("file not read again")
	}
}

func TestFold(t *testing.T) {
	for in, want := range map[string]string{"Abc": "abc", "STRAẞE": "strasse", "ÄÖ": "äö", "A\xffB": "a\xffb", "ΣΑΣ": "σασ", "abc": "abc", "ᾯᾳᏸǅİıKFBﬓ": "ὧιαιᏰǆi̇ıkfbմն"} {
		if got := Fold(in); got != want {
			t.Errorf("%q: got %q", in, got)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, s := range []string{"inline:{a=b, {c = d e}}", "regexp:{{/a(b)/x $1}}", "pcre:{{/(?i)a++/ x}}", "cidr:{{[::]/0 x}}",
		"texthash:{{a b}}", "unionmap:{static:a}", "static:{x}"} {
		f.Add(s, "key")
	}
	f.Fuzz(func(t *testing.T, spec, key string) {
		// No names that lead out of the process.
		for _, kind := range []string{"inline:{", "regexp:{", "pcre:{", "cidr:{", "texthash:{"} {
			if strings.HasPrefix(spec, kind) {
				m, err := Open(spec, Options{})
				if err != nil {
					return
				}
				m.Lookup(context.Background(), key)
				m.Close()
			}
		}
	})
}

func FuzzRules(f *testing.F) {
	f.Add("regexp", "/a(b)*/x $1\nif !/x/\n/[[:alpha:]]\\<\\1/ y\nendif\n", "abb")
	f.Add("pcre", "/^(?<n>a)\\k<n>\\x41[\\d-z]{2,3}?+/imsxAEUX $1\n", "aaA")
	f.Add("pcre", "/(?<n>\\p{L}\\K(?&n)?)(*SKIP)(?(1)\\X|(?R))/ $1\n", "aaA")
	f.Add("cidr", "10.0.0.0/8 x\nif ::/0\n!1.2.3.4 y\nendif\n", "10.1.1.1")
	f.Fuzz(func(t *testing.T, kind, rules, key string) {
		if kind != "regexp" && kind != "pcre" && kind != "cidr" || len(rules) > 2000 || len(key) > 200 {
			return
		}
		set, err := readRules(kind, "x", io.Reader(strings.NewReader(rules)), &Options{})
		if err == nil {
			set.Lookup(key)
		}
	})
}
