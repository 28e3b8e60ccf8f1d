package testkit

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
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
	changeUsers("userdel", "-f", name)
	if out, err := changeUsers("useradd", "--no-create-home", "--home-dir", home, "--shell", "/bin/sh", "--user-group", name); err != nil {
		t.Fatalf("useradd %s: %v\n%s", name, err, out)
	}
	t.Cleanup(func() { changeUsers("userdel", "-f", name) })
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

// changeUsers runs useradd or userdel. They fail while another one, of a test
// in another package, has the password file locked.
func changeUsers(name string, args ...string) ([]byte, error) {
	for try := 0; ; try++ {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err == nil || try == 600 || !strings.Contains(string(out), "lock") {
			return out, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}
