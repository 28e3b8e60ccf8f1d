package mailstore

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/uidlist"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// filled makes an inbox of five messages, and returns it as it was.
func filled(t *testing.T) (root string, before *Mailbox) {
	t.Helper()
	root = newRoot(t)
	s := open(t, root)
	for n := range 5 {
		appendTo(t, s, "INBOX", n, 0)
	}
	return root, selectBox(t, s, "INBOX")
}

// sameUIDs compares a mailbox with what it was.
func sameUIDs(t *testing.T, before, after *Mailbox) {
	t.Helper()
	if after.UIDValidity() != before.UIDValidity() || after.Len() != before.Len() {
		t.Fatalf("UIDVALIDITY %d after %d, %d messages after %d", after.UIDValidity(), before.UIDValidity(), after.Len(), before.Len())
	}
	for n := range after.Len() {
		old, _ := before.Message(n + 1)
		if msg, _ := after.Message(n + 1); msg.UID != old.UID || msg.Base != old.Base {
			t.Errorf("%s has UID %d, %s had %d", msg.Base, msg.UID, old.Base, old.UID)
		}
	}
}

// remove removes files of ours.
func remove(t *testing.T, root string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// overwrite writes into a file of ours.
func overwrite(t *testing.T, path, text string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), at); err != nil {
		t.Fatal(err)
	}
}

// TestCheckMendsList: a UID list that cannot be read is written anew from the
// index by who looks for damage, so that it is there when the index is not.
func TestCheckMendsList(t *testing.T) {
	for name, damage := range map[string]func(path string){
		"removed": func(path string) { os.Remove(path) },
		"empty":   func(path string) { os.Truncate(path, 0) },
		"header":  func(path string) { overwrite(t, path, "00000000", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			root, before := filled(t)
			damage(filepath.Join(root, fileList))
			r, err := open(t, root).Report("INBOX")
			if err != nil || len(r.Problems) == 0 {
				t.Errorf("the check says %q, %v", r.Problems, err)
			}
			if r, err = open(t, root).Report("INBOX"); err != nil || len(r.Problems) > 0 {
				t.Errorf("the second check says %q, %v", r.Problems, err)
			}
			remove(t, root, fileIndex, fileLog)
			sameUIDs(t, before, selectBox(t, open(t, root), "INBOX"))
		})
	}
}

// TestListWithoutHeader: the log tells the UIDVALIDITY that a UID list has lost.
func TestListWithoutHeader(t *testing.T) {
	root, before := filled(t)
	overwrite(t, filepath.Join(root, fileList), "00000000", 0)
	remove(t, root, fileIndex)
	sameUIDs(t, before, selectBox(t, open(t, root), "INBOX"))
}

// TestNextUIDInTornList: a power cut leaves an old index without its log, and a
// UID list whose end is not whole. The list tells which UIDs were given.
func TestNextUIDInTornList(t *testing.T) {
	root, before := filled(t)
	path := filepath.Join(root, fileList)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	const given = 5000
	boot := "11111111-0000-0000-0000-000000000000"
	overwrite(t, path, string(uidlist.AppendLimit(nil, given, boot))+"\x00\x00\x00", info.Size())
	remove(t, root, fileLog)
	sh := NewShared(new(safefile.FS), slog.New(slog.NewTextHandler(testLog{t}, nil)))
	sh.boot = "22222222-0000-0000-0000-000000000000"
	s := openWith(t, root, Options{Shared: sh})
	sameUIDs(t, before, selectBox(t, s, "INBOX"))
	if uid := appendTo(t, s, "INBOX", 6, 0).UID; uid < given {
		t.Errorf("UID %d is given again", uid)
	}
}
