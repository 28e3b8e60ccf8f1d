package imap

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/imapserver"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// TestMain runs the test binary as a process that updates full-text indexes
// until it is killed.
func TestMain(m *testing.M) {
	if root := os.Getenv("POSTHOUSE_TEST_INDEX"); root != "" {
		indexForEver(root)
	}
	os.Exit(m.Run())
}

func indexForEver(root string) {
	store, err := mailstore.Open(mailstore.Options{Root: root, User: "you@example.test", CacheVersion: imapserver.CacheVersion})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	for n := 0; ; n++ {
		if n%3 == 2 {
			if err := store.Rebuild("INBOX"); err != nil {
				fmt.Println(err)
			}
		}
		if _, err := imapserver.Index(context.Background(), store, "INBOX", imapserver.IndexOptions{MaxText: indexed, Time: time.Duration(n%7) * 20 * time.Millisecond}); err != nil {
			fmt.Println(err)
		}
	}
}

// indexed is up to which size texts are put into the index here. It is more
// than is read at once.
const indexed = 60 << 10

// words of which texts are made, some with characters that folding changes.
func vocabulary() []string {
	return []string{"invoice", "meeting", "Größe", "straße", "résumé", "日本語の", "テスト", "foo-bar", "a.b.c", "x", "the", "THE", "İstanbul", "ﬁle", "µ-law",
		"https://example.test/path?q=1&r=2", "<td class=\"x\">", "=3D", "--", strings.Repeat("long", 40), strings.Repeat("長い", 30), "e\u0301te\u0301", "№5", "ａｂｃ"}
}

func randomWords(r *rand.Rand, n int) string {
	var b strings.Builder
	all := vocabulary()
	for range n {
		b.WriteString(all[r.Intn(len(all))])
		b.WriteString([]string{" ", " ", "\n", ", ", ""}[r.Intn(5)])
		if r.Intn(8) == 0 {
			fmt.Fprintf(&b, "n%d ", r.Intn(1000))
		}
	}
	return b.String()
}

// randomMail is a message in one of the forms in which text comes.
func randomMail(r *rand.Rand) string {
	text := randomWords(r, 1+r.Intn(60))
	subject := strings.ReplaceAll(randomWords(r, 3), "\n", " ")
	head := fmt.Sprintf("From: A <a%d@example.test>\nSubject: =?utf-8?b?%s?=\nX-Note: %s\nMIME-Version: 1.0\n", r.Intn(50),
		base64.StdEncoding.EncodeToString([]byte(subject)), strings.ReplaceAll(randomWords(r, 2), "\n", "\n "))
	switch r.Intn(20) {
	case 0:
		return head + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(text)) + "\n"
	case 1:
		var q strings.Builder
		for i, c := range []byte(text) {
			fmt.Fprintf(&q, "=%02X", c)
			if i%20 == 19 {
				q.WriteString("=\n")
			}
		}
		return head + "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" + q.String() + "\n"
	case 2:
		return head + "Content-Type: text/plain; charset=iso-8859-1\n\nsch\xf6n " + strings.Map(func(c rune) rune {
			if c > 0x7e {
				return 'y'
			}
			return c
		}, text) + "\n"
	case 3:
		return head + "Content-Type: multipart/mixed; boundary=bb\n\nnobody reads this\n--bb\n\n" + text + "\n--bb\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n" +
			base64.StdEncoding.EncodeToString([]byte("secret words")) + "\n--bb\nContent-Type: message/rfc822\n\nSubject: inner " + subject + "\n\ninside " + randomWords(r, 3) + "\n--bb--\n"
	case 4: // more text than is put into the index
		return head + "\n" + strings.Repeat(text+"\n", 1+indexed/len(text))
	case 5: // read in pieces, since it is large
		return head + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n" +
			base64.StdEncoding.EncodeToString([]byte(strings.Repeat(text, 1+(36<<10)/len(text)))) + "\n"
	}
	return head + "\n" + text + "\n"
}

// both asks a server with the index and one without, who have to agree.
func both(t *testing.T, r *rand.Rand, with, without *dialog, n int) {
	t.Helper()
	found := 0
	for i := range n {
		text := []rune(randomWords(r, 1+r.Intn(3)))
		from := r.Intn(len(text))
		part := string(text[from : from+1+r.Intn(min(len(text)-from, 40))])
		part = strings.Map(func(c rune) rune {
			if c == '\n' {
				return ' '
			}
			return c
		}, part)
		key := []string{"BODY", "TEXT", "NOT BODY", "UNSEEN OR SUBJECT tri TEXT"}[r.Intn(4)]
		command := fmt.Sprintf("t%d UID SEARCH CHARSET UTF-8 %s {%d+}\r\n%s\r\n", i, key, len(part), part)
		var lines [2]string
		for n, d := range []*dialog{with, without} {
			c := d.conn("A")
			c.SetDeadline(time.Now().Add(patience))
			c.Write([]byte(command))
			for end := ""; !strings.HasPrefix(end, fmt.Sprintf("t%d ", i)); {
				if end = d.read(c); strings.HasPrefix(end, "* SEARCH") {
					lines[n] = end
				} else if strings.HasPrefix(end, fmt.Sprintf("t%d ", i)) && !strings.Contains(end, " OK ") {
					t.Fatalf("%q: %q", command, end)
				}
			}
		}
		if lines[0] != lines[1] {
			t.Fatalf("%q:\nwith the index    %s\nwithout the index %s", command, lines[0], lines[1])
		}
		found += strings.Count(lines[0], " ") - 1
	}
	if found == 0 {
		t.Error("nothing was found: the searches say nothing")
	}
}

