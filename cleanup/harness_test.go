package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// localRewriter completes addresses as trivial-rewrite does, as far as the
// tests need it.
type localRewriter struct{}

func (localRewriter) Rewrite(_ context.Context, rule, addr string) (string, error) {
	if strings.Contains(addr, "@") || addr == "" {
		return addr, nil
	}
	if rule == "remote" {
		return addr + "@domain.invalid", nil
	}
	return addr + "@mail.here.test", nil
}

const testMain = `compatibility_level = 3.6
myhostname = mail.here.test
mydomain = here.test
myorigin = $myhostname
mydestination = $myhostname, here.test, localhost
`

// testServer makes a server on a queue of its own.
func testServer(t testing.TB, mainCF string) (*server, *testkit.Log, string) {
	t.Helper()
	m, err := config.ParseMain(strings.NewReader(testMain+mainCF), "main.cf")
	if err != nil {
		t.Fatal(err)
	}
	log := &testkit.Log{}
	s, err := newServer(config.New("/etc/posthouse", m), maillog.NewWriter(log, "cleanup"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, d := range []string{"incoming", "hold", "active", "deferred"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.queue = queue.Open(dir, queue.Options{})
	s.rewrite = localRewriter{}
	s.trigger = func(queue.ID) {}
	return s, log, dir
}

// dial starts a session and returns a client's end of it.
func dial(t testing.TB, s *server) *ipc.Conn {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		ln.Close()
		if err != nil {
			return
		}
		if err := s.session(context.Background(), conn); err != nil {
			t.Logf("session: %v", err)
		}
		conn.Close()
	}()
	conn, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := ipc.NewConn(conn)
	c.Timeout = time.Minute
	t.Cleanup(func() { conn.Close(); <-done })
	return c
}

// rec is one record.
type rec struct {
	typ  byte
	data string
}

// parseRecs reads records from text, one in a line: the type, a blank, the
// data. A line of content alone stands for type N.
func parseRecs(text string) []rec {
	var list []rec
	content := false
	for _, line := range strings.Split(strings.Trim(text, "\n"), "\n") {
		switch {
		case line == "M":
			content = true
			list = append(list, rec{'M', ""}, rec{'N', "Received: by test; now"})
		case line == "X":
			content = false
			list = append(list, rec{'X', ""})
		case content:
			list = append(list, rec{'N', strings.ReplaceAll(line, `\r`, "\r")})
		default:
			data := ""
			if len(line) > 2 {
				data = line[2:]
			}
			list = append(list, rec{line[0], data})
		}
	}
	if content {
		list = append(list, rec{'X', ""})
	}
	return append(list, rec{'E', ""})
}

// submit sends one message and returns queue id and reply.
func submit(t testing.TB, c *ipc.Conn, greeted bool, flags inject.Flags, recs []rec) (string, ipc.List) {
	t.Helper()
	var id string
	if greeted { // a server of Postfix speaks first
		hello, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		id = hello.Value("queue_id")
		if id == "" {
			hello, err = c.Receive()
			if err != nil {
				t.Fatal(err)
			}
			id = hello.Value("queue_id")
		}
	}
	if err := c.Send(ipc.List{}.Int("flags", int64(flags))); err != nil {
		t.Fatal(err)
	}
	if !greeted {
		hello, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		id = hello.Value("queue_id")
	}
	w := queue.NewRecordWriter(c.Writer())
	for _, r := range recs {
		if err := w.RecString(r.typ, r.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	reply, err := c.Receive()
	if err != nil {
		t.Fatalf("reply for %s: %v", id, err)
	}
	return id, reply
}

// readRecords reads a queue file.
func readRecords(t testing.TB, path string) []rec {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []rec
	for r := queue.NewRecordReader(f); ; {
		x, err := r.Next()
		if err != nil {
			return list
		}
		list = append(list, rec{x.Type, string(x.Data)})
	}
}

// dump shows records with what differs between two runs replaced.
func dump(id string, recs []rec) string {
	dates := regexp.MustCompile(`\w{3}, [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d [-+]\d{4} \(\w+\)`)
	stamps := regexp.MustCompile(`<\d{14}\.`)
	var b strings.Builder
	for _, r := range recs {
		data := strings.ReplaceAll(r.data, id, "QUEUEID")
		data = dates.ReplaceAllString(data, "DATE")
		data = stamps.ReplaceAllString(data, "<STAMP.")
		if r.typ == 'A' && strings.HasPrefix(data, "create_time=") {
			data = "create_time=NOW"
		}
		if r.typ == 'C' {
			f := strings.Fields(data)
			data = fmt.Sprint("width ", len(r.data), " rcpts ", f[2], " hints ", f[3], " utf8 ", f[5])
		}
		fmt.Fprintf(&b, "%c %s\n", r.typ, data)
	}
	return b.String()
}
