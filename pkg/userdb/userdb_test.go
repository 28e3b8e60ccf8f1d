package userdb

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compare = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{})}

const sampleLine = "you@example.com\tuid=1000|gid=1001|home=/home/you|shell=/bin/sh|mail=/var/mail/you|" +
	"quota=1000000S,100C|hmac-md5pw=0123|imappw=x|systempw={SSHA}a=b=|gecos=You & Co|aliases=me@example.com,@example.org|" +
	"disabled=pop3,sieve|networks=192.0.2.0/24,2001:db8::1/128|sendas=@example.net|" +
	"limits=messages_hour=5,recipients_day=7|held=1|options=sharedgroup=x|color=red"

func sampleRecord() *Record {
	return &Record{
		Login: "you@example.com", UID: 1000, GID: 1001, Home: "/home/you", MailDir: "/var/mail/you",
		Quota: "1000000S,100C", Name: "You & Co",
		Hashes:   map[string]string{"hmac-md5pw": "0123", "imappw": "x", "systempw": "{SSHA}a=b="},
		Aliases:  []string{"me@example.com", "@example.org"},
		Disabled: []string{"pop3", "sieve"},
		Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/128")},
		SendAs:   []string{"@example.net"},
		Limits:   Limits{MessagesHour: 5, RecipientsDay: 7},
		Held:     true,
		Options:  map[string]string{"sharedgroup": "x"},
		Fields:   map[string]string{"shell": "/bin/sh", "color": "red"},
	}
}

func TestParseAndFormat(t *testing.T) {
	r, err := ParseLine(sampleLine + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleRecord(), r, compare); diff != "" {
		t.Errorf("parsed record (-want +got):\n%s", diff)
	}
	line, err := r.Format()
	if err != nil || line != sampleLine {
		t.Errorf("Format: %v\n got %s\nwant %s", err, line, sampleLine)
	}
}

