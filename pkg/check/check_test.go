package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// master is a master.cf of which the programs exist.
const master = "smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\nlocal unix - n n - - local\n" +
	"virtual unix - n n - - virtual\nrelay unix - - n - - smtp\nlmtp unix - - n - - lmtp\nerror unix - - n - - error\nproxymap unix - - n - - proxymap\n"

// site makes a configuration directory of files, and returns the findings
// without its path.
func site(t *testing.T, files map[string]string) (dir string, findings func() string) {
	t.Helper()
	dir = t.TempDir()
	daemons := filepath.Join(dir, "daemons")
	if err := os.Mkdir(daemons, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"smtpd", "smtp", "local", "virtual", "lmtp", "error", "proxymap"} {
		if err := os.WriteFile(filepath.Join(daemons, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if files["master.cf"] == "" {
		files["master.cf"] = master
	}
	if !strings.Contains("\n"+files["main.cf"], "\nalias_maps") {
		files["main.cf"] += "alias_maps =\n"
	}
	files["main.cf"] = strings.ReplaceAll(files["main.cf"], "DIR", dir) + "daemon_directory = " + daemons + "\n" +
		"alias_database =\ncompatibility_level = 3.6\nmyhostname = host.example.com\n"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func() string {
		problems, err := All(dir)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, p := range problems {
			b.WriteString(strings.ReplaceAll(p.String(), dir+"/", "") + "\n")
		}
		return b.String()
	}
}

func TestAll(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"missing table", map[string]string{"main.cf": "alias_maps =\nvirtual_alias_maps = inline:{a=b}\n  hash:DIR/virtual\n"},
			"main.cf:3:3: error: virtual_alias_maps: open table hash:virtual: open database virtual.cdb: "},
		{"missing texthash", map[string]string{"main.cf": "transport_maps = texthash:DIR/tr\n"}, "main.cf:1:18: error: transport_maps: open table"},
		{"text without value", map[string]string{"main.cf": "virtual_alias_maps = hash:DIR/virtual\n", "virtual": "# c\na@b c@d\nlonely\n"},
			"virtual:3: error: "},
		{"duplicate", map[string]string{"main.cf": "virtual_alias_maps = hash:DIR/virtual\n", "virtual": "a@b c@d\nA@b e@f\n"},
			`virtual:2: warning: duplicate entry "A@b", first on line 1`},
		{"not UTF-8", map[string]string{"main.cf": "compatibility_level = 3.6\nvirtual_alias_maps = hash:DIR/virtual\n", "virtual": "a@b c@d\ncaf\xe9@b c@d\n"},
			`virtual:2: error: non-UTF-8 input "caf?@b c@d"`},
		{"indented", map[string]string{"main.cf": "virtual_alias_maps = hash:DIR/virtual\n", "virtual": "\n a@b c@d\n"},
			`virtual:2: error: logical line must not start with whitespace: " a@b c@d"`},
		{"indented rule", map[string]string{"main.cf": "header_checks = regexp:DIR/checks\n", "checks": "# c\n /a/ OK\n/b/ REJECT\n"},
			`checks:2: error: logical line must not start with whitespace: " /a/ OK"`},
		{"alias", map[string]string{"main.cf": "alias_maps = hash:DIR/aliases\n", "aliases": "root: joe\njoe: a@b, :include:relative\n"},
			"aliases:2: error: "},
		{"rule", map[string]string{"main.cf": "header_checks = regexp:DIR/checks\n", "checks": "/a/ OK\n/b(/ REJECT\n"},
			"checks:2: warning: "},
		{"type", map[string]string{"main.cf": "virtual_alias_maps = nis:DIR/x\n"}, "main.cf:1:22: error: virtual_alias_maps: nis:x: nis tables are not supported"},
		{"database", map[string]string{"main.cf": "virtual_alias_maps = mysql:DIR/x\n"}, "main.cf:1:22: error: virtual_alias_maps: open x: no such file"},
		{"misspelt type", map[string]string{"main.cf": "virtual_alias_maps = hsah:DIR/x\n"}, `there is no table type "hsah"`},
		{"restriction", map[string]string{"main.cf": "smtpd_sender_restrictions = permit_mynetworks,\n    reject_unauth_pipeling\n"},
			`main.cf:2:5: error: smtpd_sender_restrictions: unknown smtpd restriction: "reject_unauth_pipeling"`},
		{"table in a restriction", map[string]string{"main.cf": "smtpd_sender_restrictions = check_sender_access hash:DIR/senders\n"},
			"main.cf:1:49: error: smtpd_sender_restrictions: open table hash:senders"},
		{"open relay", map[string]string{"main.cf": "smtpd_relay_restrictions = permit_mynetworks\n"}, "main.cf:1:28: error: smtpd_relay_restrictions and"},
		{"override", map[string]string{"master.cf": strings.Replace(master, "- smtpd\n", "- smtpd -o smtpd_client_restrictions=permit_mynetwork\n", 1)},
			`master.cf:1: error: smtpd_client_restrictions: unknown smtpd restriction: "permit_mynetwork"`},
		{"program", map[string]string{"master.cf": master + "x unix - n n - - nosuch\n"}, "master.cf:9: error: service x: stat daemons/nosuch: no such file"},
		{"helper", map[string]string{"master.cf": master + "scache unix - - n - 1 scache\n"}, "master.cf:9: warning: service scache: this suite has no scache"},
		{"pipe", map[string]string{"master.cf": master + "x unix - n n - - pipe flags=R user=x argv=/bin/cat\n"}, "master.cf:9: warning: service x: this suite has no pipe"},
		{"transport", map[string]string{"main.cf": "mailbox_transport = dovecot\n"}, `main.cf:1:21: error: mailbox_transport: master.cf has no service "dovecot" of type unix`},
		{"proxy", map[string]string{"main.cf": "virtual_alias_maps = proxy:hash:DIR/v\n", "v": "a b\n", "master.cf": strings.Replace(master, "proxymap unix", "pm unix", 1)},
			"no service proxymap"},
		{"pattern file", map[string]string{"main.cf": "mynetworks = DIR/nets\n"}, "main.cf:1:14: error: mynetworks: open nets"},
		{"unused", map[string]string{"virtual": "a b\n", "virtual.cdb": ""}, "virtual: note: no parameter uses this table"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, findings := site(t, test.files)
			if got := findings(); !strings.Contains(got, test.want) {
				t.Errorf("got:\n%s\nwant: %s", got, test.want)
			}
		})
	}
}

