package maillog

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestShapes(t *testing.T) {
	var b strings.Builder
	l := NewWriter(&b, "smtpd")
	l.Info("", "connect from %s", "localhost[127.0.0.1]")
	l.Info("51DF69903E9", "client=x")
	l.Warn("", "dict lookup")
	l.Warn("51DF69903E9", "odd")
	l.Error("", "no")
	l.Fatal("", "open %s", "x")
	l.Panic("", "bug")
	l.Info("", "100% plain")
	l.Info("", "evil\nNov 20 x postfix/smtpd[1]: forged \x1b[2J")
	want := `smtpd: connect from localhost[127.0.0.1]
smtpd: 51DF69903E9: client=x
smtpd: warning: dict lookup
smtpd: warning: 51DF69903E9: odd
smtpd: error: no
smtpd: fatal: open x
smtpd: panic: bug
smtpd: 100% plain
smtpd: evil?Nov 20 x postfix/smtpd[1]: forged ?[2J
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestNilLogger(t *testing.T) {
	l := Discard()
	l.Info("", "x")
	l.Debug("x")
	if l.Verbose() || l.Close() != nil {
		t.Error("nil logger is not quiet")
	}
}

func TestFormats(t *testing.T) {
	e := Entry{Time: time.Date(2026, 11, 2, 8, 5, 3, 0, time.UTC), Severity: SevWarning,
		Tag: Tag("postfix/submission", "smtpd"), PID: 812, Text: "warning: x"}
	for _, tc := range []struct{ name, got, want string }{
		{"file", Line(e, "mail"), "Nov  2 08:05:03 mail postfix/submission/smtpd[812]: warning: x"},
		{"syslog", syslogLine(e, facilityCode("mail")), "<20>Nov  2 08:05:03 postfix/submission/smtpd[812]: warning: x"},
		{"local0", syslogLine(e, facilityCode("local0")), "<132>Nov  2 08:05:03 postfix/submission/smtpd[812]: warning: x"},
		{"unknown facility", fmt.Sprint(facilityCode("nonsense")), "2"},
		{"no name", Tag("", "mytag"), "mytag"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.got != tc.want {
				t.Errorf("got  %s\nwant %s", tc.got, tc.want)
			}
		})
	}
}

// receiver is a datagram socket that plays postlogd.
func receiver(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	os.Remove(path)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func read(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 4096)
	c.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(buf[:n]), "]: ")
	return text
}

func open(path string) *Logger {
	return Open(Options{Program: "smtpd", Name: "postfix", File: "/var/log/x", Postlog: path})
}

// TestSlowReceiver: nobody reads, yet logging does not block, and all lines
// arrive in order once somebody does.
func TestSlowReceiver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postlog")
	c := receiver(t, path)
	l := open(path)
	const lines = 2000
	for i := range lines {
		l.Info("", "line %d", i)
	}
	for i := range lines {
		if got := read(t, c); got != fmt.Sprintf("line %d", i) {
			t.Fatalf("line %d is %q", i, got)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestOverflowIsCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postlog")
	c := receiver(t, path)
	l := open(path)
	const lines = maxWaiting + 2000
	for i := range lines {
		l.Info("", "line %d", i)
	}
	got := 0
	for {
		text := read(t, c)
		if n := 0; strings.HasPrefix(text, "warning: ") {
			fmt.Sscanf(text, "warning: %d log lines were lost", &n)
			if n == 0 || n > 2000 {
				t.Fatal(text)
			}
			got += n
			break
		}
		got++
	}
	for ; got < lines; got++ {
		read(t, c)
	}
}

// TestReceiverRestarts: the socket goes away and another takes its place.
func TestReceiverRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postlog")
	first := receiver(t, path)
	l := open(path)
	l.Info("", "one")
	if got := read(t, first); got != "one" {
		t.Errorf("got %q", got)
	}
	first.Close()
	l.Info("", "lost")
	second := receiver(t, path)
	time.Sleep(retryEvery + 100*time.Millisecond)
	l.Info("", "two")
	if got := read(t, second); !strings.Contains(got, "1 log lines were lost") {
		t.Errorf("got %q", got)
	}
	if got := read(t, second); got != "two" {
		t.Errorf("got %q", got)
	}
}

func TestWriteFileWithoutReceiver(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mail.log")
	l := Open(Options{Program: "master", Name: "postfix", File: file, Postlog: filepath.Join(dir, "none"), WriteFile: true})
	l.Info("", "hello")
	text, err := os.ReadFile(file)
	if err != nil || !strings.HasSuffix(string(text), fmt.Sprintf(" postfix/master[%d]: hello\n", os.Getpid())) {
		t.Errorf("%v %q", err, text)
	}
}

func TestSyslogSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	c := receiver(t, path)
	q := newQueued(path, func(e Entry) []byte { return []byte(syslogLine(e, facilityCode("mail"))) })
	l := newLogger("postfix/smtpd", false, q)
	l.now = func() time.Time { return time.Date(2026, 11, 20, 18, 25, 22, 0, time.UTC) }
	l.Debug("not shown")
	l.Info("51DF69903E9", "removed")
	buf := make([]byte, 200)
	n, err := c.Read(buf)
	want := fmt.Sprintf("<22>Nov 20 18:25:22 postfix/smtpd[%d]: 51DF69903E9: removed", os.Getpid())
	if err != nil || string(buf[:n]) != want {
		t.Errorf("got %q %v, want %q", buf[:n], err, want)
	}
}
