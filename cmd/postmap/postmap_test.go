package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// conf makes a configuration directory.
func conf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put(t, dir+"/main.cf", mainCF)
	return dir
}

func TestIndexMode(t *testing.T) {
	c, dir := conf(t), t.TempDir()
	for _, tt := range []struct {
		source, index os.FileMode
		flags         string
	}{
		{0o644, 0o644, ""}, {0o640, 0o640, ""}, {0o666, 0o644, ""}, {0o600, 0o600, ""}, {0o777, 0o644, ""}, {0o600, 0o644, "-p"},
	} {
		path := dir + "/map"
		put(t, path, "a b\n")
		if err := os.Chmod(path, tt.source); err != nil {
			t.Fatal(err)
		}
		args := []string{"postmap", "hash:" + path}
		if tt.flags != "" {
			args = []string{"postmap", tt.flags, "hash:" + path}
		}
		if r, errs := ours(c, "", args...); r.Status != 0 {
			t.Fatal(errs)
		}
		info, err := os.Stat(path + ".cdb")
		if err != nil || info.Mode().Perm() != tt.index {
			t.Errorf("source %o: index %v %v", tt.source, info.Mode(), err)
		}
	}
}

// An edit right after the command must win over the index.
func TestEditAfterIndex(t *testing.T) {
	c, path := conf(t), t.TempDir()+"/map"
	put(t, path, "a old\n")
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, past, past); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"old\n", "new\n"} {
		if want == "old\n" {
			ours(c, "", "postmap", "hash:"+path)
		} else {
			put(t, path, "a new\n")
		}
		if r, errs := ours(c, "", "postmap", "-q", "a", "hash:"+path); r.Out != want {
			t.Errorf("got %q, want %q; %s", r.Out, want, errs)
		}
	}
}

// A link in place of the index is replaced, not followed.
func TestLinkAsIndex(t *testing.T) {
	c, dir := conf(t), t.TempDir()
	put(t, dir+"/map", "a b\n")
	put(t, dir+"/victim", "precious")
	if err := os.Symlink(dir+"/victim", dir+"/map.cdb"); err != nil {
		t.Fatal(err)
	}
	ours(c, "", "postmap", "hash:"+dir+"/map")
	if b, _ := os.ReadFile(dir + "/victim"); string(b) != "precious" {
		t.Error("link was followed")
	}
}

// Root works with the rights of the owner of the text or of its directory.
func TestOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	const uid = 4242
	for name, prepare := range map[string]func(dir string) error{
		"file":      func(dir string) error { return os.Chown(dir+"/map", uid, uid) },
		"directory": func(dir string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			c, dir := conf(t), t.TempDir()
			put(t, dir+"/map", "a b\n")
			if err := prepare(dir); err != nil {
				t.Fatal(err)
			}
			// The directory's parents must be open to that user.
			for d := dir; d != "/tmp" && d != "/"; d = d[:strings.LastIndexByte(d, '/')] {
				if err := os.Chmod(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chown(dir, uid, uid); err != nil {
				t.Fatal(err)
			}
			if r, errs := ours(c, "", "postmap", "hash:"+dir+"/map"); r.Status != 0 {
				t.Fatal(errs)
			}
			if os.Geteuid() != 0 {
				t.Fatal("did not become root again")
			}
			info, err := os.Stat(dir + "/map.cdb")
			if err != nil || info.Sys().(*syscall.Stat_t).Uid != uid {
				t.Errorf("index: %v %v", info, err)
			}
		})
	}
}
