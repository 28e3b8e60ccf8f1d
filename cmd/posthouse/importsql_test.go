package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestImportDovecotSQL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dovecot-sql.conf.ext")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`# comment
driver = pgsql
connect = host=db1 host=/run/postgresql port=5433 dbname=mail user=dovecot password=pw
default_pass_scheme = SHA512-CRYPT
password_query = SELECT username as user, password FROM users \
  WHERE userid = '%n' AND domain = '%Ld'
user_query = "SELECT home, uid, gid FROM users WHERE email = '%{user}' AND 100%% > 1"
iterate_query = SELECT username FROM users
`)
	var out strings.Builder
	if err := importDovecotSQL(&out, path); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"auth_sources = pgsql:FILE", "\nhosts = db1:5433 unix:/run/postgresql\n", "\ndbname = mail\n", "\nuser = dovecot\n", "\npassword = pw\n",
		"\nquery = SELECT username as user, password FROM users WHERE userid = '%u' AND domain = '%d'\n",
		"\nuser_query = SELECT home, uid, gid FROM users WHERE email = '%s' AND 100%% > 1\n", "\ndefault_pass_scheme = SHA512-CRYPT\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	out.Reset()
	write("driver = sqlite\nconnect = /etc/dovecot/db\npassword_query = SELECT p, h AS userdb_home FROM u WHERE n = '%u'\nuser_query = SELECT 1\n")
	if err := importDovecotSQL(&out, path); err != nil || !strings.Contains(out.String(), "dbpath = /etc/dovecot/db\n") || strings.Contains(out.String(), "user_query") {
		t.Errorf("%v\n%s", err, out.String())
	}
	for _, bad := range []string{"driver = cassandra\npassword_query = x\n", "driver = pgsql\nconnect = host=a\n", "driver = pgsql\nconnect = a\npassword_query = x\n",
		"driver = pgsql\nconnect = host=a\npassword_query = SELECT '%w'\n", "driver = pgsql\nconnect = host=a\npassword_query = SELECT '%{rip}'\n"} {
		write(bad)
		if err := importDovecotSQL(&out, path); err == nil {
			t.Errorf("accepted:\n%s", bad)
		}
	}
}
