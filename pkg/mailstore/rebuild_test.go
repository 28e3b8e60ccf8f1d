package mailstore

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestRebuildWithDamagedList: a line that the UID list has lost is in the index
// when an administrator has that made again.
func TestRebuildWithDamagedList(t *testing.T) {
	root := newRoot(t)
	s := open(t, root)
	for n := range 5 {
		appendTo(t, s, "INBOX", n, 0)
	}
	m := selectBox(t, s, "INBOX")
	before := map[string]uint32{}
	for n := range m.Len() {
		msg, _ := m.Message(n + 1)
		before[msg.Base] = msg.UID
	}
	path := filepath.Join(root, fileList)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	msg, _ := m.Message(3)
	at := bytes.Index(text, []byte(msg.Base))
	if at < 0 {
		t.Fatalf("no %s in %s", msg.Base, text)
	}
	text[at] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, root).Rebuild("INBOX"); err != nil {
		t.Fatal(err)
	}
	after := selectBox(t, open(t, root), "INBOX")
	if after.UIDValidity() != m.UIDValidity() || after.Len() != len(before) {
		t.Errorf("UIDVALIDITY %d after %d, %d messages", after.UIDValidity(), m.UIDValidity(), after.Len())
	}
	for n := range after.Len() {
		if msg, _ := after.Message(n + 1); msg.UID != before[msg.Base] {
			t.Errorf("%s has UID %d, had %d", msg.Base, msg.UID, before[msg.Base])
		}
	}
}
