package queue

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// ahead returns a queue that makes files ahead, in the middle of a rush of mail.
func ahead(t *testing.T, fs *safefile.FS) *Queue {
	t.Helper()
	q := newQueue(t, Options{Ahead: true, FS: fs})
	t.Cleanup(q.Release)
	rush(t, q)
	return q
}

// rush commits messages until there are files for more.
func rush(t *testing.T, q *Queue) {
	t.Helper()
	for end := time.Now().Add(time.Minute); q.held() == 0; {
		if time.Now().After(end) {
			t.Fatal("no file is made ahead")
		}
		commit(t, create(t, q))
	}
}

// held returns how many files wait for a message.
func (q *Queue) held() int {
	q.reserve.mu.Lock()
	defer q.reserve.mu.Unlock()
	return len(q.reserve.files)
}

func create(t *testing.T, q *Queue) *Writer {
	t.Helper()
	w, err := q.Create(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// reserved returns a file that was made ahead.
func reserved(t *testing.T, q *Queue) *Writer {
	t.Helper()
	for {
		rush(t, q)
		if w := create(t, q); w.reserved {
			return w
		} else {
			w.Abort()
		}
	}
}

func commit(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.RecString(RecNorm, "text"); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// files returns the files in the incoming queue with a mode.
func files(t *testing.T, q *Queue, mode os.FileMode) (paths []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(q.dir, Incoming, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if fi, err := os.Lstat(path); err == nil && fi.Mode().Perm() == mode {
			paths = append(paths, path)
		}
	}
	return paths
}

// TestAhead holds that a file that was made ahead is empty and not complete, has a
// name that was synced before a message got it, and needs a sync of its own only.
func TestAhead(t *testing.T) {
	var mu sync.Mutex
	var done []string
	synced := map[string]bool{} // names that were there when their directory was synced
	fs := &safefile.FS{Fault: func(op safefile.Op, path string) error {
		mu.Lock()
		defer mu.Unlock()
		done = append(done, string(op)+" "+filepath.Base(path))
		if op == safefile.OpSyncDir {
			names, _ := os.ReadDir(path)
			for _, n := range names {
				synced[n.Name()] = true
			}
		}
		return nil
	}}
	q := ahead(t, fs)
	w := reserved(t, q)
	fi, err := os.Lstat(w.Path())
	if err != nil || fi.Mode().Perm() != ModeReserved || fi.Size() != 0 {
		t.Fatalf("%v, %v", fi, err)
	}
	mu.Lock()
	if !synced[string(w.ID())] {
		t.Error("the name was not synced")
	}
	before, name := len(done), filepath.Base(w.f.Name())
	mu.Unlock()
	commit(t, w)
	mu.Lock()
	defer mu.Unlock()
	if !slices.Contains(done[before:], "fsync "+name) {
		t.Errorf("the file was not synced: %q", done[before:])
	}
	if fi, err := os.Lstat(w.Path()); err != nil || fi.Mode().Perm() != ModeReady {
		t.Errorf("%v, %v", fi, err)
	}
}

// TestAheadHeld holds that the name is synced in the queue to which the file moves.
func TestAheadHeld(t *testing.T) {
	var mu sync.Mutex
	var dirs []string
	fs := &safefile.FS{Fault: func(op safefile.Op, path string) error {
		mu.Lock()
		defer mu.Unlock()
		if op == safefile.OpSyncDir {
			dirs = append(dirs, filepath.Base(path))
		}
		return nil
	}}
	q := ahead(t, fs)
	w := reserved(t, q)
	if err := w.MoveTo(Hold); err != nil {
		t.Fatal(err)
	}
	commit(t, w)
	mu.Lock()
	defer mu.Unlock()
	if !slices.Contains(dirs, Hold) {
		t.Errorf("synced: %q", dirs)
	}
}

// TestAheadIdle holds that no file stays when no more mail comes.
func TestAheadIdle(t *testing.T) {
	q := ahead(t, nil)
	for end := time.Now().Add(time.Minute); q.Reserved() > 0 || len(files(t, q, ModeReserved)) > 0; {
		if time.Now().After(end) {
			t.Fatalf("%d files are left", len(files(t, q, ModeReserved)))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestAheadTaken holds that a file that somebody removed or moved gets no message.
func TestAheadTaken(t *testing.T) {
	q := ahead(t, nil)
	for i, path := range files(t, q, ModeReserved) {
		var err error
		if i%2 == 0 {
			err = os.Remove(path)
		} else {
			err = os.Rename(path, filepath.Join(q.dir, Hold, filepath.Base(path)))
		}
		if err != nil && !os.IsNotExist(err) { // it may just be idle
			t.Fatal(err)
		}
	}
	for range 100 {
		w := create(t, q)
		commit(t, w)
		if fi, err := os.Lstat(w.Path()); err != nil || fi.Mode().Perm() != ModeReady {
			t.Fatalf("%v, %v", fi, err)
		}
	}
}

// TestAheadFailures fails each step of making files ahead: messages get files all the
// same, and nothing is left.
func TestAheadFailures(t *testing.T) {
	for _, fails := range []safefile.Op{safefile.OpCreate, safefile.OpRename, safefile.OpSyncDir} {
		var mu sync.Mutex
		var broken bool
		failed := 0
		fs := &safefile.FS{Fault: func(op safefile.Op, _ string) error {
			mu.Lock()
			defer mu.Unlock()
			if broken && op == fails {
				failed++
				return errInjected
			}
			return nil
		}}
		set := func(b bool) {
			mu.Lock()
			defer mu.Unlock()
			broken = b
		}
		q := newQueue(t, Options{Ahead: true, FS: fs})
		for range 2 * rushStart { // the rush begins, and nothing is broken for messages
			commit(t, create(t, q))
		}
		q.reserve.fills.Wait()
		abandonAll(q)
		set(true)
		if files, err := q.makeReserve(3); err == nil || len(files) > 0 {
			t.Errorf("%s: %d files, %v", fails, len(files), err)
		}
		set(false)
		commit(t, create(t, q))
		q.Release()
		if left := files(t, q, ModeReserved); len(left) > 0 || failed != 1 {
			t.Errorf("%s failed %d times: %q are left", fails, failed, left)
		}
		commit(t, create(t, q)) // also after the release
		if left := files(t, q, ModeReserved); len(left) > 0 {
			t.Errorf("%q are made after the release", left)
		}
	}
}

// abandonAll empties the reserve.
func abandonAll(q *Queue) {
	q.reserve.mu.Lock()
	old := q.reserve.files
	q.reserve.files = nil
	q.reserve.mu.Unlock()
	abandon(old)
}

// TestRemoveReserved holds that only files that no process has are removed.
func TestRemoveReserved(t *testing.T) {
	q := ahead(t, nil)
	other := Open(q.dir, Options{}) // as another process
	remove := func(id ID, want bool) {
		t.Helper()
		got, err := other.RemoveReserved(id)
		if _, serr := os.Lstat(q.Path(Incoming, id)); got != want || err != nil || os.IsNotExist(serr) != want {
			t.Errorf("removed: %v, want %v; %v; %v", got, want, err, serr)
		}
	}
	w := reserved(t, q)
	remove(w.ID(), false) // nothing is written yet
	if err := w.RecString(RecNorm, "text"); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	remove(w.ID(), false)
	if err := safefile.Unflock(w.f); err != nil { // as if its process had been killed
		t.Fatal(err)
	}
	remove(w.ID(), false) // what has content is for the postmaster
	commit(t, w)
	remove(w.ID(), false)

	w, err := q.reserveOne()
	if err != nil {
		t.Fatal(err)
	}
	remove(w.ID(), false)
	if err := w.f.Close(); err != nil { // killed
		t.Fatal(err)
	}
	remove(w.ID(), true)

	if got, err := other.RemoveReserved(w.ID()); got || err != nil {
		t.Errorf("one that is gone: %v, %v", got, err)
	}
	if _, err := other.RemoveReserved("../x"); err == nil {
		t.Error("a bad id is no error")
	}
	direct, err := other.Create(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Abort()
	remove(direct.ID(), false) // not made ahead
}

// TestAheadHashed holds that there is no reserve where names are spread over directories.
func TestAheadHashed(t *testing.T) {
	q := newQueue(t, Options{Ahead: true, HashNames: []string{Incoming}, HashDepth: 1})
	for range 10 * rushStart {
		commit(t, create(t, q))
	}
	if n := q.Reserved(); n > 0 {
		t.Errorf("%d files", n)
	}
}
