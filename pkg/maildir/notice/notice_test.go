package notice

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// long is more than any test waits for a notice that comes.
const long = time.Hour

// waits calls Wait until the waiter is closed, and tells of each return.
func waits(t *testing.T, w *Waiter, d time.Duration) <-chan bool {
	t.Helper()
	out := make(chan bool)
	end := make(chan bool)
	go func() {
		defer close(out)
		for w.Wait(d) {
			select {
			case out <- true:
			case <-end:
				return
			}
		}
	}()
	t.Cleanup(func() { w.Close(); close(end) })
	return out
}

func hears(t *testing.T, what string, told <-chan bool) {
	t.Helper()
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Fatalf("%s: nothing was told", what)
	}
}

// fifos are the names in the directory of a folder.
func fifos(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, Dir))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// leave makes a FIFO that a killed process has left, of that age.
func leave(t *testing.T, dir, name string, age time.Duration) {
	t.Helper()
	path := filepath.Join(dir, Dir, name)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func gone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s: %v", path, err)
	}
}

func TestNotice(t *testing.T) {
	fs, dir := new(safefile.FS), t.TempDir()
	Post(fs, dir, "") // nobody waits
	gone(t, filepath.Join(dir, Dir))
	one, two := New(fs, dir), New(fs, dir)
	toldOne, toldTwo := waits(t, one, long), waits(t, two, long)
	for range 5 {
		Post(fs, dir, "")
		hears(t, "both", toldOne)
		hears(t, "both", toldTwo)
	}
	Post(fs, dir, one.Name())
	hears(t, "all but one", toldTwo)
	select {
	case <-toldOne:
		t.Error("who was left out was told")
	default:
	}
	if got := len(fifos(t, dir)); got != 2 {
		t.Errorf("%d FIFOs", got)
	}
	two.Close()
	two.Close()
	if _, more := <-toldTwo; more {
		t.Error("told after Close")
	}
	if got := fifos(t, dir); len(got) != 1 || got[0] != one.Name() {
		t.Errorf("left are %v", got)
	}
	one.Close()
	gone(t, filepath.Join(dir, Dir))
}

// TestCoalesced: a flood of notices, from which nobody drains, blocks nobody
// and makes few looks.
func TestCoalesced(t *testing.T) {
	fs, dir := new(safefile.FS), t.TempDir()
	w := New(fs, dir)
	for range 3 * os.Getpagesize() {
		Post(fs, dir, "")
	}
	told := waits(t, w, long)
	start := time.Now()
	n := 0
	for time.Since(start) < 20*rest {
		Post(fs, dir, "")
		select {
		case <-told:
			n++
		default:
		}
	}
	if limit := int(time.Since(start)/rest) + 1; n == 0 || n > limit {
		t.Errorf("%d looks, want at most %d", n, limit)
	}
}

// TestLeftOver: FIFOs of killed processes are removed, but for new ones, whose
// maker may be about to open them.
func TestLeftOver(t *testing.T) {
	fs, dir := new(safefile.FS), t.TempDir()
	w := New(fs, dir)
	told := waits(t, w, long)
	leave(t, dir, "old", 2*stale)
	leave(t, dir, "of the future", -2*stale)
	leave(t, dir, "new", 0)
	Post(fs, dir, "")
	hears(t, "beside FIFOs that nobody reads", told)
	for _, name := range []string{"old", "of the future"} {
		gone(t, filepath.Join(dir, Dir, name))
	}
	if got := len(fifos(t, dir)); got != 2 {
		t.Errorf("%v are left", fifos(t, dir))
	}
	w.Close()
	os.Remove(filepath.Join(dir, Dir, "new"))
	leave(t, dir, "last", 2*stale)
	Post(fs, dir, "")
	gone(t, filepath.Join(dir, Dir))
	if err := os.Mkdir(filepath.Join(dir, Dir), 0o700); err != nil {
		t.Fatal(err)
	}
	Post(fs, dir, "")
	gone(t, filepath.Join(dir, Dir))
}

