package mailstore

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// TestMain runs the test binary as a process that uses a store until it is
// killed, if the environment asks for that.
func TestMain(m *testing.M) {
	if root := os.Getenv("POSTHOUSE_TEST_STORE"); root != "" {
		busy(root, os.Getenv("POSTHOUSE_TEST_ID"))
		return
	}
	if root := os.Getenv("POSTHOUSE_TEST_WAITER"); root != "" {
		tellChanges(root, os.Getenv("POSTHOUSE_TEST_LIMIT"))
		return
	}
	if root := os.Getenv("POSTHOUSE_TEST_CHANGER"); root != "" {
		changeOnDemand(root)
		return
	}
	os.Exit(m.Run())
}

// busy changes a store until the process is killed, and tells on its standard
// output what was acknowledged: "made" or "gone", UIDVALIDITY, UID, body.
func busy(root, id string) {
	sh := NewShared(new(safefile.FS), nil)
	if boot := os.Getenv("POSTHOUSE_TEST_BOOT"); boot != "" {
		sh.boot = boot
	}
	s, err := Open(Options{Root: root, Host: "h", Shared: sh})
	if err != nil {
		panic(err)
	}
	m, err := s.Mailbox("INBOX", false)
	if err != nil {
		panic(err)
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for n := 0; ; n++ {
		body := fmt.Sprintf("%s-%d", id, n)
		a, err := s.Append("INBOX", []Incoming{{Content: strings.NewReader("Subject: x\r\n\r\n" + body + "\r\n")}})
		if err != nil {
			panic(err)
		}
		fmt.Println("made", a[0].UIDValidity, a[0].UID, body)
		if _, err := m.Sync(SyncOptions{}); err != nil {
			panic(err)
		}
		msg, _ := m.Message(1 + r.IntN(m.Len()))
		if _, err := m.Store(StoreRequest{UIDs: []uint32{msg.UID}, Op: AddFlags, Flags: Seen, Keywords: []string{fmt.Sprint("k", r.IntN(40))}}); err != nil {
			panic(err)
		}
		if n%3 == 0 {
			body, err := bodyOf(m, msg.UID)
			if errors.Is(err, ErrExpunged) {
				continue
			}
			fmt.Println("gone", m.UIDValidity(), msg.UID, body)
			if _, err := m.Expunge([]uint32{msg.UID}, true); err != nil {
				panic(err)
			}
		}
		if n%50 == 49 {
			m.f.mu.Lock()
			err := m.f.locked(m.f.rotate)
			m.f.mu.Unlock()
			if err != nil {
				panic(err)
			}
		}
	}
}

// TestKilled kills processes that use one store at the same time. What they
// acknowledged is there under its UID, and no UID stands for two messages.
func TestKilled(t *testing.T) {
	root := newRoot(t)
	tr := newTruth()
	open(t, root)
	rounds := 6
	for round := range rounds {
		outs := make(chan []string, 3)
		var made atomic.Int32
		for p := range cap(outs) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "POSTHOUSE_TEST_STORE="+root, fmt.Sprintf("POSTHOUSE_TEST_ID=r%dp%d", round, p))
			cmd.Stderr = os.Stderr
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			go func() {
				var lines []string
				for in := bufio.NewScanner(pipe); in.Scan(); {
					lines = append(lines, in.Text())
					made.Add(1)
				}
				_ = cmd.Wait()
				outs <- lines
			}()
			defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop()
			go func() {
				for made.Load() < int32(50+30*p+13*round) {
					time.Sleep(time.Millisecond)
				}
				_ = cmd.Process.Signal(syscall.SIGKILL)
			}()
		}
		for range cap(outs) {
			for _, line := range <-outs {
				note(t, tr, line)
			}
		}
		verify(t, open(t, root), tr)
	}
	if len(tr.made) < 50*rounds {
		t.Errorf("only %d messages", len(tr.made))
	}
}

// note takes a line of a process.
func note(t *testing.T, tr *truth, line string) {
	t.Helper()
	var what, body string
	var validity, uid uint32
	if n, _ := fmt.Sscan(line, &what, &validity, &uid, &body); n != 4 {
		return // cut by the kill
	}
	if err := tr.saw("INBOX", validity, uid, body); err != nil {
		t.Error(err)
	}
	if what == "made" {
		tr.made[body] = true
	} else {
		tr.removed[body] = true
	}
}

// verify checks a folder against what is known to be true.
func verify(t *testing.T, s *Store, tr *truth) {
	t.Helper()
	m := selectBox(t, s, "INBOX")
	defer m.Close()
	left := map[string]bool{}
	for seq := 1; seq <= m.Len(); seq++ {
		msg, _ := m.Message(seq)
		body, err := bodyOf(m, msg.UID)
		if err != nil {
			t.Fatalf("UID %d: %v", msg.UID, err)
		}
		if err := tr.saw("INBOX", m.UIDValidity(), msg.UID, body); err != nil {
			t.Error(err)
		}
		left[body] = true
	}
	for body := range tr.made {
		if !left[body] && !tr.removed[body] {
			t.Errorf("%s was acknowledged and is gone", body)
		}
	}
	for key, body := range tr.content {
		var name string
		var validity, uid uint32
		fmt.Sscan(key, &name, &validity, &uid)
		if validity == m.UIDValidity() && uid >= m.UIDNext() {
			t.Errorf("UID %d was given to %s, and the next is %d", uid, body, m.UIDNext())
		}
	}
}

