package interop

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mapCall is one call of postmap or postalias with odd input.
type mapCall struct {
	args  []string
	main  string // a line of main.cf; DIR in it is the working directory
	input string
	why   string // the outcomes differ, and why
}

// mapChain is calls of which each works on what those before it left.
type mapChain []mapCall

// line is a call whose arguments have no blanks.
func line(words string) mapCall { return mapCall{args: strings.Fields(words)} }

// lines is such calls, one after the other.
func lines(words ...string) mapChain {
	var c mapChain
	for _, w := range words {
		c = append(c, line(w))
	}
	return c
}

// otherwise is such calls whose outcomes differ.
func otherwise(why string, words ...string) mapChain {
	c := lines(words...)
	for i := range c {
		c[i].why = why
	}
	return c
}

// on gives all calls of a chain the same standard input.
func (c mapChain) on(input string) mapChain {
	for i := range c {
		c[i].input = input
	}
	return c
}

// each makes a chain of each call, so that they run at once.
func (c mapChain) each() []mapChain {
	var list []mapChain
	for _, o := range c {
		list = append(list, mapChain{o})
	}
	return list
}

// mapTools is both sides at work on the same files.
type mapTools struct {
	p     *pair
	files map[string]string
	turn  chan struct{} // bounds how many chains run at once
}

// mapTurns is how many chains run at once. Most of the time they sleep, since
// Postfix waits a second before it dies and after it made a file.
const mapTurns = 200

// test runs chains on both sides and compares what their users see.
func (o *mapTools) test(t *testing.T, chains []mapChain) {
	o.turn = make(chan struct{}, mapTurns)
	results := map[string][][]string{}
	var wait sync.WaitGroup
	for _, s := range o.p.sides(t) {
		said := make([][]string, len(chains))
		results[s.name] = said
		for i, c := range chains {
			dir := o.folder(t, c)
			wait.Go(func() {
				o.turn <- struct{}{}
				defer func() { <-o.turn }()
				for _, call := range c {
					said[i] = append(said[i], o.run(t, s, dir, call))
				}
			})
		}
	}
	wait.Wait()
	for i, c := range chains {
		for k, call := range c {
			t.Run(strings.Join(call.args, " "), func(t *testing.T) {
				want, got := results["theirs"][i][k], results["ours"][i][k]
				if want != got && call.why == "" {
					t.Errorf("input %.60q\n--- theirs\n%s\n--- ours\n%s", call.input, shorten(want), shorten(got))
				}
				if want == got && call.why != "" {
					t.Errorf("no difference, although %s", call.why)
				}
			})
		}
	}
}

// folder makes a working directory with the files that a chain names.
func (o *mapTools) folder(t *testing.T, c mapChain) string {
	t.Helper()
	dir, past := t.TempDir(), time.Now().Add(-time.Hour)
	for name, text := range o.files {
		if !slices.ContainsFunc(c, func(call mapCall) bool {
			return strings.Contains(strings.Join(call.args, " ")+call.input+call.main, name)
		}) {
			continue
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		// Postfix reads what was changed just now more than once.
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run makes a call and returns all that it leaves behind for its user.
func (o *mapTools) run(t *testing.T, s side, dir string, call mapCall) string {
	name := call.args[0]
	if name == "newaliases" {
		name = "sendmail"
	}
	cmd := s.command(name, call.args[1:]...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	bounded := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	bounded.Args[0] = call.args[0]
	bounded.Env, bounded.Dir, bounded.SysProcAttr = cmd.Env, dir, cmd.SysProcAttr
	if call.main != "" {
		bounded.Env = slices.Concat(bounded.Env, []string{"MAIL_CONFIG=" + o.configuration(t, s, dir, call.main)})
	}
	var out, errs bytes.Buffer
	bounded.Stdin, bounded.Stdout, bounded.Stderr = strings.NewReader(call.input), &out, &errs
	err := bounded.Run()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		t.Errorf("%s %q: %v", s.name, call.args, err)
		return s.name
	}
	stdout := out.String()
	if slices.ContainsFunc(call.args, func(arg string) bool { return strings.HasPrefix(arg, "-") && strings.HasSuffix(arg, "s") }) {
		stdout = listing(stdout)
	}
	if call.main != "" {
		made, _ := filepath.Glob(filepath.Join(dir, "*db"))
		errs.WriteString(strings.Join(made, "\n"))
	}
	return strings.ReplaceAll(strings.TrimSpace(bounded.ProcessState.String()+"\n"+stdout+o.messages(errs.String(), call.args[1:])), dir, "DIR")
}

// configuration makes a side's configuration with one more line.
func (o *mapTools) configuration(t *testing.T, s side, dir, main string) string {
	from, etc := o.p.ours.Etc(""), filepath.Join(dir, "etc")
	if s.name == "theirs" {
		from = filepath.Join(o.p.theirs.Dir, "etc")
	}
	err := os.CopyFS(etc, os.DirFS(from))
	if err == nil {
		var text []byte
		text, err = os.ReadFile(filepath.Join(etc, "main.cf"))
		text = regexp.MustCompile(`(?m)^alias_(maps|database) =.*\n`).ReplaceAll(text, nil)
		text = append(text, strings.ReplaceAll(main, "DIR", dir)+"\n"...)
		os.WriteFile(filepath.Join(etc, "main.cf"), text, 0o644)
	}
	if err != nil {
		t.Errorf("%s: %v", s.name, err)
	}
	return etc
}

// listing leaves out the order of a table's entries, which is that of its
// index, and the time.
func listing(text string) string {
	all := strings.SplitAfter(text, "\n")
	slices.Sort(all)
	return regexp.MustCompile(`(YP_LAST_MODIFIED:\t)\d+`).ReplaceAllString(strings.Join(all, ""), "${1}TIME")
}

// messages takes out of messages what differs by nature.
func (o *mapTools) messages(text string, args []string) string {
	for _, spec := range args {
		for _, kind := range []string{"", "hash:"} {
			text = strings.ReplaceAll(text, "fatal: open table "+kind+spec+": ", "fatal: ") // docs/coming-from-postfix.md
		}
	}
	for _, r := range []struct{ expr, to string }{
		{`\S*/(?:bin|sbin)/(post(?:map|alias):)`, "$1"},
		{`no such file or directory`, "No such file or directory"}, // Go's errors have no capitals
		{`not a directory`, "Not a directory"},
		{`is a directory`, "Is a directory"},
		{`\.cdb\b`, ".db"}, // the index files
		{`usage: .*`, "usage: SYNOPSIS"},
		{`(?m)^\S+: (?:name_mask|inet_addr_local|open hash|Compiled|Run-time).*\n`, ""}, // of -v
		{`the Post(?:fix|house) showq`, "the SUITE showq"},
		{`((?:hash|table \w*):\w+)\.db:`, "$1:"},                  // ours name the table as the caller does
		{`(dictionary type: [\w-]*)\. Is the postfix-.*\?`, "$1"}, // Debian's packages
	} {
		text = regexp.MustCompile(r.expr).ReplaceAllString(text, r.to)
	}
	return text
}

// shorten cuts long lines in a report.
func shorten(text string) string {
	all := strings.Split(text, "\n")
	for i, l := range all {
		if len(l) > 300 {
			all[i] = l[:300] + "..."
		}
	}
	return strings.Join(all, "\n")
}
