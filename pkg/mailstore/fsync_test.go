package mailstore

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestSyncChanges: with mail_fsync = always, flags, keywords and removals that
// were confirmed hold after a power cut.
func TestSyncChanges(t *testing.T) {
	d := newDisk(t)
	root := filepath.Join(d.At, "Maildir")
	boot := func(n int) *Shared {
		sh := NewShared(new(safefile.FS), slog.New(slog.NewTextHandler(testLog{t}, nil)))
		sh.boot = fmt.Sprintf("%08d-0000-0000-0000-000000000000", n)
		return sh
	}
	sh := boot(1)
	s := openWith(t, root, Options{Shared: sh, SyncChanges: true})
	for n := range 6 {
		appendTo(t, s, "INBOX", n, 0)
	}
	m, err := s.Mailbox("INBOX", false)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 30 { // more than there are letters for
		if _, err := m.Store(StoreRequest{UIDs: []uint32{2}, Op: AddFlags, Keywords: []string{fmt.Sprint("k", n)}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Expunge([]uint32{1}, true); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Store(StoreRequest{UIDs: []uint32{3}, Op: AddFlags, Flags: Flagged}); err != nil {
		t.Fatal(err)
	}
	testkit.Cut(t, d)
	m.Close()
	closeAll(sh)
	d.Unmount(t)
	d.Mount(t)
	sh = boot(2)
	m = selectBox(t, openWith(t, root, Options{Shared: sh}), "INBOX")
	defer closeAll(sh)
	defer m.Close()
	one, _ := m.Message(1)
	two, _ := m.Message(2)
	if words := m.KeywordNames(nil, &one); m.Len() != 5 || one.UID != 2 || len(words) != 30 || two.Flags&Flagged == 0 {
		t.Errorf("%d messages; %d has %d keywords; %d has %v", m.Len(), one.UID, len(words), two.UID, two.Flags)
	}
}

// closeAll closes the files of a process, so that the file system can be
// unmounted.
func closeAll(sh *Shared) {
	for _, f := range sh.folders {
		f.closeCache()
		f.close()
		if f.index != nil {
			f.index.Close()
		}
	}
	runtime.GC() // closes index files that were replaced
	runtime.GC()
}
