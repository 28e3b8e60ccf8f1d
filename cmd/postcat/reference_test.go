package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
)

// reference returns a function that runs Debian's postcat.
func reference(t *testing.T) func(args ...string) string {
	t.Helper()
	refpostfix.Root(t)
	etc := t.TempDir()
	main := "queue_directory = " + etc + "\ncompatibility_level = 3.6\nmail_owner = daemon\nsetgid_group = mail\n" +
		"myhostname = host.example\ninet_interfaces = 127.0.0.1\n"
	if err := os.WriteFile(filepath.Join(etc, "main.cf"), []byte(main), 0o644); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) string {
		cmd := refpostfix.Tool(t, "postcat", args...)
		cmd.Env = append(cmd.Env, "MAIL_CONFIG="+etc)
		var problems bytes.Buffer
		cmd.Stderr = &problems
		out, err := cmd.Output()
		if len(out) == 0 && err != nil {
			t.Fatalf("reference postcat %q: %v: %s", args, err, problems.String())
		}
		return string(out)
	}
}

func ours(t *testing.T, args ...string) string {
	t.Helper()
	var out, problems bytes.Buffer
	run(args, os.Stdin, &out, &problems)
	return out.String()
}

// samples are queue files: those that Postfix made, one with all record types,
// and one that we make.
func samples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../pkg/queue/testdata/postfix/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	var b []byte
	add := func(typ byte, s string) { b = queue.AppendRecord(b, typ, []byte(s)) }
	add(queue.RecSize, "              4             500               1               0               4")
	for _, typ := range []byte("TcFILSDRO/VWAKfd>Prepe<iongmwNQ") {
		if typ != queue.RecPtr {
			add(typ, "12345")
		}
	}
	for _, s := range []string{"create_time=12345", "novalue", " name with = val ", "=x", " padded = v ", "dsn_orig_rcpt=rfc822;x"} {
		add(queue.RecAttr, s)
	}
	for _, s := range []string{"M", "NSubject: x", "L cont", "N more", "wdel", "N", "Laa\x00bb", "Lcc", "Ndd", "Lend", "X", "Aencoding=8bit", "E"} {
		add(s[0], s[1:])
	}
	all := filepath.Join(t.TempDir(), "all-types")
	if err := os.WriteFile(all, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return append(files, all, made(t), "/etc/hostname")
}

// made writes a queue file as cleanup does.
func made(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "incoming"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	w, err := queue.Open(dir, queue.Options{LongIDs: true}).Create(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w.Size(queue.Size{})
	w.RecString(queue.RecTime, "1795230845 707119")
	w.Attr("envelope_id", "x")
	w.RecString(queue.RecFrom, "")
	w.RecString(queue.RecRcpt, strings.Repeat("a", 300)+"@example.com")
	w.RecString(queue.RecMesg, "")
	start := w.Offset()
	w.RecString(queue.RecNorm, "Subject: made here")
	w.RecString(queue.RecNorm, "")
	w.RecString(queue.RecNorm, strings.Repeat("long ", 20000))
	end := w.Offset()
	w.RecString(queue.RecXtra, "")
	w.RecString(queue.RecEnd, "")
	w.PatchSize(queue.Size{DataSize: end - start, DataOffset: start, RcptCount: 1, ContentLength: end - start})
	if err := w.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	return w.Path()
}

func TestAsPostfix(t *testing.T) {
	theirs := reference(t)
	for _, file := range samples(t) {
		for _, opts := range []string{"", "-b", "-d", "-e", "-h", "-o", "-r", "-v", "-vo", "-bh", "-eh", "-be", "-vodr", "-ro",
			"-bv", "-ho", "-s 97 -vo", "-s 3"} {
			args := append(strings.Fields(opts), file)
			if diff := cmp.Diff(theirs(args...), ours(t, args...)); diff != "" {
				t.Errorf("postcat %s:\n%s", strings.Join(args, " "), diff)
			}
		}
	}
}
