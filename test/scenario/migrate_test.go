package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/refdovecot"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// migrationFolders are the folders of the mailbox that is taken over.
func migrationFolders() []string { return []string{"INBOX", "Work", "Work/Deep", "Entw&APw-rfe"} }

// fillServer makes a mailbox with flags, keywords, gaps between UIDs, folders
// and subscriptions.
func fillServer(t *testing.T, s mailServer) {
	t.Helper()
	var b strings.Builder
	for _, f := range migrationFolders()[1:] {
		fmt.Fprintf(&b, "c CREATE \"%s\"\r\n", s.folder(f))
	}
	for i, flags := range []string{"", `\Seen`, `\Answered \Flagged`, `$Label1 \Seen`, `\Draft Important`, `\Seen $Forwarded`, ""} {
		text := fmt.Sprintf("Subject: inbox %d\r\nFrom: a@example.org\r\n\r\n%s\r\n", i, strings.Repeat("text ", i*10))
		b.WriteString(appendCmd("INBOX", flags, text))
		if i%2 == 0 {
			b.WriteString(appendCmd(s.folder("Work"), flags, text))
		}
	}
	b.WriteString(appendCmd(s.folder("Work/Deep"), `\Seen`, "Subject: deep\r\n\r\nx\r\n"))
	b.WriteString(appendCmd(s.folder("Entw&APw-rfe"), `\Draft`, "Subject: draft\r\n\r\nx\r\n"))
	b.WriteString("s SELECT INBOX\r\nd STORE 2 +FLAGS (\\Deleted)\r\ne EXPUNGE\r\n")
	for _, f := range []string{"INBOX", "Work", "Entw&APw-rfe"} {
		fmt.Fprintf(&b, "u SUBSCRIBE \"%s\"\r\n", s.folder(f))
	}
	out := s.imap(t, b.String()+"z LOGOUT\r\n")
	for line := range strings.Lines(out) {
		if strings.Contains(line, " NO ") || strings.Contains(line, " BAD ") {
			t.Fatalf("%s: %s", s.name, line)
		}
	}
}

// known is all that clients of a mailbox remember.
type known struct {
	Folders    map[string]folderState
	Subscribed []string
	UIDLs      map[string]string // by subject
}

func snapshot(t *testing.T, s mailServer) known {
	t.Helper()
	k := known{Folders: map[string]folderState{}, Subscribed: s.subscribed(t)}
	k.UIDLs, _ = s.uidls(t)
	for _, f := range migrationFolders() {
		k.Folders[f] = s.state(t, f)
	}
	return k
}

// migration is a mailbox at home/Maildir that servers take turns with.
type migration struct {
	home     string
	uid, gid int
}

func newMigration(t *testing.T) migration {
	t.Helper()
	testkit.NeedRoot(t)
	testkit.New(t) // makes the system users
	home, err := os.MkdirTemp("", "mig")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	m := migration{home: home}
	m.uid, m.gid = testkit.BoxOwner(t)
	os.Chmod(home, 0o755)
	for _, d := range []string{"", "Maildir", "Maildir/cur", "Maildir/new", "Maildir/tmp"} {
		path := filepath.Join(home, d)
		os.MkdirAll(path, 0o700)
		os.Chown(path, m.uid, m.gid)
	}
	os.Chmod(home, 0o755)
	return m
}

func (m migration) dovecot(t *testing.T) *refdovecot.Instance {
	t.Helper()
	return refdovecot.Start(t, refdovecot.Options{UID: m.uid, GID: m.gid, Users: map[string]refdovecot.User{
		"you@example.test": {Password: "secret", Home: m.home, MailDir: filepath.Join(m.home, "Maildir")}}})
}

// posthouse runs an instance whose user has the mailbox.
func (m migration) posthouse(t *testing.T) *testkit.Instance {
	t.Helper()
	mail := testkit.New(t)
	mail.Set(t, "recipient_delimiter = +", "lmtp_save_to_detail_mailbox = yes")
	mail.UserDB(t, "secret", []string{"you"})
	text, err := os.ReadFile(mail.Etc("userdb"))
	if err != nil {
		t.Fatal(err)
	}
	line := strings.ReplaceAll(string(text), "mail="+mail.Maildir("you"), "mail="+filepath.Join(m.home, "Maildir"))
	line = strings.ReplaceAll(line, "home="+mail.Maildir("you"), "home="+m.home)
	mail.Write(t, "userdb", line)
	mail.Start(t)
	return mail
}

