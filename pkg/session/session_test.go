package session

import (
	"bytes"
	"errors"
	"net"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
)

func sample() *Start {
	return &Start{Service: "imap", User: &authclient.User{Login: "you@example.test", UID: 5, GID: 6, Home: "/h", MailDir: "/h/Maildir"},
		RemoteIP: "192.0.2.1", LocalIP: "192.0.2.2", RemotePort: 1234, LocalPort: 143, TLS: true, Proxied: true,
		Tag: "a1", SessionID: "abc", Pending: []byte("a2 NOOP\r\n\x00"), Settings: map[string]string{"a": "b=c", "d": ""}}
}

func TestStartSurvivesTheWay(t *testing.T) {
	want := sample()
	got, err := Read(want.Attributes(nil))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, change := range map[string]func(*Start){
		"line end in tag": func(s *Start) { s.Tag = "a\r\nb" },
		"long tag":        func(s *Start) { s.Tag = strings.Repeat("x", 300) },
		"port":            func(s *Start) { s.RemotePort = 70000 },
		"pending":         func(s *Start) { s.Pending = make([]byte, MaxPending+1) },
	} {
		s := sample()
		change(s)
		if _, err := Read(s.Attributes(nil)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// pair returns two connected Unix sockets.
func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	return ends[0], ends[1]
}

func TestGiveBack(t *testing.T) {
	a, b := pair(t)
	go func() {
		b.Write([]byte("a OK\r\n"))
		GiveBack(b, []byte("b NOOP\r\n"))
		b.Close()
	}()
	r := &Reader{Conn: a}
	var got bytes.Buffer
	buf := make([]byte, 100)
	for {
		n, err := r.Read(buf)
		got.Write(buf[:n])
		if errors.Is(err, ErrReturned) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got.String() != "a OK\r\n" || string(r.Pending()) != "b NOOP\r\n" {
		t.Errorf("got %q, pending %q", got.String(), r.Pending())
	}
}
