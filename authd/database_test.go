package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// withSource starts a rig whose users are elsewhere.
func withSource(t *testing.T, kind string, lines ...string) *rig {
	t.Helper()
	file := filepath.Join(t.TempDir(), "auth.cf")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return startRig(t, func(p *params) { p.Sources, p.UsernameChars = []string{kind + ":" + file}, "" })
}

// hostile are logins that mean something to a database.
func hostile() []string {
	return []string{"' or 1=1--", "' or '1'='1", `" or 1=1 -- `, "'; drop table users; --", "*", "*)(uid=*", "ann@d.test)(|(uid=*", "%", "_nn@d.test",
		"%s", "\\", "ann@d.test\\", "ann@d.test'", "$1", "ann@d.test\x01", "a|uid=0", "\xbf' or 1=1 -- "}
}

// refuses tries hostile logins.
func refuses(t *testing.T, r *rig) {
	t.Helper()
	for _, login := range hostile() {
		if s := r.plain(peer("smtp"), login, "secret"); s.Outcome == authclient.OK {
			t.Errorf("injection: in as %s with %q", s.User.Login, login)
		}
		if rcpt, err := r.Recipient(context.Background(), login); err == nil {
			t.Errorf("injection: %q is %+v", login, rcpt.User)
		}
	}
}

