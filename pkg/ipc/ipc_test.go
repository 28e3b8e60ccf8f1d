package ipc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func encode(t testing.TB, l List) []byte {
	t.Helper()
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	if err := writeList(w, l); err != nil {
		t.Fatal(err)
	}
	w.Flush()
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	want := List{}.Str("sender", "a@b").Int("size", 1<<40).Bool("ok", true).
		Str("long", strings.Repeat("x", 20000)).Str("empty", "")
	got, err := ReadList(bufio.NewReader(bytes.NewReader(encode(t, want))))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n, err := got.GetInt("size"); err != nil || n != 1<<40 {
		t.Errorf("size = %d, %v", n, err)
	}
	if _, err := got.GetInt("sender"); !errors.Is(err, ErrMalformed) {
		t.Errorf("not a number: %v", err)
	}
	if _, err := got.GetInt("none"); !errors.Is(err, ErrMalformed) {
		t.Errorf("missing: %v", err)
	}
}

func TestReadListRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     error
	}{
		{"nothing", "", io.EOF},
		{"cut in name", "sen", io.ErrUnexpectedEOF},
		{"cut in value", "sender\x00a@", io.ErrUnexpectedEOF},
		{"no end", "sender\x00a@b\x00", io.ErrUnexpectedEOF},
		{"long name", strings.Repeat("n", MaxName+1) + "\x00v\x00\x00", ErrMalformed},
		{"long value", "n\x00" + strings.Repeat("v", MaxValue+1) + "\x00\x00", ErrMalformed},
		{"too many", strings.Repeat("n\x00v\x00", MaxAttrs+1) + "\x00", ErrMalformed},
		{"endless value", "n\x00" + strings.Repeat("v", 10*MaxValue), ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ReadList(bufio.NewReader(strings.NewReader(tc.in)))
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestWriteRefusesNUL(t *testing.T) {
	w := bufio.NewWriter(io.Discard)
	if err := writeList(w, List{}.Str("a", "b\x00c\x00d")); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

// TestPoolRetriesDeadConnection lets the server close the connection after
// each reply: the second call must notice and dial anew.
func TestPoolRetriesDeadConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conn := NewConn(c)
			if req, err := conn.Receive(); err == nil {
				conn.Send(List{}.Str("echo", req.Value("say")))
			}
			conn.Close()
		}
	}()
	p := NewPool(path, time.Minute)
	for _, word := range []string{"one", "two", "three"} {
		reply, err := p.Call(context.Background(), List{}.Str("say", word))
		if err != nil {
			t.Fatal(err)
		}
		if reply.Value("echo") != word {
			t.Errorf("reply %v", reply)
		}
	}
}

func FuzzReadList(f *testing.F) {
	f.Add([]byte("a\x00b\x00\x00"))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		l, err := ReadList(bufio.NewReader(bytes.NewReader(in)))
		if err != nil {
			return
		}
		if out := encode(t, l); !bytes.HasPrefix(in, out) {
			t.Errorf("%q re-encodes as %q", in, out)
		}
	})
}
