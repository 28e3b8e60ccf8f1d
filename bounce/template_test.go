package main

import (
	"context"
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