// TestOnce holds that a table that is not there is reported where it is named, and not
// at the default that repeats the name.
func TestOnce(t *testing.T) {
	_, findings := site(t, map[string]string{"main.cf": "alias_maps = hash:DIR/none\n"})
	if got := findings(); strings.Count(got, "open database") != 1 || !strings.Contains(got, "main.cf:1:14: error: alias_maps: ") {
		t.Errorf("got:\n%s", got)
	}
}

// TestQuiet holds that a sound site, with a bit of everything, has no errors.
func TestQuiet(t *testing.T) {
	_, findings := site(t, map[string]string{"main.cf": "virtual_alias_maps = hash:DIR/virtual, proxy:unix:passwd.byname\n" +
		"smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache\ndefault_transport = smtp:[localhost]:25\n" +
		"smtpd_restriction_classes = cls\ncls = check_sender_access inline:{a=OK}, reject\nmilter_default_action = accept\n" +
		"smtpd_recipient_restrictions = cls, check_client_access cidr:{{192.0.2.0/24 OK}}\nsmtpd_milters = unix:private/milter, inet:localhost:9\n",
		"virtual": "a@b c@d\n"})
	for line := range strings.Lines(findings()) {
		if !strings.Contains(line, "not obeyed") && !strings.Contains(line, "note:") {
			t.Errorf("reported: %s", line)
		}
	}
}

func TestModes(t *testing.T) {
	dir, findings := site(t, map[string]string{"main.cf": "virtual_alias_maps = hash:DIR/virtual\n", "virtual": "a b\n", "virtual.cdb": ""})
	if err := os.Chmod(filepath.Join(dir, "virtual"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "main.cf"), 0o646); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "virtual.cdb"), old, old); err != nil {
		t.Fatal(err)
	}
	got := findings()
	for _, want := range []string{
		"virtual: warning: everybody may write it (mode 0666); run `chmod o-w virtual`",
		"everybody may write it (mode 0646); run `chmod o-w main.cf`",
		"virtual.cdb is older than virtual, and is not used; run `postmap hash:virtual`",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got:\n%s\nwant: %s", got, want)
		}
	}
}
