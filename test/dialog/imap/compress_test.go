package imap

import (
	"bufio"
	"compress/flate"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestCompress is RFC 4978: after COMPRESS both directions are compressed, and
// each command is answered at once, also IDLE, although nothing else follows.
func TestCompress(t *testing.T) {
	srv := newServer(t)
	srv.deliver("Subject: x\n\n" + strings.Repeat("text ", 10000) + "\n")
	nc := srv.dial()
	nc.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(nc)
	r.ReadString('\n')
	// The first command of the compressed stream comes with COMPRESS itself.
	fmt.Fprint(nc, "a COMPRESS DEFLATE\r\n")
	if line, _ := r.ReadString('\n'); !strings.HasPrefix(line, "a OK") {
		t.Fatalf("got %q", line)
	}
	w, err := flate.NewWriter(nc, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	r = bufio.NewReader(flate.NewReader(nc))
	send := func(s string) { fmt.Fprint(w, s+"\r\n"); w.Flush() }
	until := func(prefix string) string {
		t.Helper()
		var all strings.Builder
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("read: %v after %q", err, all.String())
			}
			all.WriteString(line)
			if strings.HasPrefix(line, prefix) {
				return all.String()
			}
		}
	}
	send("b SELECT INBOX")
	until("b OK")
	send("c FETCH 1 BODY.PEEK[TEXT]")
	if got := until("c OK"); strings.Count(got, "text ") != 10000 {
		t.Errorf("%d bytes", len(got))
	}
	send("d IDLE")
	until("+ idling")
	srv.deliver("Subject: y\n\n")
	until("* 2 EXISTS")
	send("DONE")
	until("d OK")
	send("e COMPRESS DEFLATE")
	if got := until("e "); !strings.HasPrefix(got, "e NO [COMPRESSIONACTIVE]") {
		t.Errorf("got %q", got)
	}
	send("f LOGOUT")
	until("f OK")
}
