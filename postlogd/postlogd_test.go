package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestOneLinePerDatagram(t *testing.T) {
	var b bytes.Buffer
	w := writer{out: &b}
	for _, s := range []string{
		"Nov 20 18:25:22 mail postfix/smtpd[8]: connect\n",
		"x\nNov 20 18:25:22 mail postfix/smtpd[8]: forged\r\n",
		"\x1b[2J\x00",
		string(bytes.Repeat([]byte("a"), 9000)),
	} {
		w.packet([]byte(s))
	}
	want := "Nov 20 18:25:22 mail postfix/smtpd[8]: connect\nx?Nov 20 18:25:22 mail postfix/smtpd[8]: forged\n?[2J\n" +
		string(bytes.Repeat([]byte("a"), 2000)) + "\n"
	if b.String() != want {
		t.Errorf("got %q", b.String())
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "target"), link); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, file string
		prefixes   []string
		ok         bool
	}{
		{"below a prefix", filepath.Join(dir, "log"), []string{"/var", dir}, true},
		{"with slash", filepath.Join(dir, "log"), []string{dir + "/"}, true},
		{"elsewhere", filepath.Join(dir, "log"), []string{"/var"}, false},
		{"a prefix of the name only", dir + "x/log", []string{dir}, false},
		{"dots", dir + "/../log", []string{dir}, false},
		{"relative", "log", []string{"log"}, false},
		{"symbolic link", link, []string{dir}, false},
		{"directory", dir, []string{dir}, false},
		{"standard output", "/dev/stdout", []string{"/var", "/dev/stdout"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := open(&settings{File: tc.file, Prefixes: tc.prefixes, Mode: 0o600})
			if (err == nil) != tc.ok {
				t.Fatalf("error %v", err)
			}
			if err == nil && f != os.Stdout {
				f.Close()
			}
		})
	}
}
