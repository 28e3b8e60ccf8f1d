package safefile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var errInjected = errors.New("injected")

func TestSyncDirIsShared(t *testing.T) {
	dir := t.TempDir()
	const callers = 50
	gate := make(chan struct{})
	var running atomic.Int32
	fs := &FS{Fault: func(op Op, _ string) error {
		if op == OpSyncDir {
			if running.Add(1) > 1 {
				t.Error("two fsyncs of one directory at a time")
			}
			<-gate
			running.Add(-1)
		}
		return nil
	}}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if err := fs.SyncDir(dir); err != nil {
				t.Error(err)
			}
		})
	}
	for fs.Counters().DirRequests < callers {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	close(gate)
	wg.Wait()
	if c := fs.Counters(); c.DirSyncs > 3 || c.DirSyncs < 1 {
		t.Errorf("%d fsyncs for %d callers", c.DirSyncs, callers)
	}
}

func TestSyncDirErrorGoesToAll(t *testing.T) {
	dir := t.TempDir()
	var calls atomic.Int32
	fs := &FS{Fault: func(op Op, _ string) error {
		calls.Add(1)
		time.Sleep(5 * time.Millisecond)
		return errInjected
	}}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := fs.SyncDir(dir); !errors.Is(err, errInjected) {
				t.Errorf("error %v", err)
			}
		})
	}
	wg.Wait()
	if calls.Load() > 20 {
		t.Errorf("%d tries", calls.Load())
	}
	fs.Fault = nil
	if err := fs.SyncDir(dir); err != nil {
		t.Errorf("a later sync: %v", err)
	}
}

// TestSyncNamed: content and name are both synced, by one writer as by many, and
// the failure of either is one of the file.
func TestSyncNamed(t *testing.T) {
	dir := t.TempDir()
	for _, writers := range []int{1, 20} {
		for _, fails := range []Op{"", OpSync, OpSyncDir} {
			var files, dirs atomic.Int32
			all := make(chan struct{}) // closed when all have come
			fs := &FS{Fault: func(op Op, path string) error {
				switch {
				case op == OpSync && filepath.Dir(path) == dir:
					files.Add(1)
				case op == OpSyncDir && path == dir:
					dirs.Add(1)
				default:
					return nil
				}
				<-all
				if op == fails {
					return errInjected
				}
				return nil
			}}
			var wg sync.WaitGroup
			for i := range writers {
				f, err := fs.Create(filepath.Join(dir, fmt.Sprintf("%d.%d.%s", writers, i, fails)), 0o600)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				wg.Go(func() {
					if err := fs.SyncNamed(f, dir); errors.Is(err, errInjected) != (fails != "") {
						t.Errorf("%d writers, %s fails: %v", writers, fails, err)
					}
				})
			}
			for fs.writers.Load() < int64(writers) {
				time.Sleep(time.Millisecond)
			}
			close(all)
			wg.Wait()
			if fails == "" && (files.Load() != int32(writers) || dirs.Load() < 1) {
				t.Errorf("%d writers: %d files and %d directories synced", writers, files.Load(), dirs.Load())
			}
			if fs.writers.Load() != 0 {
				t.Error("somebody is still said to write")
			}
		}
	}
}

