package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/changelog"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
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

// TestLinkDuringWork: whoever may write into a shared tree puts a link to
// another user's files in place of a directory at any moment of the other's
// work. Nothing is moved there, made there, or taken from there.
func TestLinkDuringWork(t *testing.T) {
	for _, part := range []string{"", "/new", "/cur", "/tmp"} {
		hits := 0
		for n := 1; ; n++ {
			if !linkDuringWork(t, part, n) {
				break
			}
			if hits++; t.Failed() {
				return
			}
		}
		t.Logf("%q was replaced at %d moments", part, hits)
		if hits == 0 {
			t.Errorf("nothing is done in %q", part)
		}
	}
}

// linkDuringWork replaces the part of a folder at the nth operation in it. It
// returns whether there was one.
func linkDuringWork(t *testing.T, part string, n int) bool {
	root, shared, papers := newRoot(t), newRoot(t), t.TempDir()
	eve := openWith(t, shared, Options{User: "eve"})
	if err := errors.Join(eve.Create("Trap"), eve.SetACL("Trap", "anyone", 0, RightsAll)); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		appendTo(t, eve, "Trap", i, Seen)
	}
	trap := filepath.Join(shared, ".Trap")
	os.WriteFile(trap+"/new/1700000000.M1P1.host", []byte("Subject: bait\n\n"), 0o600)
	for _, dir := range []string{"", "cur", "new", "tmp"} {
		dir = filepath.Join(papers, dir)
		os.Mkdir(dir, 0o700)
		os.WriteFile(filepath.Join(dir, "1700000001.M2P2.host"), []byte("Subject: secret\n\n"), 0o600)
	}
	want := tree(t, papers)
	count, away := 0, trap+part+".away"
	if part != "" {
		away = filepath.Join(shared, "away")
	}
	fs := &safefile.FS{Fault: func(_ safefile.Op, path string) error {
		if !strings.HasPrefix(path, trap+part) {
			return nil
		}
		if count++; count == n {
			if err := errors.Join(os.Rename(trap+part, away), os.Symlink(papers+part, trap+part)); err != nil {
				t.Error(err)
			}
		}
		return nil
	}}
	ann := openWith(t, root, Options{User: "ann", Trees: []Tree{{Prefix: "shared", Root: shared}}, Shared: NewShared(fs, nil)})
	appendTo(t, ann, "INBOX", 9, 0)
	work(ann)
	if got := tree(t, papers); got != want {
		t.Errorf("%s replaced at operation %d: the other directory has\n%s\nand had\n%s", part, n, got, want)
	}
	return count >= n
}

// work does what a session does in a shared folder. It may fail.
func work(s *Store) {
	m, err := s.Mailbox("shared/Trap", false)
	if err == nil {
		defer m.Close()
		_, _ = m.Store(StoreRequest{UIDs: []uint32{1, 2}, Op: AddFlags, Flags: Flagged, Keywords: []string{"word"}})
		_, _ = m.Sync(SyncOptions{})
		_, _ = m.Copy([]uint32{2}, "INBOX")
		_, _ = m.Move([]uint32{3}, "INBOX")
		if msg, ok := m.Message(1); ok {
			_, _ = m.Facts(&msg)
		}
		_, _ = m.Expunge([]uint32{1}, true)
	}
	_, _ = s.Append("shared/Trap", []Incoming{{Content: strings.NewReader("Subject: x\r\n\r\n")}})
	_, _ = s.Deliver(context.Background(), Delivery{Folder: "shared/Trap", Fill: func(w io.Writer) error { _, err := io.WriteString(w, "x\n"); return err }})
	if in, err := s.Mailbox("INBOX", false); err == nil {
		_, _ = in.Copy([]uint32{1}, "shared/Trap")
		in.Close()
	}
}

// tree lists a directory with the contents of its files.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		text, _ := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %v %q\n", path, info.Mode(), text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
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

// TestSparseList: a UID list that somebody made a gigabyte long takes no
// memory, and what it had is still read.
func TestSparseList(t *testing.T) {
	root := newRoot(t)
	s := openWith(t, root, Options{User: "ann"})
	for range 3 {
		if err := os.WriteFile(filepath.Join(root, "new", "1."+strconv.Itoa(rand.Int())+".x"), []byte("a: b\n\nc\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := s.Mailbox("INBOX", false)
	if err != nil {
		t.Fatal(err)
	}
	validity, next := m.UIDValidity(), m.UIDNext()
	first, _ := m.Message(1)
	m.Close()
	for _, name := range []string{fileIndex, fileLog} {
		if err := os.Remove(filepath.Join(root, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(root, fileList), 1<<30); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err = openWith(t, root, Options{User: "ann"}).Mailbox("INBOX", false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%d MiB were allocated", n>>20)
	}
	now, _ := m.Message(1)
	if m.UIDValidity() != validity || m.UIDNext() < next || m.Len() != 3 || now.UID != first.UID || now.Base != first.Base {
		t.Errorf("UIDVALIDITY %d, next UID %d, %d messages, the first %d; it was %d, %d, 3, %d",
			m.UIDValidity(), m.UIDNext(), m.Len(), now.UID, validity, next, first.UID)
	}
}
