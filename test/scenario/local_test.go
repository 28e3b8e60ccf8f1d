package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// localSite is an instance with two accounts, whose mail goes to ~/Maildir or
// to a spool directory that the group mail may write, as on Debian.
func localSite(t *testing.T, settings ...string) (*testkit.Instance, testkit.Account, testkit.Account) {
	testkit.NeedRoot(t)
	mail := testkit.New(t)
	alice := testkit.NewAccount(t, mail.Dir, "phalice")
	bob := testkit.NewAccount(t, mail.Dir, "phbob")
	spool := filepath.Join(mail.Dir, "var-mail")
	if err := os.Mkdir(spool, 0o755); err != nil {
		t.Fatal(err)
	}
	os.Chown(spool, 0, 8) // root:mail
	os.Chmod(spool, 0o775|os.ModeSetgid)
	mail.Set(t, "mail_spool_directory = "+spool, "recipient_delimiter = +")
	mail.Set(t, settings...)
	return mail, alice, bob
}

// deliver sends one message and waits until it left the queue.
func deliver(t *testing.T, mail *testkit.Instance, to, text string) string {
	t.Helper()
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	id := s.Message("sender@remote.test", to, text)
	s.Cmd("221", "QUIT")
	mail.WaitLog(t, "qmgr\\[\\d+\\]: "+id+": removed")
	return id
}

