package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// fillMaildir puts messages into a user's new, as another program does.
func fillMaildir(t *testing.T, mail *testkit.Instance, user string, n int, name func(int) string, text func(int) string) {
	t.Helper()
	uid, gid := testkit.BoxOwner(t)
	for _, sub := range []string{"", "cur", "new", "tmp"} {
		dir := filepath.Join(mail.Maildir(user), sub)
		os.MkdirAll(dir, 0o700)
		os.Chown(dir, uid, gid)
	}
	for i := range n {
		path := filepath.Join(mail.Maildir(user), "new", name(i))
		if err := os.WriteFile(path, []byte(text(i)), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chown(path, uid, gid)
	}
}

// raw sends a command whose answer may have empty lines, and returns all lines
// of the answer; "" if the connection ended.
func (c *imapConn) raw(format string, args ...any) string {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("t%d ", c.n)
	c.conn.SetDeadline(time.Now().Add(c.wait))
	fmt.Fprintf(c.conn, tag+format+"\r\n", args...)
	var all strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return ""
		}
		all.WriteString(line)
		if strings.HasPrefix(line, tag) {
			return all.String()
		}
	}
}

// TestIMAPParts is IM5: part numbers, ranges and sizes at the ends of what
// fits, of messages that are nested deeper than anybody looks.
func TestIMAPParts(t *testing.T) {
	mail := imapSite(t)
	sizes := []string{"S=18446744073709551616", "S=9223372036854775807,W=9223372036854775807", "S=-1,W=-1", "S=99999999999999999999999,W=0", "W=4294967296"}
	deep := "Subject: x\n" + strings.Repeat("Content-Type: message/rfc822\n\n", 1200) + "Subject: last\n\ntext\n"
	var wide strings.Builder
	wide.WriteString("Content-Type: multipart/mixed; boundary=b\n\n")
	for range 20000 {
		wide.WriteString("--b\n\nx\n")
	}
	texts := []string{deep, wide.String(), "Subject: y\n\nshort\n", "Subject: z\n\n", ""}
	fillMaildir(t, mail, "a", len(texts), func(i int) string { return fmt.Sprintf("170000000%d.M1P1.h,%s", i, sizes[i]) }, func(i int) string { return texts[i] })
	c := imapLogin(t, mail, "a")
	c.cmd("OK", "SELECT INBOX")
	other := imapLogin(t, mail, "b")
	most := "9223372036854775807"
	for _, items := range []string{
		"BODY.PEEK[" + strings.Repeat("1.", 999) + "1]", "BODY.PEEK[4294967295]", "BODY.PEEK[4294967296]", "BODY.PEEK[" + most + "0]", "BODY.PEEK[0]",
		"BODY.PEEK[1.0]", "BODY.PEEK[-1]", "BODY.PEEK[" + strings.Repeat("1.", 30) + "MIME]", "BODY.PEEK[]<0.0>", "BODY.PEEK[]<" + most + ".1>",
		"BODY.PEEK[]<1." + most + ">", "BODY.PEEK[]<" + most + "." + most + ">", "BODY.PEEK[]<-1.5>", "BODY.PEEK[1]<4294967295.4294967295>",
		"BINARY.PEEK[1]<" + most + "." + most + ">", "BINARY.SIZE[" + strings.Repeat("1.", 200) + "1]", "RFC822.SIZE", "BODYSTRUCTURE", "ENVELOPE", "BODY",
		"PREVIEW",
	} {
		got := c.raw("FETCH 1:* (%s)", items)
		if got == "" || strings.Contains(got, "* BYE") {
			c = imapLogin(t, mail, "a")
			c.cmd("OK", "SELECT INBOX")
		}
		c.cmd("OK", "NOOP") // many bad commands in a row end a session
		if strings.Contains(got, "-") && items == "RFC822.SIZE" {
			t.Errorf("sizes: %s", got)
		}
	}
	for _, key := range []string{"LARGER 18446744073709551616", "SMALLER -1", "LARGER 9223372036854775807", "BODY text", "TEXT last"} {
		c.cmd("OK NO BAD", "SEARCH %s", key)
	}
	// What was sent is what is there, whatever the names of files say.
	if got := c.raw("FETCH 3 BODY.PEEK[TEXT]"); !strings.Contains(got, "short") {
		t.Errorf("got %q", got)
	}
	other.cmd("OK", "NOOP")
	if kib := residentKiB(t, mail, "mailuser"); kib > 300<<10 {
		t.Errorf("mailuser has %d KiB", kib)
	}
}

// costly are messages, fewer in the short run, that make sorting and threading
// as hard as can be: one subject, one chain of references, ids that come twice.
const costly = 20000

