package bench

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/refdovecot"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

var (
	imapBox    = flag.Int("imapbox", 100000, "messages in the mailbox of the IMAP scenario")
	imapSearch = flag.Int("imapsearch", 20000, "messages in the mailbox that is searched")
	imapIdle   = flag.Int("imapidle", 1000, "idle IMAP connections")
	imapLogins = flag.Int("imaplogins", 200, "IMAP logins per measurement")
	imapAppend = flag.Int("imapappend", 500, "messages per measurement of APPEND")
)

// imapSystem is an IMAP server over Maildirs of its own.
type imapSystem struct {
	name, addr, tls string
	pid             int
	maildir         func(user string) string
}

// fillVaried makes a Maildir of n messages that differ, so that searches and
// structures have something to find.
func fillVaried(t testing.TB, dir string, uid, gid, n int) {
	t.Helper()
	for _, sub := range []string{"", "cur", "new", "tmp"} {
		path := filepath.Join(dir, sub)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		os.Chown(path, uid, gid)
	}
	filler := strings.Repeat("The quick brown fox jumps over the lazy dog, and nothing else happens.\n", 40)
	for i := range n {
		text := fmt.Sprintf("From: Sender %d <s%d@example.test>\nTo: you@example.test\nSubject: message number %d of many\n"+
			"Date: %s\nMessage-ID: <%d@bench.test>\nMIME-Version: 1.0\n"+
			"Content-Type: multipart/alternative; boundary=\"b%d\"\n\n--b%d\nContent-Type: text/plain; charset=utf-8\n\n%sneedle%d\n"+
			"--b%d\nContent-Type: text/html\n\n<p>%d</p>\n--b%d--\n", i%500, i%500, i,
			time.Unix(1700000000+int64(i), 0).UTC().Format(time.RFC1123Z), i, i, i, filler, i%100, i, i, i)
		wire := len(text) + strings.Count(text, "\n")
		path := filepath.Join(dir, "cur", fmt.Sprintf("%d.M%dP1.host,S=%d,W=%d:2,S", 1700000000+i, i, len(text), wire))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chown(path, uid, gid)
	}
}

// imapUsers are the mailboxes: big is seen first, find is searched, and you
// logs in and appends.
func imapUsers() map[string]int {
	return map[string]int{"you": 100, "big": *imapBox, "find": *imapSearch}
}

// perUID is how many mailboxes of ours have one owner, whose process may have
// 20,000 open files on some machines. (Dovecot has a process for each session.)
const perUID = 2500

func imapSystems(t testing.TB, boxes map[string]int) []imapSystem {
	t.Helper()
	names := slices.Sorted(maps.Keys(boxes))
	mail := testkit.New(t, testkit.Users(names...))
	uid, gid := testkit.BoxOwner(t)
	mail.Set(t, "mail_max_userip_connections = 0", "auth_failure_delay = 0")
	var users strings.Builder
	for i, n := range names {
		fmt.Fprintf(&users, "%s@%s\tuid=%d|gid=%d|home=%s|mail=%[5]s|systempw={PLAIN}secret\n", n, testkit.Domain, uid+i/perUID, gid, mail.Maildir(n))
	}
	mail.WriteUserDB(t, users.String())
	for _, dir := range []string{filepath.Join(mail.Dir, "mail"), filepath.Dir(mail.Maildir("u"))} {
		os.Chmod(dir, 0o711) // for all of the owners
	}
	mail.Start(t)
	home, err := os.MkdirTemp("", "imap")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	os.Chmod(home, 0o755)
	o := refdovecot.Options{UID: uid, GID: gid, Users: map[string]refdovecot.User{},
		Certificate: mail.Etc("tls/cert.pem"), Key: mail.Etc("tls/key.pem"), Extra: "mail_max_userip_connections = 0"}
	for i, n := range names {
		dir := filepath.Join(home, n)
		fillVaried(t, mail.Maildir(n), uid+i/perUID, gid, boxes[n])
		fillVaried(t, dir, uid, gid, boxes[n])
		o.Users[n+"@"+testkit.Domain] = refdovecot.User{Password: "secret", Home: dir, MailDir: dir}
	}
	dovecot := refdovecot.Start(t, o)
	port := func(n int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(mail.Port+n)) }
	return []imapSystem{
		{"Dovecot", dovecot.IMAP, "", dovecot.PID(), func(u string) string { return filepath.Join(home, u) }},
		{"Posthouse", port(3), port(4), mail.PID(), mail.Maildir},
	}
}

