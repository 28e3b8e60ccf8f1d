package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestFullText: with fts_index the user's process makes an index behind a
// search, within what its jail allows, uses it, and the command for
// administrators makes it anew.
func TestFullText(t *testing.T) {
	mail := testkit.New(t, testkit.Users("you"))
	mail.Set(t, "fts_index = yes")
	mail.UserDB(t, "secret", []string{"you"})
	mail.Start(t)
	for i := range 120 {
		put(t, mail, "you", fmt.Sprintf("17952005%02d.%d.host", i%100, i), fmt.Sprintf("Subject: mail %d\n\nneedle%d in a haystack\n", i, i%10))
	}
	c := dialIMAP(t, mail, false)
	c.login("you")
	if got := c.cmd("OK", "CAPABILITY"); !strings.Contains(got, " SEARCH=FUZZY") {
		t.Errorf("capabilities: %s", got)
	}
	c.cmd("OK", "SELECT INBOX")
	search := func() {
		t.Helper()
		if got := c.cmd("OK", "UID SEARCH RETURN (COUNT) BODY eedle7"); !strings.Contains(got, "COUNT 12") {
			t.Errorf("search: %s", got)
		}
		if got := c.cmd("OK", "UID SEARCH RETURN (COUNT) FUZZY TEXT neddle7"); !strings.Contains(got, "COUNT 12") {
			t.Errorf("fuzzy search: %s", got)
		}
	}
	search()
	segments := func() int {
		names, _ := filepath.Glob(filepath.Join(mail.Maildir("you"), "posthouse.fts", "*.words"))
		return len(names)
	}
	for end := time.Now().Add(time.Minute); segments() == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("there is no index after a search")
		}
	}
	search()
	for _, action := range []string{"rebuild", "index"} {
		out, err := mail.Command("posthouse", "mailbox", action, mail.Maildir("you")).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "full-text index") {
			t.Errorf("mailbox %s: %s, %v", action, out, err)
		}
		search()
	}
	if segments() == 0 {
		t.Error("there is no index after rebuild")
	}
	if err := os.WriteFile(filepath.Join(mail.Maildir("you"), "posthouse.fts", "0.words"), []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	search()
}