func TestWriteAtomicFailsCleanly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	var plain FS
	write := func(fs *FS, s string) error {
		return fs.WriteAtomic(path, 0o640, func(w io.Writer) error {
			_, err := io.WriteString(w, s)
			return err
		})
	}
	if err := write(&plain, "old"); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		count := 0
		fs := &FS{Fault: func(Op, string) error {
			if count++; count == n {
				return errInjected
			}
			return nil
		}}
		err := write(fs, "new")
		got, rerr := os.ReadFile(path)
		if rerr != nil || string(got) != "old" && string(got) != "new" || err == nil && string(got) != "new" {
			t.Fatalf("step %d: content %q, error %v, %v", n, got, err, rerr)
		}
		if names, _ := filepath.Glob(path + ".*"); len(names) > 0 {
			t.Fatalf("step %d: left %v", n, names)
		}
		if err == nil {
			break
		}
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", st.Mode())
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad")
	var fs FS
	for _, tc := range []struct {
		name  string
		make  func() error
		check Check
	}{
		{"symbolic link", func() error { return os.Symlink(file, bad) }, Check{Owner: AnyOwner}},
		{"hard link", func() error { return os.Link(file, bad) }, Check{Owner: AnyOwner}},
		{"fifo", func() error { return unix.Mkfifo(bad, 0o644) }, Check{Owner: AnyOwner}},
		{"directory", func() error { return os.Mkdir(bad, 0o755) }, Check{Owner: AnyOwner}},
		{"wrong owner", func() error { return os.WriteFile(bad, nil, 0o644) }, Check{Owner: os.Getuid() + 1}},
		{"wrong mode", func() error { return os.WriteFile(bad, nil, 0o644) }, Check{Owner: AnyOwner, Forbidden: 0o004}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.make(); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(bad)
			f, _, err := fs.Open(bad, os.O_RDONLY, tc.check)
			if !errors.Is(err, ErrUnsafe) {
				t.Errorf("error %v", err)
			}
			if err == nil {
				f.Close()
			}
		})
	}
}

func TestRenameNewKeepsFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var fs FS
	if err := fs.RenameNew(filepath.Join(dir, "a"), filepath.Join(dir, "b")); !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "b")); string(b) != "b" {
		t.Errorf("b was replaced by %q", b)
	}
}

func TestLocksExclude(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for name, try := range map[string]func(*os.File) (bool, error){"flock": TryFlock, "ofd": TryLockOFD} {
		a, b := open(), open()
		if ok, err := try(a); !ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		if ok, err := try(b); ok || err != nil {
			t.Errorf("%s, second: %v, %v", name, ok, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if name == "flock" {
			if err := Flock(ctx, b); !errors.Is(err, ErrLocked) {
				t.Errorf("flock: %v", err)
			}
		}
		cancel()
		a.Close() // closing gives the lock up
		if ok, err := try(b); !ok || err != nil {
			t.Errorf("%s, after close: %v, %v", name, ok, err)
		}
		b.Close()
	}
}

func BenchmarkSyncDirShared(b *testing.B) {
	dir := b.TempDir()
	var fs FS
	var n atomic.Int64
	b.SetParallelism(25)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			f, err := fs.Create(filepath.Join(dir, fmt.Sprint(n.Add(1))), 0o600)
			if err != nil {
				b.Fatal(err)
			}
			if err := fs.SyncClose(f); err != nil {
				b.Fatal(err)
			}
			if err := fs.SyncDir(dir); err != nil {
				b.Fatal(err)
			}
		}
	})
	c := fs.Counters()
	b.ReportMetric(float64(c.DirSyncs)/float64(c.DirRequests), "dirsyncs/op")
}

func TestReadSmall(t *testing.T) {
	dir := t.TempDir()
	path, link, empty := filepath.Join(dir, "m"), filepath.Join(dir, "link"), filepath.Join(dir, "empty")
	if err := errors.Join(os.WriteFile(path, []byte("twelve bytes"), 0o600), os.Symlink("m", link), os.WriteFile(empty, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	fs, check := new(FS), Check{Owner: AnyOwner}
	at := time.Unix(1700000000, 0)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	if data, mtime, err := fs.ReadSmall(path, nil, 12, check); string(data) != "twelve bytes" || mtime != at.Unix() || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	buf := make([]byte, 12)
	if data, _, err := fs.ReadSmall(path, buf, 12, check); string(data) != "twelve bytes" || err != nil || &data[0] != &buf[0] {
		t.Errorf("with a buffer: %q, %v", data, err)
	}
	if data, _, err := fs.ReadSmall(path, nil, 11, check); data != nil || err != nil {
		t.Errorf("over the limit: %q, %v", data, err)
	}
	if data, _, err := fs.ReadSmall(empty, nil, 11, check); data == nil || err != nil {
		t.Errorf("empty: %v, %v", data, err)
	}
	if _, _, err := fs.ReadSmall(link, nil, 12, check); err == nil {
		t.Error("a symbolic link was followed")
	}
	if _, _, err := fs.ReadSmall(filepath.Join(dir, "none"), nil, 12, check); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
