package mailstore

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/mutf7"
	"github.com/posthouse-mail/posthouse/pkg/refdovecot"
)

// peerID is the user whose mailboxes the peers serve.
const peerID = 1

// boxState is what clients see of a folder: message sizes, which tell the
// messages apart, and flags by UID.
type boxState struct {
	validity, next uint32
	messages       map[uint32]string
}

func (b boxState) String() string {
	var out []string
	for _, uid := range slices.Sorted(maps.Keys(b.messages)) {
		out = append(out, fmt.Sprint(uid, ":", b.messages[uid]))
	}
	return fmt.Sprintf("validity %d next %d %s", b.validity, b.next, strings.Join(out, " "))
}

func flagText(size string, flags []string) string {
	flags = slices.DeleteFunc(flags, func(f string) bool { return f == `\Recent` || f == "" })
	sort.Strings(flags)
	return size + "(" + strings.Join(flags, ",") + ")"
}

var (
	fetchUID   = regexp.MustCompile(`UID (\d+)`)
	fetchSize  = regexp.MustCompile(`RFC822\.SIZE (\d+)`)
	fetchFlags = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	okValidity = regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`)
	okNext     = regexp.MustCompile(`\[UIDNEXT (\d+)\]`)
)

// parseBox reads the answers to SELECT and UID FETCH 1:*.
func parseBox(text string) boxState {
	b := boxState{messages: map[uint32]string{}}
	num := func(re *regexp.Regexp, s string) (n uint32) {
		if m := re.FindStringSubmatch(s); m != nil {
			fmt.Sscan(m[1], &n)
		}
		return n
	}
	b.validity, b.next = num(okValidity, text), num(okNext, text)
	for line := range strings.Lines(text) {
		if !strings.Contains(line, " FETCH (") {
			continue
		}
		uid, size, flags := num(fetchUID, line), fetchSize.FindStringSubmatch(line), fetchFlags.FindStringSubmatch(line)
		b.messages[uid] = flagText(size[1], strings.Fields(flags[1]))
	}
	return b
}

// ours is what our store has of a folder.
func ours(t *testing.T, s *Store, name string) boxState {
	t.Helper()
	m, err := s.Mailbox(name, true)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer m.Close()
	b := boxState{validity: m.UIDValidity(), next: m.UIDNext(), messages: map[uint32]string{}}
	var all []Message
	m.Range(1, m.Len(), func(_ int, msg *Message) bool {
		all = append(all, *msg)
		return true
	})
	for i := range all {
		msg := &all[i]
		facts, err := m.Facts(msg)
		if err != nil {
			t.Fatal(err)
		}
		words := m.KeywordNames(nil, msg)
		for _, f := range []struct {
			flag Flags
			name string
		}{{Answered, `\Answered`}, {Flagged, `\Flagged`}, {Deleted, `\Deleted`}, {Seen, `\Seen`}, {Draft, `\Draft`}} {
			if msg.Flags&f.flag != 0 {
				words = append(words, f.name)
			}
		}
		b.messages[msg.UID] = flagText(fmt.Sprint(facts.Size), words)
	}
	return b
}

func peerHome(t *testing.T) string {
	t.Helper()
	home, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	for _, d := range []string{"", "/Maildir", "/Maildir/cur", "/Maildir/new", "/Maildir/tmp"} {
		os.Mkdir(home+d, 0o700)
	}
	giveAway(t, home)
	return home
}

// giveAway makes everything the peer's user's.
func giveAway(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, peerID, peerID)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fillScript is a client's session that makes folders and messages, in the
// names that a server has for folders.
func fillScript(folders []string) string {
	var b strings.Builder
	n := 0
	cmd := func(format string, args ...any) {
		n++
		fmt.Fprintf(&b, "a%d "+format+"\r\n", append([]any{n}, args...)...)
	}
	for _, f := range folders[1:] {
		cmd("CREATE %q", f)
		cmd("SUBSCRIBE %q", f)
	}
	for i, f := range folders {
		for k := range 12 {
			flags := []string{`\Seen`, `\Flagged`, `\Answered`, `\Draft`, `\Deleted`, "$Junk", "work", "$Forwarded"}
			flags = slices.DeleteFunc(flags, func(s string) bool { return (k*7+len(s)*i+len(s))%3 == 0 })
			text := fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", k, strings.Repeat("x", 10*k+i))
			n++
			fmt.Fprintf(&b, "a%d APPEND %q (%s) {%d}\r\n%s\r\n", n, f, strings.Join(flags, " "), len(text), text)
		}
	}
	for i, f := range folders {
		cmd("SELECT %q", f)
		cmd(`UID STORE 3:5 FLAGS.SILENT (\Deleted)`)
		cmd("EXPUNGE")
		cmd(`UID STORE 1 +FLAGS.SILENT (extra%d)`, i)
		cmd(`UID COPY 6:7 %q`, folders[(i+1)%len(folders)])
	}
	return b.String()
}

// lookScript shows a folder.
func lookScript(folder string) string {
	return fmt.Sprintf("b1 SELECT %q\r\nb2 UID FETCH 1:* (FLAGS RFC822.SIZE)\r\nb3 LOGOUT\r\n", folder)
}

// dovecotSession sends a script and returns what came.
func dovecotSession(t *testing.T, addr, script string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(conn)
	var out strings.Builder
	await := func(prefix string) {
		for {
			line, err := r.ReadString('\n')
			out.WriteString(line)
			if err != nil || strings.HasPrefix(line, prefix) {
				return
			}
		}
	}
	await("* OK")
	fmt.Fprint(conn, "l LOGIN you secret\r\n")
	await("l ")
	lines := bufio.NewReader(strings.NewReader(script))
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return out.String()
		}
		fmt.Fprint(conn, line)
		tag, _, _ := strings.Cut(line, " ")
		if m := regexp.MustCompile(`\{(\d+)\}\r\n$`).FindStringSubmatch(line); m != nil {
			await("+ ")
			var n int
			fmt.Sscan(m[1], &n)
			for n += 2; n > 0; n-- {
				c, _ := lines.ReadByte()
				conn.Write([]byte{c})
			}
		}
		await(tag + " ")
	}
}

func noFailure(t *testing.T, what, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && (f[1] == "NO" || f[1] == "BAD") {
			t.Fatalf("%s: %s", what, line)
		}
	}
}

// sums are the contents of the peers' own files.
func sums(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && (strings.HasPrefix(d.Name(), "dovecot") || strings.Contains(path, "courier") || d.Name() == "subscriptions") {
			b, _ := os.ReadFile(path)
			out[path] = string(b)
		}
		return nil
	})
	return out
}

func TestTakesOverDovecot(t *testing.T) {
	home := peerHome(t)
	root := home + "/Maildir"
	d := refdovecot.Start(t, refdovecot.Options{UID: peerID, GID: peerID, Users: map[string]refdovecot.User{"you": {Password: "secret", Home: home, MailDir: root}}})
	utf8 := []string{"INBOX", "Work", "Work/Entwürfe", "A&B"}
	var names []string
	for _, n := range utf8 {
		names = append(names, strings.ReplaceAll(mutf7.Encode(n), "/", "."))
	}
	noFailure(t, "fill", dovecotSession(t, d.IMAP, fillScript(names)))
	look := func(d *refdovecot.Instance) (out []boxState) {
		for _, n := range names {
			text := dovecotSession(t, d.IMAP, lookScript(n))
			noFailure(t, "look", text)
			out = append(out, parseBox(text))
		}
		return out
	}
	before := look(d)
	pop := popUIDLs(t, d.POP3)
	d.Stop(t)
	files := sums(t, root)
	s := open(t, root)
	for i, name := range utf8 {
		if got := ours(t, s, name); got.String() != before[i].String() {
			t.Errorf("%s:\n got %v\nwant %v", name, got, before[i])
		}
	}
	subscribed, err := s.Subscriptions()
	if want := []string{"A&B", "Work", "Work/Entwürfe"}; err != nil || !slices.Equal(subscribed, want) {
		t.Errorf("subscriptions %q, %v", subscribed, err)
	}
	checkUIDLs(t, s, pop)
	// Use it, and go back.
	m := selectBox(t, s, "INBOX")
	if _, err := m.Store(StoreRequest{UIDs: []uint32{1, 2, 6}, Op: AddFlags, Flags: Seen | Flagged}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Expunge([]uint32{7}, true); err != nil {
		t.Fatal(err)
	}
	m.Close()
	after := ours(t, s, "INBOX")
	if now := sums(t, root); !maps.Equal(now, files) {
		t.Error("a file of Dovecot's was changed")
	}
	giveAway(t, home)
	d = refdovecot.Start(t, refdovecot.Options{UID: peerID, GID: peerID, Users: map[string]refdovecot.User{"you": {Password: "secret", Home: home, MailDir: root}}})
	if back := look(d)[0]; back.String() != after.String() {
		t.Errorf("back with Dovecot:\n got %v\nwant %v", back, after)
	}
}

// popUIDLs returns the UIDLs in the order of the messages.
func popUIDLs(t *testing.T, addr string) (out []string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprint(conn, "USER you\r\nPASS secret\r\nUIDL\r\nQUIT\r\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) == 2 && f[0][0] >= '0' && f[0][0] <= '9' {
			out = append(out, f[1])
		}
	}
	return out
}

func checkUIDLs(t *testing.T, s *Store, want []string) {
	t.Helper()
	m, err := s.Mailbox("INBOX", true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	uidls, err := m.UIDLs()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	m.Range(1, m.Len(), func(_ int, msg *Message) bool {
		if id, ok := uidls[msg.UID]; ok {
			got = append(got, id)
		} else {
			// Dovecot's default, and so that of pop3_uidl_format.
			got = append(got, fmt.Sprintf("%08x%08x", msg.UID, m.UIDValidity()))
		}
		return true
	})
	sort.Strings(got)
	sort.Strings(want)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("UIDLs\n got %v\nwant %v", got, want)
	}
}

func TestTakesOverCourier(t *testing.T) {
	home := peerHome(t)
	root := home + "/Maildir"
	utf8 := []string{"INBOX", "Work", "Work/Entwürfe"}
	names := []string{"INBOX", "INBOX.Work", "INBOX.Work.Entw&APw-rfe"}
	run := func(script string) string {
		return refdovecot.Courier(t, "imap", home, peerID, peerID, script)
	}
	noFailure(t, "fill", run(fillScript(names)+"z LOGOUT\r\n"))
	var before []boxState
	for _, n := range names {
		text := run(lookScript(n))
		noFailure(t, "look", text)
		before = append(before, parseBox(text))
	}
	pop := refdovecot.Courier(t, "pop3", home, peerID, peerID, "UIDL\r\nQUIT\r\n")
	var uidls []string
	for line := range strings.Lines(pop) {
		if f := strings.Fields(line); len(f) == 2 && f[0][0] >= '0' && f[0][0] <= '9' {
			uidls = append(uidls, f[1])
		}
	}
	files := sums(t, root)
	s := open(t, root)
	for i, name := range utf8 {
		got := ours(t, s, name)
		if want := before[i]; want.next == 0 {
			got.next = 0 // Courier does not tell
		}
		if got.String() != before[i].String() {
			t.Errorf("%s:\n got %v\nwant %v", name, got, before[i])
		}
	}
	subscribed, err := s.Subscriptions()
	if want := []string{"Work", "Work/Entwürfe"}; err != nil || !slices.Equal(subscribed, want) {
		t.Errorf("subscriptions %q, %v", subscribed, err)
	}
	checkUIDLs(t, s, uidls)
	m := selectBox(t, s, "INBOX")
	if _, err := m.Store(StoreRequest{UIDs: []uint32{1, 2, 6}, Op: AddFlags, Flags: Seen | Flagged}); err != nil {
		t.Fatal(err)
	}
	m.Close()
	after := ours(t, s, "INBOX")
	if now := sums(t, root); !maps.Equal(now, files) {
		t.Error("a file of Courier's was changed")
	}
	giveAway(t, home)
	back := parseBox(run(lookScript("INBOX")))
	if back.next == 0 {
		after.next = 0
	}
	if back.String() != after.String() {
		t.Errorf("back with Courier:\n got %v\nwant %v", back, after)
	}
}
