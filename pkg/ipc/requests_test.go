package ipc

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// socketPair returns both ends of a Unix connection.
func socketPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("unix", path); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// requests collects what Requests yields, and its last error.
func requests(ctx context.Context, c *Conn, each func(List)) error {
	for req, err := range c.Requests(ctx) {
		if err != nil {
			return err
		}
		each(req)
	}
	return nil
}

func TestRequests(t *testing.T) {
	for _, tc := range []struct {
		name, sent string
		want       int
		err        error
	}{
		{"none", "", 0, nil},
		{"two", "a\x001\x00\x00a\x002\x00\x00", 2, nil},
		{"cut", "a\x001\x00\x00a\x00", 1, io.ErrUnexpectedEOF},
		{"malformed", "a\x001\x00\x00" + strings.Repeat("n", MaxName+1) + "\x00", 1, ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, server := socketPair(t)
			if _, err := io.WriteString(client, tc.sent); err != nil {
				t.Fatal(err)
			}
			client.Close()
			n := 0
			err := requests(context.Background(), NewConn(server), func(List) { n++ })
			if n != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%d requests, then %v; want %d, then %v", n, err, tc.want, tc.err)
			}
		})
	}
}

// TestRequestsEnd: the end of the context is the end of the session, where it
// waits, but for the answer that it owes.
func TestRequestsEnd(t *testing.T) {
	client, server := socketPair(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		c := NewConn(server)
		done <- requests(ctx, c, func(req List) {
			if req.Value("n") == "2" {
				cancel()
			}
			if err := c.Send(List{}.Str("got", req.Value("n"))); err != nil {
				t.Error(err)
			}
		})
	}()
	c := NewConn(client)
	for _, n := range []string{"1", "2"} {
		if reply, err := c.Call(List{}.Str("n", n)); err != nil || reply.Value("got") != n {
			t.Fatalf("reply to request %s: %v, %v", n, reply, err)
		}
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the session goes on")
	}
}

// TestRequestsEndWaiting: a session that waits sees the end of its context, on
// a connection that has no halves, too.
func TestRequestsEndWaiting(t *testing.T) {
	_, server := socketPair(t)
	_, pipe := net.Pipe()
	for _, conn := range []net.Conn{server, pipe} {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- requests(ctx, NewConn(conn), func(List) {}) }()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the session goes on")
		}
	}
}
