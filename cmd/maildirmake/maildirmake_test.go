package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// tree lists what is below a directory: modes, names and contents of files.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || path == dir {
			return err
		}
		fmt.Fprintf(&b, "%v %s", info.Mode(), strings.TrimPrefix(path, dir))
		if !d.IsDir() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %q", strings.ReplaceAll(string(text), dir, "DIR"))
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The same commands, by Courier's maildirmake and by ours, make the same files.
func TestCourierAgrees(t *testing.T) {
	testkit.Courier(t)
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	theirs, ours := t.TempDir(), t.TempDir()
	for _, args := range [][]string{
		{"DIR/a"}, {"-q", "1000S,10C", "DIR/b"}, {"-f", "Drafts", "DIR/b"}, {"-f", "Drafts.x", "DIR/b"}, {"-fSent", "DIR/b"},
		{"-S", "DIR/sh"}, {"-s", "write", "-f", "Weekly", "DIR/sh"}, {"-s", "read", "-f", "Ro", "DIR/sh"},
		{"-s", "read,group", "-f", "RoG", "DIR/sh"}, {"-s", "write,group", "-f", "WrG", "DIR/sh"},
		{"--add", "notices=DIR/sh", "DIR/a"}, {"--add", "other=DIR/sh", "DIR/a"}, {"--del", "other", "DIR/a"}, {"--del", "nope", "DIR/a"},
		{"DIR/a"}, {"-f", "Drafts", "DIR/b"}, {"-f", "a/b", "DIR/b"}, {"-f", "..x", "DIR/b"}, {"-q", "5000S", "DIR/b"}, {"DIR/none/x"}, {},
		{"-f", "x", "DIR/none"},
	} {
		with := func(dir string) []string {
			list := make([]string, len(args))
			for i, a := range args {
				list[i] = strings.ReplaceAll(a, "DIR", dir)
			}
			return list
		}
		err1 := testkit.CourierTool(t, "usr/bin/maildirmake.courier", with(theirs)...).Run()
		err2 := run(with(ours))
		if (err1 == nil) != (err2 == nil) {
			t.Errorf("maildirmake %q: Courier %v, ours %v", args, err1, err2)
		}
		if a, b := tree(t, theirs), tree(t, ours); a != b {
			t.Fatalf("after maildirmake %q:\nCourier\n%s\nours\n%s", args, a, b)
		}
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"-q", "xx", dir + "/a"}, {"-f"}, {"-x", dir + "/a"}, {"-s", "all", "-f", "x", dir}, {"--add", "x", dir}, {"--add", "a/b=/x", dir}, {dir + "/a", dir + "/b"},
	} {
		if err := run(args); err == nil {
			t.Errorf("maildirmake %q succeeded", args)
		}
	}
}

func TestUTF8Folder(t *testing.T) {
	dir := t.TempDir() + "/m"
	for _, args := range [][]string{{dir}, {"-F", "Entwürfe.Alt", dir}} {
		if err := run(args); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir + "/.Entw&APw-rfe.Alt/cur"); err != nil {
		t.Error(err)
	}
}
