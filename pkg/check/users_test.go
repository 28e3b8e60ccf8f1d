package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const withAuthd = master + "auth unix - - n - 1 authd\n"

// TestUserDatabase holds that what authd would refuse, and passwords that
// others may read, are found with the command that mends them.
func TestUserDatabase(t *testing.T) {
	for _, test := range []struct {
		name, main string
		file       string
		mode       os.FileMode
		want       string // empty: nothing is wrong
	}{
		{"private", "", "userdb", 0o600, ""},
		{"open", "", "userdb", 0o644, "userdb: error: may not have group or world permissions: its mode is 0644; run `chmod go= userdb`"},
		{"elsewhere", "userdb_path = DIR/people\n", "people", 0o640, "people: error: may not have group or world permissions: its mode is 0640; run `chmod go= people`"},
		{"named by the source", "auth_sources = userdb:DIR/people\n", "people", 0o604, "people: error: may not have group or world permissions: its mode is 0604; run `chmod go= people`"},
		{"shadow", "", "userdbshadow.dat", 0o644, "userdbshadow.dat: error: may not have group or world permissions: its mode is 0644; run `chmod go= userdbshadow.dat`"},
		{"not yet", "", "", 0, "main.cf: note: userdb_path: there is no userdb: nobody can log in; run `posthouse user add ADDRESS`"},
		{"missing", "userdb_path = DIR/people\n", "", 0, "main.cf:1:15: warning: userdb_path: there is no people: nobody can log in"},
		{"index alone", "", "userdb.dat", 0o644, ""},
		{"passwd-file", "auth_sources = passwd-file:DIR/users\n", "users", 0o640, ""},
		{"open passwd-file", "auth_sources = passwd-file:DIR/users\n", "users", 0o644,
			"users: warning: everybody may read the passwords in it (mode 0644); run `chmod o= users`"},
		{"no passwd-file", "auth_sources = passwd-file:DIR/users\n", "", 0, "main.cf:1:16: error: auth_sources: stat users: no such file"},
		{"password of a database", "auth_sources = ldap:DIR/ldap.cf\n", "ldap.cf", 0o644,
			"ldap.cf: warning: everybody may read the passwords in it (mode 0644); run `chmod o= ldap.cf`"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, findings := site(t, map[string]string{"main.cf": test.main, "master.cf": withAuthd})
			if err := os.WriteFile(filepath.Join(dir, "daemons/authd"), nil, 0o755); err != nil {
				t.Fatal(err)
			}
			if test.file != "" {
				path := filepath.Join(dir, test.file)
				if err := os.WriteFile(path, []byte("# nobody\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(path, test.mode); err != nil {
					t.Fatal(err)
				}
			}
			got := findings()
			if test.want != "" && !strings.Contains(got, test.want) || test.want == "" && (strings.Contains(got, "chmod") || strings.Contains(got, "there is no")) {
				t.Errorf("got:\n%s\nwant: %s", got, test.want)
			}
		})
	}
}

// TestUserDatabaseLink holds that a link out of the private directory is found.
func TestUserDatabaseLink(t *testing.T) {
	dir, findings := site(t, map[string]string{"main.cf": "auth_sources = userdb\n", "elsewhere": "# nobody\n"})
	if err := os.Mkdir(filepath.Join(dir, "userdb"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "userdb/link")); err != nil {
		t.Fatal(err)
	}
	if got := findings(); !strings.Contains(got, "its mode is 0644; run `chmod go= userdb/link`") {
		t.Errorf("got:\n%s", got)
	}
}
