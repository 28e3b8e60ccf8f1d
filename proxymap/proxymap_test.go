package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// start serves on a socket and returns a pool to it.
func start(t *testing.T, approved string) *ipc.Pool {
	t.Helper()
	set, err := approve(approved)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(set, table.Options{})
	t.Cleanup(s.close)
	return ipc.NewPool(testkit.ServeSessions(t, s.serve), time.Minute)
}

func TestClientAndServer(t *testing.T) {
	text := filepath.Join(t.TempDir(), "map")
	if err := os.WriteFile(text, []byte("Key value\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	pool := start(t, "proxy:texthash:"+text+", proxy:regexp:{{/^a/ b}} !proxy:fail:x { check_x proxy:static:y }")
	ctx := context.Background()
	tests := []struct {
		name, spec, key, want string
		found, fails, pattern bool
	}{
		{name: "found", spec: "texthash:" + text, key: "KEY", want: "value", found: true},
		{name: "not found", spec: "texthash:" + text, key: "other"},
		{name: "pattern", spec: "regexp:{{/^a/ b}}", key: "abc", want: "b", found: true, pattern: true},
		{name: "table fails", spec: "fail:x", key: "a", fails: true, pattern: true},
		{name: "in braces", spec: "static:y", key: "a", want: "y", found: true},
		{name: "not approved", spec: "texthash:/etc/passwd", key: "root", fails: true},
		{name: "NUL in key", spec: "static:y", key: "a\x00b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := table.Open("proxy:"+tt.spec, table.Options{Proxy: pool})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			v, found, err := m.Lookup(ctx, tt.key)
			if v != tt.want || found != tt.found || (err != nil) != tt.fails {
				t.Errorf("got %q %v %v", v, found, err)
			}
			if table.IsPattern(m) != tt.pattern {
				t.Errorf("pattern: %v", !tt.pattern)
			}
		})
	}
}

// Whatever a client sends, it gets an answer that grants nothing.
func TestBadRequests(t *testing.T) {
	pool := start(t, "proxy:static:y")
	for name, req := range map[string]ipc.List{
		"empty":         {},
		"no key":        ipc.List{}.Str("request", "lookup").Str("table", "static:y").Int("flags", 0),
		"unknown":       ipc.List{}.Str("request", "update").Str("table", "static:y").Int("flags", 0),
		"unknown flags": ipc.List{}.Str("request", "open").Str("table", "static:y").Int("flags", 1<<20),
	} {
		reply, err := pool.Call(context.Background(), req)
		if err != nil || reply.Value("status") != table.ProxyBad {
			t.Errorf("%s: %v %v", name, reply, err)
		}
	}
}
