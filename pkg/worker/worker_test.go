package worker

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// asWorker is the argument that makes a worker of the test program.
const asWorker = "/as-worker"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == asWorker {
		serveTest()
		return
	}
	os.Exit(m.Run())
}

// serveTest answers jobs: what op says, and what is in the file.
func serveTest() {
	c, err := Inherit()
	if err != nil {
		panic(err)
	}
	c.Serve(4, func(t *Task) ipc.List {
		text := ""
		if t.File != nil {
			b, _ := io.ReadAll(t.File)
			text = string(b)
		}
		if t.Request.Value("op") == "wait" {
			time.Sleep(300 * time.Millisecond)
		}
		return ipc.List{}.Str("text", text).Str("op", t.Request.Value("op")).Int("pid", int64(os.Getpid()))
	}, nil)
}

// newTestPool copies the test program to where anybody may run it.
func newTestPool(t *testing.T) (*Pool, Identity) {
	t.Helper()
	dir, err := os.MkdirTemp("", "worker")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "worker")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(program, text, 0o755)); err != nil {
		t.Fatal(err)
	}
	id := Identity{UID: os.Geteuid(), GID: os.Getegid(), Dirs: []string{asWorker}}
	if id.UID == 0 {
		id.UID, id.GID = 65534, 65534
	}
	p := NewPool(program, time.Minute)
	t.Cleanup(p.Close)
	return p, id
}

// TestJobThatCannotBeSent: a job that does not fit into a message fails alone;
// neither are the worker's other jobs lost nor their files mixed up.
func TestJobThatCannotBeSent(t *testing.T) {
	p, id := newTestPool(t)
	do := func(op, text string) (ipc.List, error) {
		f, err := os.CreateTemp(t.TempDir(), "job")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.WriteString(text)
		f.Seek(0, io.SeekStart)
		return p.Do(context.Background(), id, Job{Request: ipc.List{}.Str("op", op), File: f, Timeout: time.Minute})
	}
	first, err := do("one", "text of one")
	if err != nil || first.Value("text") != "text of one" {
		t.Fatalf("%v, %v", first, err)
	}
	waiting := make(chan error, 1)
	go func() {
		reply, err := do("wait", "text of the one who waits")
		if err == nil && (reply.Value("text") != "text of the one who waits" || reply.Value("pid") != first.Value("pid")) {
			err = errors.New("wrong answer")
		}
		waiting <- err
	}()
	for _, op := range []string{strings.Repeat("x", ipc.MaxValue+1), "a\x00b"} {
		if _, err := do(op, "never sent"); !errors.Is(err, errBadJob) {
			t.Errorf("a job of %d bytes: %v", len(op), err)
		}
	}
	after, err := do("two", "text of two")
	if err != nil || after.Value("text") != "text of two" || after.Value("pid") != first.Value("pid") {
		t.Errorf("afterwards: %v, %v", after, err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("the job beside it: %v", err)
	}
}