// imapConn is a bare IMAP client.
type imapConn struct {
	net.Conn
	r *bufio.Reader
}

func imapLogin(s imapSystem, user string, withTLS bool) (*imapConn, error) {
	addr := s.addr
	if withTLS {
		addr = s.tls
	}
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	if withTLS {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	conn.SetDeadline(time.Now().Add(30 * time.Minute))
	c := &imapConn{conn, bufio.NewReaderSize(conn, 256<<10)}
	if _, err := c.r.ReadSlice('\n'); err != nil {
		return nil, err
	}
	if _, err := c.cmd("LOGIN %s@%s secret", user, testkit.Domain); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// cmd sends a command and reads to its end. It returns the bytes of the
// answer.
func (c *imapConn) cmd(format string, args ...any) (int, error) {
	fmt.Fprintf(c, "t "+format+"\r\n", args...)
	return c.finish()
}

func (c *imapConn) finish() (int, error) {
	n := 0
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return n, err
		}
		n += len(line)
		if bytes.HasPrefix(line, []byte("t ")) {
			if !bytes.HasPrefix(line, []byte("t OK")) {
				return n, fmt.Errorf("got %q", line)
			}
			return n, nil
		}
	}
}

func (c *imapConn) timed(t testing.TB, s imapSystem, format string, args ...any) float64 {
	t.Helper()
	start := time.Now()
	if _, err := c.cmd(format, args...); err != nil {
		t.Fatalf("%s: %s: %v", s.name, fmt.Sprintf(format, args...), err)
	}
	return float64(time.Since(start).Microseconds()) / 1000
}

// imapRow is a line of the table: what, and which direction is better.
type imapRow struct {
	what string
	run  func(t testing.TB, s imapSystem) float64
}

func imapRows() []imapRow {
	return []imapRow{
		{"login, SELECT, LOGOUT a second", func(t testing.TB, s imapSystem) float64 { return imapMany(t, s, 1, *imapLogins) }},
		{"the same, 10 at a time", func(t testing.TB, s imapSystem) float64 { return imapMany(t, s, 10, *imapLogins) }},
		{"APPEND of 4 KiB, messages a second", func(t testing.TB, s imapSystem) float64 { return imapAppends(t, s, 1) }},
		{"APPEND of 4 KiB, 10 connections", func(t testing.TB, s imapSystem) float64 { return imapAppends(t, s, 10) }},
		{"warm SELECT, ms", onBig("SELECT INBOX")},
		{"warm FETCH 1:* (UID FLAGS), ms", onBig("FETCH 1:* (UID FLAGS)")},
		{"warm FETCH 1:* (ENVELOPE BODYSTRUCTURE RFC822.SIZE), ms", onBig("FETCH 1:* (ENVELOPE BODYSTRUCTURE RFC822.SIZE)")},
		{"warm SEARCH SUBJECT, ms", onFind("SEARCH SUBJECT \"number 19999 \"")},
		{"warm SEARCH BODY, ms", onFind("SEARCH BODY needle42")},
	}
}

