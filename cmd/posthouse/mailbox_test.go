package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// run runs a command as the user who owns the mailbox, with input.
func run(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	mask := syscall.Umask(0o022) // commands set it; the next test may build programs
	t.Cleanup(func() { syscall.Umask(mask) })
	in, err := os.CreateTemp(t.TempDir(), "in")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	in.WriteString(input)
	in.Seek(0, 0)
	old := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = old }()
	var out bytes.Buffer
	a := &app{out: &out, err: &out}
	err = a.dispatch(append([]string{"-c", t.TempDir()}, args...))
	return out.String(), err
}

func TestMailboxCommands(t *testing.T) {
	home := t.TempDir()
	root := filepath.Join(home, "Maildir")
	if _, err := mailstore.Open(mailstore.Options{Root: root}); err != nil {
		t.Fatal(err)
	}
	must := func(want string, input string, args ...string) {
		t.Helper()
		out, err := run(t, input, args...)
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("%q: %v, %s", args, err, out)
		}
	}
	must("", "Subject: x\n\nbody\n", "deliver", "-f", "a@example.com", root)
	must("", "From a@b  Mon Jan  2 15:04:05 2006\nSubject: y\n\nbody\n", "deliver", "-m", "Lists", "--create", "--flags", `\Seen,work`, root)
	box := filepath.Join(home, "mbox")
	text := "From a@b  Mon Jan  2 15:04:05 2006\nSubject: 1\nStatus: RO\nX-Status: F\n\nbody\n\nFrom c@d  Mon Jan  2 15:04:05 2006\nSubject: 2\n\n" + strings.Repeat("long\n", 100000)
	if err := os.WriteFile(box, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	must("Old: 2 messages", "", "mailbox", "import", "--mbox", box, "-m", "Old", root)
	must("Input: 2 messages", text, "mailbox", "import", "--mbox", "-", "-m", "Input", root)
	must("no problems", "", "mailbox", "check", root)
	must("Lists                                   1          0", "", "mailbox", "stats", root)
	must("4 folders, no problems", "", "mailbox", "check", root)
	must("Old: rebuilt", "", "mailbox", "rebuild", "-m", "Old", root)
	must("already here", "", "mailbox", "import", root)
	must("Old: 0 messages removed", "", "mailbox", "expire", "-m", "Old", root)
	must("is at", "", "mailbox", "move", root, root+"2")
	must("no problems", "", "mailbox", "check", root+"2")
	s, err := mailstore.Open(mailstore.Options{Root: root + "2"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Mailbox("Old", true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	msg, _ := m.Message(1)
	if facts, err := m.Facts(&msg); err != nil || msg.Flags != mailstore.Seen|mailstore.Flagged || facts.Internal != 1136214245 && os.Getenv("TZ") == "UTC" {
		t.Errorf("%+v, %+v, %v", msg, facts, err)
	}
	if list, err := s.Subscriptions(); err != nil || len(list) != 1 || list[0] != "Lists" {
		t.Errorf("subscriptions %v, %v", list, err)
	}
	damage(t, filepath.Join(root+"2", "posthouse-uidlist"))
	out, err := run(t, "", "mailbox", "check", root+"2")
	if !errors.Is(err, errQuiet) || !strings.Contains(out, "damaged line") {
		t.Errorf("damage: %v, %s", err, out)
	}
	must("no problems", "", "mailbox", "check", root+"2")
}

// damage changes a byte of the last line.
func damage(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-3] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDeliverExitStatus(t *testing.T) {
	root := filepath.Join(t.TempDir(), "Maildir")
	if _, err := mailstore.Open(mailstore.Options{Root: root}); err != nil {
		t.Fatal(err)
	}
	_, err := run(t, strings.Repeat("x\n", 1000), "deliver", "--quota", "100", root)
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != exNoPerm {
		t.Errorf("over quota: %v", err)
	}
	for _, args := range [][]string{{"deliver"}, {"mailbox", "check"}, {"mailbox", "eat", root}, {"mailbox", "move", root}, {"mailbox", "move", root, "relative"}} {
		if _, err := run(t, "", args...); !errors.Is(err, errUsage) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// TestDeliverQuota: quota_rules and quota_warning_levels count for deliver too,
// and the warning is for the user.
func TestDeliverQuota(t *testing.T) {
	root := filepath.Join(t.TempDir(), "Maildir")
	if _, err := mailstore.Open(mailstore.Options{Root: root}); err != nil {
		t.Fatal(err)
	}
	etc := t.TempDir()
	for name, text := range map[string]string{"main.cf": "myhostname = mail.example.org\nquota_rules = Lists:ignore\nquota_warning_levels = 80\n", "master.cf": ""} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 4 {
		for _, folder := range []string{"INBOX", "Lists"} {
			if out, err := run(t, "Subject: x\n\nbody\n", "-c", etc, "deliver", "--create", "-m", folder, "--quota=5C", "--login=ann@example.org", root); err != nil {
				t.Fatalf("message %d: %v %s", n, err, out)
			}
		}
	}
	var warnings []string
	names, _ := filepath.Glob(filepath.Join(root, "new", "*"))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "80% full") {
			warnings = append(warnings, string(text))
		}
	}
	if len(names) != 5 || len(warnings) != 1 || !strings.Contains(warnings[0], "To: <ann@example.org>") || !strings.Contains(warnings[0], "@mail.example.org") {
		t.Errorf("%d messages, warnings %q", len(names), warnings)
	}
}
