package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestUsage: help and a wrong command line need no configuration.
func TestUsage(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	var out bytes.Buffer
	if err := run([]string{"-c", none, "--help"}, &out, io.Discard); err != nil || out.String() != usage+"\n" {
		t.Errorf("--help: %v, %q", err, out.String())
	}
	for _, args := range [][]string{{"add"}, {"put", "example.com"}, {"--nonsense"}} {
		if err := run(append([]string{"-c", none}, args...), io.Discard, io.Discard); err != errUsage {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// TestAddAndDelete: the list keeps its comments.
func TestAddAndDelete(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"main.cf": "myhostname = m.example.test\nmydestination = $config_directory/locals\n", "locals": "# ours\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out, warnings bytes.Buffer
	for _, args := range [][]string{{"add", "a.test", "b.test"}, {"del", "a.test"}, nil} {
		if err := run(append([]string{"-c", dir}, args...), &out, &warnings); err != nil {
			t.Fatalf("%q: %v", args, err)
		}
	}
	if out.String() != "b.test\n" || warnings.Len() > 0 {
		t.Errorf("the list: %q, warnings: %q", out.String(), warnings.String())
	}
	if text, err := os.ReadFile(filepath.Join(dir, "locals")); err != nil || string(text) != "# ours\nb.test\n" {
		t.Errorf("the file: %q, %v", text, err)
	}
}
