package maillog

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// TestPipe: lines go by datagram while nobody reads the pipe, then through the
// pipe, and what another writer leaves unfinished stays out of them.
func TestPipe(t *testing.T) {
	dir := t.TempDir()
	socket, fifo := filepath.Join(dir, "s"), filepath.Join(dir, "p")
	packets, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	l := Open(Options{Program: "smtpd", File: "/log", Postlog: socket, Pipe: fifo})
	defer l.Close()
	l.Info("", "one")
	buf := make([]byte, 4096)
	packets.SetReadDeadline(time.Now().Add(30 * time.Second))
	if n, err := packets.Read(buf); err != nil || !strings.HasSuffix(string(buf[:n]), "]: one") {
		t.Fatalf("datagram %q, %v", buf[:n], err)
	}

	r, err := OpenPipe(fifo)
	if err != nil {
		t.Fatal(err)
	}
	l.dest[0].(*queued).pipe.away = time.Time{} // a second is over
	l.Info("", "two")
	other, err := dialPipe(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if _, err := nowait.Write(other.fd, []byte("\nunfinished")); err != nil {
		t.Fatal(err)
	}
	l.Info("", "three")
	if err := r.Wait(); err != nil {
		t.Fatal(err)
	}
	got, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range strings.Split(string(got), "\n") {
		if line != "" {
			lines = append(lines, line[strings.LastIndexByte(line, ' ')+1:])
		}
	}
	if strings.Join(lines, ",") != "two,unfinished,three" {
		t.Errorf("read %q", got)
	}
	if got, err := r.Read(); len(got) > 0 || err != nil {
		t.Errorf("an empty pipe gives %q, %v", got, err)
	}
}

// FuzzPipeReader: what is written comes out as it is, cut at the ends of lines
// if it has any.
func FuzzPipeReader(f *testing.F) {
	f.Add([]byte("a\nb\n"), []byte("c"))
	f.Add([]byte("\nunfinished"), []byte("\nline\n"))
	fifo := filepath.Join(f.TempDir(), "p")
	r, err := OpenPipe(fifo)
	if err != nil {
		f.Fatal(err)
	}
	w, err := dialPipe(fifo)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		want := ""
		got := ""
		for _, part := range [][]byte{a, b, []byte("\n")} {
			part = part[:min(len(part), 4096)]
			if len(part) > 0 {
				if _, err := nowait.Write(w.fd, part); err != nil {
					t.Fatal(err)
				}
			}
			want += string(part)
			lines, err := r.Read()
			if err != nil {
				t.Fatal(err)
			}
			if len(lines) > 0 && lines[len(lines)-1] != '\n' {
				t.Errorf("%q does not end with a line", lines)
			}
			got += string(lines)
		}
		if got != want {
			t.Errorf("wrote %q, read %q", want, got)
		}
	})
}
