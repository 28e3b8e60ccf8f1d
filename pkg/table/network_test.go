package table

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// serveLines answers each connection with what reply says to each request.
func serveLines(t *testing.T, network, address string, reply func(r *bufio.Reader) (string, error)) string {
	t.Helper()
	l := testkit.Serve(t, network, address, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for n := 0; n < 2; n++ { // then hang up, so that the client reconnects
			s, err := reply(r)
			if err != nil {
				return
			}
			fmt.Fprint(conn, s)
		}
	})
	return l.Addr().String()
}

func TestTCP(t *testing.T) {
	addr := serveLines(t, "tcp", "127.0.0.1:0", func(r *bufio.Reader) (string, error) {
		line, err := r.ReadString('\n')
		switch strings.TrimSpace(line) {
		case "get a%20b":
			return "200 x%20y%25\n", err
		case "get none":
			return "500 no such\n", err
		case "get long":
			return strings.Repeat("x", 5000), err
		}
		return "400 try again\n", err
	})
	m, err := Open("tcp:"+addr, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for range 3 {
		for key, want := range map[string]string{"a b": "x y%", "none": "NOTFOUND", "bad\nget none": "ERROR", "long": "ERROR"} {
			if got := lookup(t, m, key); got != want {
				t.Errorf("%q: got %q, want %q", key, got, want)
			}
		}
	}
}

func TestSocketmap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serveLines(t, "unix", path, func(r *bufio.Reader) (string, error) {
		request, _, err := readNetstring(r)
		reply := map[string]string{"name key": "OK value", "name none": "NOTFOUND ", "name temp": "TEMP later"}[request]
		return fmt.Sprintf("%d:%s,", len(reply), reply), err
	})
	m, err := Open("socketmap:unix:"+path+":name", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for key, want := range map[string]string{"key": "value", "none": "NOTFOUND", "temp": "ERROR", "other": "ERROR"} {
		if got := lookup(t, m, key); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
}

func FuzzNetReply(f *testing.F) {
	f.Add("200 a%20b\n")
	f.Add("5:OK ab,")
	f.Fuzz(func(t *testing.T, s string) {
		readNetstring(bufio.NewReader(strings.NewReader(s)))
		if line, _, err := readTCPLine(bufio.NewReader(strings.NewReader(s))); err == nil {
			percentDecode(line)
		}
	})
}