func TestParseFields(t *testing.T) {
	for _, tt := range []struct {
		name, fields string
		want         Record
	}{
		{"none", "", Record{UID: -1, GID: -1}},
		{"last of two", "uid=1|uid=2", Record{UID: 2, GID: -1}},
		{"relative mail", "mail=./Maildir/|home=/home/x/", Record{UID: -1, GID: -1, Home: "/home/x", MailDir: "/home/x/Maildir"}},
		{"courier options", "options=disableimap=1,disablepop3=0,disableshared=yes,group=a",
			Record{UID: -1, GID: -1, Disabled: []string{"imap", "shared"}, Options: map[string]string{"group": "a"}}},
		{"empty items", "||uid=5||", Record{UID: 5, GID: -1}},
		{"address as network", "networks=192.0.2.9, ::ffff:192.0.2.7", Record{UID: -1, GID: -1,
			Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32"), netip.MustParsePrefix("192.0.2.7/32")}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse("x", tt.fields)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Login = "x"
			if diff := cmp.Diff(&tt.want, got, compare); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for _, line := range []string{
		"no tab here", "\tuid=1", "a|b\tuid=1", "a/b\tuid=1", "x\tuid=-1", "x\tuid=4294967295", "x\tgid=", "x\thome=home",
		"x\thome=/a/../b", "x\tmail=Maildir", "x\tquota=many", "x\tquota=5SC", "x\tquota=5S,6S", "x\tquota=5S,1C,6", "x\tquota=1C,1C", "x\tnetworks=192.0.2.0/33", "x\tlimits=hour=5",
		"x\tlimits=messages_hour=-5", "x\theld=maybe", "x\tdisabled=Im/ap", "x\taliases=a,\x01",
		"x\tgecos=a\rb", "x\taliases=" + strings.Repeat("a,", MaxAliases), "x\t" + strings.Repeat("a=b|", maxFields),
		strings.Repeat("x", MaxLogin+1) + "\tuid=1",
	} {
		if r, err := ParseLine(line); err == nil {
			t.Errorf("ParseLine(%.60q) = %v, want an error", line, r)
		}
	}
	if _, err := ParseLine("x secret=abc"); err == nil || strings.Contains(err.Error(), "abc") {
		t.Errorf("the message shows a value: %v", err)
	}
}

func TestFormatRefusesSeparators(t *testing.T) {
	for _, change := range []func(*Record){
		func(r *Record) { r.Name = "a|systempw=x" },
		func(r *Record) { r.Name = "a\nroot\tuid=0" },
		func(r *Record) { r.Login = "a\tb" },
		func(r *Record) { r.Home = "home" },
		func(r *Record) { r.Fields["a=b"] = "x" },
		func(r *Record) { r.Aliases = []string{"a\tb"} },
	} {
		r := sampleRecord()
		change(r)
		if line, err := r.Format(); err == nil {
			t.Errorf("Format wrote %q", line)
		}
	}
}

func TestPasswordOfService(t *testing.T) {
	r := &Record{Hashes: map[string]string{"systempw": "all", "imappw": "imap", "esmtppw": "smtp", "hmac-md5pw": "cram", "pop3-hmac-md5pw": "cram3"}}
	for _, tt := range []struct{ service, kind, want string }{
		{"imap", "pw", "imap"}, {"pop3", "pw", "all"}, {"smtp", "pw", "smtp"}, {"submission", "pw", "smtp"}, {"", "pw", "all"},
		{"imap", "hmac-md5pw", "cram"}, {"pop3", "hmac-md5pw", "cram3"}, {"imap", "scram-sha-256pw", ""},
	} {
		if got, ok := r.Hash(tt.service, tt.kind); got != tt.want || ok != (tt.want != "") {
			t.Errorf("Hash(%q, %q) = %q, %v, want %q", tt.service, tt.kind, got, ok, tt.want)
		}
	}
}

func TestRights(t *testing.T) {
	r := sampleRecord()
	if !r.IsDisabled("pop3") || r.IsDisabled("imap") {
		t.Error("IsDisabled")
	}
	if !r.MayConnectFrom(netip.MustParseAddr("::ffff:192.0.2.7")) || r.MayConnectFrom(netip.MustParseAddr("192.0.3.7")) {
		t.Error("MayConnectFrom")
	}
	if c := r.WithoutHashes(); c.Hashes != nil || r.Hashes == nil || c.Login != r.Login {
		t.Error("WithoutHashes")
	}
}

// write makes a file with mode 0600 and its directories with 0700.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, path string) *DB {
	t.Helper()
	db, err := Open(path, Options{Owner: AnyOwner})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func wantLogin(t testing.TB, db *DB, name, login string) {
	t.Helper()
	r, err := db.Lookup(name)
	if login == "" {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("Lookup(%q) = %v, %v, want unknown", name, r, err)
		}
		return
	}
	if err != nil || r.Login != login {
		t.Errorf("Lookup(%q) = %v, %v, want %s", name, r, err, login)
	}
}

func TestLookup(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/db/example.com", "# users\n\nyou@example.com\tuid=1|aliases=me@example.com, @example.com\n1=\tyou\nOther\tuid=2\n")
	write(t, dir+"/db/sub/example.net", "a@example.net\tuid=3\nyou@example.com\tuid=4\n")
	write(t, dir+"/db/.hidden", "h\tuid=3\n")
	if err := os.Symlink("/dev/null", dir+"/db/off"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir+"/db", 0o700); err != nil {
		t.Fatal(err)
	}
	var problems []string
	db, err := Open(dir+"/db/", Options{Owner: AnyOwner, Problem: func(err error) { problems = append(problems, err.Error()) }})
	if err != nil {
		t.Fatal(err)
	}
	for name, login := range map[string]string{
		"you@example.com": "you@example.com", "YOU@Example.COM": "you@example.com", "me@example.com": "you@example.com",
		"other": "Other", "a@example.net": "a@example.net",
		"h": "", "1=": "", "@example.com": "", "": "", "nobody@example.com": "", "you@example.com\tx": "", "you@example.com|": "",
	} {
		wantLogin(t, db, name, login)
	}
	if len(problems) != 1 || !strings.Contains(problems[0], "/sub/example.net:2: ") || !strings.HasSuffix(problems[0], "/example.com:3") {
		t.Errorf("problems: %q", problems)
	}
	for address, login := range map[string]string{
		"you+x@example.com": "you@example.com", "new@example.com": "you@example.com", "a+b+c@example.net": "a@example.net", "a-b@example.net": "",
		"+a@example.net": "", "other+x": "Other", "": "", "@": "", "@example.com": "you@example.com",
	} {
		r, err := db.Resolve(address, "+")
		if login == "" != errors.Is(err, ErrUnknown) || r != nil && r.Login != login {
			t.Errorf("Resolve(%q) = %v, %v, want %q", address, r, err, login)
		}
	}
}

func TestBadLineIsNotUnknown(t *testing.T) {
	path := t.TempDir() + "/userdb"
	write(t, path, "good\tuid=1\nbad\tuid=one\n")
	_, err := open(t, path).Lookup("bad")
	if err == nil || errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), path+":2: uid") {
		t.Errorf("error of a bad line: %v", err)
	}
}

// TestQuotaForm: a number alone is bytes, and whoever enforces a quota reads it so.
func TestQuotaForm(t *testing.T) {
	for text, want := range map[string]string{"": "", "5": "5S", "5S": "5S", "7C": "7C", "5,7C": "5S,7C", "7C,5S": "7C,5S"} {
		r, err := ParseLine("x\tquota=" + text)
		if err != nil || r.Quota != want {
			t.Errorf("quota=%s: %v, %v, want %s", text, r, err, want)
		}
	}
}
