package userdb

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzParseLine(f *testing.F) {
	f.Add(sampleLine)
	f.Add("# comment")
	f.Add("1000=\tname")
	f.Add("x\toptions=disableimap=1,a=b|networks=::1,10.0.0.0/8|limits=connections=3|held=1")
	f.Fuzz(func(t *testing.T, line string) {
		r, err := ParseLine(line)
		if err != nil || r == nil {
			return
		}
		text, err := r.Format()
		if err != nil {
			return // a relative path, or more than one line
		}
		again, err := ParseLine(text)
		if err != nil {
			t.Fatalf("%q came back as %q: %v", line, text, err)
		}
		if diff := cmp.Diff(r, again, compare); diff != "" {
			t.Errorf("%q came back as %q:\n%s", line, text, diff)
		}
	})
}

// FuzzEdit: an edit changes its record and nothing else.
func FuzzEdit(f *testing.F) {
	f.Add("# c\nx\tuid=1\n\ny\tuid=2", "y", "home", "/home/y")
	f.Fuzz(func(t *testing.T, text, login, name, value string) {
		file := parseFile("f", text)
		before := append([]string(nil), file.lines...)
		i := file.find(login)
		if file.Set(login, Field{name, value}) != nil {
			return
		}
		if i < 0 {
			i = len(before)
			before = append(before, "")
		}
		back := parseFile("f", file.text())
		if len(back.lines) != len(before) {
			t.Fatalf("%d lines became %d", len(before), len(back.lines))
		}
		for j := range before {
			if j != i && back.lines[j] != before[j] {
				t.Errorf("line %d became %q", j, back.lines[j])
			}
		}
		fields, ok := back.Fields(login)
		if !ok || !strings.Contains("|"+joinFields(fields)+"|", "|"+name+"="+value+"|") {
			t.Errorf("fields of %q: %v, want %s=%s", login, fields, name, value)
		}
	})
}
