package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// desk is an administrator with a configuration.
type desk struct {
	t   *testing.T
	dir string
}

// newDesk has an account that may own mailboxes: the caller, or as root nobody.
func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t, t.TempDir()}
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 65534, 65534
		os.Chmod(d.dir, 0o755)
		os.Chmod(filepath.Dir(d.dir), 0o755)
	}
	d.write("main.cf", fmt.Sprintf("myhostname = m.example.test\nmail_uid = %d\nmail_gid = %d\nmail_home = %s/mail/%%d/%%n\ncommand_directory = %s\n"+
		"password_scheme = SSHA256\nrecipient_delimiter = +\n", uid, gid, d.dir, testkit.Bin(t)))
	return d
}

func (d *desk) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// run runs posthouse with words; the password for those that want one is stdin.
func (d *desk) run(stdin string, args ...string) (string, error) {
	d.t.Helper()
	d.write("stdin", stdin)
	in, err := os.Open(filepath.Join(d.dir, "stdin"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer in.Close()
	old := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = old }()
	var out bytes.Buffer
	a := &app{out: &out, err: &out}
	err = a.dispatch(append([]string{"-c", d.dir}, args...))
	return out.String(), err
}

func (d *desk) must(stdin string, args ...string) string {
	d.t.Helper()
	out, err := d.run(stdin, args...)
	if err != nil {
		d.t.Fatalf("posthouse %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (d *desk) refused(args ...string) string {
	d.t.Helper()
	out, err := d.run("", args...)
	if err == nil {
		d.t.Errorf("posthouse %s succeeded: %s", strings.Join(args, " "), out)
		return out
	}
	return out + err.Error()
}

func (d *desk) record(login string) *userdb.Record {
	d.t.Helper()
	db, err := userdb.Open(filepath.Join(d.dir, "userdb"), userdb.Options{Owner: userdb.AnyOwner})
	if err != nil {
		d.t.Fatal(err)
	}
	r, err := db.Lookup(login)
	if err != nil {
		d.t.Fatalf("%s: %v", login, err)
	}
	return r
}

func (d *desk) verifies(login, field, plaintext string) {
	d.t.Helper()
	stored := d.record(login).Hashes[field]
	if ok, err := password.Verify(stored, plaintext); !ok || err != nil {
		d.t.Errorf("%s of %s is %q: %v, %v", field, login, stored, ok, err)
	}
}

func TestUserCommands(t *testing.T) {
	d := newDesk(t)
	d.must("secret\n", "user", "add", "you@example.com", "--password-file", "-", "--name", "You", "--alias", "me@example.com", "--quota", "1000000S")
	out := d.must("", "user", "add", "ann@example.com", "--cram-md5", "--scram")
	word := out[strings.LastIndexByte(strings.TrimSpace(out), ' ')+1:]
	d.verifies("you@example.com", "systempw", "secret")
	d.verifies("ann@example.com", "systempw", strings.TrimSpace(word))
	d.verifies("ann@example.com", "scram-sha-256pw", strings.TrimSpace(word))
	if s, err := password.CramMD5(d.record("ann@example.com").Hashes["hmac-md5pw"]); err != nil || s.String() == "" {
		t.Errorf("hmac-md5pw: %v", err)
	}
	for _, path := range []string{"you/Maildir/cur", "you/Maildir/maildirsize", "ann/Maildir/new"} {
		if _, err := os.Stat(filepath.Join(d.dir, "mail/example.com", path)); err != nil {
			t.Error(err)
		}
	}
	// Comments and order stay, whatever the commands do.
	file := filepath.Join(d.dir, "userdb/example.com")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d.write("userdb/example.com", "# our users\n"+string(text)+"# end\n")
	d.must("new\n", "user", "passwd", "ann@example.com", "--password-file", "-")
	d.verifies("ann@example.com", "systempw", "new")
	d.verifies("ann@example.com", "scram-sha-1pw", "new")
	d.must("imap\n", "user", "passwd", "you@example.com", "--service", "imap", "--password-file", "-", "--scheme", "SHA512-CRYPT")
	d.verifies("you@example.com", "imappw", "imap")
	d.verifies("you@example.com", "systempw", "secret")
	d.must("", "user", "set", "you@example.com", "disabled=pop3", "networks=192.0.2.0/24", "quota=")
	d.must("", "user", "hold", "you@example.com")
	if r := d.record("you@example.com"); !r.Held || !r.IsDisabled("pop3") || r.Quota != "" || r.Name != "You" {
		t.Errorf("after set and hold: %+v", r)
	}
	list := d.must("", "user", "list")
	if !strings.Contains(list, "you@example.com") || !strings.Contains(list, "held; without pop3; You") || !strings.Contains(list, "ann@example.com\n") {
		t.Errorf("list:\n%s", list)
	}
	if l := d.must("", "user", "list", "example.org"); l != "" {
		t.Errorf("list of another domain: %s", l)
	}
	show := d.must("", "user", "show", "me+x@example.com")
	for _, want := range []string{"login        you@example.com", "systempw     {SSHA256}...", "imappw       $6$...", "held", "networks     192.0.2.0/24"} {
		if !strings.Contains(show, want) {
			t.Errorf("show lacks %q:\n%s", want, show)
		}
	}
	d.must("", "user", "release", "you@example.com")
	if d.record("you@example.com").Held {
		t.Error("still held")
	}
	out = d.must("", "user", "delete", "ann@example.com")
	if !strings.Contains(out, "mail/example.com/ann/Maildir is left as it is") {
		t.Errorf("delete: %s", out)
	}
	after, _ := os.ReadFile(file)
	if s := string(after); !strings.HasPrefix(s, "# our users\nyou@example.com\t") || !strings.HasSuffix(s, "# end\n") || strings.Contains(s, "ann") {
		t.Errorf("the file is now\n%s", s)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestQuota: add and set write the quota in the record's form, and refuse any
// other before they change something.
func TestQuota(t *testing.T) {
	d := newDesk(t)
	const you = "you@example.com"
	for _, args := range [][]string{{"--quota", "1G", "--random"}, {"--quota", "-5S"}, {"--quota", "5SC"}, {"--quota", "5S|uid=0"}} {
		out := d.refused(append([]string{"user", "add", you}, args...)...)
		if !strings.Contains(out, "is not of the form 1000000S,1000C") || strings.Contains(out, "password of") {
			t.Errorf("user add %q: %s", args, out)
		}
	}
	d.must("", "user", "add", you, "--no-password", "--quota", "1000000S")
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"--quota", "2000000S,100C"}, "2000000S,100C"},
		{[]string{"--quota=5C", "gecos=You"}, "5C"},
		{[]string{"gecos=You There"}, "5C"},
		{[]string{"--quota", ""}, ""},
		{[]string{"--quota", "8"}, "8S"},
		{[]string{"quota=9"}, "9S"},
		{[]string{"quota=7S"}, "7S"},
	} {
		d.must("", append([]string{"user", "set", you}, step.args...)...)
		if r := d.record(you); r.Quota != step.want {
			t.Errorf("after user set %q the quota is %q", step.args, r.Quota)
		}
	}
	for want, args := range map[string][]string{
		`is not of the form 1000000S,1000C: "1G"`:   {"--quota", "1G"},
		`is not of the form 1000000S,1000C: "5S,x"`: {"gecos=x", "--quota", "5S,x"},
		`two limits of the kind S: "5S,6S"`:         {"--quota", "5S,6S"},
		`two limits of the kind C: "1C,5,2C"`:       {"quota=1C,5,2C"},
		"--quota and quota= exclude each":           {"--quota", "5S", "quota=6S"},
		"needs an argument":                         {"--quota"},
		"user set: an argument is missing":          nil,
		`"word" is not of the form`:                 {"gecos=x", "word"},
	} {
		if out := d.refused(append([]string{"user", "set", you}, args...)...); !strings.Contains(out, want) {
			t.Errorf("user set %q: %s", args, out)
		}
	}
	if r := d.record(you); r.Quota != "7S" || r.Name != "You There" {
		t.Errorf("what was refused counts: %+v", r)
	}
	d.refused("user", "set", "nobody@example.com", "--quota", "5S")
}

func TestUserRefusals(t *testing.T) {
	d := newDesk(t)
	d.must("", "user", "add", "you@example.com", "--alias", "me@example.com", "--no-password")
	for _, args := range [][]string{
		{"user"}, {"user", "frob"}, {"user", "add"}, {"user", "add", "a b@example.com"}, {"user", "add", "@example.com"}, {"user", "add", "x@exa mple"},
		{"user", "add", "you@example.com"}, {"user", "add", "me@example.com"}, {"user", "add", "x@example.com", "--alias", "YOU@example.com"},
		{"user", "add", "x@example.com", "--quota", "much"}, {"user", "add", "x@example.com", "--home", "home"}, {"user", "add", "x@example.com", "--name", "a|b"},
		{"user", "add", "x@example.com", "--scheme", "rot13"}, {"user", "add", "x@example.com", "--uid", "0", "--gid", "5"},
		{"user", "passwd", "nobody@example.com"}, {"user", "passwd", "you@example.com", "--service", "i/map"}, {"user", "delete", "nobody"},
		{"user", "set", "you@example.com", "uid=x"}, {"user", "set", "you@example.com", "word"}, {"user", "set", "you@example.com"}, {"user", "show", "nobody@example.com"},
		{"user", "import"}, {"user", "import", "nis"}, {"user", "import", "dovecot", "/no/such/file"}, {"domain"}, {"domain", "add", "a b"}, {"domain", "alias", "a.test"},
	} {
		d.refused(args...)
	}
	if text, err := os.ReadFile(d.dir + "/userdb/example.com"); err != nil || strings.Count(string(text), "\n") != 1 {
		t.Errorf("the database changed: %q, %v", text, err)
	}
}

func TestDomainCommands(t *testing.T) {
	d := newDesk(t)
	out := d.must("", "domain", "add", "Example.COM")
	if !strings.Contains(out, "virtual_mailbox_domains in main.cf does not name") {
		t.Errorf("no hint: %s", out)
	}
	d.write("main.cf", "myhostname = m.example.test\ncommand_directory = "+testkit.Bin(t)+"\nvirtual_mailbox_domains = hash:$config_directory/hosteddomains.map\n")
	if out := d.must("", "domain", "alias", "example.net", "example.com"); out != "" {
		t.Errorf("domain alias: %s", out)
	}
	d.write("hosteddomains", "# ours\nexample.com\n\nexample.net\texample.com\n")
	d.must("", "domain", "add", "example.org")
	if got := d.must("", "domain", "list"); got != "example.com\n"+fmt.Sprintf("%-40s alias of example.com\n", "example.net")+"example.org\n" {
		t.Errorf("list:\n%s", got)
	}
	text, err := os.ReadFile(d.dir + "/hosteddomains.map")
	if err != nil || !strings.HasSuffix(string(text), "\nexample.com\texample.com\nexample.net\texample.com\nexample.org\texample.org\n") {
		t.Errorf("table: %v\n%s", err, text)
	}
	d.refused("domain", "add", "example.org")
	d.refused("domain", "alias", "a.test", "b.test")
	d.refused("domain", "delete", "example.com") // has an alias
	d.refused("domain", "delete", "nowhere.test")
	d.must("", "domain", "delete", "example.net")
	if err := os.Mkdir(d.dir+"/userdb", 0o700); err != nil {
		t.Fatal(err)
	}
	d.write("userdb/x", "you@example.com\tuid=5\n")
	d.refused("domain", "delete", "example.com") // has a user
	d.must("", "domain", "delete", "example.org")
	if text, err := os.ReadFile(d.dir + "/hosteddomains"); err != nil || string(text) != "# ours\nexample.com\n\n" {
		t.Errorf("file: %q, %v", text, err)
	}
}

func TestImport(t *testing.T) {
	d := newDesk(t)
	d.write("passwd", "root:x:0:0:root:/root:/bin/sh\nyou:x:1000:1000:You There,,,:/home/you:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n")
	d.write("shadow", "you:$6$salt$hash:1::\n")
	d.must("", "user", "import", "passwd", d.dir+"/passwd", "--shadow", d.dir+"/shadow", "--domain", "example.com", "--mail", "%h/Maildir")
	r := d.record("you@example.com")
	if r.UID != 1000 || r.Home != "/home/you" || r.MailDir != "/home/you/Maildir" || r.Name != "You There" || r.Hashes["systempw"] != "$6$salt$hash" || r.Fields["shell"] != "/bin/bash" {
		t.Errorf("from passwd: %+v", r)
	}
	d.write("dovecot", "ann@example.org:{SSHA}abc:1001:1001::/home/ann::userdb_mail=maildir:~/mail userdb_quota_rule=*:storage=2G allow_nets=192.0.2.0/24\nbob@example.org:{PLAIN}x::::\n")
	d.must("", "user", "import", "dovecot", d.dir+"/dovecot")
	r = d.record("ann@example.org")
	if r.UID != 1001 || r.MailDir != "/home/ann/mail" || r.Quota != "2147483648S" || len(r.Networks) != 1 || r.Hashes["systempw"] != "{SSHA}abc" {
		t.Errorf("from a passwd-file: %+v", r)
	}
	if r = d.record("bob@example.org"); r.UID != -1 || r.Home != "" {
		t.Errorf("from a short line: %+v", r)
	}
	d.write("courier", "# Courier\ncal@example.org\tuid=5|gid=5|home=/x|systempw=$1$a$b\nann@example.org\tuid=7\n5=\tcal\nbad\tuid=x\n")
	out, err := d.run("", "user", "import", "userdb", d.dir+"/courier")
	if !errors.Is(err, errQuiet) || !strings.Contains(out, "courier:5: uid is not a number") || !strings.Contains(out, "ann@example.org is there already") || !strings.Contains(out, "1 users imported, 1 left out") {
		t.Errorf("import of a Courier database: %v\n%s", err, out)
	}
	d.record("cal@example.org")
	d.must("", "user", "import", "userdb", d.dir+"/courier", "--replace")
	if r = d.record("ann@example.org"); r.UID != 7 {
		t.Errorf("replaced: %+v", r)
	}
	before, _ := os.ReadFile(d.dir + "/userdb/example.org")
	out = d.must("", "user", "import", "dovecot", d.dir+"/dovecot", "--dry-run", "--replace")
	after, _ := os.ReadFile(d.dir + "/userdb/example.org")
	if !strings.Contains(out, "ann@example.org\tuid=1001") || strings.Contains(out, "SSHA") || string(before) != string(after) {
		t.Errorf("dry run: %s", out)
	}
}
