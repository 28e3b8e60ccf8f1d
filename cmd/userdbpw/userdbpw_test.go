package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

func ours(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"in": stdin, "main.cf": "myhostname = m.example.test\npassword_scheme = SSHA256\n"} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in, err := os.Open(dir + "/in")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out bytes.Buffer
	err = run(append(args, "-c", dir), in, &out, os.Stderr)
	return out.String(), err
}

func TestHMACIsCouriers(t *testing.T) {
	for _, option := range []string{"-hmac-md5", "-hmac-sha1", "-hmac-sha256"} {
		for _, plaintext := range []string{"secret", strings.Repeat("long", 30), "pässwörd"} {
			cmd := testkit.CourierTool(t, "usr/sbin/userdbpw", option)
			cmd.Stdin = strings.NewReader(plaintext + "\n")
			theirs, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			mine, err := ours(t, plaintext+"\n", option)
			if err != nil || mine != string(theirs) {
				t.Errorf("userdbpw %s of %q: %q, %v, Courier's %q", option, plaintext, mine, err, theirs)
			}
		}
	}
}

// Their hashes are ours to check, and ours theirs (by the system's crypt).
func TestHashes(t *testing.T) {
	for _, options := range [][]string{nil, {"-md5"}} {
		cmd := testkit.CourierTool(t, "usr/sbin/userdbpw", options...)
		cmd.Stdin = strings.NewReader("secret\n")
		theirs, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		mine, err := ours(t, "secret\n", options...)
		if err != nil {
			t.Fatal(err)
		}
		for _, stored := range []string{string(theirs), mine} {
			if ok, err := password.Verify(strings.TrimSpace(stored), "secret"); !ok || err != nil {
				t.Errorf("userdbpw %v made %q: %v, %v", options, stored, ok, err)
			}
		}
	}
	if mine, err := ours(t, "secret\n"); err != nil || !strings.HasPrefix(mine, "{SSHA256}") {
		t.Errorf("the scheme of main.cf: %q, %v", mine, err)
	}
	if mine, err := ours(t, "secret", "-scheme", "scram-sha-256"); err != nil || !strings.HasPrefix(mine, "{SCRAM-SHA-256}4096,") {
		t.Errorf("-scheme: %q, %v", mine, err)
	}
	for _, args := range [][]string{{"-x"}, {"-scheme"}, {"-scheme", "rot13"}} {
		if _, err := ours(t, "secret\n", args...); err == nil {
			t.Errorf("userdbpw %v succeeded", args)
		}
	}
	for _, stdin := range []string{"", "\n", strings.Repeat("x", 5000) + "\n"} {
		if out, err := ours(t, stdin, "-hmac-md5"); err == nil {
			t.Errorf("userdbpw of %.10q: %s", stdin, out)
		}
	}
}
