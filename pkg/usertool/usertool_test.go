package usertool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func site(t testing.TB) *Site {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/main.cf", "myhostname = m.example.test\ncommand_directory = /nonexistent\n"+
		"mydestination = $myhostname, $config_directory/locals\nvirtual_alias_maps = hash:$config_directory/aliases.map\n")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func text(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFileOf(t *testing.T) {
	s := site(t)
	for name, want := range map[string][2]string{
		"you": {s.Path, "you"}, "example.com/you@example.com": {s.Path + "/example.com", "you@example.com"},
		"a/b/c": {s.Path + "/a/b", "c"}, "../../x/y": {s.Path + "/x", "y"}, "/etc/passwd": {s.Path + "/etc", "passwd"},
	} {
		if file, login := s.FileOf(name); file != want[0] || login != want[1] {
			t.Errorf("FileOf(%q) = %q, %q, want %q", name, file, login, want)
		}
	}
}

func TestHomeOf(t *testing.T) {
	s := site(t)
	for login, want := range map[string]string{"you@Example.com": "/example.com", "you": "/users"} {
		if file, err := s.HomeOf(login); err != nil || file != s.Path+want {
			t.Errorf("HomeOf(%q) = %q, %v", login, file, err)
		}
	}
	for _, login := range []string{"you@", "you@.x", "you@a/b"} {
		if file, err := s.HomeOf(login); err == nil {
			t.Errorf("HomeOf(%q) = %q", login, file)
		}
	}
	os.Remove(s.Path)
	write(t, s.Path, "")
	if file, err := s.HomeOf("you@example.com"); err != nil || file != s.Path {
		t.Errorf("HomeOf in one file = %q, %v", file, err)
	}
}

func TestMentions(t *testing.T) {
	s := site(t)
	if !s.Mentions("mydestination", LocalsFile) || !s.Mentions("virtual_alias_maps", "aliases.map") || s.Mentions("relay_domains", AcceptFile) {
		t.Error("Mentions")
	}
}

func TestHostedDomains(t *testing.T) {
	s := site(t)
	write(t, s.Hosted()+"/a", "# c\nExample.com\n")
	write(t, s.Hosted()+"/b", "example.net\texample.com\n.sub.example.com\n")
	write(t, s.Hosted()+"/.hidden", "no.test\n")
	if err := s.MakeHosted(); err != nil {
		t.Fatal(err)
	}
	if got := text(t, s.Hosted()+".map"); !strings.HasSuffix(got, "\nexample.com\texample.com\nexample.net\texample.com\n.sub.example.com\t.sub.example.com\n") {
		t.Errorf("table:\n%s", got)
	}
	write(t, s.Hosted()+"/c", "example.com\nx.test\ty.test\na b c\nbad_/x\n")
	err := s.MakeHosted()
	for _, want := range []string{"/c:1: example.com is in ", "/c:2: y.test is not a hosted domain", "/c:3: expected", "/c:4: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
	if got := text(t, s.Hosted()+".map"); strings.Contains(got, "x.test") {
		t.Error("a table was made of lines in error")
	}
}

func TestAliases(t *testing.T) {
	s := site(t)
	src := s.Dir + "/src"
	write(t, s.Dir+"/list", "c@example.org\n# no\nd@example.org, e@example.org\n")
	write(t, src+"/1", "# first\ninfo: you, Ann <ann@example.com>\nsales@Example.com: a@example.org,\n\tb@example.org\n@example.net: you@example.com\n")
	write(t, src+"/2", "info: bob\nlist: :include:"+s.Dir+"/list\nrobot: |/usr/bin/robot -x\nbox: /var/mail/box\n")
	list, err := ReadAliases(src)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WriteAliases(src, list); err != nil {
		t.Fatal(err)
	}
	const head = "# Made from src, which is the file to edit.\n"
	if got := text(t, src+".map"); got != head+"info\tyou, ann@example.com, bob\nsales@example.com\ta@example.org, b@example.org\n"+
		"@example.net\tyou@example.com\nlist\tc@example.org, d@example.org, e@example.org\n" {
		t.Errorf("table:\n%s", got)
	}
	if got := text(t, src+".local"); got != head+"robot: \"|/usr/bin/robot -x\"\nbox: /var/mail/box\n" {
		t.Errorf("table for local:\n%s", got)
	}
	for _, bad := range []string{"no colon", "a b: c", "x:", "x: :include:/no/such/file", "@a b: c", ": x", "x: :include:" + src + "/1"} {
		write(t, s.Dir+"/bad", "\n"+bad+"\n")
		if list, err := ReadAliases(s.Dir + "/bad"); err == nil {
			t.Errorf("%q is read as %+v", bad, list)
		}
	}
	write(t, s.Dir+"/bad", "x@example.com: |/bin/x\n")
	list, err = ReadAliases(s.Dir + "/bad")
	if err == nil {
		err = s.WriteAliases(s.Dir+"/bad", list)
	}
	if err == nil || !strings.Contains(err.Error(), "/bad:1: x@example.com: a command") {
		t.Errorf("a command for an address: %v", err)
	}
}

func TestReadLine(t *testing.T) {
	in := strings.NewReader("one\r\ntwo")
	for _, want := range []string{"one", "two"} {
		if got, err := ReadLine(in); got != want || err != nil {
			t.Errorf("ReadLine = %q, %v", got, err)
		}
	}
	if got, err := ReadLine(in); err == nil {
		t.Errorf("at the end: %q", got)
	}
	if _, err := ReadLine(strings.NewReader(strings.Repeat("x", 10000))); err == nil {
		t.Error("a long line is read")
	}
}

func FuzzParseAlias(f *testing.F) {
	f.Add("info: you, Ann <ann@example.com>")
	f.Add(`"x y": |"command a", \you`)
	f.Add("@example.com: a")
	f.Fuzz(func(t *testing.T, line string) {
		if strings.Contains(line, ":include:") || strings.Contains(line, "\n") {
			return
		}
		a, err := parseAlias(line, Line{})
		if err == nil && (a.Name == "" || len(a.Targets) == 0 || strings.ContainsAny(a.Value(), "\n")) {
			t.Errorf("%q is %+v", line, a)
		}
	})
}

func FuzzReadDomains(f *testing.F) {
	f.Add("example.com\nexample.net\texample.com\n# c\n\n.x\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "hosteddomains")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		list, _ := ReadDomains(path)
		for _, d := range list {
			if d.Name == "" || strings.ContainsAny(d.Name+d.Target, " \t\n#/") {
				t.Errorf("%q has %+v", text, d)
			}
		}
	})
}
