package ldaptable

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// people is the directory of the tests. The password of ann is secret.
const people = `dn: dc=d,dc=test
objectClass: dcObject
objectClass: organization
dc: d
o: D

dn: uid=ann,dc=d,dc=test
objectClass: inetOrgPerson
uid: ann
cn: Ann
sn: A
mail: ann@d.test
description: b@e.test
description: c@e.test
userPassword: secret

dn: cn=all,dc=d,dc=test
objectClass: groupOfNames
cn: all
member: uid=ann,dc=d,dc=test
member: cn=loop,dc=d,dc=test

dn: cn=loop,dc=d,dc=test
objectClass: groupOfNames
cn: loop
member: cn=loop,dc=d,dc=test

dn: cn=group,dc=d,dc=test
objectClass: groupOfNames
cn: group
member: uid=ann,dc=d,dc=test
member: uid=gone,dc=d,dc=test
`

func write(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ldap.cf")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, lines ...string) table.Table {
	t.Helper()
	m, err := OpenTable("ldap", write(t, lines...), table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestLDAP(t *testing.T) {
	d := testkit.LDAP(t, people)
	ctx := context.Background()
	host := "server_host = ldap://" + d.Addr
	m := open(t, host, "search_base = dc=d,dc=test", "query_filter = (mail=%s)", "result_attribute = description")
	if v, found, err := m.Lookup(ctx, "ANN@d.test"); err != nil || !found || v != "b@e.test,c@e.test" {
		t.Errorf("%q %v %v", v, found, err)
	}
	// AU6: nothing in a key is more than text.
	for _, key := range []string{"*", "*)(uid=*", "ann@d.test)(|(uid=*", "ann*", "\\2a", "%00", "a\x00", ")", "(", "\\", strings.Repeat("(", 500), "none@d.test"} {
		if v, found, err := m.Lookup(ctx, key); found || err != nil {
			t.Errorf("%q: %q %v", key, v, err)
		}
	}
	base := open(t, host, "search_base = uid=%u,dc=d,dc=test", "scope = base", "query_filter = (objectclass=*)", "result_attribute = mail", "domain = d.test")
	if v, _, err := base.Lookup(ctx, "ann@d.test"); err != nil || v != "ann@d.test" {
		t.Errorf("%q %v", v, err)
	}
	for _, key := range []string{"x,uid=ann@d.test", "ann,dc=d,dc=test+uid=x@d.test", "*@d.test", "ann@e.test", "#ann@d.test"} {
		if v, found, err := base.Lookup(ctx, key); found || err != nil {
			t.Errorf("%q: %q %v", key, v, err)
		}
	}
	group := open(t, host, "search_base = dc=d,dc=test", "query_filter = (cn=%s)", "result_attribute = mail", "special_result_attribute = member", "recursion_limit = 20")
	if v, _, err := group.Lookup(ctx, "group"); err != nil || v != "ann@d.test" {
		t.Errorf("group: %q %v", v, err)
	}
	if v, _, err := group.Lookup(ctx, "all"); err == nil {
		t.Errorf("a loop: %q", v)
	}
	if v, found, err := open(t, host, "search_base = dc=nosuch", "query_filter = (mail=%s)").Lookup(ctx, "a"); found || err != nil {
		t.Errorf("no such base: %q %v", v, err)
	}
}

func TestPasswords(t *testing.T) {
	d := testkit.LDAP(t, people)
	dir, err := Open(write(t, "server_host = ldap://127.0.0.1:1 ldap://"+d.Addr, "search_base = dc=d,dc=test", "query_filter = (mail=%s)",
		"bind_dn = cn=admin,dc=d,dc=test", "bind_pw = adminpw"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	ctx := context.Background()
	entries, err := dir.Search(ctx, "ann@d.test", []string{"userPassword", "mail"})
	if err != nil || len(entries) != 1 || entries[0].GetAttributeValue("userPassword") != "secret" {
		t.Fatalf("as administrator: %v %v", entries, err)
	}
	for password, want := range map[string]bool{"secret": true, "wrong": false, "": false} {
		if ok, err := dir.Check(ctx, "uid=ann,dc=d,dc=test", password); ok != want || err != nil {
			t.Errorf("%q: %v %v", password, ok, err)
		}
	}
	if ok, err := dir.Check(ctx, "uid=none,dc=d,dc=test", "secret"); ok || err != nil {
		t.Errorf("nobody: %v %v", ok, err)
	}
	anonymous, err := Open(write(t, "server_host = "+d.Addr, "search_base = dc=d,dc=test", "query_filter = (mail=%s)", "bind = no"))
	if err != nil {
		t.Fatal(err)
	}
	defer anonymous.Close()
	if entries, err := anonymous.Search(ctx, "ann@d.test", []string{"userPassword"}); err != nil || len(entries) != 1 || entries[0].GetAttributeValue("userPassword") != "" {
		t.Errorf("a stranger reads passwords: %v %v", entries, err)
	}
}

// TestAway: a directory that is not there is a failure, never "no such user".
func TestAway(t *testing.T) {
	addr := testkit.NewClosed(t).Addr()
	m := open(t, "server_host = "+addr, "search_base = dc=d", "timeout = 2")
	if _, found, err := m.Lookup(context.Background(), "a"); err == nil || found {
		t.Errorf("%v %v", found, err)
	}
	for _, bad := range []string{"query_filter = (mail=%s", "scope = some", "bind = sasl", "start_tls = maybe", "search_base = %x"} {
		if _, err := OpenTable("ldap", write(t, bad), table.Options{}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