// script does a bit of everything and notes what was acknowledged.
func script(t *testing.T, s *Store, tr *truth, id string) {
	m, err := s.Mailbox("INBOX", false)
	if err != nil {
		return
	}
	defer m.Close()
	for n := range 4 {
		body := fmt.Sprint(id, "-", n)
		if a, err := s.Append("INBOX", []Incoming{{Content: strings.NewReader("S: x\r\n\r\n" + body + "\r\n"), Keywords: []string{"k" + body}}}); err == nil {
			note(t, tr, fmt.Sprint("made ", a[0].UIDValidity, " ", a[0].UID, " ", body))
		}
	}
	if _, err := m.Sync(SyncOptions{}); err != nil || m.Len() == 0 {
		return
	}
	msg, _ := m.Message(m.Len())
	body, err := bodyOf(m, msg.UID)
	if err != nil {
		return
	}
	m.Store(StoreRequest{UIDs: []uint32{msg.UID}, Op: AddFlags, Flags: Seen})
	m.f.mu.Lock()
	if m.f.st != nil {
		m.f.locked(m.f.compactList)
	}
	m.f.mu.Unlock()
	m.Move([]uint32{msg.UID}, "Other")
	tr.removed[body] = true
}

// TestFaults lets each operation on files fail in turn, once and from then on.
func TestFaults(t *testing.T) {
	for _, forever := range []bool{false, true} {
		root := newRoot(t)
		tr := newTruth()
		if err := open(t, root).Create("Other"); err != nil {
			t.Fatal(err)
		}
		step := 1
		for n := 1; ; n += step {
			count := 0
			fs := &safefile.FS{Fault: func(op safefile.Op, _ string) error {
				if op == safefile.OpClose || op == safefile.OpRemove && forever {
					return nil
				}
				if count++; count == n || forever && count > n {
					return syscall.EIO
				}
				return nil
			}}
			o := Options{Root: root, Host: "h", Shared: NewShared(fs, nil)}
			if s, err := Open(o); err == nil {
				script(t, s, tr, fmt.Sprintf("f%v%d", forever, n))
			}
			done := count < n
			verify(t, open(t, root), tr)
			if t.Failed() {
				t.Fatalf("after a fault in operation %d (from then on: %v)", n, forever)
			}
			if done {
				t.Logf("%d operations", n)
				break
			}
			if n > 40 {
				step = 3
			}
		}
	}
}

// TestDamage damages each file of a folder in many ways.
func TestDamage(t *testing.T) {
	root := newRoot(t)
	tr := newTruth()
	s := open(t, root)
	if err := s.Create("Other"); err != nil {
		t.Fatal(err)
	}
	script(t, s, tr, "first")
	r := rand.New(rand.NewPCG(5, 5))
	for n := range 150 {
		name := []string{fileIndex, fileLog, fileList, fileLock, fileCache, fileValidity}[n%6]
		path := filepath.Join(root, name)
		data, err := os.ReadFile(path)
		if err != nil {
			data = nil
		}
		how := ""
		switch k := r.IntN(6); {
		case k == 0:
			how = "removed"
			os.Remove(path)
		case k == 1:
			how = "emptied"
			os.WriteFile(path, nil, 0o600)
		case k == 2 && len(data) > 0:
			how = "cut"
			os.WriteFile(path, data[:r.IntN(len(data))], 0o600)
		case k == 3:
			how = "garbage behind"
			os.WriteFile(path, append(data, "garbage\n1 2 3\n"...), 0o600)
		case k == 4 && len(data) > 0:
			how = "zeros"
			at := r.IntN(len(data))
			clear(data[at:min(at+200, len(data))])
			os.WriteFile(path, data, 0o600)
		case len(data) > 0:
			how = "a bit"
			data[r.IntN(len(data))] ^= 1 << r.IntN(8)
			os.WriteFile(path, data, 0o600)
		}
		s := open(t, root)
		verify(t, s, tr)
		script(t, s, tr, fmt.Sprint("d", n))
		verify(t, s, tr)
		if t.Failed() {
			t.Fatalf("%d: %s %s", n, name, how)
		}
	}
}

// TestOtherBoot: after a power cut the newest part of what was not synced is
// gone. UIDs and modification sequences that were told must not come again.
func TestOtherBoot(t *testing.T) {
	root := newRoot(t)
	tr := newTruth()
	s := open(t, root)
	for n := range 3 {
		appendTo(t, s, "INBOX", n, 0)
	}
	m := selectBox(t, s, "INBOX")
	logBefore, _ := os.ReadFile(filepath.Join(root, fileLog))
	listBefore, _ := os.ReadFile(filepath.Join(root, fileList))
	script(t, s, tr, "lost")
	syncBox(t, m)
	next, modseq := m.UIDNext(), m.HighestModSeq()
	// The cut: the log and the list are what they were, and the files are gone.
	os.WriteFile(filepath.Join(root, fileLog), logBefore, 0o600)
	os.WriteFile(filepath.Join(root, fileList), listBefore, 0o600)
	m.Range(4, m.Len(), func(_ int, msg *index.Record) bool {
		os.Remove(filepath.Join(root, msg.Path()))
		return true
	})
	sh := NewShared(new(safefile.FS), nil)
	sh.boot = "11111111-2222-3333-4444-555555555555"
	s = openWith(t, root, Options{Shared: sh})
	after := selectBox(t, s, "INBOX")
	if after.Len() != 3 || after.UIDNext() < next || after.HighestModSeq() <= modseq || after.UIDValidity() != m.UIDValidity() {
		t.Errorf("%d messages, next %d after %d, modseq %d after %d", after.Len(), after.UIDNext(), next, after.HighestModSeq(), modseq)
	}
	first := after.UIDNext()
	if a := appendTo(t, s, "INBOX", 9, 0); a.UID != first {
		t.Errorf("%+v, want %d", a, first)
	}
	if again := selectBox(t, openWith(t, root, Options{Shared: NewShared(new(safefile.FS), nil)}), "INBOX"); again.Len() != 4 {
		t.Errorf("%d messages", again.Len())
	}
}
