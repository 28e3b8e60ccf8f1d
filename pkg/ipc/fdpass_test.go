package ipc

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
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

// A list that the socket's buffer does not hold goes out whole all the same.
func TestWriteFileListWhole(t *testing.T) {
	from, end := testkit.SocketPair(t)
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	from.SetWriteBuffer(4096)
	var want List
	for range 3 {
		want = want.Str("value", strings.Repeat("x", MaxValue))
	}
	sent := make(chan error, 1)
	go func() { sent <- NewConn(from).WriteFileList(file, want) }()
	to, err := NewFileConn(end, 1)
	if err != nil {
		t.Fatal(err)
	}
	list, err := to.Receive()
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("%d attributes, %v", len(list), err)
	}
	got, err := to.File("file")
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
