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

// TestInitIsClean: check has nothing to say about an instance that was just
// made. When others may read its user database, check and the commands for users
// name the file, its mode and what mends it.
func TestInitIsClean(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "inst")
	posthouse := filepath.Join(testkit.Bin(t), "posthouse")
	run := func(args ...string) (string, error) {
		out, err := exec.Command(posthouse, args...).CombinedOutput()
		return string(out), err
	}
	if out, err := run("init", "--dir", dir, "--domain", "example.test", "--user", "you"); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	etc := filepath.Join(dir, "etc")
	if out, err := run("-c", etc, "check"); err != nil || out != "" {
		t.Errorf("check after init: %v\n%s", err, out)
	}
	users := filepath.Join(etc, "userdb")
	if err := os.Chmod(users, 0o755); err != nil {
		t.Fatal(err)
	}
	remedy := "its mode is 0755; run `chmod go= " + users + "`"
	for _, args := range [][]string{{"check"}, {"user", "list"}, {"user", "show", "you@example.test"}} {
		if out, err := run(append([]string{"-c", etc}, args...)...); err == nil || !strings.Contains(out, remedy) {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
	if err := os.RemoveAll(users); err != nil {
		t.Fatal(err)
	}
	if out, err := run("-c", etc, "check"); err != nil || !strings.Contains(out, "there is no "+users+": nobody can log in") {
		t.Errorf("check without a user database: %v\n%s", err, out)
	}
}

// TestInitWithAnotherDomain: a user of a domain that is not the instance's is
// refused with what to say instead, and nothing is made.
func TestInitWithAnotherDomain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "inst")
	posthouse := filepath.Join(testkit.Bin(t), "posthouse")
	out, err := exec.Command(posthouse, "init", "--dir", dir, "--user", "me@example.org").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "say --domain example.org") {
		t.Errorf("init: %v\n%s", err, out)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s was made: %v", dir, err)
	}
}