func hashed(t *testing.T, scheme, secret string) string {
	t.Helper()
	h, err := password.Hash(scheme, secret)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// sqlUsers is a schema as sites have it with Dovecot.
func sqlUsers(t *testing.T) string {
	return `CREATE TABLE users (username varchar(255), password varchar(500), home varchar(255), uid integer, gid integer, quota varchar(99), active integer);
CREATE TABLE aliases (address varchar(255), username varchar(255));
INSERT INTO users VALUES ('ann@d.test', '` + hashed(t, "SHA512-CRYPT", "secret") + `', '/home/ann', 2000, 2000, '*:storage=1M', 1),
 ('bob@d.test', '` + hashed(t, "SSHA", "secret") + `', NULL, NULL, NULL, NULL, 1), ('off@d.test', '` + hashed(t, "SHA256", "secret") + `', NULL, NULL, NULL, NULL, 0),
 ('evil@d.test', '` + hashed(t, "SHA256", "secret") + `', '/home/x|uid=0', NULL, NULL, NULL, 1), ('nopw@d.test', NULL, NULL, NULL, NULL, NULL, 1),
 ('two@d.test', 'x', NULL, NULL, NULL, NULL, 1), ('two@d.test', 'y', NULL, NULL, NULL, NULL, 1);
INSERT INTO aliases VALUES ('a@d.test', 'ann@d.test'), ('@e.test', 'bob@d.test');`
}

func exerciseSQL(t *testing.T, kind string, change func(sql string), conn ...string) {
	const fields = "u.username AS \"user\", u.password, u.home, u.uid, u.gid, u.quota AS quota_rule"
	columns := fields
	if kind == "mysql" {
		columns = strings.ReplaceAll(fields, `"`, "`")
	}
	r := withSource(t, kind, append(conn, "query = SELECT "+columns+" FROM users u WHERE u.username = '%u@%d' AND u.active = 1",
		"recipient_query = SELECT "+columns+" FROM users u, aliases a WHERE a.username = u.username AND (a.address = '%s' OR a.address = '@%d')")...)
	for _, tc := range []struct {
		login, secret string
		want          authclient.Outcome
	}{
		{"ann@d.test", "secret", authclient.OK}, {"ANN@d.test", "secret", authclient.OK}, {"ann@d.test", "x", authclient.Failed},
		{"bob@d.test", "secret", authclient.OK}, {"off@d.test", "secret", authclient.Failed}, {"none@d.test", "secret", authclient.Failed},
		{"nopw@d.test", "", authclient.Failed}, {"ann", "secret", authclient.Failed},
		{"two@d.test", "x", authclient.Temporary}, {"evil@d.test", "secret", authclient.Temporary},
	} {
		if s := r.plain(peer("smtp"), tc.login, tc.secret); s.Outcome != tc.want {
			t.Errorf("%s %s: %+v", tc.login, tc.secret, s)
		}
	}
	if u := r.plain(peer("smtp"), "ann@d.test", "secret").User; u == nil || u.UID != 2000 || u.Home != "/home/ann" || u.Quota != "1048576S" {
		t.Errorf("user %+v", u)
	}
	for addr, want := range map[string]string{"ann@d.test": "ann@d.test", "a@d.test": "ann@d.test", "who@e.test": "bob@d.test", "ann+x@d.test": "ann@d.test"} {
		if rcpt, err := r.Recipient(context.Background(), addr); err != nil || rcpt.User.Login != want {
			t.Errorf("%s: %+v %v", addr, rcpt, err)
		}
	}
	refuses(t, r)
	if offers(r, "SCRAM-SHA-256") || offers(r, "CRAM-MD5") {
		t.Error("a database of hashes offers mechanisms that need more")
	}
	change("UPDATE users SET password = '" + hashed(t, "SHA256", "new") + "' WHERE username = 'ann@d.test'")
	if s := r.plain(peer("smtp"), "ann@d.test", "secret"); s.Outcome != authclient.Failed {
		t.Errorf("the old password: %+v", s)
	}
	if s := r.plain(peer("smtp"), "ann@d.test", "new"); s.Outcome != authclient.OK {
		t.Errorf("the new password: %+v", s)
	}
}

func TestPostgresUsers(t *testing.T) {
	d := testkit.Postgres(t, sqlUsers(t))
	exerciseSQL(t, "pgsql", func(sql string) {
		if out, err := exec.Command("psql", "-h", "127.0.0.1", "-p", d.Port, "-U", "test", "-d", "test", "-c", sql).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}, "hosts = "+d.Addr, "user = test", "dbname = test")
}

func TestMySQLUsers(t *testing.T) {
	d := testkit.MySQL(t, sqlUsers(t))
	exerciseSQL(t, "mysql", func(sql string) {
		if out, err := exec.Command("mariadb", "--no-defaults", "-S", d.Dir+"/sock", "-u", "test", "-ptestpw", "test", "-e", sql).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}, "hosts = "+d.Addr, "user = test", "dbname = test", "password = testpw")
}

// TestTwoQueries: fields that another query has, as with Dovecot.
func TestTwoQueries(t *testing.T) {
	d := testkit.Postgres(t, sqlUsers(t))
	r := withSource(t, "pgsql", "hosts = "+d.Addr, "user = test", "dbname = test", "query = SELECT username AS \"user\", password FROM users WHERE username = '%s'",
		"user_query = SELECT home, uid, gid FROM users WHERE username = '%s'")
	if u := r.plain(peer("smtp"), "ann@d.test", "secret").User; u == nil || u.Home != "/home/ann" || u.UID != 2000 {
		t.Errorf("%+v", u)
	}
	if s := r.plain(peer("smtp"), "none@d.test", "secret"); s.Outcome != authclient.Failed {
		t.Errorf("%+v", s)
	}
}

// TestDatabaseAway: nobody is unknown because a database is.
func TestDatabaseAway(t *testing.T) {
	for kind, lines := range map[string][]string{
		"pgsql": {"hosts = 127.0.0.1:1", "dbname = x", "user = x", "query = SELECT 1 WHERE '%s' = 'x'"},
		"ldap":  {"server_host = ldap://127.0.0.1:1", "search_base = dc=d", "query_filter = (mail=%s)"},
	} {
		r := withSource(t, kind, lines...)
		if s := r.plain(peer("smtp"), "ann@d.test", "secret"); s.Outcome != authclient.Temporary {
			t.Errorf("%s: %+v", kind, s)
		}
		if _, err := r.Recipient(context.Background(), "ann@d.test"); err == nil || err.Error() != authclient.ErrTemporary.Error() {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestLDAPUsers(t *testing.T) {
	d := testkit.LDAP(t, `dn: dc=d,dc=test
objectClass: dcObject
objectClass: organization
dc: d
o: D

dn: uid=ann,dc=d,dc=test
objectClass: inetOrgPerson
objectClass: posixAccount
uid: ann
cn: Ann
sn: A
mail: ann@d.test
mail: a@d.test
uidNumber: 2000
gidNumber: 2001
homeDirectory: /home/ann
userPassword: `+hashed(t, "SSHA", "secret")+"\n")
	base := []string{"server_host = ldap://" + d.Addr, "search_base = dc=d,dc=test", "query_filter = (mail=%s)"}
	for name, more := range map[string][]string{
		"bind":  {"bind = no"},
		"hash":  {"bind_dn = cn=admin,dc=d,dc=test", "bind_pw = adminpw"},
		"asked": {"bind_dn = cn=admin,dc=d,dc=test", "bind_pw = adminpw", "auth_bind = yes"},
	} {
		r := withSource(t, "ldap", append(more, base...)...)
		for _, tc := range []struct {
			login, secret string
			want          authclient.Outcome
		}{{"ann@d.test", "secret", authclient.OK}, {"a@d.test", "secret", authclient.OK}, {"ann@d.test", "x", authclient.Failed},
			{"ann@d.test", "", authclient.Failed}, {"eve@d.test", "secret", authclient.Failed}} {
			if s := r.plain(peer("smtp"), tc.login, tc.secret); s.Outcome != tc.want {
				t.Errorf("%s: %s %s: %+v", name, tc.login, tc.secret, s)
			}
		}
		if u := r.plain(peer("smtp"), "ann@d.test", "secret").User; u == nil || u.UID != 2000 || u.GID != 2001 || u.Home != "/home/ann" || u.Name != "Ann" {
			t.Errorf("%s: %+v", name, u)
		}
		refuses(t, r)
	}
}

func TestPasswdFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	os.WriteFile(file, []byte("ann@d.test:"+hashed(t, "SHA512-CRYPT", "secret")+":2000:2001:Ann:/home/ann::userdb_mail=maildir:~/mail userdb_quota_rule=*:storage=1G allow_nets=192.0.2.0/24\n"+
		"off@d.test:{PLAIN}secret:2000:2000:::: nologin=y\nnone@d.test::2000:2000::::nopassword=y\nbad@d.test:{PLAIN}x:abc:2000::::\n"), 0o600)
	r := startRig(t, func(p *params) { p.Sources = []string{"passwd-file:" + file} })
	for _, tc := range []struct {
		login, secret string
		want          authclient.Outcome
	}{{"ann@d.test", "secret", authclient.OK}, {"ann@d.test", "x", authclient.Failed}, {"off@d.test", "secret", authclient.Disabled},
		{"none@d.test", "", authclient.Failed}, {"none@d.test", "x", authclient.Failed}, {"bad@d.test", "x", authclient.Temporary}, {"eve@d.test", "x", authclient.Failed}} {
		if s := r.plain(peer("imap"), tc.login, tc.secret); s.Outcome != tc.want {
			t.Errorf("%s: %+v", tc.login, s)
		}
	}
	u := r.plain(peer("imap"), "ann@d.test", "secret").User
	if u == nil || u.MailDir != "/home/ann/mail" || u.Quota != "1073741824S" || u.GID != 2001 {
		t.Errorf("%+v", u)
	}
}

func TestSystemAccounts(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "passwd"), []byte("root:x:0:0:root:/root:/bin/sh\nann:x:2000:2001:Ann A,,,:/home/ann:/bin/sh\nold:x:2002:2002::/home/old:/bin/sh\nlocked:x:2003:2003::/x:/bin/sh\n"), 0o644)
	os.WriteFile(filepath.Join(dir, "shadow"), []byte("root:"+hashed(t, "SHA512-CRYPT", "secret")+":1:0:99999:7:::\nann:"+hashed(t, "YESCRYPT", "secret")+":1:0:99999:7:::\n"+
		"old:"+hashed(t, "SHA512-CRYPT", "secret")+":1:0:99999:7::100:\nlocked:!"+hashed(t, "SHA512-CRYPT", "secret")+":1:0:99999:7:::\n"), 0o600)
	src, err := openSystem(dir, 100, opening{})
	if err != nil {
		t.Fatal(err)
	}
	r := startRig(t, nil)
	r.server.sources = []source{src}
	for _, tc := range []struct {
		login, secret string
		want          authclient.Outcome
	}{{"ann", "secret", authclient.OK}, {"ann", "x", authclient.Failed}, {"root", "secret", authclient.Failed}, {"old", "secret", authclient.Failed},
		{"locked", "secret", authclient.Failed}, {"an", "secret", authclient.Failed}} {
		if s := r.plain(peer("imap"), tc.login, tc.secret); s.Outcome != tc.want {
			t.Errorf("%s: %+v", tc.login, s)
		}
	}
	if u := r.plain(peer("imap"), "ann", "secret").User; u == nil || u.Name != "Ann A" || u.UID != 2000 {
		t.Errorf("%+v", u)
	}
}

// TestSaslauthd asks Debian's saslauthd, which asks an IMAP server.
func TestSaslauthd(t *testing.T) {
	testkit.NeedRoot(t)
	if _, err := os.Stat("/usr/sbin/saslauthd"); err != nil {
		t.Skip("SKIPPED: ", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go tinyIMAP(ln)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	dir, err := os.MkdirTemp("", "mux")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := exec.Command("/usr/sbin/saslauthd", "-a", "rimap", "-O", "127.0.0.1/"+port, "-m", dir, "-n", "1", "-d")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	testkit.Wait(t, "saslauthd", func() bool { _, err := os.Stat(dir + "/mux"); return err == nil })
	r := startRig(t, func(p *params) { p.Sources = []string{"userdb", "saslauthd:" + dir + "/mux"} }, line(t, "own@d.test", "SHA256", "own", ""))
	for _, tc := range []struct {
		login, secret string
		want          authclient.Outcome
	}{{"ann", "secret", authclient.OK}, {"ann", "wrong", authclient.Failed}, {"own@d.test", "own", authclient.OK}, {"own@d.test", "secret", authclient.Failed}} {
		if s := r.plain(peer("smtp"), tc.login, tc.secret); s.Outcome != tc.want {
			t.Errorf("%s %s: %+v", tc.login, tc.secret, s)
		}
	}
	if _, err := r.Recipient(context.Background(), "anybody@d.test"); err == nil {
		t.Error("everybody gets mail")
	}
	cmd.Process.Kill()
	os.Remove(dir + "/mux")
	if s := r.plain(peer("smtp"), "ann", "secret"); s.Outcome != authclient.Temporary {
		t.Errorf("without it: %+v", s)
	}
}

// tinyIMAP is a server in which the password of ann is secret.
func tinyIMAP(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprint(c, "* OK hello\r\n")
			r := bufio.NewReader(c)
			for {
				text, err := r.ReadString('\n')
				if err != nil {
					return
				}
				tag, rest, _ := strings.Cut(text, " ")
				if strings.HasPrefix(rest, "LOGIN") && !strings.Contains(rest, "secret") {
					fmt.Fprintf(c, "%s NO no\r\n", tag)
					continue
				}
				fmt.Fprintf(c, "%s OK yes\r\n", tag)
			}
		}()
	}
}

func FuzzSaslauthdReply(f *testing.F) {
	f.Add("\x00\x02OK")
	f.Fuzz(func(t *testing.T, s string) {
		if ok, err := readSaslauthd(strings.NewReader(s)); ok && (err != nil || !strings.HasPrefix(s[2:], "OK")) {
			t.Errorf("%q is a yes", s)
		}
	})
}

func FuzzPasswdLine(f *testing.F) {
	f.Add("a@b:{PLAIN}x:1:2:g:/h::userdb_mail=maildir:~/m quota_rule=*:storage=1G")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parsePasswdLine(strings.Split(s, ":"))
		if err == nil && (r.UID < -1 || strings.ContainsAny(r.Login, "\n\t|")) {
			t.Errorf("%q: %+v", s, r)
		}
	})
}

