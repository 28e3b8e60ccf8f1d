package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// place makes a configuration whose log file nobody else writes.
func place(t *testing.T) (etc, file string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "mail.log")
	text := fmt.Sprintf("queue_directory = %s\nmaillog_file = %s\nmyhostname = m.example.test\n", dir, file)
	if err := os.WriteFile(filepath.Join(dir, "main.cf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func TestPostlog(t *testing.T) {
	t.Setenv("MAIL_LOGTAG", "")
	long := strings.Repeat("x", maxLine+10)
	for _, tc := range []struct {
		name  string
		args  []string
		stdin string
		want  []string // ends of the lines
	}{
		{"words", []string{"one", "two"}, "", []string{"postfix/postlog[PID]: one two"}},
		{"priority", []string{"-p", "warn", "-t", "mytag", "x"}, "", []string{"mytag[PID]: warning: x"}},
		{"lines", nil, "a\nb\r\nno newline", []string{"]: a", "]: b", "]: no newline"}},
		{"controls", []string{"a\nb\x1b"}, "", []string{"]: a?b?"}},
		{"long line", nil, long + "\nnext\n", []string{strings.Repeat("x", 2000), "]: next"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			etc, file := place(t)
			if err := run(append([]string{"-c", etc}, tc.args...), strings.NewReader(tc.stdin)); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
			if len(lines) != len(tc.want) {
				t.Fatalf("got %q", lines)
			}
			for i, want := range tc.want {
				want = strings.ReplaceAll(want, "PID", fmt.Sprint(os.Getpid()))
				if !strings.HasSuffix(lines[i], want) {
					t.Errorf("got %q, want %q", lines[i], want)
				}
			}
		})
	}
	etc, _ := place(t)
	if run([]string{"-c", etc, "-p", "loud", "x"}, nil) == nil {
		t.Error("unknown priority accepted")
	}
}
