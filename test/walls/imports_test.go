// Package walls has the tests that keep the architecture: which package may
// use which, what a binary must not contain, and the house rules on sources.
package walls

import (
	"encoding/json"
	"os/exec"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

const module = "github.com/posthouse-mail/posthouse/"

// rows are the packages below pkg from the bottom up: a package may import
// those of lower rows, and of its own row when the later in the list uses the
// earlier.
var rows = [][]string{
	{"nowait", "crew", "pace"},
	{"getopt", "printable", "address", "status", "safefile", "cdb", "bdb", "maildir/notice", "maildir", "mbox", "mime", "alias", "dkim", "mutf7"},
	{"mailstore/crlf", "mailstore/uidlist", "mailstore/index", "mailstore/changelog", "mailstore/takeover", "mailstore/maildirsize", "mailstore/fulltext", "mailstore"},
	{"ipc", "pam", "imapwire", "mime/structure", "envelope", "config", "bouncetext", "maillog", "userdb", "password", "authclient", "authclient/authtest"},
	{"jail", "sched", "queue", "queue/bouncelog", "queue/listing", "table/text", "table/pattern", "table/pcre/engine", "table/pcre", "table", "table/keys", "table/dbfile", "table/sqltable", "table/ldaptable", "table/databases", "queuetool", "dns", "dns/dnstest"},
	{"bearer", "sasl", "smtpwire", "tlspolicy", "tlskeys", "rewrite", "anvilclient", "flushclient", "dropclient", "inject", "transcript", "bounceclient", "deliver", "access", "worker", "depositclient", "dovecotauth", "session", "usertool", "usertool/secret"},
	{"smtpserver", "smtpclient", "nexthop", "pop3server", "inflate", "imapserver", "check"},
	{"service/masterlink", "service", "intake", "login"},
}

// exceptions are imports against the rows, each with its reason.
var exceptions = map[string]string{}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Doc        string
	Name       string
	Dir        string
	CgoFiles   []string
}

// list runs go list -json on the patterns.
func list(t *testing.T, patterns ...string) []goPackage {
	t.Helper()
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps,Doc,Name,Dir,CgoFiles"}, patterns...)...)
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	return packages
}

// position returns the row of a package and its place in it.
func position(name string) (row, place int, ok bool) {
	for r, names := range rows {
		for p, n := range names {
			if n == name {
				return r, p, true
			}
		}
	}
	return 0, 0, false
}

func TestImportsGoDownward(t *testing.T) {
	for _, p := range list(t, "./pkg/...") {
		name := strings.TrimPrefix(p.ImportPath, module+"pkg/")
		if name == "testkit" || name == "refpostfix" || name == "refdovecot" {
			continue
		}
		row, place, ok := position(name)
		if !ok {
			t.Errorf("pkg/%s is in no row: add it to rows in %s", name, "test/walls/imports_test.go")
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module) {
				continue
			}
			short := strings.TrimPrefix(imp, module+"pkg/")
			r, pl, ok := position(short)
			if !ok || r > row || r == row && pl >= place {
				if exceptions[name+" "+short] == "" {
					t.Errorf("pkg/%s (row %d) imports %s (row %d): imports go downward only", name, row, short, r)
				}
			}
		}
	}
}

// forbidden says what a program must not contain, and why.
var forbidden = []struct {
	programs []string
	packages []string
	reason   string
}{
	{[]string{"qmgr", "cleanup", "bounce", "pickup", "showq", "anvil", "flush", "error", "discard", "trivial-rewrite", "local", "virtual", "pipe", "deposit", "asuser", "master", "postlogd"},
		[]string{"crypto/tls", "net/http", "database/sql", "github.com/emersion/go-smtp"},
		"it neither speaks TLS nor to a database, and holds all mail"},
	{[]string{"master", "smtpd", "submission", "smtp", "tlsmgr"},
		// proxymap is not in the list: go-ldap imports it for a way to log in
		// that nobody uses.
		[]string{"net/http"}, "nothing here speaks HTTP"},
	{[]string{"cmd/postdrop"},
		[]string{"crypto/tls", "net/http", "github.com/miekg/dns", module + "pkg/service"},
		"it is setgid: as little code as can be"},
}

