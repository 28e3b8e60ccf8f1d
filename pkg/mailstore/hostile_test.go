package mailstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/changelog"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
)

// TestLinkedDirectory: whoever may write into a shared tree makes new of a
// folder a link to another user's files. The user who opens it must not move
// them there.
func TestLinkedDirectory(t *testing.T) {
	root, shared, papers := newRoot(t), newRoot(t), t.TempDir()
	openWith(t, shared, Options{User: "eve"})
	ann := openWith(t, root, Options{User: "ann", Trees: []Tree{{Prefix: "shared", Root: shared}}})
	eve := openWith(t, shared, Options{User: "eve"})
	if err := eve.Create("Trap"); err != nil {
		t.Fatal(err)
	}
	if err := eve.SetACL("Trap", "anyone", 0, RightsAll); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(shared, ".Trap")
	if err := os.WriteFile(filepath.Join(papers, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(dir+"/new"), os.Symlink(papers, dir+"/new")); err != nil {
		t.Fatal(err)
	}
	if m, err := ann.Mailbox("shared/Trap", false); err == nil {
		m.Close()
		t.Error("a folder with a link for new was opened")
	}
	if _, err := os.Stat(filepath.Join(papers, "secret")); err != nil {
		t.Error(err)
	}
}

// TestNameWithSlash: the index and its log say where messages are, and may be
// another's work in a shared tree.
func TestNameWithSlash(t *testing.T) {
	rec := index.Record{UID: 1, ModSeq: 1, Base: "../../x", Size: 1}
	frame := changelog.AppendFrame(nil, []changelog.Op{{Kind: changelog.Append, Record: rec}})
	if _, _, err := changelog.NextFrame(frame); !errors.Is(err, changelog.ErrDamaged) {
		t.Errorf("log: %v", err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "index"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := index.New([]index.Record{rec}).Write(f, nil); err != nil {
		t.Fatal(err)
	}
	table, _, err := index.Read(f)
	if err == nil {
		err = table.Load()
	}
	if !errors.Is(err, index.ErrDamaged) {
		t.Errorf("index: %v", err)
	}
}

// TestRenameOfSharedInbox: only the own INBOX is emptied by a rename.
func TestRenameOfSharedInbox(t *testing.T) {
	root, shared := newRoot(t), newRoot(t)
	eve := openWith(t, shared, Options{User: "eve"})
	if err := eve.SetACL("INBOX", "ann", 0, RightsAll); err != nil {
		t.Fatal(err)
	}
	ann := openWith(t, root, Options{User: "ann", Trees: []Tree{{Prefix: "shared", Root: shared, Owner: "eve"}}})
	appendTo(t, ann, "INBOX", 1, 0)
	if err := ann.Rename("shared", "shared/Taken"); !errors.Is(err, ErrNoPermission) {
		t.Errorf("rename: %v", err)
	}
	if m := selectBox(t, ann, "INBOX"); m.Len() != 1 {
		t.Errorf("INBOX has %d messages", m.Len())
	}
}
