package mailstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/maildir/notice"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// never is how often folders are looked at in tests that are about notices.
const never = time.Hour

// unwatched returns a store of a process for which the kernel watches nothing.
func unwatched(t testing.TB, root string) *Store {
	t.Helper()
	sh := NewShared(new(safefile.FS), nil)
	sh.WithoutInotify(never)
	return openWith(t, root, Options{Shared: sh})
}

// waiting is a session that waits for changes.
type waiting struct {
	t  testing.TB
	m  *Mailbox
	ch <-chan struct{}
}

func watch(t testing.TB, s *Store, name string) *waiting {
	t.Helper()
	m := selectBox(t, s, name)
	return &waiting{t, m, m.Watch()}
}

// until waits until a change is the one.
func (w *waiting) until(what string, ok func(Changes, error) bool) {
	w.t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case <-w.ch:
			if ok(w.m.Sync(SyncOptions{})) {
				return
			}
		case <-limit:
			w.t.Fatalf("%s: nothing was told", what)
		}
	}
}

// child is a process of the test's that does what it is told line by line, or
// tells what it hears.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func startChild(t *testing.T, attr *syscall.SysProcAttr, env ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr, cmd.SysProcAttr = append(os.Environ(), env...), os.Stderr, attr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		if attr != nil {
			t.Skipf("SKIPPED: no user namespace: %v", err)
		}
		t.Fatal(err)
	}
	limit := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { in.Close(); _ = cmd.Wait(); limit.Stop() })
	return &child{t, cmd, in, bufio.NewScanner(out)}
}

// say sends a line, and waits for the answer.
func (c *child) say(line, want string) {
	c.t.Helper()
	fmt.Fprintln(c.in, line)
	c.hear(want)
}

// hear reads lines up to one.
func (c *child) hear(want string) {
	c.t.Helper()
	var got []string
	for c.lines.Scan() {
		if strings.HasPrefix(c.lines.Text(), "SKIPPED") {
			c.t.Skip(c.lines.Text())
		}
		if c.lines.Text() == want {
			return
		}
		got = append(got, c.lines.Text())
	}
	c.t.Fatalf("the other process said %q, want %q", got, want)
}

// tellChanges is the process that waits: it tells how many messages there are,
// and ends with its input.
func tellChanges(root, limit string) {
	sh := NewShared(new(safefile.FS), nil)
	if sh.poll = never; limit == "" {
		sh.unwatched = true
	} else if err := os.WriteFile("/proc/sys/user/"+limit, []byte("0"), 0); err != nil {
		fmt.Println("SKIPPED: limits cannot be set in a user namespace:", err)
		return
	}
	s, err := Open(Options{Root: root, Host: "h", Shared: sh})
	if err != nil {
		panic(err)
	}
	m, err := s.Mailbox("INBOX", false)
	if err != nil {
		panic(err)
	}
	ch := m.Watch()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		m.Close()
		os.Exit(0)
	}()
	for first := true; ; <-ch {
		c, err := m.Sync(SyncOptions{})
		if errors.Is(err, ErrReplaced) {
			fmt.Println("replaced")
			select {}
		}
		if err != nil {
			panic(err)
		}
		if first || c.Any() {
			fmt.Println(m.Len(), "messages")
		}
		first = false
	}
}

// changeOnDemand is the process that changes a store.
func changeOnDemand(root string) {
	s, err := Open(Options{Root: root, Host: "h"})
	if err != nil {
		panic(err)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := changeBy(s, in.Text()); err != nil {
			fmt.Println(err)
		}
		fmt.Println("done")
	}
}

// changeBy makes a change in one of the ways that there are.
func changeBy(s *Store, how string) error {
	m, err := s.Mailbox("INBOX", false)
	if err != nil {
		return err
	}
	defer m.Close()
	first, _ := m.Message(1)
	text := fill("Subject: x\n\nx\n")
	switch how {
	case "deliver":
		_, err = s.Deliver(context.Background(), Delivery{Fill: text})
	case "deliver with flags":
		_, err = s.Deliver(context.Background(), Delivery{Fill: text, Flags: Flagged})
	case "deliver by virtual":
		_, err = DeliverTo(s.fs, s.o.Root, "h", text)
	case "append":
		_, err = s.Append("INBOX", []Incoming{{Content: strings.NewReader("Subject: x\r\n\r\nx\r\n")}})
	case "flags":
		op := AddFlags
		if first.Flags&Answered != 0 {
			op = RemoveFlags
		}
		_, err = m.Store(StoreRequest{UIDs: []uint32{first.UID}, Op: op, Flags: Answered})
	case "copy":
		_, err = m.Copy([]uint32{first.UID}, "INBOX")
	case "expunge":
		_, err = m.Expunge([]uint32{first.UID}, true)
	}
	return err
}

