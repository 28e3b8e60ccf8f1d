package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// odd is one command, or several in turn, called with odd input. DIR in an
// argument is the directory of the case.
type odd struct {
	name  string
	files map[string]string // in the directory of the case, before
	calls [][]string
	input string
	why   string // differs, and why
	words string // only the text of the fatal error differs, and why
}

// oddSide is a side of the comparison: its commands, by name.
type oddSide struct {
	name    string
	command func(dir, name string, args ...string) *exec.Cmd
}

// oddAtOnce is how many calls run at once: Postfix's commands sleep for a second
// before each fatal error, and do nothing meanwhile.
const oddAtOnce = 48

// oddSides returns both sides of commands that need no mail system.
func oddSides(t *testing.T) []oddSide {
	bin := testkit.Bin(t)
	env := func(cmd *exec.Cmd, dir string) *exec.Cmd {
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "MAIL_CONFIG="+dir, "LC_ALL=C")
		return cmd
	}
	return []oddSide{{"theirs", func(dir, name string, args ...string) *exec.Cmd {
		cmd := refpostfix.Tool(t, name, args...)
		cmd.Args[0] = name
		return env(cmd, dir)
	}}, {"ours", func(dir, name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Env = os.Environ()
		return env(cmd, dir)
	}}}
}

// compareOdd runs the cases on both sides, each in a directory of its own, and
// compares what they say and what the directory has afterwards.
func compareOdd(t *testing.T, cases []odd, plain func(text string) string) {
	t.Helper()
	sides := oddSides(t)
	results := make([][2]string, len(cases))
	var wg sync.WaitGroup
	places := make(chan bool, oddAtOnce)
	for i, c := range cases {
		for n, s := range sides {
			dir := filepath.Join(t.TempDir(), "d")
			if err := writeAll(dir, c.files); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				places <- true
				defer func() { <-places }()
				results[i][n] = plain(s.trace(dir, c))
			})
		}
	}
	wg.Wait()
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := oddDiff(results[i])
			if (d == "") != (c.why == "" && c.words == "") {
				t.Errorf("differs? %q%q (-theirs +ours):\n%s", c.why, c.words, d)
			}
			for n, text := range results[i] {
				results[i][n] = fatalText.ReplaceAllString(text, "fatal: TEXT")
			}
			if d := oddDiff(results[i]); d != "" && c.why == "" {
				t.Errorf("not only in the words (-theirs +ours):\n%s", d)
			}
		})
	}
}

// writeAll makes files in a new directory.
func writeAll(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// trace runs a case and tells all that it leaves behind.
func (s oddSide) trace(dir string, c odd) string {
	var b strings.Builder
	for _, call := range c.calls {
		var args []string
		for _, a := range call[1:] {
			args = append(args, strings.ReplaceAll(a, "DIR", dir))
		}
		cmd := s.command(dir, call[0], args...)
		var o, e bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.input), &o, &e
		cmd.WaitDelay = time.Minute
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			fmt.Fprintln(&b, err)
			continue
		}
		fmt.Fprintf(&b, "status %d\n%s--\n%s", cmd.ProcessState.ExitCode(), o.String(), e.String())
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			name, _ := filepath.Rel(dir, path)
			info, _ := d.Info()
			text, _ := os.ReadFile(path)
			if string(text) != c.files[name] {
				fmt.Fprintf(&b, "== %s %v\n%s", name, info.Mode(), text)
			}
		}
		return nil
	})
	return strings.ReplaceAll(b.String(), dir, "DIR")
}

func oddDiff(results [2]string) string {
	return cmp.Diff(strings.Split(results[0], "\n"), strings.Split(results[1], "\n"))
}

// fatalText is what the last line of a command that failed says.
var fatalText = regexp.MustCompile(`fatal: .*`)
