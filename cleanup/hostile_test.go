package main

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestHostile sends messages that would take careless code very long
// (catalogue of attacks, RS2 and RS3).
func TestHostile(t *testing.T) {
	const start = "T 1 1\nS a@b.test\nR c@d.test\nM\n"
	for _, tc := range []struct{ name, content string }{
		{"headers", strings.Repeat("X: y\n", 100000)},
		{"one header", "To: " + strings.Repeat("a@b, ", 1000) + strings.Repeat("\n a@b", 100000)},
		{"addresses", "To: a" + strings.Repeat(",\n b@c", 50000)},
		{"received", strings.Repeat("Received: x\n", 100000)},
		{"parameters", "Content-Type: text/plain" + strings.Repeat(";\n n*1*=x", 50000)},
		{"encoded words", "Subject: x" + strings.Repeat("\n =?utf-8?q?x?=", 50000)},
		{"groups", "To: " + strings.Repeat("\n a:;", 50000)},
		{"message in message", strings.Repeat("Content-Type: message/rfc822\n\n", 5000)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _, _ := testServer(t, "")
			var reply ipc.List
			d := testkit.CPU(func() {
				_, reply = submit(t, dial(t, s), false, inject.FlagsExternal, parseRecs(start+tc.content+"\n\nbody"))
			})
			if d > 8*time.Second {
				t.Errorf("took %v", d)
			}
			want := "0"
			if tc.name == "received" {
				want = "16"
			}
			if reply.Value("status") != want {
				t.Errorf("reply %v", reply)
			}
		})
	}
}

// TestSmuggling checks that no line end inside of a line gets into the queue
// (SM15 to SM17).
func TestSmuggling(t *testing.T) {
	s, _, dir := testServer(t, "")
	seqs := []string{"\r.\r", "\n.\n", "\r\n.\r\n", "\n.\r\n", "\r.\r\n", "x\r", "\n"}
	recs := []rec{{'T', "1 1"}, {'S', "a@b.test"}, {'R', "c@d.test"}, {'M', ""}}
	for _, q := range seqs {
		recs = append(recs, rec{'N', "Subject: x" + q + "To: evil"})
	}
	recs = append(recs, rec{'N', ""})
	for _, q := range seqs {
		recs = append(recs, rec{'L', q}, rec{'N', q + "MAIL FROM:<x>"})
	}
	recs = append(recs, rec{'X', ""}, rec{'E', ""})
	id, reply := submit(t, dial(t, s), false, inject.FlagsExternal, recs)
	if reply.Value("status") != "0" {
		t.Fatal(reply)
	}
	m, err := queue.Open(dir, queue.Options{}).OpenMessage("incoming", queue.ID(id))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var b strings.Builder
	if err := m.Body().WriteTo(&b, "", "\x00"); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\r\n") || strings.Contains(b.String(), "\x00.\x00") {
		t.Errorf("content %q", b.String())
	}
}

// FuzzSession feeds bytes to a session after its first request. It must end,
// and what it accepts must be a file that can be read.
func FuzzSession(f *testing.F) {
	var seed strings.Builder
	w := queue.NewRecordWriter(&seed)
	for _, r := range parseRecs(refEnvelope + "A notify_flags=3\nO x\nR a@b.test\nM\nTo: x y\nContent-Type: multipart/a; boundary=b\n\n--b\n\nx\n--b--\nX\nR z") {
		w.RecString(r.typ, r.data)
	}
	w.Flush()
	f.Add([]byte(seed.String()))
	f.Add([]byte("T\x03 1 1S\x00R\x01aM\x00N\x00X\x00E\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, _, dir := testServer(t, "")
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.session(context.Background(), ours)
			ours.Close()
		}()
		c := ipc.NewConn(theirs)
		c.Timeout = time.Minute
		c.Send(ipc.List{}.Int("flags", int64(inject.FlagsExternal|inject.FlagAutoUTF8)))
		hello, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			theirs.Write(in)
			time.Sleep(5 * time.Millisecond)
			theirs.Close()
		}()
		reply, err := ipc.ReadList(c.Reader())
		if err == nil && reply.Value("status") == "0" {
			m, err := queue.Open(dir, queue.Options{}).OpenMessage("incoming", queue.ID(hello.Value("queue_id")))
			if err != nil {
				t.Fatalf("accepted, but: %v", err)
			}
			if err := m.Body().WriteTo(io.Discard, "", "\n"); err != nil {
				t.Errorf("content: %v", err)
			}
			m.Close()
		}
		theirs.Close()
		<-done
	})
}
