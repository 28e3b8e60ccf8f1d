package interop

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
)

var listSite = map[string]string{"main.cf": "mydomain = example.org\nname = mail\nx = $name.$mydomain ${nosuch?{a}:{b}}\n"}

// beside runs postconf on both sides in a directory with the files of a site.
func beside(t *testing.T, args ...string) (theirs, ours string) {
	t.Helper()
	var said []string
	for _, s := range oddSides(t) {
		dir := t.TempDir()
		os.Chmod(dir, 0o755)
		c := odd{site: true, files: listSite}
		if err := s.build(dir, c); err != nil {
			t.Fatal(err)
		}
		c.calls = [][]string{append([]string{"postconf"}, args...)}
		said = append(said, s.trace(dir, c))
	}
	return said[0], said[1]
}

// TestPostconfLists: -m, -a, -A and -l list what Postfix's list, but for what one
// of the two does not have.
func TestPostconfLists(t *testing.T) {
	refpostfix.Root(t)
	for _, c := range []struct {
		option      string
		only, extra []string // of Postfix, and of ours
	}{
		// Plugins are listed where dynamicmaps.cf names them; here all is built in.
		{"-m", []string{"memcache", "nis"}, []string{"authd", "cdb", "dbm", "debug", "ldap", "lmdb", "mysql", "pcre", "pgsql", "sdbm", "sqlite"}},
		{"-a", nil, []string{"posthouse"}},
		{"-A", nil, nil},
		{"-l", nil, nil},
	} {
		theirs, ours := beside(t, c.option)
		words, mine := strings.Fields(theirs), strings.Fields(ours)
		only := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return slices.Contains(mine, w) })
		extra := slices.DeleteFunc(slices.Clone(mine), func(w string) bool { return slices.Contains(words, w) })
		if !slices.Equal(only, c.only) || !slices.Equal(extra, c.extra) {
			t.Errorf("%s: only Postfix has %q, only we have %q", c.option, only, extra)
		}
		both := func(list []string) []string {
			return slices.DeleteFunc(list, func(w string) bool { return slices.Contains(c.only, w) || slices.Contains(c.extra, w) })
		}
		if d := cmp.Diff(both(words), both(mine)); d != "" {
			t.Errorf("%s (-theirs +ours):\n%s", c.option, d)
		}
	}
}

// forProgrammers is what Postfix says with -v about its own work.
var forProgrammers = regexp.MustCompile(`(?m)^postconf: [^ ]+ .*\n`)

// TestPostconfVerbose: -v changes nothing but what is said about the program's
// own work.
func TestPostconfVerbose(t *testing.T) {
	var cases []odd
	for _, args := range []string{"-v mydomain", "-v nosuch", "-v -d mydomain", "-vh mydomain", "-vx x", "-vM", "-vF", "-vP", "-vl", "-va -A", "-vA", "-vv mydomain", "-v -v -v name", "-ve name=x", "-vX name", "-v# name", "-vm -h"} {
		cases = append(cases, odd{name: args, site: true, files: listSite, calls: [][]string{append([]string{"postconf"}, strings.Fields(args)...)}})
	}
	compareOdd(t, cases, func(text string) string {
		text = regexp.MustCompile(`(?m)^postconf: (warning|fatal): `).ReplaceAllString(text, "$1 ")
		return plainPostconf(forProgrammers.ReplaceAllString(text, ""))
	})
}
