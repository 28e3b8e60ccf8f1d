package dbfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestTemplates(t *testing.T) {
	for _, tc := range []struct {
		template, value, key, want string
		ok                         bool
	}{
		{"%s", "a@b.c", "k@x.y", "a@b.c", true},
		{"%u at %d, 100%%", "a@b.c", "k@x.y", "a at b.c, 100%", true},
		{"%S %U %D %1 %2", "v", "k@mail.x.y", "k@mail.x.y k mail.x.y y x", true},
		{"%d", "plain", "plain", "", false},
		{"%u", "plain", "plain", "plain", true},
		{"%4", "v", "k@x.y", "", false},
		{"%d", "a@", "a@", "", false},
	} {
		tpl, err := Parse(tc.template)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := tpl.Expand(tc.value, tc.key, Same); got != tc.want || ok != tc.ok {
			t.Errorf("%s of %s: %q %v", tc.template, tc.value, got, ok)
		}
	}
	for _, bad := range []string{"%", "%x", "a %", "% 2"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestResults(t *testing.T) {
	format, _ := Parse("smtp:[%s]")
	r := Results{Format: format, Limit: 2}.For("k")
	for _, v := range []string{"", "a", "b"} {
		if err := r.Add(v); err != nil {
			t.Fatal(err)
		}
	}
	if v, ok := r.Value(); v != "smtp:[a],smtp:[b]" || !ok {
		t.Errorf("%q %v", v, ok)
	}
	if err := r.Add("c"); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.cf")
	os.WriteFile(path, []byte("# comment\nhosts = a,\n b  c\nport = 5\nstart_tls = maybe\ntimeout = 7\ndomain = D.test\nodd = 1\n"), 0o644)
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if h := f.Words("hosts"); len(h) != 3 {
		t.Errorf("hosts %q", h)
	}
	if n, err := f.Int("port", 1, 0, 10); n != 5 || err != nil {
		t.Error(n, err)
	}
	if _, err := f.Int("port", 1, 0, 4); err == nil {
		t.Error("out of bounds")
	}
	if _, err := f.Bool("start_tls", false); err == nil {
		t.Error("neither yes nor no")
	}
	if d, err := f.Seconds("timeout", 1); d.Seconds() != 7 || err != nil {
		t.Error(d, err)
	}
	d, err := f.ReadDomains()
	if err != nil || !d.Match("a@d.test") || d.Match("a@e.test") || d.Match("@d.test") || d.Match("d.test") {
		t.Errorf("%v %v", d, err)
	}
	if u := f.Unknown(); len(u) != 1 || u[0] != "odd" {
		t.Errorf("%q", u)
	}
	os.Chmod(path, 0o666)
	if _, err := Read(path); err == nil {
		t.Error("a file that everybody may write is read")
	}
	if _, err := Read("relative"); err == nil {
		t.Error("a relative name is read")
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("%u@%d %1", "a@b.c")
	f.Fuzz(func(t *testing.T, text, key string) {
		tpl, err := Parse(text)
		if err != nil {
			return
		}
		tpl.Expand(key, key, Same)
	})
}
