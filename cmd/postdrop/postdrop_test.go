package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// records makes input from strings whose first byte is the type.
func records(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = queue.AppendRecord(b, p[0], []byte(p[1:]))
	}
	return b
}

func writer(t testing.TB) *queue.Writer {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, queue.Maildrop), 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := queue.Open(dir, queue.Options{}).CreateIn(context.Background(), queue.Maildrop, queue.ModeNew)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestCopy(t *testing.T) {
	good := []string{"Sa@b", "Rc@d", "M", "NSubject: x", "X", "E"}
	with := func(first ...string) []byte { return records(append(first, good...)...) }
	for _, tc := range []struct {
		name    string
		in      []byte
		fails   bool
		problem string
		absent  string
	}{
		{"plain", with(), false, "", ""},
		{"cut off", with()[:12], true, "", ""},
		{"no end", records(good[:5]...), true, "", ""},
		{"record type of our own", with("T1234"), true, "", ""},
		{"size record", with("C1"), true, "", ""},
		{"pointer", with("p0"), true, "", ""},
		{"too long", with("F" + strings.Repeat("x", 3000)), true, "", ""},
		{"line break in sender", with("Sa\nb"), false, "line break in FROM record", ""},
		{"return in recipient", with("Ra\rb"), false, "line break in RCPT record", ""},
		{"nul in attribute", with("Aencoding=8bit\x00"), false, "NUL in ATTR record", ""},
		{"foreign attribute", with("Asasl_username=root"), false, "", "root"},
		{"creation time", with("Acreate_time=1"), false, "", "create_time"},
		{"nul in content is content", records("Sa@b", "Rc@d", "M", "Na\x00b", "X", "E"), false, "", ""},
		{"recipient after the content", records("Sa@b", "M", "Nx", "X", "Rc@d", "E"), false, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := writer(t)
			defer w.Abort()
			c := copier{w: w, warn: func(string, ...any) {}}
			err := c.copy(bytes.NewReader(tc.in), 2048)
			if (err != nil) != tc.fails || c.problem != tc.problem {
				t.Fatalf("error %v, problem %q", err, c.problem)
			}
			if err != nil || c.problem != "" {
				return
			}
			if c.senders != 1 || c.rcpts != 1 {
				t.Errorf("%d senders, %d recipients", c.senders, c.rcpts)
			}
			b := make([]byte, w.Offset())
			if _, err := w.ReadAt(b, 0); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			if b[0] != queue.RecTime || tc.absent != "" && bytes.Contains(b, []byte(tc.absent)) {
				t.Errorf("file %q", b)
			}
		})
	}
}

func TestSizeLimit(t *testing.T) {
	w := writer(t)
	defer w.Abort()
	c := copier{w: w, limit: 100, warn: func(string, ...any) {}}
	in := records("Sa@b", "Rc@d", "M", "N"+strings.Repeat("x", 200), "X", "E")
	if err := c.copy(bytes.NewReader(in), 2048); err != nil || c.failed == nil {
		t.Errorf("error %v, failed %v", err, c.failed)
	}
}

func TestParse(t *testing.T) {
	for _, args := range [][]string{{"-z"}, {"-c"}, {"-rz"}} {
		if _, _, err := parse(args); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
	for _, args := range [][]string{{"-r", "-c", "/x"}, {"-rc/x"}, {"-rc", "/x"}} {
		if dir, _, err := parse(args); err != nil || dir != "/x" {
			t.Errorf("%q: %q, %v", args, dir, err)
		}
	}
}
