package interop

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// waits is about mistakes at which Postfix's bounce(8) ends, and mail that failed
// stays in the queue until they are mended.
const waits = "a notice in our own words is better than mail that waits"

const fineText = "failure_template = <<EOF\nSubject: Zurueck\n\nHier.\nEOF\n"

// brokenTexts are templates with a mistake.
var brokenTexts = []struct {
	name, text, why string
	make            func(path string) error // instead of a plain file
	line            string                  // of the log, if why is set; else it has a line number
}{
	{name: "fine", text: "failure_template = <<EOF\nSubject: Zurueck\n\nHier.\nEOF\n"},
	{name: "no end mark", text: "failure_template = <<EOF\nSubject: Zurueck\n\nHier.\n", why: "words"},
	{name: "unknown header", text: "failure_template = <<EOF\nX-Own: 1\nSubject: Zurueck\n\nHier.\nEOF\n", why: "words"},
	{name: "no header", text: "failure_template = <<EOF\nno header\nEOF\n"},
	{name: "no text", text: "failure_template = <<EOF\nSubject: Zurueck\n\nEOF\n", why: "words"},
	{name: "8 bit", text: "failure_template = <<EOF\nSubject: Zurueck\n\nZur\u00fcck.\nEOF\n", why: "words"},
	{name: "8 bit header", text: "failure_template = <<EOF\nCharset: utf-8\nSubject: Zur\u00fcck\n\nHier.\nEOF\n", why: "words"},
	{name: "unknown name", text: "failure_template = <<EOF\nSubject: Zurueck\n\nHier: $nosuchname.\nEOF\n", why: waits},
	{name: "unfinished name", text: "failure_template = <<EOF\nSubject: Zurueck\n\nHier: ${myhostname.\nEOF\n", why: waits},
	{name: "another is broken", text: "delay_template = <<EOF\nX-Own: 1\n\nHier.\nEOF\nfailure_template = <<EOF\nSubject: Zurueck\n\nHier.\nEOF\n", why: "words"},
	{name: "empty", make: func(path string) error { return os.WriteFile(path, nil, 0o644) }},
	{name: "only comments", text: "# failure_template = <<EOF\n\n   \n# EOF\n"},
	{name: "other template", text: "other_template = <<EOF\nSubject: x\n\nx\nEOF\n", why: "the line is that of the name, and it is told once"},
	{name: "empty value", text: "failure_template =\n", why: "words"},
	{name: "a plain value", text: "failure_template = hello\n", why: "Postfix takes the value for the text"},
	{name: "only for root", make: func(path string) error { return os.WriteFile(path, []byte(fineText), 0o600) }},
	{name: "for nobody", make: func(path string) error { return os.WriteFile(path, []byte(fineText), 0) }},
	{name: "a device", make: func(path string) error { return os.Symlink("/dev/null", path) }},
	{name: "in a closed folder", make: func(path string) error {
		closed := path + ".d"
		return errors.Join(os.Mkdir(closed, 0o700), os.WriteFile(closed+"/x", []byte(fineText), 0o600), os.Symlink(closed+"/x", path))
	}},
	{name: "CR LF", text: strings.ReplaceAll(fineText, "\n", "\r\n"), why: "a line may end with CR LF", line: "sender non-delivery notification"},
}

// TestBrokenTexts: what both make of a bounce_template_file with a mistake. Here
// the built-in text is used, and the log says why.
func TestBrokenTexts(t *testing.T) {
	for i, b := range brokenTexts {
		name := fmt.Sprintf("bounce%d.cf", i)
		tw := manyAgents(t, b.name, "notify_classes =", "bounce_template_file = ETC/"+name)
		if b.make == nil {
			tw.files[name] = b.text
		} else {
			tw.before = func(t *testing.T, site *twinSite) {
				if err := b.make(filepath.Join(site.dir, "etc", name)); err != nil {
					t.Fatal(err)
				}
			}
		}
		tw.cases = []twinCase{{name: b.name, sender: noticeSender, rcpts: []string{"unknown@said.test"}, why: b.why, after: func(t *testing.T, _ *pair, s side) {
			if s.name == "ours" {
				s.count(t, 1, `local\[\d+\]: \w+: to=<`+noticeSender+`>, .*status=sent`)
				s.count(t, 1, cmp.Or(b.line, map[bool]string{true: "sender non-delivery notification", false: `bounce\[\d+\]: warning: .*line \d`}[b.why == ""]))
			}
		}}}
		t.Run(strings.ReplaceAll(b.name, " ", "-"), tw.test)
	}
}
