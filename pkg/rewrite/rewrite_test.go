package rewrite

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// fake answers each request with one reply.
func fake(t *testing.T, reply ipc.List) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			c := ipc.NewConn(conn)
			if _, err := c.Receive(); err == nil {
				c.Send(reply)
			}
			c.Close()
		}
	}()
	return NewClient(ipc.NewPool(path, time.Minute))
}

func TestResolve(t *testing.T) {
	ok := ipc.List{}.Int("status", 0).Str("transport", "smtp").Str("nexthop", "x.test").Str("recipient", "a@x.test")
	for _, tc := range []struct {
		name  string
		reply ipc.List
		want  Resolved
		err   error
	}{
		{"found", ok.Int("flags", int64(ClassDefault)), Resolved{"smtp", "x.test", "a@x.test", ClassDefault}, nil},
		{"fail", ok.Int("flags", int64(Fail)), Resolved{"smtp", "x.test", "a@x.test", Fail}, ErrFail},
		{"status", ipc.List{}.Int("status", 1), Resolved{}, ErrFail},
		{"no flags", ok, Resolved{}, ipc.ErrMalformed},
		{"no transport", ipc.List{}.Int("status", 0).Int("flags", 256), Resolved{}, ipc.ErrMalformed},
		{"empty", ipc.List{}, Resolved{}, ipc.ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := fake(t, tc.reply).Resolve(context.Background(), "", "a@x.test")
			if !errors.Is(err, tc.err) {
				t.Errorf("error %v, want %v", err, tc.err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRewrite(t *testing.T) {
	got, err := fake(t, ipc.List{}.Int("status", 0).Str("address", "a@b")).Rewrite(context.Background(), Local, "a")
	if err != nil || got != "a@b" {
		t.Errorf("got %q, %v", got, err)
	}
	for addr, want := range map[string]string{"u@x.test": "u@x.test", "u@x": "a@b", "u%y@x.test": "a@b", `"u"@x.test`: "a@b"} {
		got, err := fake(t, ipc.List{}.Int("status", 0).Str("address", "a@b")).Rewrite(context.Background(), Remote, addr)
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", addr, got, err, want)
		}
	}
	if _, err := fake(t, ipc.List{}.Int("status", 0)).Rewrite(context.Background(), Local, "a"); !errors.Is(err, ipc.ErrMalformed) {
		t.Errorf("no address: %v", err)
	}
}
