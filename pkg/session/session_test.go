package session

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
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

func TestGiveBack(t *testing.T) {
	a, b := testkit.SocketPair(t)
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