// offers reports whether a mechanism is offered without having been named.
func offers(r *rig, mechanism string) bool {
	return slices.Contains(r.offer(authclient.Peer{Service: "imap", TLS: true}), mechanism)
}

// TestOfferedBySource: mechanisms that need more than a hash are offered where all
// users of the source have it: as counted in a passwd-file, and as the file of a
// database says.
func TestOfferedBySource(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	for _, tc := range []struct {
		users       string
		scram, cram bool
	}{
		{"ann:{PLAIN}secret::::::\n# a comment\nbob:{CLEAR}x::::::\nlocked:!::::::\n", true, true},
		{"ann:{PLAIN}secret::::::\nbob:" + hashed(t, "SHA512-CRYPT", "x") + "::::::\n", false, false},
		{"ann:" + hashed(t, "SCRAM-SHA-256", "secret") + "::::::\n", true, false},
		{"", false, false},
	} {
		os.WriteFile(file, []byte(tc.users), 0o600)
		r := startRig(t, func(p *params) { p.Sources = []string{"passwd-file:" + file} })
		if s, c := offers(r, "SCRAM-SHA-256"), offers(r, "CRAM-MD5"); s != tc.scram || c != tc.cram {
			t.Errorf("%q: SCRAM %v, CRAM-MD5 %v", tc.users, s, c)
		}
	}
	db := filepath.Join(t.TempDir(), "users.db")
	os.WriteFile(db, nil, 0o600)
	for setting, want := range map[string][2]bool{"": {false, false}, "stored_secrets = plain": {true, true}, "stored_secrets = SCRAM-SHA-256, {SCRAM-SHA-1}": {true, false}} {
		r := withSource(t, "sqlite", "dbpath = "+db, "query = SELECT 'x' AS password WHERE '%s' = ''", setting)
		if s, c := offers(r, "SCRAM-SHA-256"), offers(r, "CRAM-MD5"); s != want[0] || c != want[1] {
			t.Errorf("%q: SCRAM %v, CRAM-MD5 %v", setting, s, c)
		}
	}
	conf := filepath.Join(t.TempDir(), "users.cf")
	os.WriteFile(conf, []byte("dbpath = "+db+"\nquery = SELECT 1\nstored_secrets = argon2\n"), 0o600)
	if _, err := openSQL("sqlite", conf); err == nil || !strings.Contains(err.Error(), "stored_secrets") {
		t.Errorf("another scheme: %v", err)
	}
}
