package userdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func edit(t testing.TB, path string, change func(*File) error) {
	t.Helper()
	if err := Edit(context.Background(), path, EditOptions{-1, -1}, change); err != nil {
		t.Fatal(err)
	}
}

func wantText(t testing.TB, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s: %v\n got %q\nwant %q", filepath.Base(path), err, got, want)
	}
}

func TestEditKeepsTheRest(t *testing.T) {
	path := t.TempDir() + "/userdb"
	write(t, path, "# users\nyou\tuid=1|home=/home/you|uid=7|x\n\n1=\tyou\n# end")
	edit(t, path, func(f *File) error {
		return f.Set("You", Field{"uid", "2"}, Field{"quota", "5S"})
	})
	wantText(t, path, "# users\nyou\tuid=2|home=/home/you|x=|quota=5S\n\n1=\tyou\n# end\n")
	edit(t, path, func(f *File) error {
		if !f.Unset("you", "uid", "quota", "x") || f.Unset("nobody", "uid") {
			t.Error("Unset")
		}
		return f.Set("new", Field{"uid", "3"})
	})
	wantText(t, path, "# users\nyou\thome=/home/you\n\n1=\tyou\n# end\nnew\tuid=3\n")
	edit(t, path, func(f *File) error {
		if !f.Delete("you") || f.Delete("you") {
			t.Error("Delete")
		}
		return f.Replace(&Record{Login: "new", UID: 4, GID: -1, Name: "New"})
	})
	wantText(t, path, "# users\n\n1=\tyou\n# end\nnew\tuid=4|gecos=New\n")
	failed := errors.New("no")
	if err := Edit(context.Background(), path, EditOptions{-1, -1}, func(f *File) error { f.Delete("new"); return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
	wantText(t, path, "# users\n\n1=\tyou\n# end\nnew\tuid=4|gecos=New\n")
}

func TestEditMakesPrivateFiles(t *testing.T) {
	dir := t.TempDir()
	edit(t, dir+"/new", func(f *File) error { return f.Set("a", Field{"uid", "1"}) })
	info, err := os.Stat(dir + "/new")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("new file: %v, %v", info.Mode(), err)
	}
	if err := os.Symlink("new", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	edit(t, dir+"/link", func(f *File) error { return f.Set("b", Field{"uid", "2"}) })
	wantText(t, dir+"/new", "a\tuid=1\nb\tuid=2\n")
	if target, err := os.Readlink(dir + "/link"); target != "new" || err != nil {
		t.Errorf("the link is gone: %v", err)
	}
}

func TestEditRefuses(t *testing.T) {
	path := t.TempDir() + "/userdb"
	for _, f := range []struct {
		login string
		field Field
	}{
		{"a\tb", Field{"uid", "1"}}, {"", Field{"uid", "1"}}, {"#a", Field{"uid", "1"}}, {"a", Field{"uid", "x"}}, {"a", Field{"u|d", "1"}},
		{"a", Field{"gecos", "a|systempw=x"}}, {"a", Field{"gecos", "a\nb"}}, {"a", Field{"", "1"}}, {"a", Field{"gecos", strings.Repeat("x", MaxLine)}},
	} {
		err := Edit(context.Background(), path, EditOptions{-1, -1}, func(file *File) error { return file.Set(f.login, f.field) })
		if err == nil {
			t.Errorf("Set(%q, %.30q) succeeded", f.login, f.field)
		}
	}
}

func TestConcurrentEdits(t *testing.T) {
	path := t.TempDir() + "/userdb"
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			for j := range 5 {
				edit(t, path, func(f *File) error { return f.Set(fmt.Sprintf("u%d-%d", i, j), Field{"uid", "1"}) })
			}
		})
	}
	wg.Wait()
	f, err := ReadFile(path)
	if err != nil || len(f.Logins()) != 50 {
		t.Errorf("%d records of 50, %v", len(f.Logins()), err)
	}
}
