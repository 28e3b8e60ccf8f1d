package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// place makes a configuration, and says where its database is.
func place(t *testing.T) (etc, db string) {
	t.Helper()
	etc = t.TempDir()
	db = filepath.Join(etc, "userdb")
	write(t, etc+"/main.cf", "myhostname = m.example.test\n")
	return etc, db
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ours runs this command with text as standard input.
func ours(t *testing.T, etc, stdin string, args ...string) (string, error) {
	t.Helper()
	in := filepath.Join(t.TempDir(), "stdin")
	write(t, in, stdin)
	f, err := os.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out bytes.Buffer
	c := &command{in: f, out: &out}
	err = c.run(append([]string{"-c", etc}, args...))
	return out.String(), err
}

func want(t *testing.T, path, text string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != text {
		t.Errorf("%s: %v\n got %q\nwant %q", filepath.Base(path), err, got, text)
	}
}

func TestNameForms(t *testing.T) {
	etc, db := place(t)
	must := func(stdin string, args ...string) string {
		t.Helper()
		out, err := ours(t, etc, stdin, args...)
		if err != nil {
			t.Fatalf("userdb %v: %v", args, err)
		}
		return out
	}
	if err := os.MkdirAll(db+"/sub", 0o700); err != nil {
		t.Fatal(err)
	}
	must("", "example.com/you@example.com", "set", "uid=5", "home=/home/you")
	must("secret hash\n", "example.com/you@example.com", "set", "systempw")
	must("", "sub/x/me", "set", "uid=6")
	must("", "-f", etc+"/other", "o", "set", "uid=7")
	want(t, db+"/example.com", "you@example.com\tuid=5|home=/home/you|systempw=secret hash\n")
	want(t, etc+"/other", "o\tuid=7\n")
	if _, err := os.Stat(db + "/sub/x"); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-show", "example.com"}, "you@example.com\n"},
		{[]string{"-show", "example.com", "you@example.com"}, "uid=5\nhome=/home/you\nsystempw=secret hash\n"},
		{[]string{"-show", "example.com/you@example.com"}, "uid=5\nhome=/home/you\nsystempw=secret hash\n"},
		{[]string{"-show", "-f", etc + "/other"}, "o\n"},
		{[]string{"-show", "-f", etc + "/other", "o"}, "uid=7\n"},
		{[]string{"-show", "example.com", "nobody"}, ""},
	} {
		if got := must("", tt.args...); got != tt.want {
			t.Errorf("userdb %v: %q, want %q", tt.args, got, tt.want)
		}
	}
	must("", "example.com/you@example.com", "unset", "home", "systempw")
	want(t, db+"/example.com", "you@example.com\tuid=5\n")
	must("", "you@example.com", "set", "gid=7")
	must("", "ann@example.net", "set", "uid=8")
	want(t, db+"/example.com", "you@example.com\tuid=5|gid=7\n")
	want(t, db+"/example.net", "ann@example.net\tuid=8\n")
	must("", "example.com/you@example.com", "del")
	want(t, db+"/example.com", "")
}

func TestRefuses(t *testing.T) {
	etc, db := place(t)
	for _, args := range [][]string{
		{}, {"x"}, {"x", "frob"}, {"-f"}, {"x", "del", "y"}, {"x", "set", "a=b|c=d"}, {"x", "set", "systempw"}, {"x", "set", "uid=abc"}, {"a\tb", "set", "uid=1"},
		{"-show", "a", "b", "c"},
	} {
		if _, err := ours(t, etc, "", args...); err == nil {
			t.Errorf("userdb %v succeeded", args)
		}
	}
	if _, err := os.Stat(db); err == nil {
		t.Error("a database was made")
	}
	// A directory that leads out of the database stays in it.
	if err := os.Mkdir(db, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := ours(t, etc, "", "../../escape/x", "set", "uid=1"); err != nil {
		t.Error(err)
	}
	want(t, db+"/escape", "x\tuid=1\n")
}

// The same commands, by Courier's userdb and by ours, give the same file.
func TestCourierAgrees(t *testing.T) {
	etc, _ := place(t)
	const start = "# users of example.com\n\nyou@example.com\tuid=5\nold\thome=/home/old\nplain\n# end\n"
	a, b := etc+"/theirs", etc+"/ours"
	write(t, a, start)
	write(t, b, start)
	for _, step := range []struct {
		stdin string
		args  []string
	}{
		{"", []string{"new", "set", "uid=7", "gid=8", "home=/x"}},
		{"", []string{"you@example.com", "set", "uid=6"}},
		{"", []string{"plain", "set", "uid=9"}},
		{"hash\n", []string{"old2", "set", "systempw"}},
		{"one\ntwo\n", []string{"old3", "set", "systempw", "imappw"}},
		{"", []string{"old", "unset", "home"}},
		{"", []string{"new", "unset", "gid", "home"}},
		{"", []string{"nobody", "unset", "uid"}},
		{"", []string{"old2", "del"}},
		{"", []string{"nobody", "del"}},
		{"", []string{"last", "set", "aliases=a,b"}},
		{"", []string{"bad", "set", "a=b|c"}},
		{"", []string{"flag", "set", "gecos="}},
	} {
		cmd := testkit.CourierTool(t, "usr/sbin/userdb", append([]string{"-f", a}, step.args...)...)
		cmd.Stdin = strings.NewReader(step.stdin)
		theirs := cmd.Run()
		_, err := ours(t, etc, step.stdin, append([]string{"-f", b}, step.args...)...)
		if (theirs == nil) != (err == nil) {
			t.Errorf("userdb %v: Courier %v, ours %v", step.args, theirs, err)
		}
		wantText, err := os.ReadFile(a)
		if err != nil {
			t.Fatal(err)
		}
		want(t, b, string(wantText))
	}
	// Of a record with several fields, Courier changes the order at random.
	for _, file := range []string{a, b} {
		args := []string{"-f", file, "old3", "set", "uid=1", "imappw=three"}
		if file == a {
			if err := testkit.CourierTool(t, "usr/sbin/userdb", args...).Run(); err != nil {
				t.Fatal(err)
			}
		} else if _, err := ours(t, etc, "", args...); err != nil {
			t.Fatal(err)
		}
	}
	show := func(file string) string {
		out, err := testkit.CourierTool(t, "usr/sbin/userdb", "-show", "-f", file, "old3").Output()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(out), "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	if x, y := show(a), show(b); x != y {
		t.Errorf("after a change of several fields: Courier %q, ours %q", x, y)
	}
	for _, args := range [][]string{{"-show", "-f", a}, {"-show", "-f", a, "last"}, {"-show", "-f", a, "nobody"}} {
		theirs, err := testkit.CourierTool(t, "usr/sbin/userdb", args...).Output()
		mine, err2 := ours(t, etc, "", args...)
		if err != nil || err2 != nil || string(theirs) != mine {
			t.Errorf("userdb %v: Courier %q, %v; ours %q, %v", args, theirs, err, mine, err2)
		}
	}
}
