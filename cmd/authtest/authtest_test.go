package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient/authtest"
	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

func TestAuthtest(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.cf": "myhostname = m.test\nqueue_directory = " + dir + "\npassword_scheme = SSHA256\n",
		"userdb":  "# users\nyou@example.com\tuid=5|systempw={PLAIN}secret|hmac-md5pw=00\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir+"/private", 0o700); err != nil {
		t.Fatal(err)
	}
	s := authtest.New(t, authtest.Account{Password: "secret", User: authclient.User{Login: "you@example.com", UID: 5, GID: 6, Home: "/home/you",
		MailDir: "/home/you/Maildir", Disabled: []string{"imap"}, Options: map[string]string{"group": "x"}}})
	s.Listen(t, dir+"/private/authd")
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := (&command{out: &out, err: &out}).run(append([]string{"-c", dir}, args...))
		return out.String(), err
	}
	const want = `Authentication succeeded.

     Authenticated: you@example.com  (uid 5, gid 6)
    Home Directory: /home/you
           Maildir: /home/you/Maildir
             Quota: (none)
Encrypted Password: (hidden)
Cleartext Password: (hidden)
           Options: disableimap=1,group=x
`
	for _, args := range [][]string{{"you@example.com"}, {"you@example.com", "secret"}, {"-s", "smtp", "you@example.com", "secret"}} {
		if out, err := run(args...); out != want || err != nil {
			t.Errorf("authtest %v: %v\n%s", args, err, out)
		}
	}
	for text, args := range map[string][]string{
		"FAILED: Operation not permitted":           {"you@example.com", "wrong"},
		"FAILED: No such file or directory":         {"nobody@example.com"},
		"FAILED: Operation not permitted ":          {"you@example.com", "wrong", "new"},
		"Usage: authtest":                           {},
		"Usage: authtest [-s service] userid":       {"a", "b", "c", "d"},
		"Usage: authtest [-s service] userid [ pas": {"-x", "y", "z"},
	} {
		if out, err := run(args...); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("authtest %v: %v\n%s", args, err, out)
		}
	}
	if out, err := run("you@example.com", "secret", "better"); err != nil || out != "Password change succeeded.\n" {
		t.Errorf("change: %v\n%s", err, out)
	}
	f, err := userdb.ReadFile(dir + "/userdb")
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Record("you@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := password.Verify(r.Hashes["systempw"], "better"); !ok || err != nil || !strings.HasPrefix(r.Hashes["systempw"], "{SSHA256}") {
		t.Errorf("stored: %v, %v", r.Hashes, err)
	}
	if state, err := password.NewHMACState("hmac-md5", "better"); err != nil || r.Hashes["hmac-md5pw"] != state.String() {
		t.Errorf("the state for CRAM-MD5 is of the old password: %v", r.Hashes)
	}
	s.Down(true)
	if _, err := run("you@example.com"); err == nil || !strings.Contains(err.Error(), "FAILED: authentication service is temporarily unavailable") {
		t.Errorf("authd is down: %v", err)
	}
}