// TestIMAPCost is IM7: searches, sorts and threads over a big mailbox made for
// them, from several sessions at once. Each is answered, others are served
// meanwhile, and a client that leaves takes its work along.
func TestIMAPCost(t *testing.T) {
	mail := imapSite(t)
	fillMaildir(t, mail, "a", costly, func(i int) string { return fmt.Sprintf("17%08d.M%dP1.h", i, i) }, func(i int) string {
		return fmt.Sprintf("From: a%d@x\nSubject: Re: [x] Re: same (fwd)\nMessage-ID: <%d@x>\nReferences: <%d@x> <%d@x>\nIn-Reply-To: <%d@x>\n\nbody %d\n",
			i%7, i/2, max(i/2-1, 0), i/3, i/2-1, i)
	})
	c := imapLogin(t, mail, "a")
	c.wait = 8 * time.Minute
	c.cmd("OK", "SELECT INBOX")
	hard := []string{
		"SEARCH " + strings.Repeat("OR BODY nowhere ", 50) + "BODY nothing", "SEARCH " + strings.Repeat("NOT TEXT zzz ", 20),
		"SORT (SUBJECT FROM TO CC REVERSE DATE SIZE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "THREAD REFS UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL",
		"SEARCH HEADER References " + strings.Repeat("x", 500), "UID SEARCH RETURN (PARTIAL 1:10) BODY e", "SEARCH " + strings.Repeat("1:*,", 1000) + "1",
	}
	var working sync.WaitGroup
	for _, command := range hard {
		d := imapLogin(t, mail, "a")
		d.wait = 8 * time.Minute
		d.cmd("OK", "EXAMINE INBOX")
		working.Add(1)
		go func() {
			defer working.Done()
			d.n++
			fmt.Fprintf(d.conn, "t%d %s\r\n", d.n, command)
			for {
				line := d.line()
				if strings.HasPrefix(line, "t2 ") {
					t.Errorf("%.40s: out of step: %.200q", command, line)
					return
				}
				if strings.HasPrefix(line, fmt.Sprintf("t%d ", d.n)) {
					if !strings.Contains(line, " OK ") && !strings.Contains(line, " BAD ") {
						t.Errorf("%.40s: %.200q", command, line)
					}
					return
				}
				if line == "" {
					t.Errorf("%.40s: no answer", command)
					return
				}
			}
		}()
	}
	for range 20 {
		o := imapLogin(t, mail, "b")
		o.cmd("OK", "SELECT INBOX")
		o.cmd("OK", "LOGOUT")
	}
	// Clients that do not wait for the answer.
	for range 20 {
		d := imapLogin(t, mail, "a")
		d.cmd("OK", "EXAMINE INBOX")
		fmt.Fprintf(d.conn, "x %s\r\n", hard[0])
		d.conn.Close()
	}
	working.Wait()
	c.cmd("OK", "NOOP")
	if kib := residentKiB(t, mail, "mailuser"); kib > 600<<10 {
		t.Errorf("mailuser has %d KiB", kib)
	}
}

// TestIMAPNotifyFlood is IM8: a client asks to be told of everything and reads
// nothing, others wait in IDLE, while mail pours in; and COMPRESS where it has
// no place.
func TestIMAPNotifyFlood(t *testing.T) {
	mail := imapSite(t)
	c := imapLogin(t, mail, "a")
	for i := range 30 {
		c.cmd("OK", "CREATE F%d", i)
	}
	for range 5 {
		deaf := imapLogin(t, mail, "a")
		deaf.cmd("OK", "SELECT INBOX")
		fmt.Fprint(deaf.conn, "n NOTIFY SET STATUS (selected (MessageNew (UID FLAGS ENVELOPE BODY.PEEK[]) MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))\r\n")
		idle := imapLogin(t, mail, "a")
		idle.cmd("OK", "SELECT INBOX")
		fmt.Fprint(idle.conn, "i IDLE\r\n")
	}
	c.cmd("OK", "SELECT INBOX")
	text := "Subject: x\r\n\r\n" + strings.Repeat("filling\r\n", 2000)
	for i := range 300 {
		c.cmd("OK", "APPEND %s {%d+}\r\n%s", []string{"INBOX", fmt.Sprintf("F%d", i%30)}[i%2], len(text), text)
	}
	c.cmd("OK", "STORE 1:* +FLAGS (\\Flagged)")
	c.cmd("OK", "STORE 1:* FLAGS (\\Deleted)")
	c.cmd("OK", "EXPUNGE")
	imapLogin(t, mail, "b").cmd("OK", "SELECT INBOX")
	if kib := residentKiB(t, mail, "mailuser"); kib > 300<<10 {
		t.Errorf("mailuser has %d KiB", kib)
	}
	d := imapDial(t, mail)
	d.cmd("BAD NO", "COMPRESS DEFLATE") // nobody is logged in
	e := imapLogin(t, mail, "b")
	e.cmd("BAD NO", "STARTTLS")
	e.cmd("OK", "NOOP")
}
