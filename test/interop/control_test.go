package interop

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestControlLikePostfix: posthouse and postfix(1) have the same exit status in
// the same state, and what they say has the same words.
func TestControlLikePostfix(t *testing.T) {
	p := newPair(t)
	etc := filepath.Join(p.theirs.Dir, "etc")
	// postfix(1) wants the list of its files; those of this unpacked package
	// are elsewhere.
	if err := os.WriteFile(filepath.Join(etc, "postfix-files"), []byte("#\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	postfix := func(args ...string) (int, string) {
		cmd := p.theirs.Command("/usr/sbin/postfix", append([]string{"-c", etc}, args...)...)
		return ended(t, cmd)
	}
	posthouse := func(args ...string) (int, string) { return ended(t, p.ours.Command("posthouse", args...)) }
	stop := func() {
		postfix("abort")
		posthouse("abort")
	}
	t.Cleanup(stop)
	type step struct {
		command string
		words   string // an expression for what both say; "" is not looked at
		differs string // why the status is another
		status  int    // of postfix
	}
	broken := func(name, text string) func() {
		return func() {
			for _, dir := range []string{etc, p.ours.Etc("")} {
				path := filepath.Join(dir, name)
				old := contents(t, path)
				if err := os.WriteFile(path, []byte(old+text), 0o644); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.WriteFile(path, []byte(old), 0o644) })
			}
		}
	}
	down := []step{{command: "status", words: "the mail system is not running"}, {command: "stop", words: "the mail system is not running"},
		{command: "abort", words: "the mail system is not running"}, {command: "reload", words: "the mail system is not running"},
		{command: "flush"}, {command: "check"}}
	up := []step{{command: "start", words: "start"}, {command: "start", words: "the mail system is already running"},
		{command: "start-fg", words: "the mail system is already running"}, {command: "status", words: "the mail system is running: PID: \\d+"},
		{command: "reload", words: ""}, {command: "flush"}, {command: "check"}, {command: "stop"}, {command: "status", words: "not running"}}
	again := []step{{command: "start"}, {command: "abort"}, {command: "status", words: "not running"}}
	wrong := []step{{command: "begin", differs: "an unknown command is wrong usage"}, {command: "", differs: "no command is wrong usage"}}
	for _, part := range []struct {
		name   string
		before func()
		steps  []step
	}{
		{"down", nil, down}, {"up", nil, up}, {"again", nil, again}, {"wrong", nil, wrong},
		{"main.cf", broken("main.cf", "nonsense without sign\n"), []step{{command: "start"}, {command: "check"}, {command: "status"}}},
	} {
		t.Run(part.name, func(t *testing.T) {
			if part.before != nil {
				part.before()
			}
			for _, side := range []struct {
				name string
				run  func(...string) (int, string)
			}{{"postfix", postfix}, {"posthouse", posthouse}} {
				for i := range part.steps {
					s := &part.steps[i]
					status, said := side.run(strings.Fields(s.command)...)
					// postfix(1) talks to terminals only, otherwise to its log.
					if side.name == "posthouse" && s.words != "" && !regexp.MustCompile(s.words).MatchString(said) {
						t.Errorf("posthouse %s: no %q in %s", s.command, s.words, said)
					}
					t.Logf("%s %s: %d %s", side.name, s.command, status, said)
					if side.name == "postfix" {
						s.status = status
					} else if (s.status != status) != (s.differs != "") {
						t.Errorf("%s: posthouse returns %d, postfix %d (%s)", s.command, status, s.status, s.differs)
					}
				}
				stop()
			}
		})
	}
}

// ended runs a command and returns its exit status and what it says.
func ended(t *testing.T, cmd *exec.Cmd) (int, string) {
	t.Helper()
	// A daemon may keep the descriptor of the output.
	f, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), contents(t, f.Name())
}
