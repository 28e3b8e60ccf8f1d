package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// clientBox is a mailbox that clients work on: some messages, one of them with
// an attachment, and a folder.
func clientBox(t *testing.T) *testkit.Instance {
	t.Helper()
	mail := imapInstance(t, "you")
	for i := range 5 {
		put(t, mail, "you", fmt.Sprintf("%d.c.host", 1795200500+i), fmt.Sprintf("From: a%d@example.test\nTo: you@example.test\n"+
			"Subject: message %d\nDate: Mon, 1 Jan 2024 0%d:00:00 +0000\nMessage-ID: <%d@example.test>\n\ntext %d\n", i, i, i, i, i))
	}
	c := dialIMAP(t, mail, false)
	c.login("you")
	c.cmd("OK", "CREATE Work")
	c.cmd("OK", "CREATE {14+}\r\nWork/Entw&APw-")
	c.cmd("OK", "SELECT INBOX")
	c.cmd("OK", "COPY 1:2 Work")
	c.cmd("OK", `STORE 2 +FLAGS (\Seen \Flagged)`)
	c.cmd("OK", "LOGOUT")
	return mail
}

// tool runs a client with a limit and returns what it printed.
func tool(t *testing.T, home, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command("timeout", append([]string{"120", name}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+home, "LC_ALL=C.UTF-8", "TERM=dumb")
	cmd.Dir = home
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func writeHome(t *testing.T, home, name, text string) string {
	t.Helper()
	path := filepath.Join(home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// countMail counts message files below a Maildir.
func countMail(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && (strings.Contains(path, "/cur/") || strings.Contains(path, "/new/")) {
			n++
		}
		return nil
	})
	return n
}

// tree is a listing of a Maildir: names and sizes.
func tree(dir string) string {
	var b strings.Builder
	filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && (strings.Contains(path, "/cur/") || strings.Contains(path, "/new/")) {
			fmt.Fprintf(&b, "%s %d\n", strings.TrimPrefix(path, dir), info.Size())
		}
		return nil
	})
	return b.String()
}

// TestMbsync synchronizes both ways; a run with nothing to do changes nothing.
func TestMbsync(t *testing.T) {
	testkit.NeedTool(t, "mbsync")
	mail := clientBox(t)
	home := t.TempDir()
	writeHome(t, home, ".mbsyncrc", fmt.Sprintf(`IMAPAccount a
Host 127.0.0.1
Port %d
User you@example.test
Pass secret
SSLType None
AuthMechs LOGIN
PipelineDepth 50

IMAPStore far
Account a

MaildirStore near
Path %s/mail/
Inbox %s/mail/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
CopyArrivalDate yes
`, mail.Port+3, home, home))
	os.MkdirAll(filepath.Join(home, "mail"), 0o700)
	run := func() string { return tool(t, home, "mbsync", "-a", "-V", "-c", filepath.Join(home, ".mbsyncrc")) }
	run()
	if n := countMail(t, filepath.Join(home, "mail")); n != 7 {
		t.Fatalf("%d messages came, want 7\n%s", n, tree(filepath.Join(home, "mail")))
	}
	// From here: a new message, a flag, a deletion, all at our end.
	inbox := filepath.Join(home, "mail", "INBOX")
	writeHome(t, inbox, "new/1795300000.x.host", "Subject: from here\r\n\r\ntext\r\n")
	names, _ := filepath.Glob(filepath.Join(inbox, "cur", "*"))
	if len(names) == 0 {
		t.Fatal("no messages in cur")
	}
	os.Rename(names[0], strings.Split(names[0], ":2,")[0]+":2,PS")
	// And there.
	put(t, mail, "you", "1795300001.y.host", "Subject: from there\n\ntext\n")
	run()
	run()
	here := tree(filepath.Join(home, "mail"))
	there := tree(mail.Maildir("you"))
	log := run()
	if again := tree(filepath.Join(home, "mail")); again != here {
		t.Errorf("a run without a cause changed our end:\n%s\n%s\n%s", here, again, log)
	}
	if again := tree(mail.Maildir("you")); again != there {
		t.Errorf("a run without a cause changed the server:\n%s\n%s", there, again)
	}
	if n := countMail(t, filepath.Join(home, "mail")); n != 9 {
		t.Errorf("%d messages, want 9\n%s", n, here)
	}
	if !strings.Contains(there, "PS") {
		t.Errorf("no message has the flags P and S at the server:\n%s", there)
	}
}

