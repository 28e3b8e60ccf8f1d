package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

const templateFile = `# Ours.

failure_template = <<EOF
Charset: utf-8
From: Hausmeister <post@mail.example>
Subject: Zur` + "\u0075" + `ck
Postmaster-Subject: Kopie

Hier ist $myhostname, f` + "\u00fc" + `r $$5.
  Nach $maximal_queue_lifetime_days Tagen.

EOF

delay_template = <<END
Subject: Bad
Bcc: you@all

text
END
`

func TestTemplates(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/bounce.cf"
	if err := os.WriteFile(path, []byte(templateFile), 0o644); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, "maximal_queue_lifetime = 3d\nnotify_classes = bounce\nbounce_template_file = "+path+"\n")
	m, r := h.message("sender@example.org", "a@b")
	h.append(bounceclient.Bounce, m, r[0], status.New(550, "5.1.1", "unknown"), "failed")
	if err := h.client.Flush(context.Background(), bounceclient.Bounce, m); err != nil {
		t.Fatal(err)
	}
	if len(h.mail) != 2 {
		t.Fatalf("%d notices, want 2", len(h.mail))
	}
	toSender, toPostmaster := h.mail[0].Content, h.mail[1].Content
	for _, want := range []string{
		"From: Hausmeister <post@mail.example>\r\n", "Subject: Zuruck\r\n", "Content-Type: text/plain; charset=utf-8\r\n",
		"Content-Transfer-Encoding: 8bit\r\n",
		"\r\nHier ist mail.example, f\u00fcr $5.\r\n  Nach 3 Tagen.\r\n\r\n<a@b>: unknown\r\n",
	} {
		if !strings.Contains(toSender, want) {
			t.Errorf("notice lacks %q:\n%s", want, toSender)
		}
	}
	if !strings.Contains(toPostmaster, "Subject: Kopie\r\n") || strings.Contains(toPostmaster, "Hier ist") {
		t.Errorf("postmaster's copy:\n%s", toPostmaster)
	}
	if log := h.log.String(); !strings.Contains(log, path+`, line 14: delay_template: bad header: "Bcc: you@all" -- using the built-in text`) {
		t.Errorf("log: %s", log)
	}
}

func TestReadTemplates(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"empty", "\n# x\n", ""},
		{"two", "a = <<E\nx\nE\n\nb=<< F G\ny\n E\nF G\n", `1 a ["x"]; 5 b ["y" " E"]; `},
		{"no end", "a = <<E\nx\n", `line 1: no line "E" ends the template`},
		{"no start", "hello\n", "line 1: want name = <<EOF"},
		{"no word", "a = <<\n", "line 1: want name = <<EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got strings.Builder
			err := readTemplates(strings.NewReader(test.in), func(name string, line int, text []string) {
				fmt.Fprintf(&got, "%d %s %q; ", line, name, text)
			})
			if err != nil {
				got.WriteString(err.Error())
			}
			if diff := cmp.Diff(test.want, got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestApply(t *testing.T) {
	same := func(s string) (string, error) { return s, nil }
	for _, test := range []struct{ name, in, want string }{
		{"no headers", "\nHello\n", ""},
		{"no text", "Subject: x\n\n", "no text"},
		{"header continues", "Subject: x\n y\n\ntext", `bad header: " y"`},
		{"8 bit without charset", "\nhell\u00f6", errTemplateASCII.Error()},
		{"8 bit header", "Subject: hell\u00f6\n\nx", "bad header"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := builtinTemplates().failure.apply(strings.Split(test.in, "\n"), same)
			if got := fmt.Sprint(err); err == nil && test.want != "" || err != nil && (test.want == "" || !strings.Contains(got, test.want)) {
				t.Errorf("got %s, want %q", got, test.want)
			}
		})
	}
}

func TestTemplateFileMissing(t *testing.T) {
	cfg := config.New(t.TempDir(), &config.Main{})
	if _, err := loadTemplates(cfg, "/nonexistent", nil); err == nil {
		t.Error("no error")
	}
}

// FuzzTemplates: a file of templates gives texts or a complaint.
func FuzzTemplates(f *testing.F) {
	f.Add(templateFile)
	f.Add("failure_template = <<E\n\n$x ${y?{z}}\nE\n")
	f.Add("a = <<\n")
	f.Fuzz(func(t *testing.T, text string) {
		cfg := config.New(".", &config.Main{})
		err := readTemplates(strings.NewReader(text), func(_ string, _ int, lines []string) {
			got, err := builtinTemplates().delay.apply(lines, cfg.Expand)
			if err != nil {
				return
			}
			for _, l := range append([]string{got.from, got.subject, got.copySubject, got.charset}, got.body...) {
				if strings.ContainsAny(l, "\r\n\x00") {
					t.Errorf("line break in %q", l)
				}
			}
		})
		_ = err
	})
}
