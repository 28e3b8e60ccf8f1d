package scenario

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestLogRotate: the old file is compressed whole, and what follows is in the
// new one.
func TestLogRotate(t *testing.T) {
	testkit.NeedTool(t, "gzip")
	mail := testkit.New(t)
	mail.Set(t, "maillog_file = "+filepath.Join(mail.Dir, "log", "mail.log"), "maillog_file_prefixes = "+mail.Dir)
	mail.Start(t)
	mail.Send(t, "Subject: one\n\nx\n", "you@example.test")
	mail.WaitMailbox(t, "you", 1)
	mail.Must(t, "posthouse", "logrotate")
	mail.Send(t, "Subject: two\n\nx\n", "you@example.test")
	mail.WaitMailbox(t, "you", 2)
	mail.WaitLog(t, `status=sent`)
	if n := strings.Count(mail.Log(), "status=sent"); n != 1 {
		t.Errorf("%d deliveries in the new log, want 1", n)
	}
	old, err := filepath.Glob(filepath.Join(mail.Dir, "log", "mail.log.*.gz"))
	if err != nil || len(old) != 1 {
		t.Fatalf("old logs: %q, %v", old, err)
	}
	text, err := exec.Command("gzip", "-dc", old[0]).Output()
	if err != nil || strings.Count(string(text), "status=sent") != 1 {
		t.Errorf("old log: %v\n%s", err, text)
	}
}