// TestMuttIMAP reads, files and deletes with mutt and neomutt.
func TestMuttIMAP(t *testing.T) {
	for _, name := range []string{"mutt", "neomutt"} {
		t.Run(name, func(t *testing.T) {
			testkit.NeedTool(t, name)
			mail := clientBox(t)
			home := t.TempDir()
			rc := writeHome(t, home, "muttrc", fmt.Sprintf(`set folder="imap://127.0.0.1:%d/"
set imap_user="you@example.test"
set imap_pass="secret"
set spoolfile="+INBOX"
set ssl_starttls=no
set ssl_force_tls=no
set move=no
set delete=yes
set confirmappend=no
set confirmcreate=no
set mail_check=0
set timeout=1
set wait_key=no
set sort=date
set header_cache="%s/hcache"
set imap_condstore=yes
set imap_qresync=yes
set quit=yes
`, mail.Port+3, home))
			keys := "push '<first-entry><display-message><exit><next-entry><next-entry><flag-message><last-entry><delete-message>" +
				"<first-entry><save-message>=Work<enter><sync-mailbox><quit>'"
			cmd := exec.Command("timeout", "90", "script", "-qfec", fmt.Sprintf("%s -n -F %s -e \"%s\"", name, rc, keys), "/dev/null")
			cmd.Env = append(os.Environ(), "HOME="+home, "TERM=xterm", "LC_ALL=C.UTF-8", "COLUMNS=80", "LINES=25")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			c := dialIMAP(t, mail, false)
			c.login("you")
			got := c.cmd("OK", "STATUS INBOX (MESSAGES)") + c.cmd("OK", "STATUS Work (MESSAGES)")
			if !strings.Contains(got, "INBOX (MESSAGES 3)") || !strings.Contains(got, "Work (MESSAGES 3)") {
				t.Errorf("after %s: %s\n%s", name, got, out)
			}
			c.cmd("OK", "SELECT INBOX")
			if got := c.cmd("OK", "SEARCH FLAGGED"); !strings.Contains(got, "* SEARCH 1 2") {
				t.Errorf("flagged: %s", got)
			}
		})
	}
}

// TestOfflineimap synchronizes with offlineimap3.
func TestOfflineimap(t *testing.T) {
	testkit.NeedTool(t, "offlineimap")
	mail := clientBox(t)
	home := t.TempDir()
	rc := writeHome(t, home, ".offlineimaprc", fmt.Sprintf(`[general]
accounts = a
ui = quiet
metadata = %s/meta
[Account a]
localrepository = l
remoterepository = r
[Repository l]
type = Maildir
localfolders = %s/mail
[Repository r]
type = IMAP
remotehost = 127.0.0.1
remoteport = %d
remoteuser = you@example.test
remotepass = secret
ssl = no
starttls = no
maxconnections = 2
`, home, home, mail.Port+3))
	run := func() { tool(t, home, "offlineimap", "-o", "-c", rc) }
	run()
	if n := countMail(t, filepath.Join(home, "mail")); n != 7 {
		t.Fatalf("%d messages came, want 7", n)
	}
	writeHome(t, filepath.Join(home, "mail", "INBOX"), "new/1795300000.x.host:2,", "Subject: from here\n\ntext\n")
	run()
	run()
	here, there := tree(filepath.Join(home, "mail")), tree(mail.Maildir("you"))
	run()
	if tree(filepath.Join(home, "mail")) != here || tree(mail.Maildir("you")) != there {
		t.Error("a run without a cause changed something")
	}
	if n := countMail(t, mail.Maildir("you")); n != 8 {
		t.Errorf("%d messages at the server, want 8", n)
	}
}

