package interop

import (
	"fmt"
	"strings"
	"testing"
)

// waits is about mistakes at which Postfix's bounce(8) ends, and mail that failed
// stays in the queue until they are mended.
const waits = "a notice in our own words is better than mail that waits"

// brokenTexts are templates with a mistake.
var brokenTexts = []struct{ name, text, why string }{
	{"fine", "failure_template = <<EOF\nSubject: Zurueck\n\nHier.\nEOF\n", ""},
	{"no end mark", "failure_template = <<EOF\nSubject: Zurueck\n\nHier.\n", "words"},
	{"unknown header", "failure_template = <<EOF\nX-Own: 1\nSubject: Zurueck\n\nHier.\nEOF\n", "words"},
	{"no header", "failure_template = <<EOF\nno header\nEOF\n", ""},
	{"no text", "failure_template = <<EOF\nSubject: Zurueck\n\nEOF\n", "words"},
	{"8 bit", "failure_template = <<EOF\nSubject: Zurueck\n\nZur\u00fcck.\nEOF\n", "words"},
	{"8 bit header", "failure_template = <<EOF\nCharset: utf-8\nSubject: Zur\u00fcck\n\nHier.\nEOF\n", "words"},
	{"unknown name", "failure_template = <<EOF\nSubject: Zurueck\n\nHier: $nosuchname.\nEOF\n", waits},
	{"unfinished name", "failure_template = <<EOF\nSubject: Zurueck\n\nHier: ${myhostname.\nEOF\n", waits},
	{"another is broken", "delay_template = <<EOF\nX-Own: 1\n\nHier.\nEOF\nfailure_template = <<EOF\nSubject: Zurueck\n\nHier.\nEOF\n", "words"},
}

// TestBrokenTexts: what both make of a bounce_template_file with a mistake. Here
// the built-in text is used, and the log says why.
func TestBrokenTexts(t *testing.T) {
	for i, b := range brokenTexts {
		name := fmt.Sprintf("bounce%d.cf", i)
		tw := manyAgents(t, b.name, "notify_classes =", "bounce_template_file = ETC/"+name)
		tw.files[name] = b.text
		tw.cases = []twinCase{{name: b.name, sender: noticeSender, rcpts: []string{"unknown@said.test"}, why: b.why, after: func(t *testing.T, _ *pair, s side) {
			if s.name == "ours" {
				s.count(t, 1, `local\[\d+\]: \w+: to=<`+noticeSender+`>, .*status=sent`)
				s.count(t, 1, map[bool]string{true: "sender non-delivery notification", false: `bounce\[\d+\]: warning: .*line \d`}[b.why == ""])
			}
		}}}
		t.Run(strings.ReplaceAll(b.name, " ", "-"), tw.test)
	}
}