// TestStrangers: what others put into the directory is neither followed nor
// written to, and nobody hangs on it.
func TestStrangers(t *testing.T) {
	fs, dir, out := new(safefile.FS), t.TempDir(), t.TempDir()
	secret := filepath.Join(out, "file")
	if err := os.WriteFile(secret, []byte("as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(out, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := unix.Open(pipe, unix.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(reader)
	w := New(fs, dir)
	told := waits(t, w, long)
	in := func(name string) string { return filepath.Join(dir, Dir, name) }
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(sock)
	if err := unix.Bind(sock, &unix.SockaddrUnix{Name: in("s")}); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Symlink(secret, in("link")), os.Symlink(pipe, in("link to a pipe")), os.Symlink("nowhere", in("dangling")),
		os.Mkdir(in("directory"), 0o700), os.WriteFile(in("plain"), []byte("plain"), 0o600), os.Link(secret, in("hard")),
		os.Chtimes(in("s"), time.Now().Add(-2*stale), time.Now().Add(-2*stale)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	Post(fs, dir, "")
	hears(t, "beside what is no FIFO", told)
	if n, err := unix.Read(reader, make([]byte, 10)); err != unix.EAGAIN {
		t.Errorf("%d bytes by way of a link, %v", n, err)
	}
	for _, path := range []string{secret, in("hard")} {
		if b, err := os.ReadFile(path); string(b) != "as it was" {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	if b, _ := os.ReadFile(in("plain")); string(b) != "plain" {
		t.Errorf("a plain file has %q", b)
	}
	if got := len(fifos(t, dir)); got != 8 {
		t.Errorf("left are %v", fifos(t, dir))
	}
}

// TestDirectoryIsLink: in place of the directory there is something else.
func TestDirectoryIsLink(t *testing.T) {
	fs, dir, out := new(safefile.FS), t.TempDir(), t.TempDir()
	w := New(fs, out)
	told := waits(t, w, long)
	if err := os.Symlink(filepath.Join(out, Dir), filepath.Join(dir, Dir)); err != nil {
		t.Fatal(err)
	}
	Post(fs, dir, "")
	if deaf := New(fs, dir); deaf.Name() != "" || len(fifos(t, out)) != 1 {
		t.Errorf("a FIFO %q was made by way of a link: %v", deaf.Name(), fifos(t, out))
	}
	os.Remove(filepath.Join(dir, Dir))
	if err := os.WriteFile(filepath.Join(dir, Dir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	Post(fs, dir, "")
	deaf := New(fs, dir)
	if deaf.Name() != "" {
		t.Error("a FIFO in a file")
	}
	hears(t, "the time that passes", waits(t, deaf, time.Millisecond))
	select {
	case <-told:
		t.Error("told by way of a link")
	default:
	}
}

// TestMany: of a directory that somebody filled a bounded part is looked at.
func TestMany(t *testing.T) {
	fs, dir := new(safefile.FS), t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, Dir), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 10000 {
		leave(t, dir, fmt.Sprint(i), 2*stale)
	}
	Post(fs, dir, "")
	if got := len(fifos(t, dir)); got != 10000-maxEntries {
		t.Errorf("%d are left after one change", got)
	}
	// One change after the other comes to the end of them.
	w := New(fs, dir)
	told := waits(t, w, long)
	for range 10000/maxEntries + 1 {
		Post(fs, dir, "")
	}
	hears(t, "behind 10,000 FIFOs", told)
	if got := len(fifos(t, dir)); got != 1 {
		t.Errorf("%d are left", got)
	}
}

// removeAll removes a directory into which a waiter puts a FIFO again and again.
func removeAll(t *testing.T, path string) {
	t.Helper()
	var err error
	for range 1000 {
		if err = os.RemoveAll(path); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// TestRemoved: a directory that is removed is made again.
func TestRemoved(t *testing.T) {
	fs, dir := new(safefile.FS), t.TempDir()
	w := New(fs, dir)
	old := w.Name()
	told := waits(t, w, 10*time.Millisecond)
	removeAll(t, filepath.Join(dir, Dir))
	end := time.Now().Add(time.Minute)
	for w.Name() == old || w.Name() == "" {
		hears(t, "time", told)
		if time.Now().After(end) {
			t.Fatal("the directory is not made again")
		}
	}
	if got := fifos(t, dir); len(got) != 1 || got[0] != w.Name() {
		t.Errorf("there are %v", got)
	}
	// With the folder all of it goes.
	removeAll(t, dir)
	for w.Name() != "" {
		hears(t, "time", told)
	}
}

// TestModes: who may write into the folder may tell, whatever the umask.
func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	fs := new(safefile.FS)
	for _, tc := range []struct{ folder, dir, fifo os.FileMode }{
		{0o700, 0o700, 0o600}, {0o750, 0o750, 0o600}, {0o770, 0o770, 0o620}, {0o777, 0o777, 0o622},
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, tc.folder); err != nil {
			t.Fatal(err)
		}
		w := New(fs, dir)
		d, err := os.Stat(filepath.Join(dir, Dir))
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Stat(filepath.Join(dir, Dir, w.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if d.Mode().Perm() != tc.dir || f.Mode() != os.ModeNamedPipe|tc.fifo {
			t.Errorf("folder %v: directory %v, FIFO %v", tc.folder, d.Mode(), f.Mode())
		}
		w.Close()
	}
}

// TestDeaf: a waiter without a FIFO.
func TestDeaf(t *testing.T) {
	w := Deaf()
	if !w.Wait(time.Millisecond) {
		t.Error("closed")
	}
	told := waits(t, w, long)
	w.Close()
	if _, more := <-told; more || w.Wait(long) {
		t.Error("goes on after Close")
	}
}
