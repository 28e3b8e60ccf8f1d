package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// fakeCleanup takes messages and remembers their records.
type fakeCleanup struct {
	mu     sync.Mutex
	status int64
	got    []string // "T data" lines of each message
}

func (c *fakeCleanup) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go c.session(ipc.NewConn(conn))
	}
}

func (c *fakeCleanup) session(conn *ipc.Conn) {
	defer conn.Close()
	for {
		if _, err := conn.Receive(); err != nil {
			return
		}
		if conn.Send(ipc.List(nil).Str("queue_id", "NEWID1")) != nil {
			return
		}
		r := queue.NewRecordReader(conn.Reader())
		var b strings.Builder
		for {
			rec, err := r.Next()
			if err != nil {
				return
			}
			b.WriteString(string(rec.Type) + " " + string(rec.Data) + "\n")
			if rec.Type == queue.RecEnd {
				break
			}
		}
		c.mu.Lock()
		status := c.status
		c.got = append(c.got, b.String())
		c.mu.Unlock()
		if conn.Send(ipc.List(nil).Int("status", status).Str("reason", "")) != nil {
			return
		}
	}
}

// bench is a queue directory with a pickup and a cleanup.
type bench struct {
	dir string
	p   *pickup
	c   *fakeCleanup
	log *bytes.Buffer
}

