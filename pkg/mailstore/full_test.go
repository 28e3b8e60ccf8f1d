package mailstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// fillDisk leaves no block of a file system, and returns what makes room again.
func fillDisk(t *testing.T, d *testkit.Image) (room func()) {
	t.Helper()
	unix.Sync()
	name := filepath.Join(d.At, "filler")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 4
		}
	}
	f.Close()
	return func() { os.Remove(name); unix.Sync() }
}

// fullBox is a Maildir on a disk without a free block: its log and its list
// have no room in their last blocks either, and mail came that nobody saw.
type fullBox struct {
	t       *testing.T
	root    string
	shared  []*Shared
	disk    *testkit.Image
	room    func()
	known   int // messages with a UID
	waiting int // messages without
}

// messages that fill some blocks of the list and the log
const fullKnown = 60

func newFullBox(t *testing.T) *fullBox {
	d := newDisk(t)
	b := &fullBox{t: t, root: filepath.Join(d.At, "Maildir"), known: fullKnown, waiting: 90}
	t.Cleanup(b.close)
	s := open(b.t, b.root)
	b.shared = append(b.shared, s.sh)
	if err := s.Create("Other"); err != nil {
		t.Fatal(err)
	}
	// A new name needs room in the directory too.
	for _, do := range []func(string) error{func(n string) error { return os.WriteFile(n, nil, 0o600) }, os.Remove} {
		for n := range 2000 {
			if err := do(filepath.Join(b.root, "cur", fmt.Sprint("room for names of files ", n))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := range b.known {
		appendTo(t, s, "INBOX", n, 0)
	}
	for n := range b.waiting { // more than fits behind what the files have
		if err := b.deliver(s, 1000+n); err != nil {
			t.Fatal(err)
		}
	}
	b.disk = d
	b.fill()
	return b
}

func (b *fullBox) fill() { b.room = fillDisk(b.t, b.disk) }

// open opens the store as another process.
func (b *fullBox) open() *Store {
	s := openWith(b.t, b.root, Options{SpecialUse: map[string]string{"Junk": `\Junk`}, Subscribe: true})
	b.shared = append(b.shared, s.sh)
	return s
}

func (b *fullBox) close() {
	for _, sh := range b.shared {
		closeAll(sh)
	}
}

func (b *fullBox) deliver(s *Store, n int) error {
	_, err := s.Deliver(b.t.Context(), Delivery{Fill: func(w io.Writer) error { _, err := io.WriteString(w, message(n)); return err }})
	return err
}

func (b *fullBox) files(sub string) int {
	names, err := os.ReadDir(filepath.Join(b.root, sub))
	if err != nil {
		b.t.Fatal(err)
	}
	return len(names)
}

// TestFullDisk: with no block left, mail can be read, flagged and removed, what
// would need room is refused and leaves nothing, and mail that came meanwhile
// is there when there is room.
func TestFullDisk(t *testing.T) {
	b := newFullBox(t)
	one, other := b.open(), b.open()
	m, peer := selectBox(t, one, "INBOX"), selectBox(t, other, "INBOX")
	defer m.Close()
	defer peer.Close()
	if m.Len() != b.known || peer.Len() != b.known {
		t.Fatalf("%d and %d messages, %d have a UID", m.Len(), peer.Len(), b.known)
	}
	modseq := m.HighestModSeq()
	b.refused(one, m)
	if done, err := m.Expunge([]uint32{30, 31, 32, 33, 34, 35, 36, 37, 38, 39}, true); err != nil || len(done) != 10 {
		t.Fatalf("removal as by POP3: %v %v", done, err)
	}
	b.fill() // the directory has room now, the disk none
	for uid := uint32(1); uid <= 20; uid++ {
		if res, err := m.Store(StoreRequest{UIDs: []uint32{uid}, Op: AddFlags, Flags: Deleted | Flagged}); err != nil || len(res.Missing) > 0 {
			t.Fatalf("flags: %+v %v", res, err)
		}
	}
	if done, err := m.Expunge([]uint32{1, 2, 3, 40}, false); err != nil || len(done) != 3 {
		t.Errorf("expunge: %v %v", done, err)
	}
	for name, x := range map[string]*Mailbox{"own": m, "other": peer, "later": selectBox(t, b.open(), "INBOX")} {
		syncBox(t, x)
		if x.Len() < b.known-13 {
			t.Errorf("%s: %d messages", name, x.Len())
		}
		seq, _ := x.Find(4)
		if msg, _ := x.Message(seq); msg.UID != 4 || msg.Flags&(Deleted|Flagged) != Deleted|Flagged {
			t.Errorf("%s: message 4 is %+v", name, msg)
		}
		if _, there := x.Find(2); there {
			t.Errorf("%s: message 2 is there", name)
		}
		if body, err := bodyOf(x, 4); err != nil || body != "body 3" {
			t.Errorf("%s: %q %v", name, body, err)
		}
	}
	b.room()
	b.after(m, modseq)
}

// refused tries what needs room.
func (b *fullBox) refused(s *Store, m *Mailbox) {
	t := b.t
	big := message(500) + strings.Repeat("x\r\n", 4000)
	tmp, cur := b.files("tmp"), b.files("cur")
	for what, err := range map[string]error{
		"append":  func() error { _, err := s.Append("INBOX", []Incoming{{Content: strings.NewReader(big)}}); return err }(),
		"deliver": b.deliver(s, 501),
		"create":  s.Create("New"),
		"keywords": func() error {
			_, err := m.Store(StoreRequest{UIDs: []uint32{5}, Op: AddFlags, Keywords: someWords()})
			return err
		}(),
		"metadata": s.SetMetadata("INBOX", []Annotation{{Name: "/private/comment", Value: []byte("x")}}),
		"acl":      s.SetACL("INBOX", "x", 0, RightLookup),
	} {
		if !errors.Is(err, ErrTemporary) || !isFull(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if b.files("tmp") != tmp || b.files("cur") != cur {
		t.Errorf("%d and %d files in tmp and cur, were %d and %d", b.files("tmp"), b.files("cur"), tmp, cur)
	}
}

// someWords are keywords that need more room than a block has.
func someWords() (words []string) {
	for n := range 50 {
		words = append(words, fmt.Sprintf("k%d%s", n, strings.Repeat("x", 90)))
	}
	return words
}

// after looks at all of it when there is room.
func (b *fullBox) after(m *Mailbox, modseq uint64) {
	t := b.t
	for name, x := range map[string]*Mailbox{"own": m, "later": selectBox(t, b.open(), "INBOX")} {
		testkit.Wait(t, "room", func() bool { syncBox(t, x); return x.Len() == b.known+b.waiting-13 })
		seen := map[string]bool{}
		for seq := 1; seq <= x.Len(); seq++ {
			msg, _ := x.Message(seq)
			body, err := bodyOf(x, msg.UID)
			if err != nil || seen[body] || msg.UID <= fullKnown && body != fmt.Sprint("body ", msg.UID-1) {
				t.Errorf("%s: UID %d: %q %v", name, msg.UID, body, err)
			}
			if seen[body] = true; len(x.KeywordNames(nil, &msg)) > 0 {
				t.Errorf("%s: UID %d has keywords %q", name, msg.UID, x.KeywordNames(nil, &msg))
			}
			if changed := msg.UID <= 20 || msg.UID > fullKnown; changed && msg.ModSeq <= modseq {
				t.Errorf("%s: UID %d has modification sequence %d, %d was told before it changed", name, msg.UID, msg.ModSeq, modseq)
			}
		}
		if _, err := b.open().Status("Junk", false); err != nil {
			t.Errorf("the special folder is not made: %v", err)
		}
		gone, err := x.ExpungedSince(modseq, nil)
		if fmt.Sprint(gone) != "[[1 3] [30 39]]" {
			t.Errorf("%s: expunged %v %v", name, gone, err)
		}
	}
}
