package mailstore

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// TestDeliveryDuringChange: a delivery that is done while a session changes the
// folder is there for whoever looks next, although the change sets the same
// times of the directories.
func TestDeliveryDuringChange(t *testing.T) {
	root := newRoot(t)
	deliverer := open(t, root)
	deliver := func() {
		fill := func(w io.Writer) error { _, err := io.WriteString(w, "Subject: x\n\nx\n"); return err }
		if _, err := deliverer.Deliver(context.Background(), Delivery{Fill: fill}); err != nil {
			t.Error(err)
		}
	}
	during := false
	fs := &safefile.FS{Fault: func(op safefile.Op, path string) error {
		if op == safefile.OpRename && during && strings.Contains(path, root) {
			during = false
			deliver()
		}
		return nil
	}}
	s := openWith(t, root, Options{Shared: NewShared(fs, nil)})
	appendTo(t, s, "INBOX", 1, 0)
	m := selectBox(t, s, "INBOX")
	want := 1
	for n := range 20 {
		flags := []Flags{Seen, Flagged, Answered}[n%3]
		op := AddFlags
		if n/3%2 == 1 {
			op = RemoveFlags
		}
		during = true
		if _, err := m.Store(StoreRequest{UIDs: []uint32{1}, Op: op, Flags: flags}); err != nil {
			t.Fatal(err)
		}
		if during {
			t.Fatal("nothing was renamed")
		}
		want++
		// The message is moved from new to cur, with another one coming.
		during = true
		syncBox(t, m)
		want++
		if syncBox(t, m); m.Len() != want {
			t.Fatalf("%d messages after change %d, want %d", m.Len(), n, want)
		}
	}
}