var changesBy = []struct {
	how string
	is  func(Changes) bool
}{
	{"deliver", func(c Changes) bool { return c.New == 1 }},
	{"deliver with flags", func(c Changes) bool { return c.New == 1 }},
	{"deliver by virtual", func(c Changes) bool { return c.New == 1 }},
	{"append", func(c Changes) bool { return c.New == 1 }},
	{"flags", func(c Changes) bool { return len(c.Changed) == 1 }},
	{"copy", func(c Changes) bool { return c.New == 1 }},
	{"expunge", func(c Changes) bool { return len(c.Expunged) == 1 }},
}

// TestNoticeOfProcess: without inotify a session hears of everything that
// another process does to its folder, and there is nothing left at the end.
func TestNoticeOfProcess(t *testing.T) {
	root := newRoot(t)
	w := watch(t, unwatched(t, root), "INBOX")
	other := startChild(t, nil, "POSTHOUSE_TEST_CHANGER="+root)
	for round := range 5 {
		for _, ch := range changesBy {
			other.say(ch.how, "done")
			w.until(fmt.Sprint(ch.how, " in round ", round), func(c Changes, err error) bool {
				if err != nil {
					t.Fatal(err)
				}
				return ch.is(c)
			})
		}
	}
	dir := filepath.Join(root, notice.Dir)
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
	w.m.Close()
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("after the last session: %v", err)
	}
}

// TestNoticeToProcess is the same with a process that waits and gets no watch
// from the kernel: because a test says so, because it gets no inotify instance,
// or because that has no watch left.
func TestNoticeToProcess(t *testing.T) {
	for _, limit := range []string{"", "max_inotify_instances", "max_inotify_watches"} {
		t.Run(limit, func(t *testing.T) {
			root := newRoot(t)
			s := open(t, root)
			var attr *syscall.SysProcAttr
			if limit != "" {
				own := func(id int) []syscall.SysProcIDMap {
					return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
				}
				attr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: own(os.Getuid()), GidMappings: own(os.Getgid())}
			}
			other := startChild(t, attr, "POSTHOUSE_TEST_WAITER="+root, "POSTHOUSE_TEST_LIMIT="+limit)
			other.hear("0 messages")
			dir := filepath.Join(root, notice.Dir)
			waitFor(t, "a FIFO", func() bool { names, _ := os.ReadDir(dir); return len(names) == 1 })
			n := 0
			for range 5 {
				for _, how := range []string{"deliver", "append", "deliver by virtual", "copy"} {
					if err := changeBy(s, how); err != nil {
						t.Fatal(err)
					}
					n++
					other.hear(fmt.Sprint(n, " messages"))
				}
			}
			other.in.Close()
			waitFor(t, "nothing left", func() bool { _, err := os.Lstat(dir); return os.IsNotExist(err) })
		})
	}
}

// TestNoticeOfKilled: what a killed process left keeps nobody from delivering
// or from hearing of it, and goes.
func TestNoticeOfKilled(t *testing.T) {
	root := newRoot(t)
	s := open(t, root)
	dir := filepath.Join(root, notice.Dir)
	w := watch(t, unwatched(t, root), "INBOX")
	other := startChild(t, nil, "POSTHOUSE_TEST_WAITER="+root)
	waitFor(t, "two FIFOs", func() bool { names, _ := os.ReadDir(dir); return len(names) == 2 })
	_ = other.cmd.Process.Kill()
	_ = other.cmd.Wait()
	deliver := func() {
		t.Helper()
		if err := changeBy(s, "deliver"); err != nil {
			t.Fatal(err)
		}
		w.until("a delivery", func(c Changes, err error) bool { return err == nil && c.New == 1 })
	}
	deliver()
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 2 {
		t.Fatalf("%v, %v", names, err)
	}
	long := time.Now().Add(-time.Hour)
	for _, e := range names {
		if err := os.Chtimes(filepath.Join(dir, e.Name()), long, long); err != nil {
			t.Fatal(err)
		}
	}
	deliver()
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}

