package mailstore

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// testLog writes the log of a store to the test's.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// open opens a store as its own process would.
func open(t testing.TB, root string) *Store {
	t.Helper()
	return openWith(t, root, Options{})
}

func openWith(t testing.TB, root string, o Options) *Store {
	t.Helper()
	if o.Shared == nil {
		o.Shared = NewShared(new(safefile.FS), slog.New(slog.NewTextHandler(testLog{t}, nil)))
	}
	o.Root, o.Host = root, "host.example"
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newRoot(t testing.TB) string { return filepath.Join(t.TempDir(), "Maildir") }

func message(n int) string {
	return fmt.Sprintf("From: a@example.com\r\nSubject: message %d\r\n\r\nbody %d\r\n", n, n)
}

func appendTo(t testing.TB, s *Store, folder string, n int, flags Flags, keywords ...string) Appended {
	t.Helper()
	out, err := s.Append(folder, []Incoming{{Content: strings.NewReader(message(n)), Flags: flags, Keywords: keywords}})
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func selectBox(t testing.TB, s *Store, name string) *Mailbox {
	t.Helper()
	m, err := s.Mailbox(name, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func syncBox(t testing.TB, m *Mailbox) Changes {
	t.Helper()
	c, err := m.Sync(SyncOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// show is the view as text: uid, flags, keywords and body number.
func show(t testing.TB, m *Mailbox) string {
	t.Helper()
	var out []string
	var uids []uint32
	m.Range(1, m.Len(), func(seq int, msg *Message) bool {
		out = append(out, fmt.Sprintf("%d[%s %s]", msg.UID, msg.Info(), strings.Join(m.KeywordNames(nil, msg), ",")))
		uids = append(uids, msg.UID)
		return true
	})
	for i, uid := range uids {
		c, err := m.Open(uid)
		if errors.Is(err, ErrExpunged) {
			out[i] += "-"
			continue
		}
		if err != nil {
			t.Fatalf("open %d: %v", uid, err)
		}
		b := make([]byte, c.Size())
		c.ReadAt(b, 0)
		c.Close()
		out[i] += strings.TrimSpace(string(b[strings.LastIndex(string(b), "body ")+5:]))
	}
	return strings.Join(out, " ")
}

func TestAppendAndRead(t *testing.T) {
	root := newRoot(t)
	s := open(t, root)
	a := appendTo(t, s, "INBOX", 1, Seen|Flagged, "$Junk", "work")
	b := appendTo(t, s, "inbox", 2, 0, "$Forwarded")
	if a.UID != 1 || b.UID != 2 || a.UIDValidity == 0 || a.UIDValidity != b.UIDValidity {
		t.Fatalf("%+v, %+v", a, b)
	}
	want := "1[FSab $Junk,work]1 2[P $Forwarded]2"
	m := selectBox(t, s, "INBOX")
	if got := show(t, m); got != want {
		t.Errorf("view %s, want %s", got, want)
	}
	for _, wipe := range []string{"", fileIndex, fileLog, fileIndex + " " + fileLog} {
		for _, name := range strings.Fields(wipe) {
			if err := os.Remove(filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		}
		m := selectBox(t, open(t, root), "INBOX")
		if got := show(t, m); got != want || m.UIDValidity() != a.UIDValidity {
			t.Errorf("without %q: view %s, uidvalidity %d", wipe, got, m.UIDValidity())
		}
	}
	if msg, ok := m.Message(1); !ok || msg.Size != int64(len(message(1))) {
		t.Errorf("size %d", msg.Size)
	}
}

func TestTwoProcesses(t *testing.T) {
	root := newRoot(t)
	s1, s2 := open(t, root), open(t, root)
	for i := range 5 {
		appendTo(t, s1, "INBOX", i+1, 0)
	}
	m1, m2 := selectBox(t, s1, "INBOX"), selectBox(t, s2, "INBOX")
	if m2.Len() != 5 {
		t.Fatalf("%d messages", m2.Len())
	}
	res, err := m1.Store(StoreRequest{UIDs: []uint32{2, 4}, Op: AddFlags, Flags: Deleted})
	if err != nil || len(res.Missing)+len(res.Modified) > 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	if c := syncBox(t, m2); !slices.Equal(c.Changed, []int{2, 4}) || c.New+len(c.Expunged) > 0 {
		t.Errorf("%+v", c)
	}
	res, err = m2.Store(StoreRequest{UIDs: []uint32{1, 2}, Op: AddFlags, Flags: Seen, Conditional: true, UnchangedSince: 5})
	if err != nil || !slices.Equal(res.Modified, []uint32{2}) {
		t.Errorf("conditional: %+v, %v", res, err)
	}
	if gone, err := m2.Expunge([]uint32{1, 2, 3, 4}, false); err != nil || !slices.Equal(gone, []uint32{2, 4}) {
		t.Errorf("expunge: %v, %v", gone, err)
	}
	appendTo(t, s2, "INBOX", 6, 0)
	c, err := m1.Sync(SyncOptions{KeepExpunged: true})
	if err != nil || len(c.Expunged) > 0 || c.New != 1 || m1.Len() != 6 || !slices.Equal(c.Changed, []int{1}) {
		t.Errorf("keep: %+v, %v, %d", c, err, m1.Len())
	}
	if got := show(t, m1); got != "1[S ]1 2[ ]- 3[ ]3 4[ ]- 5[ ]5 6[ ]6" {
		t.Errorf("view %s", got)
	}
	if c := syncBox(t, m1); !slices.Equal(c.Expunged, []int{2, 3}) || !slices.Equal(c.ExpungedUIDs, []uint32{2, 4}) || c.New > 0 {
		t.Errorf("later: %+v", c)
	}
	if got, err := m1.ExpungedSince(0, nil); err != nil || !slices.Equal(got, [][2]uint32{{2, 2}, {4, 4}}) {
		t.Errorf("expunged since: %v, %v", got, err)
	}
}

// TestForeignPrograms: what mutt and a delivery agent do to the files.
func TestForeignPrograms(t *testing.T) {
	root := newRoot(t)
	s := open(t, root)
	for i := range 3 {
		appendTo(t, s, "INBOX", i+1, 0)
	}
	m := selectBox(t, s, "INBOX")
	rename := func(uid uint32, info string) {
		i, _ := m.Find(uid)
		msg, _ := m.Message(i)
		if err := os.Rename(filepath.Join(root, msg.Path()), filepath.Join(root, "cur", msg.Base+info)); err != nil {
			t.Fatal(err)
		}
	}
	rename(1, ":2,SF") // not in order
	rename(2, ":2,RSX")
	msg, _ := m.Message(3)
	if err := os.Remove(filepath.Join(root, msg.Path())); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "new", "1700000000.x.other"), []byte("Subject: x\n\nbody 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the changes", func() bool {
		syncBox(t, m)
		return m.Len() == 3 && strings.HasPrefix(show(t, m), "1[FS ]1 2[RS ]2 4[ ]7")
	})
	if _, err := m.Store(StoreRequest{UIDs: []uint32{1, 2}, Op: RemoveFlags, Flags: Seen}); err != nil {
		t.Fatal(err)
	}
	syncBox(t, m)
	if got := show(t, m); got != "1[F ]1 2[R ]2 4[ ]7" || !m.Recent(4) {
		t.Errorf("view %s, recent %v", got, m.Recent(4))
	}
	if msg, _ := m.Message(3); msg.Size != Unknown {
		t.Errorf("size %d", msg.Size)
	} else if f, err := m.Facts(&msg); err != nil || f.Size != 22 {
		t.Errorf("%+v, %v", f, err)
	}
}

// waitFor waits for a condition.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

func TestCopyAndMove(t *testing.T) {
	root := newRoot(t)
	s := open(t, root)
	if err := s.Create("Work/Entwürfe"); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		appendTo(t, s, "INBOX", i+1, Seen, "k")
	}
	m := selectBox(t, s, "INBOX")
	res, err := m.Copy([]uint32{1, 3}, "Work/Entwürfe")
	if err != nil || !slices.Equal(res.From, []uint32{1, 3}) || !slices.Equal(res.To, []uint32{1, 2}) {
		t.Fatalf("%+v, %v", res, err)
	}
	if res, err = m.Move([]uint32{2, 9}, "Work/Entwürfe"); err != nil || !slices.Equal(res.To, []uint32{3}) {
		t.Fatalf("%+v, %v", res, err)
	}
	w := selectBox(t, s, "Work/Entwürfe")
	if got := show(t, w); got != "1[Sa k]1 2[Sa k]3 3[Sa k]2" {
		t.Errorf("copy %s", got)
	}
	syncBox(t, m)
	if got := show(t, m); got != "1[Sa k]1 3[Sa k]3 4[Sa k]4" {
		t.Errorf("rest %s", got)
	}
	a, _ := m.Message(1)
	b, _ := w.Message(1)
	if EmailID(&a) != EmailID(&b) {
		t.Error("a copy has another EMAILID")
	}
	if _, err := m.Copy([]uint32{1}, "none"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("no destination: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, ".Work.Entw&APw-rfe", "maildirfolder")); err != nil {
		t.Error(err)
	}
}

func TestFolders(t *testing.T) {
	s := open(t, newRoot(t))
	names := func() string {
		list, err := s.List()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, f := range list {
			n := f.Name
			for _, x := range []struct {
				is bool
				s  string
			}{{f.NoSelect, "!"}, {f.Children, "+"}, {f.Subscribed, "*"}} {
				if x.is {
					n += x.s
				}
			}
			out = append(out, n+strings.Join(f.SpecialUse, ","))
		}
		return strings.Join(out, " ")
	}
	for _, err := range []error{s.Create("A/B/C"), s.Create("Sent/", "Sent"), s.Subscribe("A/B/C"), s.Subscribe("none"), s.Create("X")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := names(); got != "INBOX A!+ A/B!+ A/B/C* SentSent X" {
		t.Errorf("list %s", got)
	}
	a := appendTo(t, s, "A/B/C", 1, 0)
	if err := s.Rename("A", "Z"); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != "INBOX SentSent X Z!+ Z/B!+ Z/B/C" {
		t.Errorf("renamed %s", got)
	}
	if m := selectBox(t, s, "Z/B/C"); show(t, m) != "1[ ]1" || m.UIDValidity() != a.UIDValidity {
		t.Errorf("renamed folder has %s", show(t, m))
	}
	x := selectBox(t, s, "X")
	if err := s.Delete("X"); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Sync(SyncOptions{}); !errors.Is(err, ErrReplaced) {
		t.Errorf("a deleted folder: %v", err)
	}
	if err := s.Create("X"); err != nil {
		t.Fatal(err)
	}
	if y := selectBox(t, s, "X"); y.UIDValidity() == x.UIDValidity() {
		t.Error("a new folder has the UIDVALIDITY of the old one")
	}
	if err := s.Delete("Z"); !errors.Is(err, ErrHasChildren) {
		t.Errorf("delete of a level: %v", err)
	}
	appendTo(t, s, "INBOX", 5, Flagged)
	if err := s.Rename("INBOX", "Old"); err != nil {
		t.Fatal(err)
	}
	if got := show(t, selectBox(t, s, "Old")) + "/" + show(t, selectBox(t, s, "INBOX")); got != "1[F ]5/" {
		t.Errorf("INBOX renamed: %s", got)
	}
	for _, bad := range []string{"", "../x", "a//b", "a.b", "/a", "~root", "a\x00b", "a\nb", strings.Repeat("x", 300), "a/", "\xff", "INBOX/../x"} {
		if err := s.Create(bad); err == nil && bad != "a/" {
			t.Errorf("folder %q was made", bad)
		}
	}
	for err, want := range map[error]error{s.Create("Sent"): ErrExists, s.Delete("INBOX"): ErrNoPermission, s.Delete("no"): ErrNoMailbox, s.Rename("no", "q"): ErrNoMailbox} {
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

// TestDeletedByAnotherProcess: a session of a folder that is gone, or is
// another one by now, is told so, and changes keep each other out.
func TestDeletedByAnotherProcess(t *testing.T) {
	root := newRoot(t)
	s1, s2 := open(t, root), open(t, root)
	if err := s1.Create("X"); err != nil {
		t.Fatal(err)
	}
	first := appendTo(t, s1, "X", 1, 0)
	m1, m2 := selectBox(t, s1, "X"), selectBox(t, s2, "X")
	if err := s1.Delete("X"); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*Mailbox{m1, m2} {
		if _, err := m.Sync(SyncOptions{}); !errors.Is(err, ErrReplaced) {
			t.Errorf("deleted: %v", err)
		}
	}
	if err := s1.Create("X"); err != nil {
		t.Fatal(err)
	}
	a, b := appendTo(t, s1, "X", 2, 0), appendTo(t, s2, "X", 3, 0)
	if a.UIDValidity == first.UIDValidity || a.UIDValidity != b.UIDValidity || a.UID != 1 || b.UID != 2 {
		t.Errorf("%+v, %+v, %+v", first, a, b)
	}
	if _, err := m2.Sync(SyncOptions{}); !errors.Is(err, ErrReplaced) {
		t.Errorf("replaced: %v", err)
	}
}

func TestCache(t *testing.T) {
	root := newRoot(t)
	s := open(t, root)
	for i := range 300 {
		appendTo(t, s, "INBOX", i, 0)
	}
	m := selectBox(t, s, "INBOX")
	for uid := range uint32(300) {
		m.PutCache(uid+1, []Field{{1, []byte(fmt.Sprint("envelope ", uid+1))}})
	}
	m.PutCache(7, []Field{{2, []byte("structure")}})
	check := func(m *Mailbox) {
		t.Helper()
		for uid := range uint32(300) {
			if b, ok := m.Cached(uid + 1).Get(1); !ok || string(b) != fmt.Sprint("envelope ", uid+1) {
				t.Fatalf("%d: %q, %v", uid+1, b, ok)
			}
		}
		if b, ok := m.Cached(7).Get(2); !ok || string(b) != "structure" {
			t.Errorf("second field: %q, %v", b, ok)
		}
		if _, ok := m.Cached(8).Get(2); ok {
			t.Error("a field that nobody put")
		}
	}
	check(m)
	m.FlushCache()
	check(m)
	check(selectBox(t, open(t, root), "INBOX"))
	if b := selectBox(t, openWith(t, root, Options{CacheVersion: 2}), "INBOX").Cached(7); b.b != nil {
		t.Error("the cache of another version counts")
	}
}

func TestWatch(t *testing.T) {
	root := newRoot(t)
	s1, s2 := open(t, root), open(t, root)
	m := selectBox(t, s1, "INBOX")
	ch := m.Watch()
	wait := func(what string, ok func(Changes) bool) {
		t.Helper()
		limit := time.After(time.Minute)
		for {
			select {
			case <-ch:
				if ok(syncBox(t, m)) {
					return
				}
			case <-limit:
				t.Fatalf("%s: nothing was told", what)
			}
		}
	}
	for i := range 20 {
		if err := os.WriteFile(filepath.Join(root, "new", fmt.Sprint(i+1700000000, ".x.other")), []byte("x\n\nbody\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		wait("a file in new", func(c Changes) bool { return c.New == 1 })
	}
	appendTo(t, s1, "INBOX", 2, 0)
	wait("an append of this process", func(c Changes) bool { return c.New == 1 })
	appendTo(t, s2, "INBOX", 2, 0)
	wait("an append of another process", func(c Changes) bool { return c.New == 1 })
	m2 := selectBox(t, s2, "INBOX")
	if _, err := m2.Store(StoreRequest{UIDs: []uint32{1}, Flags: Seen}); err != nil {
		t.Fatal(err)
	}
	wait("flags of another process", func(c Changes) bool { return len(c.Changed) == 1 })
}

func fill(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func TestDeliver(t *testing.T) {
	root := newRoot(t)
	s := open(t, root)
	m := selectBox(t, s, "INBOX")
	d, err := s.Deliver(t.Context(), Delivery{Fill: fill("Subject: x\n\nbody 1\n")})
	if err != nil || d.Folder != "INBOX" || d.UID != 0 || filepath.Dir(d.Path) != filepath.Join(root, "new") {
		t.Fatalf("%+v, %v", d, err)
	}
	d, err = s.Deliver(t.Context(), Delivery{Fill: fill("Subject: x\n\nbody 2\n"), Flags: Seen, Keywords: []string{"$Junk"}})
	if err != nil || d.UID != 2 {
		t.Fatalf("%+v, %v", d, err)
	}
	syncBox(t, m)
	if got := show(t, m); got != "1[ ]1 2[Sa $Junk]2" {
		t.Errorf("view %s", got)
	}
	if msg, _ := m.Message(1); msg.Size != 22 {
		t.Errorf("size %d", msg.Size)
	}
	for _, tc := range []struct {
		d    Delivery
		want string
	}{
		{Delivery{Folder: "lists"}, "INBOX"},
		{Delivery{Folder: "../x", Create: true}, "INBOX"},
		{Delivery{Folder: "lists", Create: true, Subscribe: true}, "lists"},
		{Delivery{Folder: "lists"}, "lists"},
	} {
		tc.d.Fill = fill("body 3\n")
		if d, err := s.Deliver(t.Context(), tc.d); err != nil || d.Folder != tc.want {
			t.Errorf("%+v: %+v, %v", tc.d, d, err)
		}
	}
	if list, err := s.Subscriptions(); err != nil || !slices.Equal(list, []string{"lists"}) {
		t.Errorf("subscriptions %v, %v", list, err)
	}
	if _, err := s.Deliver(t.Context(), Delivery{Fill: func(io.Writer) error { return errTest }}); !errors.Is(err, errTest) {
		t.Errorf("a message that cannot be read: %v", err)
	}
	if left, _ := filepath.Glob(root + "/tmp/*"); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

var errTest = errors.New("injected")

func TestQuota(t *testing.T) {
	root := newRoot(t)
	var warned []int
	s := openWith(t, root, Options{Quota: "1000S,10C", WarnLevels: []int{50, 80}, Warn: func(w QuotaWarning) { warned = append(warned, w.Percent) }})
	if err := s.Create("Trash"); err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("x", 299) + "\n"
	deliver := func() error {
		_, err := s.Deliver(t.Context(), Delivery{Fill: fill(body)})
		return err
	}
	usage := func() string {
		u, ok, err := s.QuotaUsage()
		if err != nil || !ok {
			t.Fatalf("%v, %v", ok, err)
		}
		return fmt.Sprint(u.Bytes, "/", u.MaxBytes, " ", u.Messages, "/", u.MaxMessages)
	}
	for range 3 {
		if err := deliver(); err != nil {
			t.Fatal(err)
		}
	}
	if err := deliver(); !errors.Is(err, ErrOverQuota) || usage() != "900/1000 3/10" {
		t.Errorf("%v, %s", err, usage())
	}
	if _, err := s.Append("INBOX", []Incoming{{Content: strings.NewReader(body)}}); !errors.Is(err, ErrOverQuota) {
		t.Errorf("append: %v", err)
	}
	if !slices.Equal(warned, []int{50, 80}) {
		t.Errorf("warned of %v", warned)
	}
	m := selectBox(t, s, "INBOX")
	if _, err := m.Store(StoreRequest{UIDs: []uint32{1}, Op: AddFlags, Flags: Deleted}); err != nil || usage() != "600/1000 2/10" {
		t.Errorf("deleted: %v, %s", err, usage())
	}
	if _, err := m.Expunge([]uint32{1}, false); err != nil || usage() != "600/1000 2/10" {
		t.Errorf("expunged: %v, %s", err, usage())
	}
	if _, err := m.Move([]uint32{2}, "Trash"); err != nil || usage() != "300/1000 1/10" {
		t.Errorf("moved to Trash: %v, %s", err, usage())
	}
	s.quotaForget(root)
	if usage() != "300/1000 1/10" {
		t.Errorf("counted anew: %s", usage())
	}
	if left, _ := filepath.Glob(root + "/tmp/*"); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestQuotaByParameters: rules and warnings as the parameters have them.
func TestQuotaByParameters(t *testing.T) {
	root := newRoot(t)
	o := Options{User: "ann@example.com"}
	if err := o.SetQuota(QuotaOptions{Quota: "1000S", Rules: []string{"Trash:storage=+2000"}, Levels: []string{"50%"}, Hostname: "mx.example.com"}); err != nil {
		t.Fatal(err)
	}
	s := openWith(t, root, o)
	if err := s.Create("Trash"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		folder string
		want   error
	}{{"INBOX", nil}, {"INBOX", ErrOverQuota}, {"Trash", nil}, {"Trash", ErrOverQuota}} {
		_, err := s.Append(tc.folder, []Incoming{{Content: strings.NewReader(strings.Repeat("x", 900))}})
		if !errors.Is(err, tc.want) || tc.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", tc.folder, err, tc.want)
		}
	}
	m := selectBox(t, s, "INBOX")
	if m.Len() != 2 {
		t.Fatalf("%d messages", m.Len())
	}
	c, err := m.Open(2)
	if err != nil || !strings.Contains(string(c.Bytes()), "To: <ann@example.com>\r\n") || !strings.Contains(string(c.Bytes()), "Subject: Your mailbox is 50% full\r\n") {
		t.Errorf("%v, %s", err, c.Bytes())
	}
	for _, bad := range []QuotaOptions{{Rules: []string{"x"}}, {Levels: []string{"0"}}, {Levels: []string{"x"}}} {
		if err := new(Options).SetQuota(bad); err == nil {
			t.Errorf("%+v is fine", bad)
		}
	}
}

func TestExpire(t *testing.T) {
	root := newRoot(t)
	s := open(t, root)
	for _, err := range []error{s.Create("Trash"), s.Create("Trash/Old")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().AddDate(0, 0, -40).Unix()
	for i, at := range []int64{old, time.Now().Unix(), old} {
		dir := []string{".Trash", ".Trash", ".Trash.Old"}[i]
		if err := os.WriteFile(filepath.Join(root, dir, "cur", fmt.Sprintf("%d.x%d.h:2,S", at, i)), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := s.ExpireRules([]string{"Trash=30", "None=1"}); err != nil {
			t.Fatal(err)
		}
		a, b := selectBox(t, s, "Trash"), selectBox(t, s, "Trash/Old")
		if a.Len() != 1 || b.Len() != 0 {
			t.Errorf("%d and %d messages", a.Len(), b.Len())
		}
	}
	for _, rule := range []string{"Trash", "Trash=0", "Trash=x", "../x=3"} {
		if _, _, err := ParseExpire(rule); err == nil {
			t.Errorf("rule %q", rule)
		}
	}
}

func TestQuotaRules(t *testing.T) {
	for text, want := range map[string]QuotaRule{
		"Trash:ignore":       {Folder: "Trash", Ignore: true},
		"Trash:storage=+10M": {Folder: "Trash", Bytes: 10 << 20},
		"A/B:storage=+100":   {Folder: "A/B", Bytes: 100},
		"Trash:storage=+1g":  {Folder: "Trash", Bytes: 1 << 30},
	} {
		if r, err := ParseQuotaRule(text); err != nil || r != want {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
	for _, text := range []string{"Trash", "Trash:", "Trash:storage=10M", "Trash:storage=+", "Trash:storage=+99999999999T", "../x:ignore"} {
		if r, err := ParseQuotaRule(text); err == nil {
			t.Errorf("%s: %+v", text, r)
		}
	}
}