// TestFetchingClients takes mail away with fetchmail, getmail and imapfilter.
func TestFetchingClients(t *testing.T) {
	t.Run("fetchmail", func(t *testing.T) {
		testkit.NeedTool(t, "fetchmail")
		mail := clientBox(t)
		home := t.TempDir()
		rc := writeHome(t, home, "rc", fmt.Sprintf("poll 127.0.0.1 protocol imap port %d auth password\n"+
			"  user \"you@example.test\" password \"secret\" sslproto \"\" fetchall mda \"cat >> %s/got\"\n", mail.Port+3, home))
		tool(t, home, "fetchmail", "-f", rc, "--nosyslog")
		got, _ := os.ReadFile(filepath.Join(home, "got"))
		if n := strings.Count(string(got), "Subject: message"); n != 5 {
			t.Errorf("%d messages fetched\n%s", n, got)
		}
		if n := len(files(t, mail, "you")); n != 0 {
			t.Errorf("%d messages left", n)
		}
	})
	t.Run("getmail", func(t *testing.T) {
		testkit.NeedTool(t, "getmail")
		mail := clientBox(t)
		home := t.TempDir()
		for _, d := range []string{"mail/cur", "mail/new", "mail/tmp", "conf"} {
			os.MkdirAll(filepath.Join(home, d), 0o700)
		}
		writeHome(t, home, "conf/getmailrc", fmt.Sprintf("[retriever]\ntype = SimpleIMAPRetriever\nserver = 127.0.0.1\nport = %d\n"+
			"username = you@example.test\npassword = secret\nmailboxes = (\"INBOX\", \"Work\")\n[destination]\ntype = Maildir\npath = %s/mail/\n"+
			"[options]\nread_all = false\n", mail.Port+3, home))
		// getmail delivers nothing as root.
		args := []string{"--getmaildir", filepath.Join(home, "conf")}
		if os.Geteuid() == 0 {
			uid, gid := testkit.BoxOwner(t)
			filepath.Walk(home, func(p string, _ os.FileInfo, _ error) error { return os.Chown(p, uid, gid) })
			for d := home; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
				os.Chmod(d, 0o755)
			}
			tool(t, home, "setpriv", append([]string{fmt.Sprintf("--reuid=%d", uid), fmt.Sprintf("--regid=%d", gid), "--clear-groups", "getmail"}, args...)...)
		} else {
			tool(t, home, "getmail", args...)
		}
		if n := countMail(t, filepath.Join(home, "mail")); n != 7 {
			t.Errorf("%d messages came, want 7", n)
		}
	})
	t.Run("imapfilter", func(t *testing.T) {
		testkit.NeedTool(t, "imapfilter")
		mail := clientBox(t)
		home := t.TempDir()
		rc := writeHome(t, home, "config.lua", fmt.Sprintf(`options.timeout = 60
options.starttls = false
options.create = true
a = IMAP { server = '127.0.0.1', port = %d, username = 'you@example.test', password = 'secret' }
m = a.INBOX:contain_subject('message 3') + a.INBOX:contain_from('a4@')
m:move_messages(a['Filed'])
a.INBOX:is_flagged():delete_messages()
`, mail.Port+3))
		tool(t, home, "imapfilter", "-c", rc)
		c := dialIMAP(t, mail, false)
		c.login("you")
		got := c.cmd("OK", "STATUS INBOX (MESSAGES)") + c.cmd("OK", "STATUS Filed (MESSAGES)")
		if !strings.Contains(got, "INBOX (MESSAGES 2)") || !strings.Contains(got, "Filed (MESSAGES 2)") {
			t.Errorf("after imapfilter: %s", got)
		}
	})
}

