package crash

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestForwardOnce: a member of a list whose mailbox cannot be written for a
// while does not have the others get a copy with each try.
func TestForwardOnce(t *testing.T) {
	s := newSite(t, plan{fault: "list-member-fails", seed: 60})
	inTheWay := filepath.Join(s.mail.Dir, "mail", "mbox", "phlist")
	if err := os.Mkdir(inTheWay, 0o755); err != nil {
		t.Fatal(err)
	}
	s.oneAcked(0, recipients()[2])
	testkit.Wait(t, "three tries", func() bool {
		s.mail.Command("postqueue", "-f").Run()
		time.Sleep(50 * time.Millisecond)
		return strings.Count(s.mail.Log(), "to=<phlist@localhost>") >= 3
	})
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	if f := s.finish(); f.Dup != 0 {
		t.Errorf("%d duplicates", f.Dup)
	}
}
