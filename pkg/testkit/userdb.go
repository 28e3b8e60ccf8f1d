package testkit

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// BoxOwner returns whose the mailboxes of instances are.
func BoxOwner(t testing.TB) (uid, gid int) {
	t.Helper()
	return ids(t, "posthouse-box")
}

// ids returns the uid and gid of a system user of instances, which is the
// caller where nobody changes ids.
func ids(t testing.TB, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Current()
	if err == nil && u.Uid == "0" {
		u, err = user.Lookup(name)
	}
	if err != nil {
		t.Fatal(err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	return uid, gid
}

// Maildir is the path of a user's inbox.
func (i *Instance) Maildir(name string) string {
	return filepath.Join(i.Dir, "mail", Domain, name)
}

// UserDB writes the user database that authd reads: users of the domain with
// their mailboxes, and one password for all. Further fields, as in
// "quota=1000S", hold for all.
func (i *Instance) UserDB(t testing.TB, password string, names []string, fields ...string) {
	t.Helper()
	uid, gid := BoxOwner(t)
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "%s@%s\tuid=%d|gid=%d|home=%s|mail=%s|systempw={PLAIN}%s", n, Domain, uid, gid, i.Maildir(n), i.Maildir(n), password)
		for _, f := range fields {
			b.WriteString("|" + f)
		}
		b.WriteString("\n")
	}
	i.WriteUserDB(t, b.String())
}

// WriteUserDB makes text the user database that authd reads.
func (i *Instance) WriteUserDB(t testing.TB, text string) {
	t.Helper()
	// The database that init made gives way.
	path := i.Etc("userdb")
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		uid, gid := ids(t, "posthouse-auth")
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
}
