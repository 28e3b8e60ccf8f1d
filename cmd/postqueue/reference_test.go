package main

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queue/listing"
	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
)

// TestAsPostfix lets Debian's postqueue read our listing, and compares what it
// shows with what we show.
func TestAsPostfix(t *testing.T) {
	refpostfix.Root(t)
	dir, err := os.MkdirTemp("", "pq") // socket names are short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"maildrop", "active", "incoming", "deferred", "hold", "defer", "public", "pid"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, sample := range map[string]string{"deferred/7F225984A7C": "deferred-dsn", "defer/7F225984A7C": "defer-log",
		"hold/DAE73984280": "hold-expired", "active/A5711984292": "bounce-message", "maildrop/8F9EB984329": "maildrop",
		"incoming/DB4A99842A2": "deferred-utf8"} {
		data, err := os.ReadFile("../../pkg/queue/testdata/postfix/" + sample)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), data, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	main := "queue_directory = " + dir + "\ncompatibility_level = 3.6\nmail_owner = daemon\nsetgid_group = mail\n" +
		"myhostname = host.example\ninet_interfaces = 127.0.0.1\n"
	if err := os.WriteFile(filepath.Join(dir, "main.cf"), []byte(main), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "public", "showq"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lister := listing.Lister{Queue: queue.Open(dir, queue.Options{}), EmptyAddress: "MAILER-DAEMON"}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = lister.Write(bufio.NewWriter(conn))
			conn.Close()
		}
	}()
	for _, opt := range []string{"-p", "-j"} {
		cmd := refpostfix.Tool(t, "postqueue", opt)
		cmd.Env = append(cmd.Env, "MAIL_CONFIG="+dir)
		theirs, err := cmd.Output()
		if err != nil || !bytes.Contains(theirs, []byte("7F225984A7C")) {
			t.Fatalf("postqueue %s: %v, %s", opt, err, theirs)
		}
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		var p presenter = &table{w: w}
		if opt == "-j" {
			p = &jsonLines{w: w}
		}
		conn, err := net.Dial("unix", filepath.Join(dir, "public", "showq"))
		if err != nil {
			t.Fatal(err)
		}
		if err := read(bufio.NewReader(conn), p); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		w.Flush()
		if diff := cmp.Diff(string(theirs), out.String()); diff != "" {
			t.Errorf("postqueue %s:\n%s", opt, diff)
		}
	}
}
