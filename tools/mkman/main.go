// Mkman writes the manual pages from the package comments of the programs, and
// postconf(5) from the table of parameters.
//
// # Synopsis
//
//	go run ./tools/mkman -o DIR
//
// # Description
//
// Each folder with a main.go becomes a page: commands people type in section
// 1, daemons and the commands of administrators in section 8. The comment's headings become the
// sections of the page and its indented blocks the literal text.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	out := flag.String("o", "build/man", "directory for man1, man5 and man8")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "mkman:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	mains, err := filepath.Glob("*/main.go")
	if err != nil {
		return err
	}
	commands, err := filepath.Glob("cmd/*/main.go")
	if err != nil {
		return err
	}
	for _, file := range append(mains, commands...) {
		if err := writePage(out, file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, f := range formats {
		if err := writeFormat(out, f.name, f.file); err != nil {
			return fmt.Errorf("%s: %w", f.file, err)
		}
	}
	return writeParameters(filepath.Join(out, "man5", "postconf.5"))
}

// formats are the pages of section 5 that are the comments of the packages
// which read the files.
var formats = []struct{ name, file string }{
	{"aliases", "pkg/alias/alias.go"},
	{"posthouse-tables", "pkg/table/table.go"},
	{"master", "pkg/config/master.go"},
}

// writeFormat writes a page on a file format.
func writeFormat(out, name, file string) error {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		return err
	}
	text, err := page(name, "5", parsed)
	if err != nil {
		return err
	}
	dir := filepath.Join(out, "man5")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".5"), text, 0o644)
}

// aliases are pages that are the page of another name.
var aliases = map[string][]string{
	"sendmail": {"mailq", "newaliases"},
	"postmap":  {"postalias"},
	"smtp":     {"lmtp"},
	"bounce":   {"defer", "trace"},
	"error":    {"retry"},
}

// ofAdministrators are commands with pages in section 8: posthouse itself, and
// those that Courier has there.
var ofAdministrators = []string{"posthouse", "userdb", "userdbpw", "makeuserdb", "pw2userdb", "makealiases",
	"makehosteddomains", "makeacceptmailfor", "locals"}

// sectionOf returns the manual section of a program.
func sectionOf(file string) string {
	if strings.HasPrefix(file, "cmd/") && !slices.Contains(ofAdministrators, filepath.Base(filepath.Dir(file))) {
		return "1"
	}
	return "8"
}

func writePage(out, file string) error {
	name := filepath.Base(filepath.Dir(file))
	section := sectionOf(file)
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		return err
	}
	text, err := page(name, section, parsed)
	if err != nil {
		return err
	}
	dir := filepath.Join(out, "man"+section)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, alias := range aliases[name] {
		link := fmt.Sprintf(".so man%s/%s.%s\n", section, name, section)
		if err := os.WriteFile(filepath.Join(dir, alias+"."+section), []byte(link), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, name+"."+section), text, 0o644)
}

// page renders a package comment as a page of man(7).
func page(name, section string, file *ast.File) ([]byte, error) {
	if file.Doc == nil {
		return nil, fmt.Errorf("no package comment")
	}
	doc := new(comment.Parser).Parse(file.Doc.Text())
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH %s %s \"\" \"Posthouse\"\n", strings.ToUpper(name), section)
	for n, block := range doc.Content {
		if p, ok := block.(*comment.Paragraph); ok && n == 0 {
			// The first sentence is the one-line description.
			fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", name, summary(name, plain(p.Text)))
			continue
		}
		if _, heading := block.(*comment.Heading); n == 1 && !heading {
			b.WriteString(".SH DESCRIPTION\n")
		}
		render(&b, block)
	}
	return b.Bytes(), nil
}

// summary turns "Discard reports mail as delivered." into "reports mail as
// delivered", and likewise what stands behind "Package alias".
func summary(name, sentence string) string {
	if rest, ok := strings.CutPrefix(sentence, "Package "); ok {
		_, sentence, _ = strings.Cut(rest, " ")
	} else if first, rest, ok := strings.Cut(sentence, " "); ok && strings.EqualFold(first, name) {
		sentence = rest
	}
	sentence, _, _ = strings.Cut(strings.ReplaceAll(sentence, "\n", " "), ": ")
	return escape(strings.TrimSuffix(sentence, "."))
}

func render(b *bytes.Buffer, block comment.Block) {
	switch v := block.(type) {
	case *comment.Heading:
		fmt.Fprintf(b, ".SH %s\n", strings.ToUpper(escape(plain(v.Text))))
	case *comment.Paragraph:
		fmt.Fprintf(b, ".PP\n%s\n", escape(plain(v.Text)))
	case *comment.Code:
		fmt.Fprintf(b, ".PP\n.nf\n%s\n.fi\n", escape(strings.TrimRight(v.Text, "\n")))
	case *comment.List:
		for _, item := range v.Items {
			mark := "\\(bu"
			if item.Number != "" {
				mark = item.Number + "."
			}
			fmt.Fprintf(b, ".IP %s 4\n", mark)
			for _, part := range item.Content {
				if p, ok := part.(*comment.Paragraph); ok {
					fmt.Fprintf(b, "%s\n", escape(plain(p.Text)))
				}
			}
		}
	}
}

// plain drops links and emphasis.
func plain(text []comment.Text) string {
	var b strings.Builder
	for _, t := range text {
		switch v := t.(type) {
		case comment.Plain:
			b.WriteString(string(v))
		case comment.Italic:
			b.WriteString(string(v))
		case *comment.Link:
			b.WriteString(plain(v.Text))
		case *comment.DocLink:
			b.WriteString(plain(v.Text))
		}
	}
	return strings.TrimSpace(b.String())
}

// escape keeps text from being read as requests.
func escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