// foreign lists the files of other servers in the mailbox with their contents.
func (m migration) foreign(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	filepath.WalkDir(filepath.Join(m.home, "Maildir"), func(path string, d os.DirEntry, err error) error {
		base := filepath.Base(path)
		if err == nil && d.Type().IsRegular() && (strings.HasPrefix(base, "dovecot") || strings.HasPrefix(base, "courier") || base == "subscriptions") {
			text, _ := os.ReadFile(path)
			all[path] = string(text)
		}
		return nil
	})
	return all
}

// take has Posthouse serve a mailbox that another server filled, and uses it.
func (m migration) take(t *testing.T, before known) {
	t.Helper()
	theirs := m.foreign(t)
	mail := m.posthouse(t)
	us := posthouseServer(mail)
	if d := cmp.Diff(before, snapshot(t, us)); d != "" {
		t.Errorf("clients see other things after the switch (-before +after):\n%s", d)
	}
	if d := cmp.Diff(theirs, m.foreign(t)); d != "" {
		t.Errorf("the other server's files were touched:\n%s", d)
	}
	// Use it: new mail by LMTP, a deletion by POP3, flags and a keyword by
	// IMAP.
	l := testkit.Dial(t, mail.LMTPAddr())
	l.Cmd("250", "LHLO c.test")
	for _, to := range []string{"you@example.test", "you+Work@example.test"} {
		l.Cmd("250", "MAIL FROM:<>")
		l.Cmd("250", "RCPT TO:<%s>", to)
		l.Cmd("354", "DATA")
		l.Cmd("250", "Subject: new\r\n\r\nx\r\n.")
	}
	_, numbers := us.uidls(t)
	if out := us.pop3(t, fmt.Sprintf("DELE %d\r\nQUIT\r\n", numbers["inbox 0"])); !strings.Contains(out, "messages deleted") {
		t.Errorf("POP3: %s", out)
	}
	us.imap(t, "s SELECT INBOX\r\nf UID STORE 3 +FLAGS (\\Deleted $Label1)\r\nz LOGOUT\r\n")
	mail.Stop(t)
	if d := cmp.Diff(theirs, m.foreign(t)); d != "" {
		t.Errorf("the other server's files were touched in use:\n%s", d)
	}
}

// system leaves the keywords out. Courier has them in files of its own, which
// we do not write.
func system(flags string) string {
	return sortedFlags(strings.Join(slices.DeleteFunc(strings.Fields(flags), func(f string) bool { return f[0] != '\\' }), " "))
}

// back compares what the first server says when it has the mailbox again.
func back(t *testing.T, before known, s mailServer) {
	t.Helper()
	inbox := before.Folders["INBOX"]
	now := s.state(t, "INBOX")
	want := slices.Clone(inbox.Messages[1:])
	for i := range want {
		if want[i].UID == 3 {
			want[i].Flags += ` \Deleted`
		}
	}
	if now.Validity != inbox.Validity || len(now.Messages) != len(want)+1 {
		t.Fatalf("INBOX after going back: UIDVALIDITY %s, was %s; %+v", now.Validity, inbox.Validity, now.Messages)
	}
	for i, w := range want {
		if got := now.Messages[i]; got.UID != w.UID || got.Size != w.Size || got.Date != w.Date || system(got.Flags) != system(w.Flags) {
			t.Errorf("after going back: %+v, was %+v", got, w)
		}
	}
	if last := now.Messages[len(want)]; last.UID <= inbox.Messages[len(inbox.Messages)-1].UID {
		t.Errorf("new mail has UID %d", last.UID)
	}
	if got, want := len(s.state(t, "Work").Messages), len(before.Folders["Work"].Messages)+1; got != want {
		t.Errorf("Work has %d messages after going back, want %d", got, want)
	}
	uidls, _ := s.uidls(t)
	for subject, id := range before.UIDLs {
		if got := uidls[subject]; got != id && subject != "inbox 0" {
			t.Errorf("UIDL of %q is %s after going back, was %s", subject, got, id)
		}
	}
}

// TestMigrateDovecot: a Dovecot mailbox is taken over in place, used, and given
// back; no client downloads anything again.
func TestMigrateDovecot(t *testing.T) {
	m := newMigration(t)
	d := m.dovecot(t)
	fillServer(t, dovecotServer(d))
	before := snapshot(t, dovecotServer(d))
	d.Stop(t)
	m.take(t, before)
	d = m.dovecot(t)
	back(t, before, dovecotServer(d))
}

// TestMigrateCourier is the same with Courier, whose POP3 ids are its own.
func TestMigrateCourier(t *testing.T) {
	m := newMigration(t)
	c := courierServer(m.home, m.uid, m.gid)
	fillServer(t, c)
	before := snapshot(t, c)
	m.take(t, before)
	back(t, before, c)
}
