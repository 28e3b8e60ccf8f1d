package walls

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// foreignPages are manual pages that our own and docs/ may refer to and that
// others have.
var foreignPages = map[string]string{
	"pam(7)": "Linux-PAM", "pam.d(5)": "Linux-PAM", "pam_access(8)": "Linux-PAM", "pam_fail_delay(3)": "Linux-PAM",
	"crypt(3)": "libcrypt", "sysusers.d(5)": "systemd", "tmpfiles.d(5)": "systemd",
	// docs/authentication.md: the files are Postfix's.
	"pgsql_table(5)": "Postfix", "mysql_table(5)": "Postfix", "sqlite_table(5)": "Postfix", "ldap_table(5)": "Postfix",
}

var reference = regexp.MustCompile(`([A-Za-z][A-Za-z0-9_.-]*)\(([1-9])\)`)

// TestReferencesToPages: what a manual page or docs/ calls NAME(SECTION) is a page
// that is installed, or a known one of somebody else.
func TestReferencesToPages(t *testing.T) {
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	man := t.TempDir()
	make := exec.Command("go", "run", "./tools/mkman", "-o", man)
	make.Dir = root
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("mkman: %v\n%s", err, out)
	}
	pages, err := filepath.Glob(filepath.Join(man, "man*", "*"))
	if err != nil || len(pages) < 40 {
		t.Fatalf("%d manual pages: %v", len(pages), err)
	}
	there := map[string]bool{}
	for _, path := range pages {
		name := filepath.Base(path)
		ext := filepath.Ext(name)
		there[strings.TrimSuffix(name, ext)+"("+ext[1:]+")"] = true
	}
	texts := pages
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md", "etc/*"} {
		more, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(more) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		texts = append(texts, more...)
	}
	referred := 0
	for _, path := range texts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range reference.FindAllStringSubmatch(strings.ReplaceAll(string(text), `\-`, "-"), -1) {
			referred++
			// A sentence may begin with a name.
			if page := strings.ToLower(m[1]) + "(" + m[2] + ")"; !there[page] && foreignPages[page] == "" {
				t.Errorf("%s refers to %s, and there is no such page", filepath.Base(path), m[0])
			}
		}
	}
	if referred < 100 {
		t.Errorf("only %d references found", referred)
	}
}
