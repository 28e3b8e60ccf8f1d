// Package scenario has tests of the whole mail system: real processes with
// their real rights, real clients, real files.
package scenario

import (
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestFirstMail is the first ten minutes of a new user: init, start, a
// message by SMTP and one by sendmail, both in the mailbox.
func TestFirstMail(t *testing.T) {
	mail := testkit.New(t, testkit.Users("you"))
	mail.Start(t)

	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO client.test")
	id := s.Message("a@sender.test", "you@example.test", "Subject: by SMTP\n\nhello\n..dot")
	s.Cmd("221", "QUIT")
	mail.WaitLog(t, id+`: to=<you@example\.test>, relay=virtual, delay=.*, dsn=2\.0\.0, status=sent \(delivered to maildir\)`)
	mail.WaitLog(t, id+`: removed`)

	got := mail.WaitMailbox(t, "you", 1)[0]
	for _, want := range []string{"Return-Path: <a@sender.test>\n", "Delivered-To: you@example.test\n",
		"Received: from client.test (", "by mail.example.test (Posthouse) with ESMTP id " + id, "Subject: by SMTP\n", "\nhello\n.dot\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}

	mail.Send(t, "Subject: by sendmail\n\nsecond\n", "-f", "b@sender.test", "you@example.test")
	mail.WaitLog(t, `pickup\[\d+\]: [0-9A-F]+: uid=\d+ from=<b@sender\.test>`)
	second := mail.WaitMailbox(t, "you", 2)
	if !strings.Contains(second[0]+second[1], "Subject: by sendmail\n") {
		t.Errorf("mailbox %q", second)
	}
	testkit.Wait(t, "empty queue", func() bool {
		return len(mail.Queue(t, "maildrop", "incoming", "active", "deferred")) == 0
	})
}
