package bench

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

var million = flag.Int("million", 0, "messages in a mailbox with which the memory of a session is measured; 0: not measured")

// linksEach is how many names a message file gets: ext4 allows 65,000.
const linksEach = 60000

// fillLinked makes a Maildir of n messages that are names of a few files, which
// is the same to the server and takes seconds.
func fillLinked(t testing.TB, dir string, uid, gid, n int) {
	t.Helper()
	for _, sub := range []string{"", "cur", "new", "tmp"} {
		path := filepath.Join(dir, sub)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		os.Chown(path, uid, gid)
	}
	for from := 0; from < n; from += linksEach {
		text := fmt.Sprintf("From: Sender %d <s%d@example.test>\nTo: you@example.test\nSubject: message number %d of many\n"+
			"Date: Mon, 1 Jan 2024 10:00:00 +0000\nMessage-ID: <%d@bench.test>\n\nneedle%d\n", from%7, from%7, from, from, from)
		sizes := fmt.Sprintf(",S=%d,W=%d:2,S", len(text), len(text)+strings.Count(text, "\n"))
		name := func(i int) string { return filepath.Join(dir, "cur", fmt.Sprint(1500000000+i, ".M", i, "P1.h", sizes)) }
		if err := os.WriteFile(name(from), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chown(name(from), uid, gid)
		for i := from + 1; i < min(from+linksEach, n); i++ {
			if err := os.Link(name(from), name(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// childNamed finds a descendant of a process.
func childNamed(t testing.TB, pid int, name string) int {
	t.Helper()
	for p := range tree(pid) {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p))
		if strings.TrimSpace(string(comm)) == name {
			return p
		}
	}
	t.Fatalf("no process %s below %d", name, pid)
	return 0
}

// peak returns the most memory that a process had since the last call, and
// what it has now, in MiB.
func peak(t testing.TB, pid int) (most, now float64) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "VmHWM:":
			most = n / 1024
		case "VmRSS:":
			now = n / 1024
		}
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	return most, now
}

// TestMillion tells what a session on a very large mailbox costs in the user's
// process: the most memory during each command, what is left, and the time.
func TestMillion(t *testing.T) {
	if *million == 0 {
		t.Skip("SKIPPED: measures only with -args -million 1000000")
	}
	mail := testkit.New(t, testkit.Users("big", "small"))
	uid, gid := testkit.BoxOwner(t)
	mail.UserDB(t, "secret", []string{"big", "small"})
	mail.Start(t)
	fillLinked(t, mail.Maildir("big"), uid, gid, *million)
	s := imapSystem{"Posthouse", net.JoinHostPort("127.0.0.1", strconv.Itoa(mail.Port+3)), "", mail.PID(), mail.Maildir}
	small, err := imapLogin(s, "small", false)
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	small.timed(t, s, "SELECT INBOX")
	pid := childNamed(t, mail.PID(), "mailuser")
	_, base := peak(t, pid)
	c, err := imapLogin(s, "big", false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rows := [][]string{{"", "s", "most MiB", "then MiB"}, {"a session on a small mailbox", "", "", f1(base)}}
	for _, command := range []string{"SELECT INBOX", "SELECT INBOX", "FETCH 1:* (FLAGS)", "UID FETCH 1:* (UID FLAGS)", "UID SEARCH UNSEEN",
		"FETCH 1:20000 (ENVELOPE BODYSTRUCTURE)", "SEARCH SUBJECT \"number 60000 \"", "SEARCH SUBJECT \"number 60000 \"",
		"SORT (SUBJECT) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "SEARCH BODY needle60000"} {
		ms := c.timed(t, s, "%s", command)
		most, now := peak(t, pid)
		rows = append(rows, []string{command, f2(ms / 1000), f1(most), f1(now)})
	}
	c.timed(t, s, "LOGOUT")
	time.Sleep(time.Second)
	_, now := peak(t, pid)
	rows = append(rows, []string{"after LOGOUT", "", "", f1(now)})
	table(fmt.Sprintf("memory of mailuser, %d messages", *million), rows)
}