// twoServers are two servers on one store, the first with the index.
func twoServers(t *testing.T) (s *server, with, without *dialog) {
	s = newServer(t)
	plain := *s
	s.opts.FullText = true
	with = &dialog{peer: s, t: t, conns: map[string]*conn{}, where: "with"}
	without = &dialog{peer: &plain, t: t, conns: map[string]*conn{}, where: "without"}
	return s, with, without
}

func (d *dialog) sync() {
	d.t.Helper()
	d.talk("A", ">", "a NOOP")
	d.talk("A", "...", "a OK")
}

// TestFullTextAgrees: a search finds the same with the index and without it,
// whatever text, charset and form messages have, and while the index lacks
// messages and has some that are gone.
func TestFullTextAgrees(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	s, with, without := twoServers(t)
	index := func() int {
		t.Helper()
		n, err := imapserver.Index(context.Background(), s.open("you@example.test"), "INBOX", imapserver.IndexOptions{MaxText: indexed})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	deliver := func(n int) {
		for range n {
			s.deliver(randomMail(r))
		}
	}
	deliver(150)
	for _, d := range []*dialog{with, without} {
		d.talk("A", ">", "a SELECT INBOX")
		d.talk("A", "...", "a OK")
	}
	if n := index(); n != 150 {
		t.Fatalf("%d messages were added to the index", n)
	}
	both(t, r, with, without, 60)
	for round := range 4 {
		deliver(20)
		with.talk("A", ">", fmt.Sprintf("a UID STORE %d:%d +FLAGS.SILENT (\\Deleted)", 10*round+1, 10*round+7))
		with.talk("A", "...", "a OK")
		with.talk("A", ">", "a EXPUNGE")
		with.talk("A", "...", "a OK")
		with.sync()
		without.sync()
		both(t, r, with, without, 12) // the new ones are not in the index
		if n := index(); n != 20 {
			t.Fatalf("%d messages were added to the index", n)
		}
		both(t, r, with, without, 12)
	}
}

// fill delivers n messages, and has the dialogs select the mailbox.
func fill(s *server, r *rand.Rand, n int, dialogs ...*dialog) {
	for range n {
		s.deliver(randomMail(r))
	}
	for _, d := range dialogs {
		d.talk("A", ">", "a SELECT INBOX")
		d.talk("A", "...", "a OK")
	}
}

// TestFullTextUnreadable: a message that cannot be read keeps no other one out
// of the index.
func TestFullTextUnreadable(t *testing.T) {
	r := rand.New(rand.NewSource(4))
	s, with, without := twoServers(t)
	fill(s, r, 100, with, without)
	files, err := filepath.Glob(filepath.Join(s.root, "[cn]??", "*"))
	if err != nil || len(files) != 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	// No server of mail follows a link.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(files[3], link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, files[2]); err != nil {
		t.Fatal(err)
	}
	index := func() (int, error) {
		return imapserver.Index(context.Background(), s.open("you@example.test"), "INBOX", imapserver.IndexOptions{MaxText: indexed})
	}
	if n, err := index(); n != 99 || err == nil {
		t.Errorf("%d messages were added to the index, error %v", n, err)
	}
	if n, err := index(); n != 0 || err == nil {
		t.Errorf("then %d, error %v", n, err)
	}
}

// TestFullTextInBackground: a search that had to read many messages has them
// put into the index.
func TestFullTextInBackground(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	s, with, without := twoServers(t)
	s.opts.Indexer = new(imapserver.Indexer)
	t.Cleanup(s.opts.Indexer.Wait)
	fill(s, r, 80, with, without)
	both(t, r, with, without, 5)
	s.opts.Indexer.Wait()
	if names, _ := filepath.Glob(filepath.Join(s.root, "posthouse.fts", "*.words")); len(names) == 0 {
		t.Error("there is no index after a search")
	}
	both(t, r, with, without, 12)
}

// TestFullTextKilled kills the process that updates the index, at any moment.
// What is left never makes a search wrong, and the index gets complete again.
func TestFullTextKilled(t *testing.T) {
	r := rand.New(rand.NewSource(3))
	s, with, without := twoServers(t)
	fill(s, r, 120, with, without)
	for range 15 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "POSTHOUSE_TEST_INDEX="+s.root)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			t.Fatalf("the process says %q", line)
		}
		time.Sleep(time.Duration(r.Intn(150)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		both(t, r, with, without, 4)
	}
	store, err := mailstore.Open(mailstore.Options{Shared: mailstore.NewShared(new(safefile.FS), nil), Root: s.root, User: "you@example.test", CacheVersion: imapserver.CacheVersion})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := imapserver.Index(context.Background(), store, "INBOX", imapserver.IndexOptions{MaxText: indexed}); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(s.root, "posthouse.fts", "*"))
	for _, name := range names {
		if !strings.HasSuffix(name, ".words") && filepath.Base(name) != "lock" {
			t.Errorf("left behind: %s", name)
		}
	}
	both(t, r, with, without, 20)
}
