package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// TestInitPasswords: users get the passwords of a file, a line each, and
// nothing is made when there are too few.
func TestInitPasswords(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "passwords")
	if err := os.WriteFile(file, []byte("first secret\nsecond\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(users ...string) (string, error) {
		args := []string{"init", "--dir", filepath.Join(dir, "inst"), "--domain", "example.test", "--password-file", file}
		for _, u := range users {
			args = append(args, "--user", u)
		}
		out, err := exec.Command(filepath.Join(testkit.Bin(t), "posthouse"), args...).CombinedOutput()
		return string(out), err
	}
	if out, err := run("a", "b", "c"); err == nil || !strings.Contains(out, "password 3 from "+file) {
		t.Errorf("three users, two passwords: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "inst")); err == nil {
		t.Error("an instance was made without the third password")
	}
	out, err := run("a", "b")
	if err != nil || strings.Contains(out, "password of a@example.test:") || strings.Contains(out, "secret") {
		t.Fatalf("%v\n%s", err, out)
	}
	db, err := userdb.OpenAny(filepath.Join(dir, "inst/etc/userdb"))
	if err != nil {
		t.Fatal(err)
	}
	for login, want := range map[string]string{"a@example.test": "first secret", "b@example.test": "second"} {
		r, err := db.Lookup(login)
		if err != nil {
			t.Fatalf("%s: %v", login, err)
		}
		if ok, err := password.Verify(r.Hashes["systempw"], want); !ok || err != nil {
			t.Errorf("%s does not have the password %q: %v", login, want, err)
		}
	}
}