// TestNoticeOfFolders: who waits in a folder that another process renames or
// deletes hears of it.
func TestNoticeOfFolders(t *testing.T) {
	root := newRoot(t)
	s := open(t, root)
	change := map[string]func() error{
		"One": func() error { return s.Rename("One", "Three") },
		"Two": func() error { return s.Delete("Two") },
	}
	for name, do := range change {
		if err := s.Create(name); err != nil {
			t.Fatal(err)
		}
		w := watch(t, unwatched(t, root), name)
		w.until("the beginning", func(_ Changes, err error) bool { return err == nil })
		if err := do(); err != nil {
			t.Fatal(err)
		}
		w.until(name, func(_ Changes, err error) bool { return errors.Is(err, ErrReplaced) })
		w.m.Close()
	}
	if left, _ := filepath.Glob(filepath.Join(root, "..posthouse-deleted*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	// The FIFO went along with the folder, and a new session makes its own.
	w := watch(t, unwatched(t, root), "Three")
	if _, err := s.Append("Three", []Incoming{{Content: strings.NewReader("Subject: x\r\n\r\nx\r\n")}}); err != nil {
		t.Fatal(err)
	}
	w.until("an append", func(c Changes, err error) bool { return err == nil && c.New == 1 })
}

// TestNoticeOnlyWithoutInotify: with inotify nothing is made.
func TestNoticeOnlyWithoutInotify(t *testing.T) {
	root := newRoot(t)
	s := open(t, root)
	w := watch(t, s, "INBOX")
	if w.m.f.waiter != nil {
		t.Skip("SKIPPED: this machine has no inotify watch left")
	}
	for _, ch := range changesBy {
		if err := changeBy(open(t, root), ch.how); err != nil {
			t.Fatal(err)
		}
		w.until(ch.how, func(c Changes, err error) bool { return err == nil && ch.is(c) })
	}
	if _, err := os.Lstat(filepath.Join(root, notice.Dir)); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}

// TestWatchedAgain: a folder that the kernel did not watch is watched when it can be,
// and so are the others after the inotify instance was lost.
func TestWatchedAgain(t *testing.T) {
	root := newRoot(t)
	sh := NewShared(new(safefile.FS), nil)
	sh.WithoutInotify(never)
	sh.retry = 10 * time.Millisecond
	w := watch(t, openWith(t, root, Options{Shared: sh}), "INBOX")
	h := sh.hub
	watched := func(how string) {
		t.Helper()
		limit := time.Now().Add(time.Minute)
		for {
			h.mu.Lock()
			n, timer := len(h.byWatch), h.retry != nil
			h.mu.Unlock()
			if n == 3 && !timer {
				break
			}
			if time.Now().After(limit) {
				t.Skipf("SKIPPED: %s: this machine has no inotify watch left", how)
			}
			time.Sleep(time.Millisecond)
		}
		w.m.f.mu.Lock()
		if w.m.f.waiter != nil {
			t.Errorf("%s: something stands in for the kernel", how)
		}
		w.m.f.mu.Unlock()
		// Not by a process of ours, which would tell.
		if err := os.WriteFile(filepath.Join(root, "new", how), []byte("Subject: x\n\nx\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.until(how, func(c Changes, err error) bool { return err == nil && c.New == 1 })
	}
	h.mu.Lock()
	if h.fd >= 0 || h.retry == nil {
		t.Errorf("at first: descriptor %d, timer %v", h.fd, h.retry)
	}
	sh.unwatched = false
	h.mu.Unlock()
	watched("when it can be")
	h.mu.Lock()
	h.file.Close()
	h.mu.Unlock()
	limit := time.Now().Add(time.Minute)
	for again := false; !again && time.Now().Before(limit); time.Sleep(time.Millisecond) {
		h.mu.Lock()
		_, err := h.file.Stat()
		again = err == nil
		h.mu.Unlock()
	}
	watched("after the end")
	w.m.Close()
	if _, err := os.Lstat(filepath.Join(root, notice.Dir)); !os.IsNotExist(err) {
		t.Errorf("after the last session: %v", err)
	}
}

// TestNoticeStands: the directory is nothing to those who look after folders.
func TestNoticeStands(t *testing.T) {
	root := newRoot(t)
	s := openWith(t, root, Options{Quota: "1000000S"})
	appendTo(t, s, "INBOX", 1, 0)
	w := watch(t, unwatched(t, root), "INBOX")
	dir := filepath.Join(root, notice.Dir)
	if u, _, err := s.QuotaUsage(); err != nil || u.Messages != 1 {
		t.Errorf("%+v, %v", u, err)
	}
	if r, err := s.Report("INBOX"); err != nil || len(r.Problems) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if err := s.Rebuild("INBOX"); err != nil {
		t.Fatal(err)
	}
	if names, err := s.Folders(); err != nil || !slices.Equal(names, []string{"INBOX"}) {
		t.Errorf("%v, %v", names, err)
	}
	syncBox(t, w.m)
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}

// TestNoticeShare: of the files that a process may have open sessions keep
// most.
func TestNoticeShare(t *testing.T) {
	root := newRoot(t)
	s := unwatched(t, root)
	one := watch(t, s, "INBOX")
	h := s.sh.hub
	h.mu.Lock()
	h.waiters = 1
	h.mu.Unlock()
	var boxes []*Mailbox
	for i := range 3 {
		name := fmt.Sprint("F", i)
		if err := s.Create(name); err != nil {
			t.Fatal(err)
		}
		boxes = append(boxes, watch(t, s, name).m)
	}
	for i, m := range boxes {
		if has := m.f.waiter.Name() != ""; has != (i == 0) {
			t.Errorf("folder %d has a FIFO: %v", i, has)
		}
	}
	for _, m := range append(boxes, one.m) {
		m.Close()
	}
	if h.waiters != 2 {
		t.Errorf("%d", h.waiters)
	}
}
