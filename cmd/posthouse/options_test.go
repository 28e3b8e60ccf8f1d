package main

import (
	"bytes"
	"strings"
	"testing"
)

// typed runs posthouse where there is no configuration: what is wrong or asked
// for on a command line is told before any is read.
func typed(t *testing.T, args ...string) (code int, out, problem string) {
	t.Helper()
	var o, e bytes.Buffer
	a := &app{out: &o, err: &e}
	code = a.report(a.dispatch(append([]string{"-c", t.TempDir() + "/none"}, args...)))
	return code, o.String(), e.String()
}

// everyCommand has the words of each command line that commands() allows.
func everyCommand() [][]string {
	list := [][]string{{}}
	for _, c := range commands() {
		list = append(list, []string{c.name})
		for _, w := range c.words {
			list = append(list, []string{c.name, w.name})
		}
	}
	return list
}

// TestHelp: each command tells its usage, and none does anything but that.
func TestHelp(t *testing.T) {
	for _, words := range everyCommand() {
		for _, option := range []string{"--help", "-h"} {
			code, out, problem := typed(t, append(words, option)...)
			line, _, _ := strings.Cut(out, "\n")
			if code != 0 || problem != "" || !strings.HasPrefix(line, "usage: posthouse ") {
				t.Errorf("posthouse %q %s: exit status %d\n%s%s", words, option, code, out, problem)
			}
			for _, word := range words {
				if !strings.Contains(line, " "+word) {
					t.Errorf("posthouse %q %s: no word of %s: %s", words, option, word, line)
				}
			}
		}
	}
	for _, c := range commands() {
		_, out, _ := typed(t, c.name, "--help")
		for _, w := range c.words {
			if !strings.Contains(out, " "+w.name) {
				t.Errorf("posthouse %s --help does not name %s: %s", c.name, w.name, out)
			}
		}
	}
}

// TestWrongOptions: each command says what is wrong and, in one line, its usage.
func TestWrongOptions(t *testing.T) {
	refused := func(args []string, want string) {
		t.Helper()
		code, out, problem := typed(t, args...)
		lines := strings.Split(problem, "\n")
		if code != 2 || out != "" || len(lines) != 3 || !strings.Contains(lines[0], want) || !strings.HasPrefix(lines[1], "usage: posthouse ") || lines[2] != "" {
			t.Errorf("posthouse %q: exit status %d, without %q:\n%s%s", args, code, want, out, problem)
		}
	}
	for _, words := range everyCommand() {
		refused(append(words, "--nonsense"), "unknown flag: --nonsense")
		many := append(words, "a", "b", "c", "d", "e")
		switch strings.Join(words, " ") {
		case "", "user", "dkim", "domain", "mailbox":
			refused(many, `unknown command "a"`)
			refused(words, "a command is missing")
		case "user set": // takes any number
			refused(words, "an argument is missing")
		default:
			refused(many, " argument")
		}
	}
	refused([]string{"start", "now"}, `start takes no argument, got "now"`)
	refused([]string{"init"}, "--dir is missing")
	refused([]string{"init", "--dir"}, "needs an argument")
	refused([]string{"init", "--dir", "x", "y"}, `"y"`)
	refused([]string{"user", "add"}, "an argument is missing")
	refused([]string{"user", "add", "you@example.com", "--uid", "x"}, `invalid argument "x"`)
	refused([]string{"mailbox", "move", "/x"}, "mailbox move: an argument is missing")
	refused([]string{"dkim", "create", "a b"}, `"a b" is not a domain name`)
	refused([]string{"deliver"}, "an argument is missing")
}