func owner(t *testing.T, path string) (uid, gid int, mode os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return int(st.Uid), int(st.Gid), info.Mode().Perm()
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLocalMailbox(t *testing.T) {
	mail, alice, _ := localSite(t)
	mail.Start(t)
	id := deliver(t, mail, "phalice+ext@localhost", "Subject: one\n\nFrom here\n")
	mail.WaitLog(t, id+`: to=<phalice\+ext@localhost>, relay=local, .*status=sent \(delivered to mailbox\)`)
	box := filepath.Join(mail.Dir, "var-mail", "phalice")
	text := read(t, box)
	for _, want := range []string{"From sender@remote.test  ", "\nReturn-Path: <sender@remote.test>\n",
		"\nDelivered-To: phalice+ext@localhost\n", "\n>From here\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if uid, _, mode := owner(t, box); uid != alice.UID || mode != 0o600 {
		t.Errorf("mailbox belongs to %d, mode %o", uid, mode)
	}
	if _, err := os.Stat(box + ".lock"); err == nil {
		t.Error("the dot lock is still there")
	}
}

func TestLocalHomeMaildir(t *testing.T) {
	mail, alice, _ := localSite(t, "home_mailbox = Maildir/")
	mail.Start(t)
	deliver(t, mail, "phalice@localhost", "Subject: one\n\nx\n")
	files, _ := filepath.Glob(filepath.Join(alice.Home, "Maildir/new/*"))
	if len(files) != 1 {
		t.Fatalf("%d messages", len(files))
	}
	if uid, gid, mode := owner(t, files[0]); uid != alice.UID || gid != alice.GID || mode != 0o600 {
		t.Errorf("message belongs to %d:%d, mode %o", uid, gid, mode)
	}
}

func TestAliases(t *testing.T) {
	mail, alice, bob := localSite(t, "allow_mail_to_commands = alias, forward, include", "allow_mail_to_files = alias, forward, include")
	// What commands and files of the root-owned alias file use: nobody.
	drop := filepath.Join(mail.Dir, "drop")
	os.Mkdir(drop, 0o777)
	os.Chmod(drop, 0o777)
	list := filepath.Join(mail.Dir, "list")
	os.WriteFile(list, []byte("# people\nphbob\n\\phalice\n"), 0o644)
	mail.Write(t, "aliases", fmt.Sprintf(`
postmaster: phalice
both: phalice, phbob
file: %[1]s/file
dir: %[1]s/dir/
cmd: "|cat > %[1]s/cmd; env > %[1]s/env; id > %[1]s/id; pwd >> %[1]s/id"
list: :include:%[2]s
owner-list: phbob
away: you@example.test
self: self2, phalice
self2: self, phbob
temp: "|exit 75"
gone: "|echo 5.2.1 mailbox is closed; exit 1"
deaf: "|true"
big: "|wc -c > %[1]s/big"
`, drop, list))
	alice.Write(t, ".forward", "# comment\nphalice, \"|cat > ~/piped\"\n", 0o644)
	mail.Start(t)

	deliver(t, mail, "both@localhost", "Subject: both\n\nx\n")
	for _, a := range []testkit.Account{alice, bob} {
		if text := read(t, filepath.Join(mail.Dir, "var-mail", a.Name)); !strings.Contains(text, "Subject: both\n") {
			t.Errorf("%s has\n%s", a.Name, text)
		}
	}
	if uid, _, _ := owner(t, filepath.Join(alice.Home, "piped")); uid != alice.UID {
		t.Errorf("the .forward command ran as %d", uid)
	}

	deliver(t, mail, "file@localhost", "Subject: file\n\nx\n")
	deliver(t, mail, "dir@localhost", "Subject: dir\n\nx\n")
	deliver(t, mail, "cmd+more@localhost", "Subject: cmd\n\nx\n")
	if text := read(t, filepath.Join(drop, "file")); !strings.Contains(text, "Subject: file\n") {
		t.Errorf("file: %s", text)
	}
	if files, _ := filepath.Glob(filepath.Join(drop, "dir/new/*")); len(files) != 1 {
		t.Errorf("dir: %v", files)
	}
	if text := read(t, filepath.Join(drop, "cmd")); !strings.Contains(text, "Subject: cmd\n") {
		t.Errorf("cmd: %s", text)
	}
	id := read(t, filepath.Join(drop, "id"))
	if !strings.Contains(id, "(nobody)") || strings.Contains(id, "groups=0") || strings.Contains(id, ",0(root)") {
		t.Errorf("the alias command ran as %s", id)
	}
	env := read(t, filepath.Join(drop, "env"))
	for _, want := range []string{"LOCAL=cmd+more\n", "EXTENSION=more\n", "DOMAIN=localhost\n", "SENDER=sender@remote.test\n", "RECIPIENT=cmd+more@localhost\n"} {
		if !strings.Contains(env, want) {
			t.Errorf("no %q in the environment\n%s", want, env)
		}
	}

	deliver(t, mail, "list@localhost", "Subject: list\n\nx\n")
	if text := read(t, filepath.Join(mail.Dir, "var-mail", "phbob")); !strings.Contains(text, "From owner-list@mail.example.test ") {
		t.Errorf("the sender of a list with an owner is not its owner:\n%s", text)
	}

	first := deliver(t, mail, "away@localhost", "Subject: away\n\nx\n")
	m := mail.WaitLog(t, first+`: to=<away@localhost>, relay=local, .*status=sent \(forwarded as ([0-9A-F]+)\)`)
	mail.WaitLog(t, m[1]+`: to=<you@example\.test>, .*status=sent`)
	if text := mail.WaitMailbox(t, "you", 1)[0]; !strings.Contains(text, "Delivered-To: away@localhost\n") {
		t.Errorf("forwarded message\n%s", text)
	}

	deliver(t, mail, "self@localhost", "Subject: self\n\nx\n")
	// A command need not read its input, and gets all of a large one.
	deliver(t, mail, "deaf@localhost", "Subject: deaf\n\n"+strings.Repeat("0123456789\n", 100_000))
	deliver(t, mail, "big@localhost", "Subject: big\n\n"+strings.Repeat("0123456789\n", 100_000))
	if n, err := strconv.Atoi(strings.TrimSpace(read(t, filepath.Join(drop, "big")))); err != nil || n < 1_100_000 || n > 1_101_000 {
		t.Errorf("the command got %d bytes, %v", n, err)
	}
	id2 := deliver(t, mail, "gone@localhost", "Subject: gone\n\nx\n")
	mail.WaitLog(t, id2+`: to=<gone@localhost>, relay=local, .*dsn=5\.2\.1, status=bounced \(mailbox is closed`)

	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	id3 := s.Message("sender@remote.test", "temp@localhost", "Subject: temp\n\nx\n")
	mail.WaitLog(t, id3+`: to=<temp@localhost>, relay=local, .*dsn=4\.3\.0, status=deferred \(temporary failure`)
	s.Cmd("250", "MAIL FROM:<>")
	s.Cmd("550 5.1.1 <nosuch@localhost>: Recipient address rejected: User unknown in local recipient table", "RCPT TO:<nosuch@localhost>")
}

func TestForwardThatIsNotSafe(t *testing.T) {
	mail, alice, bob := localSite(t)
	bob.Write(t, "target", "|touch /tmp/never\n", 0o644)
	mail.Start(t)
	for _, tc := range []struct {
		name string
		make func(path string)
	}{
		{"others may write", func(path string) { alice.Write(t, ".forward", "phbob\n", 0o666) }},
		{"another owner", func(path string) {
			alice.Write(t, ".forward", "phbob\n", 0o644)
			os.Chown(path, bob.UID, bob.GID)
		}},
		{"symbolic link", func(path string) { os.Symlink(filepath.Join(bob.Home, "target"), path) }},
		{"FIFO", func(path string) { syscall.Mkfifo(path, 0o644); os.Chown(path, alice.UID, alice.GID) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(alice.Home, ".forward")
			os.Remove(path)
			tc.make(path)
			id := deliver(t, mail, "phalice@localhost", "Subject: "+tc.name+"\n\nx\n")
			mail.WaitLog(t, id+`: to=<phalice@localhost>, relay=local, .*status=sent \(delivered to mailbox\)`)
			mail.WaitLog(t, `warning: `+id+`: .*\.forward`)
		})
	}
}

func TestLocalLoops(t *testing.T) {
	mail, alice, _ := localSite(t)
	mail.Write(t, "aliases", "loop: :include:"+mail.Etc("a")+"\npostmaster: phalice\n")
	mail.Write(t, "a", ":include:"+mail.Etc("b")+"\n")
	mail.Write(t, "b", ":include:"+mail.Etc("a")+"\nphalice\n")
	_ = alice
	mail.Start(t)
	deliver(t, mail, "loop@localhost", "Subject: include loop\n\nx\n")
	// The member of a list has a message of its own.
	mail.WaitLog(t, `to=<phalice@\S+>, orig_to=<loop@localhost>, relay=local, .*status=sent \(delivered to mailbox\)`)
	if text := read(t, filepath.Join(mail.Dir, "var-mail", "phalice")); strings.Count(text, "Subject: include loop") != 1 {
		t.Errorf("mailbox\n%s", text)
	}
	id := deliver(t, mail, "phalice@localhost", "Delivered-To: PHALICE@localhost\nSubject: back\n\nx\n")
	mail.WaitLog(t, id+`: to=<phalice@localhost>, relay=local, .*dsn=5\.4\.6, status=bounced \(mail forwarding loop for phalice@localhost\)`)
}
