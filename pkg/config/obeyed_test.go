package config

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write obeyed.txt from the sources")

// TestObeyed compares obeyed.txt with the parameters that the sources read.
func TestObeyed(t *testing.T) {
	found, err := scanSources("../..")
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(maps.Keys(found))
	if *update {
		if err := writeObeyed(want); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, obeyedNames()); diff != "" {
		t.Errorf("obeyed.txt is not up to date; run: go test ./pkg/config -run Obeyed -update\n(-sources +obeyed.txt)\n%s", diff)
	}
	for _, name := range want {
		if _, ok := Find(name); !ok {
			t.Errorf("%s reads %q, which is not in the table of parameters", found[name], name)
		}
	}
}

// writeObeyed writes obeyed.txt.
func writeObeyed(names []string) error {
	return os.WriteFile("obeyed.txt", []byte(strings.Join(names, "\n")+"\n"), 0o644)
}

// scanSources returns the parameters that the Go files below root read, with
// a place where.
func scanSources(root string) (map[string]string, error) {
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			switch {
			case rel == "pkg/config" || rel == "cmd/postconf" || rel == "tools" || rel == "bin" || rel == "run",
				d.Name() == "testdata", strings.HasPrefix(d.Name(), ".") && rel != ".":
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			// Somebody is in the middle of writing it.
			return nil
		}
		ast.Inspect(file, func(n ast.Node) bool {
			for _, name := range readNames(n) {
				found[name] = rel
			}
			return true
		})
		return nil
	})
	return found, err
}

// readNames returns the parameters that one node reads.
func readNames(n ast.Node) []string {
	switch n := n.(type) {
	case *ast.Field:
		if n.Tag == nil {
			return nil
		}
		tag, err := strconv.Unquote(n.Tag.Value)
		if err != nil {
			return nil
		}
		if name, ok := reflect.StructTag(tag).Lookup("param"); ok {
			return []string{name}
		}
	case *ast.CallExpr:
		sel, ok := n.Fun.(*ast.SelectorExpr)
		if !ok || len(n.Args) == 0 {
			return nil
		}
		name, ok := literal(n.Args[len(n.Args)-1])
		switch {
		case !ok:
		case strings.HasPrefix(sel.Sel.Name, "Transport") && len(n.Args) == 2,
			// The queue manager reads many of them through a helper.
			len(n.Args) == 1 && strings.Contains(name, "_") && len(transportNames(name)) > 0:
			return transportNames(name)
		case sel.Sel.Name == "Value" && len(n.Args) == 1:
			// Other types have a Value method as well.
			if _, known := Find(name); known {
				return []string{name}
			}
		}
	}
	return nil
}

// transportNames returns the parameters behind a Transport call.
func transportNames(suffix string) []string {
	suffix = "_" + strings.TrimPrefix(suffix, "_")
	var names []string
	for _, t := range transportSuffixes() {
		if t.suffix != suffix {
			continue
		}
		for _, transport := range []string{"transport", "smtp", "lmtp", "relay", "virtual", "local"} {
			if _, ok := Find(transport + suffix); ok {
				names = append(names, transport+suffix)
			}
		}
		names = append(names, t.def)
	}
	return names
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}
