package maildirsize

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// tree makes a Maildir with message files; names are relative, with content of
// the size that follows the blank.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"", ".Sent", ".Trash"} {
		for _, sub := range []string{"cur", "new", "tmp"} {
			if err := os.MkdirAll(filepath.Join(root, dir, sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, f := range files {
		var name string
		var size int
		fmt.Sscan(f, &name, &size)
		if err := os.WriteFile(filepath.Join(root, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCount(t *testing.T) {
	root := tree(t, "new/1.a.h 100", "cur/2.b.h,S=1000:2,S 7", ".Sent/cur/3.c.h:2,T 50", ".Sent/cur/4.d.h:2,RS 20", ".Trash/cur/5.e.h:2, 5000")
	d := &Dir{FS: new(safefile.FS), Root: root}
	u, err := d.Usage("2000S,4C")
	if err != nil || u != (Usage{1120, 3}) {
		t.Fatalf("%+v, %v", u, err)
	}
	text, _ := os.ReadFile(filepath.Join(root, Name))
	if string(text) != "2000S,4C\n        1120            3\n" {
		t.Errorf("file %q", text)
	}
	if err := d.Add(Usage{500, 1}); err != nil {
		t.Fatal(err)
	}
	if u, err := d.Usage("2000S,4C"); err != nil || u != (Usage{1620, 4}) {
		t.Errorf("%+v, %v", u, err)
	}
	allow := func(add Usage) (bool, Usage, error) {
		a, err := d.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		return a.Allow("2000S,4C", Quota{2000, 4}, add)
	}
	if ok, u, err := allow(Usage{500, 1}); err != nil || !ok || u.Messages != 3 {
		t.Errorf("the line that is not true was believed: %v, %+v, %v", ok, u, err)
	}
	if ok, _, err := allow(Usage{900, 1}); err != nil || ok {
		t.Errorf("over quota is allowed: %v", err)
	}
	if u, err := d.Usage("1S"); err != nil || u.Messages != 3 {
		t.Errorf("other quota: %+v, %v", u, err)
	}
}

// TestRecount: the cases in which Courier makes the file anew.
func TestRecount(t *testing.T) {
	root := tree(t, "new/1.a.h 100")
	d := &Dir{FS: new(safefile.FS), Root: root}
	file := filepath.Join(root, Name)
	for name, text := range map[string]string{
		"garbage":         "1000S\nx y\n",
		"torn":            "1000S\n         1            1",
		"no count":        "1000S\n",
		"long":            "1000S\n" + strings.Repeat("           7            1\n", 300),
		"over, two lines": "1000S\n        2000            1\n           1            0\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if u, err := d.Usage("1000S"); err != nil || u != (Usage{100, 1}) {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	if err := os.WriteFile(file, []byte("1000S\n        2000            1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if u, err := d.Usage("1000S"); err != nil || u.Bytes != 2000 {
		t.Errorf("one fresh line: %+v, %v", u, err)
	}
	d.Now = func() time.Time { return time.Now().Add(16 * time.Minute) }
	if u, err := d.Usage("1000S"); err != nil || u.Bytes != 100 {
		t.Errorf("one old line: %+v, %v", u, err)
	}
}

func TestParseQuota(t *testing.T) {
	for text, want := range map[string]Quota{"": {}, "NOQUOTA": {}, "10S": {Bytes: 10}, "5C": {Messages: 5}, "10S,5C": {10, 5}} {
		if q, err := Parse(text); err != nil || q != want {
			t.Errorf("%q: %+v, %v", text, q, err)
		}
	}
	for _, text := range []string{"10", "S", "-1S", "10X", "1e3S"} {
		if q, err := Parse(text); err == nil {
			t.Errorf("%q: %+v", text, q)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("1000S,5C\n        1120            3\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := parse(text)
		if ok && c.lines == 0 {
			t.Error("no line")
		}
		if q, err := Parse(c.line); err == nil {
			if again, err := Parse(q.String()); err != nil || again != q {
				t.Errorf("%+v became %+v, %v", q, again, err)
			}
		}
	})
}
