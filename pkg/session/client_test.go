package session

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// parent is a sessiond that takes each ticket once, over kept connections.
type parent struct {
	t        *testing.T
	l        net.Listener
	accepted atomic.Int32
	spent    map[string]bool
	conns    chan *ipc.FileConn
}

func startParent(t *testing.T, path string) *parent {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := &parent{t: t, l: l, spent: map[string]bool{}, conns: make(chan *ipc.FileConn, 10)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.accepted.Add(1)
			in, err := ipc.NewFileConn(c, 1)
			if err != nil {
				t.Error(err)
				return
			}
			p.conns <- in
			p.serve(in)
		}
	}()
	return p
}

// serve answers one connection; the tests use one at a time.
func (p *parent) serve(in *ipc.FileConn) {
	for {
		ticket, s, client, err := Receive(in)
		if err != nil {
			in.Close()
			return
		}
		client.Close()
		if s.Tag != "a1" || s.User != nil || s.Settings != nil {
			p.t.Errorf("got %+v", s)
		}
		if p.spent[ticket] {
			in.Send(Refused(Unavailable()))
			continue
		}
		p.spent[ticket] = true
		in.Send(Accepted())
	}
}

func start() *Start {
	s := sample()
	s.User = nil
	return s
}

func client(t *testing.T) syscall.Conn {
	t.Helper()
	a, _ := testkit.SocketPair(t)
	return a
}

func TestClientKeepsItsConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	p := startParent(t, path)
	c := NewClient(path)
	defer c.Close()
	ctx := context.Background()
	for _, ticket := range []string{"1", "2", "3"} {
		if err := c.HandOver(ctx, ticket, start(), client(t)); err != nil {
			t.Fatalf("ticket %s: %v", ticket, err)
		}
	}
	var refusal *Refusal
	if err := c.HandOver(ctx, "2", start(), client(t)); !errors.As(err, &refusal) || refusal.Code != "UNAVAILABLE" {
		t.Errorf("a ticket for the second time: %v", err)
	}
	if err := c.HandOver(ctx, "4", start(), client(t)); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
	if n := p.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestClientOfAnother: a connection whose sessiond is gone is replaced.
func TestClientOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	p := startParent(t, path)
	c := NewClient(path)
	defer c.Close()
	ctx := context.Background()
	if err := c.HandOver(ctx, "1", start(), client(t)); err != nil {
		t.Fatal(err)
	}
	p.l.Close()
	(<-p.conns).Close()
	os.Remove(path)
	if err := c.HandOver(ctx, "2", start(), client(t)); err == nil {
		t.Error("nobody is there, and took a session")
	}
	p = startParent(t, path)
	for _, ticket := range []string{"2", "3"} {
		if err := c.HandOver(ctx, ticket, start(), client(t)); err != nil {
			t.Errorf("ticket %s: %v", ticket, err)
		}
	}
	if n := p.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestReceiveChecks: who says that a session is somebody's, or sends no
// descriptor, is not heard.
func TestReceiveChecks(t *testing.T) {
	for name, send := range map[string]func(c *ipc.Conn) error{
		"a user":        func(c *ipc.Conn) error { return c.WriteFileList(client(t), sample().Attributes(nil)) },
		"no descriptor": func(c *ipc.Conn) error { return c.Send(start().Attributes(nil)) },
		"no list":       func(c *ipc.Conn) error { return c.WriteFileList(client(t), ipc.List{}.Str("a", "b")) },
	} {
		a, b := testkit.SocketPair(t)
		in, err := ipc.NewFileConn(b, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := send(ipc.NewConn(a)); err != nil {
			t.Fatal(err)
		}
		b.SetDeadline(time.Now().Add(30 * time.Second))
		if _, _, _, err := Receive(in); !errors.Is(err, ipc.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		a.Close()
		if _, _, _, err := Receive(in); err != io.EOF {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}