func newBench(t testing.TB) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "pickup")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"maildrop", "corrupt", "public", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	main := "myhostname = host.example\nmail_name = Mail\n"
	if err := os.WriteFile(filepath.Join(dir, "etc", "main.cf"), []byte(main), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(filepath.Join(dir, "etc"))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{dir: dir, c: &fakeCleanup{}, log: new(bytes.Buffer)}
	l, err := net.Listen("unix", filepath.Join(dir, "public", "cleanup"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go b.c.serve(l)
	if b.p, err = newPickup(cfg, maillog.NewWriter(b.log, "pickup"), dir, os.Getuid()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, "maildrop", name) }

func (b *bench) put(t testing.TB, name string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(b.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(b.path(name), mode); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) scan() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b.p.scan(ctx)
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../pkg/queue/testdata/postfix", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestUserMail(t *testing.T) {
	b := newBench(t)
	b.put(t, "ABCDE1", sample(t, "maildrop"), 0o744)
	b.scan()
	if len(b.c.got) != 1 || exists(b.path("ABCDE1")) {
		t.Fatalf("cleanup got %d messages, log %s", len(b.c.got), b.log)
	}
	got := b.c.got[0]
	for _, want := range []string{"S ann@ref.example\n", "A notify_flags=8\nR carl@dest.example\n", "A encoding=8bit\n",
		"F Ann Example\n", "M \nN Received: by host.example (Mail, from userid ", "N \tid NEWID1; ", "N Hello.\nX \n",
		"X \nA notify_flags=8\nR bob@dest.example\nE \n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if !strings.Contains(b.log.String(), " from=<ann@ref.example>\n") || strings.Contains(b.log.String(), "orig_id") {
		t.Errorf("log %s", b.log)
	}
}

func TestRequeuedMail(t *testing.T) {
	b := newBench(t)
	data := sample(t, "deferred-dsn")
	data[319] = queue.RecDone // the first recipient
	b.put(t, "ABCDE1", data, 0o700)
	b.scan()
	if len(b.c.got) != 1 || exists(b.path("ABCDE1")) {
		t.Fatalf("cleanup got %d messages, log %s", len(b.c.got), b.log)
	}
	got := b.c.got[0]
	for _, no := range []string{"bob@dest.example\nD", "C  ", "W  ", "R bob@", "rfc822;bob"} {
		if strings.Contains(got, no) {
			t.Errorf("%q is in\n%s", no, got)
		}
	}
	if !strings.Contains(got, "A notify_flags=14\nA dsn_orig_rcpt=rfc822;carl@other.example\nO carl@other.example\nR carl@other.example\n") {
		t.Errorf("second recipient is not in\n%s", got)
	}
	if !strings.Contains(b.log.String(), "orig_id=ABCDE1") {
		t.Errorf("log %s", b.log)
	}
}

func TestBadFilesAreKeptAside(t *testing.T) {
	rec := func(typ byte, s string) []byte { return queue.AppendRecord(nil, typ, []byte(s)) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	rest := join(rec('M', ""), rec('N', "x"), rec('X', ""), rec('E', ""))
	for _, tc := range []struct {
		name string
		make func(b *bench) error
	}{
		{"garbage", func(b *bench) error { return os.WriteFile(b.path("ABCDE1"), []byte("hello"), 0o744) }},
		{"empty", func(b *bench) error { return os.WriteFile(b.path("ABCDE1"), nil, 0o744) }},
		{"cut off", func(b *bench) error {
			d := sample(t, "maildrop")
			return os.WriteFile(b.path("ABCDE1"), d[:len(d)-5], 0o744)
		}},
		{"no sender", func(b *bench) error { return os.WriteFile(b.path("ABCDE1"), join(rec('R', "a@b"), rest), 0o744) }},
		{"pointer", func(b *bench) error {
			return os.WriteFile(b.path("ABCDE1"), join(rec('S', "a"), rec('p', "              0"), rest), 0o744)
		}},
		{"internal record", func(b *bench) error {
			return os.WriteFile(b.path("ABCDE1"), join(rec('S', "a"), rec('>', "evil@x"), rest), 0o744)
		}},
		{"writable by others", func(b *bench) error {
			if err := os.WriteFile(b.path("ABCDE1"), sample(t, "maildrop"), 0o744); err != nil {
				return err
			}
			return os.Chmod(b.path("ABCDE1"), 0o766)
		}},
		{"symbolic link", func(b *bench) error { return os.Symlink("/etc/passwd", b.path("ABCDE1")) }},
		{"second name", func(b *bench) error {
			if err := os.WriteFile(filepath.Join(b.dir, "other"), sample(t, "maildrop"), 0o744); err != nil {
				return err
			}
			return os.Link(filepath.Join(b.dir, "other"), b.path("ABCDE1"))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			if err := tc.make(b); err != nil {
				t.Fatal(err)
			}
			b.scan()
			if len(b.c.got) > 0 && strings.HasSuffix(b.c.got[0], "E \n") {
				t.Errorf("cleanup got %s", b.c.got)
			}
			if exists(b.path("ABCDE1")) || !exists(filepath.Join(b.dir, "corrupt", "ABCDE1")) {
				t.Errorf("not moved to corrupt; log %s", b.log)
			}
			if !strings.Contains(b.log.String(), "corrupt queue") {
				t.Errorf("log %s", b.log)
			}
		})
	}
}

func TestForeignAttributesAreDropped(t *testing.T) {
	b := newBench(t)
	var d []byte
	for _, r := range []struct {
		typ byte
		s   string
	}{{'S', "a@b"}, {'A', "sasl_username=root"}, {'A', "log_client_address=192.0.2.1"}, {'A', "create_time=1"},
		{'R', "c@d"}, {'M', ""}, {'N', " folded first line"}, {'X', ""}, {'A', "encoding=8bit"}, {'E', ""}} {
		d = queue.AppendRecord(d, r.typ, []byte(r.s))
	}
	b.put(t, "ABCDE1", d, 0o744)
	b.scan()
	if len(b.c.got) != 1 {
		t.Fatalf("log %s", b.log)
	}
	if got := b.c.got[0]; strings.Contains(got, "sasl") || strings.Contains(got, "log_client") ||
		strings.Contains(got, "create_time") || !strings.Contains(got, "N \nN  folded first line\n") {
		t.Errorf("cleanup got\n%s", got)
	}
}

func TestRefusedMailStays(t *testing.T) {
	b := newBench(t)
	b.put(t, "ABCDE1", sample(t, "maildrop"), 0o744)
	b.put(t, "ABCDE2", sample(t, "maildrop"), 0o600) // still being written
	b.c.status = 2
	b.scan()
	if !exists(b.path("ABCDE1")) || !exists(b.path("ABCDE2")) || len(b.c.got) != 1 {
		t.Errorf("cleanup got %d, log %s", len(b.c.got), b.log)
	}
	b.c.status = 64 // no recipients
	b.scan()
	if exists(b.path("ABCDE1")) {
		t.Errorf("a message without recipients stays; log %s", b.log)
	}
}

func TestManyFiles(t *testing.T) {
	b := newBench(t)
	const n = 2500
	for i := range n {
		b.put(t, "ABCD"+strings.Repeat("0", 4)+string(rune('A'+i%26))+string(rune('A'+i/26%26))+string(rune('A'+i/676)), sample(t, "maildrop"), 0o744)
	}
	b.scan()
	if len(b.c.got) != n {
		t.Errorf("cleanup got %d of %d", len(b.c.got), n)
	}
}

func FuzzMaildrop(f *testing.F) {
	for _, name := range []string{"maildrop", "deferred-dsn", "bounce-message"} {
		f.Add(sample(f, name), name != "maildrop")
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, data []byte, requeued bool) {
		mode := os.FileMode(0o744)
		if requeued {
			mode = 0o700
		}
		b.put(t, "ABCDE1", data, mode)
		b.c.mu.Lock()
		b.c.got = nil
		b.c.mu.Unlock()
		b.log.Reset()
		b.scan()
		if exists(b.path("ABCDE1")) {
			t.Errorf("stays in the maildrop; log %s", b.log)
		}
		_ = os.Remove(filepath.Join(b.dir, "corrupt", "ABCDE1"))
	})
}
