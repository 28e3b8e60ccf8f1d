package listing

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/queue"
)

func place(t *testing.T, dir, queueName, id, sample string, mode os.FileMode) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../testdata/postfix", sample))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, queueName, id)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestStream holds the listing to what Postfix 3.7's showq sent for the same
// files.
func TestStream(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"maildrop", "active", "incoming", "deferred", "hold", "defer"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	place(t, dir, "deferred", "7F225984A7C", "deferred-dsn", 0o700)
	place(t, dir, "defer", "7F225984A7C", "defer-log", 0o600)
	place(t, dir, "hold", "DAE73984280", "hold-expired", 0o710)
	place(t, dir, "active", "A5711984292", "bounce-message", 0o700)
	place(t, dir, "maildrop", "8F9EB984329", "maildrop", 0o744)
	place(t, dir, "incoming", "AAAAA1", "deferred-dsn", 0o600) // being written
	place(t, dir, "incoming", "AAAAA2", "defer-log", 0o700)    // no queue file
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "hold", "AAAAA3")); err != nil {
		t.Fatal(err)
	}
	warnings := 0
	l := &Lister{Queue: queue.Open(dir, queue.Options{}), EmptyAddress: "MAILER-DAEMON",
		Warn: func(string, ...any) { warnings++ }}
	var out bytes.Buffer
	if err := l.Write(bufio.NewWriter(&out)); err != nil {
		t.Fatal(err)
	}
	why := "|reason|connect to 127.0.0.1[127.0.0.1]:9: Connection refused|"
	want := "protocol|mail_queue_list_protocol||" +
		"queue_name|maildrop|queue_id|8F9EB984329|time|1795232558|size|287|forced_expire|0|sender|ann@ref.example|" +
		"recipient|carl@dest.example|reason||recipient|bob@dest.example|reason|||" +
		"queue_name|active|queue_id|A5711984292|time|1795231770|size|7239|forced_expire|0|sender|MAILER-DAEMON|" +
		"recipient|sender@ref.example|reason|||" +
		"queue_name|deferred|queue_id|7F225984A7C|time|1795231031|size|336|forced_expire|0|sender|ann@ref.example|" +
		"recipient|bob@dest.example" + why + "recipient|carl@other.example" + why + "|" +
		"queue_name|hold|queue_id|DAE73984280|time|1795230881|size|313|forced_expire|1|sender|sender@ref.example|" +
		"recipient|r1@dest.example|reason||||"
	if got := strings.ReplaceAll(out.String(), "\x00", "|"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if warnings != 2 {
		t.Errorf("%d warnings, want one for each of the two bad files", warnings)
	}
}