// passwordPrograms may see passwords and their hashes.
var passwordPrograms = []string{"authd", "cmd/userdbpw", "cmd/authtest", "cmd/posthouse"}

func TestForbiddenDependencies(t *testing.T) {
	deps := map[string]map[string]bool{}
	for _, p := range list(t, "./...") {
		if p.Name != "main" {
			continue
		}
		set := map[string]bool{}
		for _, d := range p.Deps {
			set[d] = true
		}
		deps[strings.TrimPrefix(p.ImportPath, module)] = set
	}
	for _, rule := range forbidden {
		for _, program := range rule.programs {
			set, ok := deps[program]
			if !ok {
				t.Errorf("no program %s", program)
				continue
			}
			for _, d := range rule.packages {
				if set[d] {
					t.Errorf("%s links %s: %s", program, d, rule.reason)
				}
			}
		}
	}
	drivers := []string{"github.com/jackc/pgx/v5", "github.com/go-sql-driver/mysql", "modernc.org/sqlite", "github.com/go-ldap/ldap/v3"}
	for program, set := range deps {
		for _, d := range drivers {
			if set[d] && program != "proxymap" && program != "cmd/postmap" && program != "authd" {
				t.Errorf("%s links %s: only proxymap, postmap and authd may", program, d)
			}
		}
		if set[module+"pkg/password"] && !slices.Contains(passwordPrograms, program) {
			t.Errorf("%s links pkg/password: only authd and the commands that make passwords may", program)
		}
	}
}

// TestNoCgo: with cgo a program could not drop the rights of all its threads.
func TestNoCgo(t *testing.T) {
	for _, p := range list(t, "-deps", "./...") {
		if len(p.CgoFiles) > 0 || p.ImportPath == "C" {
			t.Errorf("%s uses cgo: %v", p.ImportPath, p.CgoFiles)
		}
	}
}

// TestPackageComments: each package says what it is for, and each program's
// comment is its manual page.
func TestPackageComments(t *testing.T) {
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(name, "test/") {
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", name)
		}
	}
}

// thirdParty says which package may use which outside library, so that it
// could be replaced in one place.
var thirdParty = map[string][]string{
	"github.com/go-crypt/x":          {"pkg/password"},
	"golang.org/x/crypto":            {"pkg/password"},
	"github.com/miekg/dns":           {"pkg/dns", "pkg/dns/dnstest"},
	"github.com/emersion/go-smtp":    {"pkg/smtpserver", "pkg/smtpclient"},
	"github.com/emersion/go-sasl":    {"pkg/sasl"},
	"github.com/spf13/pflag":         {"pkg/service", "cmd/", "postlogd", "master"},
	"golang.org/x/net/idna":          {"pkg/address"},
	"github.com/jackc/pgx":           {"pkg/table/sqltable"},
	"github.com/go-sql-driver/mysql": {"pkg/table/sqltable"},
	"modernc.org/sqlite":             {"pkg/table/sqltable"},
	"github.com/go-ldap/ldap":        {"pkg/table/ldaptable"},
	"golang.org/x/text":              {"pkg/sasl", "pkg/imapserver"},
	"github.com/emersion/go-message": {"bounce"},
	"github.com/emersion/go-imap":    {},
	"github.com/emersion/go-msgauth": {"pkg/dkim"},
	"golang.org/x/sys":               {""},
	"github.com/google/go-cmp":       {},
}

func TestThirdPartyImports(t *testing.T) {
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			first, _, _ := strings.Cut(imp, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(imp, module) {
				continue
			}
			if !allowed(name, imp) {
				t.Errorf("%s imports %s: see thirdParty in this test, and docs/decisions", name, imp)
			}
		}
	}
}

func allowed(name, imp string) bool {
	libraries := make([]string, 0, len(thirdParty))
	for lib := range thirdParty {
		libraries = append(libraries, lib)
	}
	sort.Strings(libraries)
	for _, lib := range libraries {
		if imp != lib && !strings.HasPrefix(imp, lib+"/") {
			continue
		}
		for _, user := range thirdParty[lib] {
			if strings.HasPrefix(name, user) {
				return true
			}
		}
	}
	return false
}
