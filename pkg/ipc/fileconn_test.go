package ipc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// filePair returns both ends of a connection that carries files one way.
func filePair(t *testing.T) (*Conn, *FileConn) {
	t.Helper()
	a, b := socketPair(t)
	fc, err := NewFileConn(b, ManyFiles)
	if err != nil {
		t.Fatal(err)
	}
	return NewConn(a), fc
}

// TestFileConn sends lists with and without files, short and longer than any
// buffer: each file goes with its list.
func TestFileConn(t *testing.T) {
	from, to := filePair(t)
	dir := t.TempDir()
	const jobs = 300
	sent := make(chan error, 1)
	go func() {
		for i := range jobs {
			l := List{}.Int("job", int64(i)).Bool("file", i%3 != 0).Str("text", strings.Repeat("x", i*97%20000))
			if i%3 == 0 {
				if err := from.Send(l); err != nil {
					sent <- err
					return
				}
				continue
			}
			f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
			if err == nil {
				fmt.Fprint(f, i)
				err = from.WriteFileList(f, l)
				f.Close()
			}
			if err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i := range jobs {
		l, err := ReadList(to.Reader())
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := l.GetInt("job"); n != int64(i) || len(l.Value("text")) != i*97%20000 {
			t.Fatalf("list %d is %d, with %d bytes", i, n, len(l.Value("text")))
		}
		if has, _ := l.GetBool("file"); !has {
			continue
		}
		f, err := to.File("message")
		if err != nil {
			t.Fatalf("list %d: %v", i, err)
		}
		text := make([]byte, 8)
		n, err := f.ReadAt(text, 0)
		if err != nil && err != io.EOF || string(text[:n]) != fmt.Sprint(i) {
			t.Errorf("list %d has the file %q, %v", i, text[:n], err)
		}
		f.Close()
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if f, err := to.File("message"); !errors.Is(err, ErrMalformed) {
		t.Errorf("one file too many: %v, %v", f, err)
	}
}

// TestFileConnBound: files that no list is read for do not pile up.
func TestFileConnBound(t *testing.T) {
	from, to := filePair(t)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	go func() {
		for from.WriteFileList(f, List{}.Str("a", "b")) == nil {
		}
	}()
	for range 100 * ManyFiles {
		if _, err = ReadList(to.Reader()); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrMalformed) {
		t.Errorf("after many files: %v", err)
	}
	to.Close()
	if n := len(to.in.fds); n > 10 {
		t.Errorf("%d descriptors are left", n)
	}
}

// TestFileConnClose: files that came and that nobody took are closed with the
// connection.
func TestFileConnClose(t *testing.T) {
	from, to := filePair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := from.WriteFileList(w, List{}.Str("a", "b")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := to.Receive(); err != nil {
		t.Fatal(err)
	}
	to.Close()
	if n, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the other end is open: %d bytes, %v", n, err)
	}
}

// TestPassed sends a socket that came in on to somebody else.
func TestPassed(t *testing.T) {
	from, through := filePair(t)
	on, to := filePair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := from.WriteFileList(w, List{}.Str("a", "b")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := through.Receive(); err != nil {
		t.Fatal(err)
	}
	if _, err := through.Passed("pipe"); err != nil {
		t.Fatal(err)
	}
	if _, err := through.Passed("pipe"); !errors.Is(err, ErrMalformed) {
		t.Errorf("a second one: %v", err)
	}
	if err := from.WriteFileList(r, List{}.Str("a", "b")); err != nil {
		t.Fatal(err)
	}
	if _, err := through.Receive(); err != nil {
		t.Fatal(err)
	}
	p, err := through.Passed("pipe")
	if err != nil {
		t.Fatal(err)
	}
	if err := on.WriteFileList(p, List{}.Str("c", "d")); err != nil {
		t.Fatal(err)
	}
	p.Close()
	p.Close() // once is enough
	if err := on.WriteFileList(p, List{}.Str("c", "d")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if l, err := to.Receive(); err != nil || l.Value("c") != "d" {
		t.Errorf("got %v, %v", l, err)
	}
	f, err := to.File("pipe")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
