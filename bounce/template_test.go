package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

func TestTemplates(t *testing.T) {
	path, err := filepath.Abs("../pkg/bouncetext/testdata/bounce.cf")
	if err != nil {
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
		"\r\nHier ist mail.example, f\u00fcr $5.\r\n  Nach 3 Tagen.\r\n\r\n\r\n<a@b>: unknown\r\n",
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

// TestNoTemplates: notices are sent whatever bounce_template_file is; Postfix's
// bounce(8) ends at most of these, and failed mail waits.
func TestNoTemplates(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"text": "just some text\nwithout any\n", "empty": "", "nul": "\x00\x00\x00", "open": "failure_template = <<EOF\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, warns := range map[string]bool{"text": true, "empty": false, "nul": true, "open": true, "nosuch": true, "": true, "text/x": true} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, "notify_classes =\nbounce_template_file = "+filepath.Join(dir, name)+"\n")
			m, r := h.message("sender@example.org", "a@b")
			h.append(bounceclient.Bounce, m, r[0], status.New(550, "5.1.1", "unknown"), "failed")
			if err := h.client.Flush(context.Background(), bounceclient.Bounce, m); err != nil {
				t.Fatal(err)
			}
			if len(h.mail) != 1 || !strings.Contains(h.mail[0].Content, "Subject: Undelivered Mail Returned to Sender\r\n") {
				t.Errorf("mail: %+v", h.mail)
			}
			if log := h.log.String(); strings.Contains(log, filepath.Join(dir, name)) != warns {
				t.Errorf("log, which should warn: %v\n%s", warns, log)
			}
		})
	}
}
