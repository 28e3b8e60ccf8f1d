package testkit

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
)

// Account is a system user that exists for one test.
type Account struct {
	Name, Home string
	UID, GID   int
}

// NewAccount adds a system user with a home directory below dir. It needs
// root; the user is removed at the end of the test.
func NewAccount(t testing.TB, dir, name string) Account {
	t.Helper()
	NeedRoot(t)
	home := filepath.Join(dir, "home", name)
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		t.Fatal(err)
	}
	exec.Command("userdel", "-f", name).Run()
	if out, err := exec.Command("useradd", "--no-create-home", "--home-dir", home, "--shell", "/bin/sh", "--user-group", name).CombinedOutput(); err != nil {
		t.Fatalf("useradd %s: %v\n%s", name, err, out)
	}
	t.Cleanup(func() { exec.Command("userdel", "-f", name).Run() })
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	a := Account{Name: name, Home: home}
	a.UID, _ = strconv.Atoi(u.Uid)
	a.GID, _ = strconv.Atoi(u.Gid)
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, a.UID, a.GID); err != nil {
		t.Fatal(err)
	}
	return a
}

// Write writes a file of the user's, with the given mode.
func (a Account) Write(t testing.TB, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(a.Home, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, a.UID, a.GID); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
