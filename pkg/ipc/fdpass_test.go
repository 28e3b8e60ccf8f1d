package ipc

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestSendFileKeepsDeadlines: a connection that was passed on, in vain perhaps,
// is as good as before.
func TestSendFileKeepsDeadlines(t *testing.T) {
	dial := func(network, address string) (a, b net.Conn) {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if a, err = net.Dial(network, l.Addr().String()); err == nil {
			b, err = l.Accept()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { a.Close(); b.Close() })
		return a, b
	}
	client, server := dial("tcp", "127.0.0.1:0")
	ours, theirs := dial("unix", t.TempDir()+"/s")
	f, err := server.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	if err := SendFile(ours.(*net.UnixConn), f); err != nil {
		t.Fatal(err)
	}
	f.Close()
	got, err := ReceiveFile(theirs.(*net.UnixConn), "client")
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
	// Ends a read that takes no notice of the deadline.
	defer time.AfterFunc(30*time.Second, func() { client.Close() }).Stop()
	server.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
}