// TestImaplib uses Python's imaplib.
func TestImaplib(t *testing.T) {
	testkit.NeedTool(t, "python3")
	mail := clientBox(t)
	home := t.TempDir()
	script := writeHome(t, home, "t.py", fmt.Sprintf(`
import imaplib, ssl, time
ctx = ssl._create_unverified_context()
m = imaplib.IMAP4_SSL('127.0.0.1', %d, ssl_context=ctx)
m.login('you@example.test', 'secret')
m.enable('UTF8=ACCEPT')
print(m.list())
assert m.select('INBOX')[1] == [b'5']
typ, data = m.uid('search', None, 'SUBJECT', '"message 2"')
assert data[0].split() == [b'3'], data
typ, data = m.fetch('3', '(RFC822 FLAGS UID INTERNALDATE ENVELOPE)')
assert b'text 2' in data[0][1], data
assert m.append('Work', '(\\Seen)', imaplib.Time2Internaldate(time.time()), b'Subject: new\r\n\r\nx\r\n')[0] == 'OK'
assert m.sort('REVERSE DATE', 'UTF-8', 'ALL')[1] == [b'5 4 3 2 1']
assert m.thread('REFERENCES', 'UTF-8', 'ALL')[0] == 'OK'
assert m.store('1:2', '+FLAGS', '\\Deleted')[0] == 'OK'
assert m.expunge()[0] == 'OK'
assert m.status('Work', '(MESSAGES)')[1][0].endswith(b'(MESSAGES 3)')
assert m.getquotaroot('INBOX')[0] == 'OK'
assert m.namespace()[0] == 'OK'
m.close(); m.logout()
`, mail.Port+4))
	tool(t, home, "python3", script)
}

// TestInterimap synchronizes two accounts with QRESYNC.
func TestInterimap(t *testing.T) {
	testkit.NeedTool(t, "interimap")
	mail := testkit.New(t, testkit.Users("you", "me"))
	mail.UserDB(t, "secret", []string{"you", "me"})
	mail.Start(t)
	for i := range 3 {
		put(t, mail, "you", fmt.Sprintf("%d.i.host", 1795200500+i), fmt.Sprintf("Subject: %d\n\ntext\n", i))
	}
	home := t.TempDir()
	account := func(name string) string {
		return fmt.Sprintf("type = imap\nhost = 127.0.0.1\nport = %d\nSTARTTLS = NO\nusername = %s@example.test\npassword = secret\nauth = plain login\ncompress = YES\n", mail.Port+3, name)
	}
	rc := writeHome(t, home, "config", "database = "+home+"/db.sqlite\nlist-mailbox = *\n[local]\n"+account("me")+"[remote]\n"+account("you"))
	for range 3 {
		tool(t, home, "interimap", "--config="+rc)
	}
	c := dialIMAP(t, mail, false)
	c.login("me")
	c.cmd("OK", "SELECT INBOX")
	if got := c.cmd("OK", "STATUS INBOX (MESSAGES)"); !strings.Contains(got, "MESSAGES 3") {
		t.Fatalf("%s", got)
	}
	c.cmd("OK", `STORE 1 +FLAGS (\Deleted)`)
	c.cmd("OK", "EXPUNGE")
	c.cmd("OK", `STORE 1 +FLAGS (\Flagged)`)
	time.Sleep(10 * time.Millisecond)
	tool(t, home, "interimap", "--config="+rc)
	o := dialIMAP(t, mail, false)
	o.login("you")
	o.cmd("OK", "SELECT INBOX")
	if got := o.cmd("OK", "SEARCH RETURN (COUNT) FLAGGED"); !strings.Contains(got, "COUNT 1") {
		t.Errorf("flag at the other account: %s", got)
	}
	if got := o.cmd("OK", "STATUS INBOX (MESSAGES)"); !strings.Contains(got, "MESSAGES 2") {
		t.Errorf("%s", got)
	}
}