func imapAppends(t testing.TB, s imapSystem, width int) float64 {
	text := body()
	errs := make(chan error, width)
	start := time.Now()
	for range width {
		go func() {
			errs <- func() error {
				c, err := imapLogin(s, "you", false)
				if err != nil {
					return err
				}
				defer c.Close()
				for range *imapAppend / width {
					fmt.Fprintf(c, "t APPEND INBOX {%d+}\r\n%s\r\n", len(text), text)
					if _, err := c.finish(); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range width {
		if err := <-errs; err != nil {
			t.Fatalf("%s: APPEND: %v", s.name, err)
		}
	}
	return float64(*imapAppend) / time.Since(start).Seconds()
}

// onBig times a command on the big mailbox, which is known.
func onBig(command string) func(testing.TB, imapSystem) float64 { return onBox("big", command) }

func onFind(command string) func(testing.TB, imapSystem) float64 { return onBox("find", command) }

func onBox(user, command string) func(testing.TB, imapSystem) float64 {
	return func(t testing.TB, s imapSystem) float64 {
		c, err := imapLogin(s, user, false)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		defer c.Close()
		if command != "SELECT INBOX" {
			c.timed(t, s, "SELECT INBOX")
		}
		return c.timed(t, s, "%s", command)
	}
}

// firstSight is what a client costs that sees a mailbox of which no server
// knows anything yet.
func firstSight(t testing.TB, s imapSystem, user string) (sel, envelopes float64) {
	c, err := imapLogin(s, user, false)
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	defer c.Close()
	sel = c.timed(t, s, "SELECT INBOX")
	envelopes = c.timed(t, s, "FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE INTERNALDATE)")
	return sel, envelopes
}

func imapScenario(t *testing.T) {
	refdovecot.Need(t)
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	both := imapSystems(t, imapUsers())
	rows := [][]string{{"", "A", "B", "B/A"}}
	unix.Sync() // nobody shall pay for what was written here
	for _, user := range []string{"find", "big"} {
		var sel, env [2]float64
		for i, s := range both {
			sel[i], env[i] = firstSight(t, s, user)
		}
		n := imapUsers()[user]
		rows = append(rows, []string{fmt.Sprintf("first SELECT of %d, ms", n), f1(sel[0]), f1(sel[1]), f2(ratio(sel[1], sel[0]))},
			[]string{fmt.Sprintf("first ENVELOPE, BODYSTRUCTURE and size of %d, ms", n), f1(env[0]), f1(env[1]), f2(ratio(env[1], env[0]))})
	}
	results := map[string][2][]float64{}
	for _, s := range both {
		// What the searches need is known, too.
		onFind("SEARCH SUBJECT warm")(t, s)
	}
	for range *rounds {
		for _, row := range imapRows() {
			r := results[row.what]
			for i, s := range both {
				r[i] = append(r[i], row.run(t, s))
			}
			results[row.what] = r
		}
	}
	for _, row := range imapRows() {
		a, b := median(results[row.what][0]), median(results[row.what][1])
		rows = append(rows, []string{row.what, f1(a), f1(b), f2(ratio(b, a))})
	}
	table(fmt.Sprintf("IMAP, %d messages; A = Dovecot", *imapBox), rows)
}

// imapConnections is about what connections cost that do nothing, of systems
// that did nothing before: what was used once counts in no difference.
func imapConnections(t *testing.T) {
	refdovecot.Need(t)
	boxes := map[string]int{}
	for k := range *imapIdle {
		boxes[fmt.Sprint("u", k)] = 0
	}
	both := imapSystems(t, boxes)
	table("IMAP connections; A = Dovecot", [][]string{{"", "A", "B", "B/A"}, imapMemory(t, both, false), imapMemory(t, both[1:], true)})
}

// imapMemory compares what connections of different users take in IDLE.
func imapMemory(t testing.TB, systems []imapSystem, withTLS bool) []string {
	t.Helper()
	var got [2]float64
	for i, s := range systems {
		base := pssKiB(s.pid)
		var all []io.Closer
		for k := range *imapIdle {
			c, err := imapLogin(s, fmt.Sprint("u", k), withTLS)
			if err != nil {
				t.Fatalf("%s: connection %d: %v", s.name, k, err)
			}
			c.timed(t, s, "SELECT INBOX")
			fmt.Fprint(c, "t IDLE\r\n")
			c.r.ReadSlice('\n')
			all = append(all, c)
		}
		time.Sleep(3 * time.Second)
		got[i+2-len(systems)] = (pssKiB(s.pid) - base) / float64(*imapIdle)
		for _, c := range all {
			c.Close()
		}
	}
	kind := ""
	if withTLS {
		kind = " with TLS"
		return []string{fmt.Sprintf("KiB per IDLE connection%s, %d users", kind, *imapIdle), "-", f1(got[1]), "-"}
	}
	return []string{fmt.Sprintf("KiB per IDLE connection%s, %d users", kind, *imapIdle), f1(got[0]), f1(got[1]), f2(ratio(got[1], got[0]))}
}
