package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// complete returns what bash offers for the last word of a command line.
func complete(t *testing.T, line ...string) []string {
	t.Helper()
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	script := `. "$1"; shift; COMP_WORDS=(posthouse "$@"); COMP_CWORD=$#; _posthouse; printf '%s\n' "${COMPREPLY[@]}"`
	cmd := exec.Command("bash", append([]string{"-c", script, "bash", filepath.Join(root, "packaging/completion/posthouse.bash")}, line...)...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("bash: %v\n%s", err, out)
	}
	return strings.Fields(string(out))
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(slices.Compact(want), slices.Compact(got)); diff != "" {
		t.Errorf("%s: (-there is, +completed)\n%s", what, diff)
	}
}

// TestCompletion: packaging/completion knows the commands that there are, and
// their options.
func TestCompletion(t *testing.T) {
	testkit.NeedTool(t, "bash")
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
		var words []string
		for _, w := range c.words {
			words = append(words, w.name)
		}
		if len(words) > 0 {
			same(t, c.name, complete(t, "-c", "/etc/x", c.name, ""), words)
		}
	}
	same(t, "commands", complete(t, ""), names)
	names = nil
	for _, m := range regexp.MustCompile(`(?:import|\|) ([a-z][a-z-]+)`).FindAllStringSubmatch(importUsage, -1) {
		names = append(names, m[1])
	}
	same(t, "user import", complete(t, "user", "import", ""), names)
	for command, options := range documentedOptions(t) {
		var line []string
		if command != "" {
			line = []string{command}
		} else {
			options = append(options, "--config", "--verbose")
		}
		same(t, "options of "+command, complete(t, append(line, "-")...), options)
	}
	if got := complete(t, "dkim", "create", "--algorithm", "e"); len(got) != 1 || got[0] != "ed25519" {
		t.Errorf("algorithms: %q", got)
	}
	if got := complete(t, "mail"); len(got) != 1 || got[0] != "mailbox" {
		t.Errorf("mail becomes %q", got)
	}
}

// documentedOptions reads the manual page.
func documentedOptions(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	sections := []struct{ head, command string }{
		{"// # Options", ""}, {"// Options of init:", "init"}, {"// Dkim has", "dkim"}, {"// Users, in", "user"},
		{"// Domains, in", "domain"}, {"// Mailbox has", "mailbox"}, {"// Deliver is", "deliver"}, {"// # Security", "-"},
	}
	option := regexp.MustCompile(`(?:^|[\s(])(--[a-z][a-z0-9-]*|-[a-z])(?:[\s,]|$)`)
	list := map[string][]string{}
	command := "-"
	for line := range strings.SplitSeq(string(text), "\n") {
		if !strings.HasPrefix(line, "//") {
			break
		}
		for _, s := range sections {
			if strings.HasPrefix(line, s.head) {
				command = s.command
			}
		}
		for _, m := range option.FindAllStringSubmatch(strings.ReplaceAll(line, ", ", ",  "), -1) {
			if command != "-" {
				list[command] = append(list[command], m[1])
			}
		}
	}
	if len(list) < 6 {
		t.Fatalf("options of %d commands in the manual page", len(list))
	}
	return list
}
