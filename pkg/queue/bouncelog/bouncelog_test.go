package bouncelog

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

func newQueue(t *testing.T, o queue.Options) *queue.Queue {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{queue.Bounce, queue.Defer, queue.Trace} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return queue.Open(dir, o)
}

func readAll(t *testing.T, r *Reader) []Entry {
	t.Helper()
	var all []Entry
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
}

var sample = []Entry{
	{
		Recipient: envelope.Recipient{Address: "r1@dest.example", Offset: 734,
			DSNOrcpt: "rfc822;orig@dest.example", Notify: envelope.NotifyDelay},
		Status: "4.4.1", Action: ActionDelayed,
		Reason: "connect to 127.0.0.1[127.0.0.1]:9: Connection refused",
	},
	{
		Recipient: envelope.Recipient{Address: "b@dest.example", Original: "alias@here.example", Offset: 900},
		Status:    "5.1.1", Action: ActionFailed, DiagType: "smtp", DiagText: "550 5.1.1 no such user",
		MTAType: "dns", MTAName: "mx.dest.example", Reason: "host said: 550 5.1.1 no such user",
	},
}

func TestRoundTrip(t *testing.T) {
	q := newQueue(t, queue.Options{HashDepth: 1, HashNames: []string{"defer"}})
	ctx := context.Background()
	if err := Append(ctx, q, queue.Defer, "ABCDE1", sample[0]); err != nil {
		t.Fatal(err)
	}
	if err := Append(ctx, q, queue.Defer, "ABCDE1", sample[1]); err != nil {
		t.Fatal(err)
	}
	if c := q.FS().Counters(); c.FileSyncs != 2 || c.DirSyncs != 2 {
		t.Errorf("syncs: %+v; want 2 of the file, 1 of each directory", c)
	}
	r, err := Open(q, queue.Defer, "ABCDE1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if diff := cmp.Diff(sample, readAll(t, r)); diff != "" {
		t.Error(diff)
	}
}

func TestFormatIsPostfixs(t *testing.T) {
	want := `
<r1@dest.example>: connect to 127.0.0.1[127.0.0.1]:9: Connection refused
recipient=r1@dest.example
offset=734
dsn_orig_rcpt=rfc822;orig@dest.example
notify_flags=8
status=4.4.1
action=delayed
reason=connect to 127.0.0.1[127.0.0.1]:9: Connection refused

`
	if diff := cmp.Diff(want, string(sample[0].format())); diff != "" {
		t.Error(diff)
	}
}

func TestReadTolerant(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []Entry
	}{
		{"empty", "", nil},
		{"old style", "<a@b>: some reason\n\n", []Entry{{Recipient: envelope.Recipient{Address: "a@b"},
			Status: "5.0.0", Action: "failed", Reason: "some reason"}}},
		{"old style null", "\n<>: why\n\n", []Entry{{Recipient: envelope.Recipient{Address: "(MAILER-DAEMON)"},
			Status: "5.0.0", Action: "failed", Reason: "why"}}},
		{"cut off", "\nrecipient=a@b\nstatus=5.1.1\nreas", nil},
		{"garbage", "\x00\xff garbage\nrecipient=a@b\nbad line\noffset=-5\nnotify_flags=99\n\n",
			[]Entry{{Recipient: envelope.Recipient{Address: "a@b"}, Status: "5.0.0", Action: "failed", Reason: "(description unavailable)"}}},
		{"injected", "\nrecipient=a\x1b[2J@b\n\n",
			[]Entry{{Recipient: envelope.Recipient{Address: "a?[2J@b"}, Status: "5.0.0", Action: "failed", Reason: "(description unavailable)"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, readAll(t, NewReader(strings.NewReader(tc.in), queue.Bounce))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAppendFailureLeavesNoPart(t *testing.T) {
	q := newQueue(t, queue.Options{})
	ctx := context.Background()
	if err := Append(ctx, q, queue.Bounce, "X1", sample[0]); err != nil {
		t.Fatal(err)
	}
	q.FS().Fault = func(op safefile.Op, _ string) error {
		if op == "fsync" {
			return errors.New("injected")
		}
		return nil
	}
	if err := Append(ctx, q, queue.Bounce, "X1", sample[1]); err == nil {
		t.Error("append reported success without fsync")
	}
}

func FuzzBounceLog(f *testing.F) {
	f.Add([]byte("\n<a@b>: x\nrecipient=a@b\nstatus=4.0.0\n\n"))
	f.Add(sample[1].format())
	f.Add([]byte("=\n=\n\n\n<\n>: \n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(strings.NewReader(string(b)), queue.Defer)
		for {
			e, err := r.Next()
			if err != nil {
				return
			}
			if e.Status == "" || e.Recipient.Address == "" || strings.ContainsAny(e.Reason, "\n\x00") {
				t.Errorf("bad entry %+v", e)
			}
		}
	})
}
