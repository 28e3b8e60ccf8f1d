package queue

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

var errInjected = errors.New("injected")

// TestCommitFailures fails each step once: the caller learns of it, and no
// file is left that anybody could take for a message.
func TestCommitFailures(t *testing.T) {
	for n := 1; ; n++ {
		count := 0
		fs := &safefile.FS{Fault: func(op safefile.Op, _ string) error {
			if op == safefile.OpRemove {
				return nil
			}
			if count++; count == n {
				return errInjected
			}
			return nil
		}}
		q := newQueue(t, Options{FS: fs})
		err := func() error {
			w, err := q.Create(context.Background())
			if err != nil {
				return err
			}
			for range 20000 {
				if err := w.RecString(RecNorm, "a line of text"); err != nil {
					w.Abort()
					return err
				}
			}
			return w.Commit(context.Background())
		}()
		files, _ := filepath.Glob(filepath.Join(q.dir, "incoming", "*"))
		if err == nil {
			if len(files) != 1 || n < 8 {
				t.Errorf("after %d steps: %v", n, files)
			}
			return
		}
		if !errors.Is(err, errInjected) || len(files) > 0 {
			t.Errorf("step %d: error %v, files %v", n, err, files)
		}
	}
}

func TestPatchAndReadBack(t *testing.T) {
	q := newQueue(t, Options{})
	w, err := q.Create(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := w.Size(Size{}); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("y", 3*writeBuffer)
	for i := range 3 {
		if err := w.RecString(RecNorm, long[:i*writeBuffer]); err != nil {
			t.Fatal(err)
		}
		if err := w.PatchSize(Size{DataSize: int64(i + 1), DataOffset: 97}); err != nil {
			t.Fatal(err)
		}
		r, err := w.Reader(0)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if s, err := ParseSize(rec.Data); err != nil || s.DataSize != int64(i+1) {
			t.Errorf("round %d: %+v, %v", i, s, err)
		}
	}
	if err := w.Rec(RecNorm, []byte(long)); err != nil {
		t.Fatal(err)
	}
	r, err := w.Reader(0)
	if err != nil {
		t.Fatal(err)
	}
	r.SetLimit(len(long))
	n := 0
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n += len(rec.Data)
	}
	if want := sizeRecord + 0 + writeBuffer + 2*writeBuffer + len(long); n != want || r.Offset() != w.Offset() {
		t.Errorf("%d bytes of data, want %d; offsets %d, %d", n, want, r.Offset(), w.Offset())
	}
	if err := w.Patch(w.Offset()-1, []byte("ab")); err == nil {
		t.Error("patched beyond the end")
	}
}

const sizeRecord = 6*15 + 5

func TestConcurrentCommitsShareDirectorySync(t *testing.T) {
	q := newQueue(t, Options{})
	var wg sync.WaitGroup
	ids := make(chan ID, 200)
	for range 20 {
		wg.Go(func() {
			for range 10 {
				ids <- put(t, q, "x")
			}
		})
	}
	wg.Wait()
	close(ids)
	seen := make(map[ID]bool)
	for id := range ids {
		if seen[id] {
			t.Errorf("%s twice", id)
		}
		seen[id] = true
		m, err := q.OpenMessage(Incoming, id)
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
	}
	c := q.FS().Counters()
	if c.FileSyncs != 200 || c.DirRequests != 200 {
		t.Errorf("counters %+v", c)
	}
	t.Logf("200 messages: %d file syncs, %d directory syncs", c.FileSyncs, c.DirSyncs)
}

func TestHashedQueueMakesDirectories(t *testing.T) {
	q := newQueue(t, Options{HashDepth: 2, HashNames: []string{"Incoming"}})
	id := put(t, q, "x")
	if _, err := os.Stat(filepath.Join(q.dir, "incoming", string(id[0]), string(id[1]), string(id))); err != nil {
		t.Error(err)
	}
}

func BenchmarkCommit(b *testing.B) {
	q := newQueue(b, Options{})
	body := bytes.Repeat([]byte("z"), 72)
	lines := make([]string, 56)
	for i := range lines {
		lines[i] = string(body)
	}
	b.SetParallelism(25)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			put(b, q, lines...)
		}
	})
	c := q.FS().Counters()
	b.ReportMetric(float64(c.FileSyncs+c.DirSyncs)/float64(c.FileSyncs), "syncs/msg")
}

func BenchmarkReadContent(b *testing.B) {
	q := newQueue(b, Options{})
	lines := make([]string, 1000)
	for i := range lines {
		lines[i] = strings.Repeat("z", 72)
	}
	m, err := q.OpenMessage(Incoming, put(b, q, lines...))
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	b.ReportAllocs()
	b.SetBytes(m.DataSize)
	for b.Loop() {
		if err := m.Body().WriteTo(io.Discard, "", "\r\n"); err != nil {
			b.Fatal(err)
		}
	}
}
