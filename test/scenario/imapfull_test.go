package scenario

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestIMAPTooManyFiles: when the user's process may have no more files, new
// sessions and mailboxes are refused, and those that are there go on.
func TestIMAPTooManyFiles(t *testing.T) {
	testkit.NeedRoot(t) // to set the limit of another process
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprint("u", i))
	}
	mail := imapInstance(t, names...)
	text, err := os.ReadFile(mail.Spool("pid/master.pid"))
	if err != nil {
		t.Fatal(err)
	}
	master, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(master, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 150, Max: 150}, nil); err != nil {
		t.Fatal(err)
	}
	var in []*imapClient
	refused := 0
	for _, name := range names {
		c := dialIMAP(t, mail, false)
		if answer := c.cmd("", "LOGIN %s@%s secret", name, testkit.Domain); !strings.HasPrefix(answer, "t1 OK ") {
			if !strings.HasPrefix(answer, "t1 NO [UNAVAILABLE] ") {
				t.Errorf("%s: %q", name, answer)
			}
			refused++
			continue
		}
		if answer := c.cmd("", "SELECT INBOX"); !strings.Contains(answer, "t2 OK ") {
			refused++
		}
		in = append(in, c)
	}
	if refused == 0 || len(in) < 10 {
		t.Fatalf("%d sessions, %d refusals: the limit was not reached, or at once", len(in), refused)
	}
	for _, c := range in {
		c.cmd("OK", "NOOP")
	}
	for _, c := range in[:len(in)/2] {
		c.cmd("OK", "LOGOUT")
	}
	dialIMAP(t, mail, false).login("u0")
}
