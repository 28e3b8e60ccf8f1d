package walls

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// Limits on the size of what a reader has to take in at once.
const (
	maxFunction = 100 // lines
	maxFile     = 500
)

// sources calls check with each Go file of the tree that is no test.
func sources(t *testing.T, check func(name string, text []byte, fset *token.FileSet, file *ast.File)) {
	t.Helper()
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("git", "ls-files", "*.go")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("SKIPPED: not a git checkout: %v", err)
	}
	for _, name := range strings.Fields(string(out)) {
		if strings.HasSuffix(name, "_test.go") || strings.Contains(name, "/testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			continue // removed but not committed yet
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		check(name, text, fset, file)
	}
}

func TestSizes(t *testing.T) {
	sources(t, func(name string, text []byte, fset *token.FileSet, file *ast.File) {
		if n := bytes.Count(text, []byte("\n")); n > maxFile {
			t.Errorf("%s has %d lines, the limit is %d", name, n, maxFile)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if isTable(f) {
				continue
			}
			if n := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line; n > maxFunction {
				t.Errorf("%s: %s has %d lines, the limit is %d", fset.Position(f.Pos()), f.Name.Name, n, maxFunction)
			}
		}
	})
}

// isTable reports a function that only returns a table.
func isTable(f *ast.FuncDecl) bool {
	if f.Body == nil || len(f.Body.List) != 1 {
		return false
	}
	_, ok := f.Body.List[0].(*ast.ReturnStmt)
	return ok
}

// TestNoInit: what runs is visible from main.
func TestNoInit(t *testing.T) {
	sources(t, func(name string, _ []byte, fset *token.FileSet, file *ast.File) {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: no init functions", fset.Position(f.Pos()))
			}
		}
	})
}

// TestOnePlaceSyncs: what survives a power cut is decided in pkg/safefile.
func TestOnePlaceSyncs(t *testing.T) {
	durable := regexp.MustCompile(`\b(os\.(Rename|Link)|unix\.(Fsync|Fdatasync|Rename\w*|Link\w*|Sync\w*)|syscall\.(Fsync|Fdatasync|Rename\w*|Link\w*))\(`)
	sources(t, func(name string, text []byte, _ *token.FileSet, _ *ast.File) {
		if strings.HasPrefix(name, "pkg/safefile/") || strings.HasPrefix(name, "test/") {
			return
		}
		if m := durable.Find(text); m != nil {
			t.Errorf("%s calls %s: only pkg/safefile may", name, bytes.TrimSuffix(m, []byte("(")))
		}
	})
}

// TestSecretsCompare: where secrets are, bytes are compared in constant time
// (AU11).
func TestSecretsCompare(t *testing.T) {
	fast := regexp.MustCompile(`\b(bytes\.(Equal|Compare|HasPrefix)|slices\.(Equal|Compare)|reflect\.DeepEqual)\(`)
	sources(t, func(name string, text []byte, _ *token.FileSet, _ *ast.File) {
		for _, dir := range []string{"pkg/password/", "pkg/sasl/", "pkg/bearer/", "pkg/dovecotauth/", "authd/"} {
			if m := fast.Find(text); m != nil && strings.HasPrefix(name, dir) {
				t.Errorf("%s calls %s: use subtle.ConstantTimeCompare or hmac.Equal", name, bytes.TrimSuffix(m, []byte("(")))
			}
		}
	})
}

// TestCitations: a citation of a standard has one form, so that a tool can
// find it.
func TestCitations(t *testing.T) {
	wrong := regexp.MustCompile(`(?i)\b(rfc[-_]?\d{3,4}|rfc#\d+)\b`)
	sources(t, func(name string, _ []byte, fset *token.FileSet, file *ast.File) {
		for _, g := range file.Comments {
			for _, c := range g.List {
				if m := wrong.FindString(c.Text); m != "" && !strings.Contains(m, "rfc822") {
					t.Errorf("%s: write %q as \"RFC 1234 5.6\"", fset.Position(c.Pos()), m)
				}
			}
		}
	})
}

// TestManualPages: a program's package comment is its manual page.
func TestManualPages(t *testing.T) {
	sources(t, func(name string, _ []byte, _ *token.FileSet, file *ast.File) {
		if filepath.Base(name) != "main.go" || strings.HasPrefix(name, "test/") {
			return
		}
		text := file.Doc.Text()
		sections := []string{"Synopsis", "Description"}
		if !strings.HasPrefix(name, "tools/") {
			sections = append(sections, "Security")
		}
		for _, s := range sections {
			if !strings.Contains(text, "\n# "+s+"\n") {
				t.Errorf("%s: the package comment has no section %s", name, s)
			}
		}
	})
}

// TestGlobals: package-level variables are constants in all but name:
// sentinel errors, compiled patterns, fixed tables.
func TestGlobals(t *testing.T) {
	sources(t, func(name string, _ []byte, fset *token.FileSet, file *ast.File) {
		if strings.HasPrefix(name, "test/") || strings.HasPrefix(name, "pkg/testkit/") || strings.HasPrefix(name, "tools/") {
			return
		}
		for _, d := range file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				if len(v.Values) == 0 && v.Names[0].Name != "_" && !embedded(g, v) {
					t.Errorf("%s: variable %s without a value: no state in packages", fset.Position(v.Pos()), v.Names[0].Name)
				}
			}
		}
	})
}

// embedded reports a variable that go:embed fills.
func embedded(g *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{g.Doc, v.Doc} {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			if strings.HasPrefix(c.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// TestAbout: what a daemon says of itself with --help is the first sentence of
// its manual page.
func TestAbout(t *testing.T) {
	about := regexp.MustCompile(`\bAbout:\s+"([^"]*)"`)
	n := 0
	sources(t, func(name string, text []byte, _ *token.FileSet, file *ast.File) {
		if filepath.Base(name) != "main.go" || strings.HasPrefix(name, "test/") || strings.Contains(name, "testdata/") ||
			!strings.Contains(string(text), "service.Main(") {
			return
		}
		n++
		sentence, _, _ := strings.Cut(strings.ReplaceAll(file.Doc.Text(), "\n", " ")+" ", ". ")
		_, want, _ := strings.Cut(sentence, " ")
		if m := about.FindStringSubmatch(string(text)); m == nil || m[1] != want {
			t.Errorf("%s: About is %q, and the manual page says %q", name, m, want)
		}
	})
	if n < 20 {
		t.Errorf("%d daemons were looked at", n)
	}
}
