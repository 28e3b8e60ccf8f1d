package interop

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// odd is one command, or several in turn, called with odd input. DIR in an
// argument is the directory of the case.
type odd struct {
	name   string
	files  map[string]string // in the directory of the case, before
	calls  [][]string
	input  string
	nobody bool                   // the caller is an ordinary user
	locked bool                   // the mail owner cannot search the queue directory
	site   bool                   // the directory has a queue, in spool, and main.cf is in etc
	modes  map[string]os.FileMode // of files in spool; others are complete messages
	why    string                 // differs, and why
	words  string                 // only the text of the fatal error differs, and why
}

// oddSide is a side of the comparison: its commands, by name.
type oddSide struct {
	name    string
	command func(dir, name string, args ...string) *exec.Cmd
	mainCf  string // of a site
}

// oddAtOnce is how many calls run at once: Postfix's commands sleep for a second
// before each fatal error, and do nothing meanwhile.
const oddAtOnce = 48

// oddSides returns both sides of commands that need no mail system.
func oddSides(t *testing.T) []oddSide {
	bin, root := testkit.Bin(t), refpostfix.Root(t)
	env := func(cmd *exec.Cmd, dir, name string) *exec.Cmd {
		cmd.Dir, cmd.Args[0] = dir, name
		cmd.Env = append(cmd.Env, "LC_ALL=C", "TZ=UTC", "NAME=Full Name")
		if _, err := os.Stat(dir + "/etc"); err == nil {
			dir += "/etc"
		}
		cmd.Env = append(cmd.Env, "MAIL_CONFIG="+dir)
		return cmd
	}
	program := map[string]string{"mailq": "sendmail", "newaliases": "sendmail"}
	theirs := refpostfix.Tool(t, "postconf").Env
	libraries := theirs[len(theirs)-1]
	return []oddSide{{"theirs", func(dir, name string, args ...string) *exec.Cmd {
		return env(refpostfix.Tool(t, cmp.Or(program[name], name), args...), dir, name)
	}, fmt.Sprintf("command_directory = %[1]s/usr/sbin\ndaemon_directory = %[1]s/usr/lib/postfix/sbin\nshlib_directory = %[1]s/usr/lib/postfix\nimport_environment = MAIL_CONFIG TZ NAME %[2]s\nexport_environment = MAIL_CONFIG TZ NAME LD_LIBRARY_PATH\n",
		root, libraries)}, {"ours", func(dir, name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Env = os.Environ()
		return env(cmd, dir, name)
	}, fmt.Sprintf("command_directory = %[1]s\ndaemon_directory = %[1]s\n", bin)}}
}

// oddSite is main.cf of both sides, which have Debian's fixed accounts.
const oddSite = `compatibility_level = 3.6
queue_directory = DIR/spool
data_directory = DIR/data
meta_directory = DIR/etc
maillog_file = DIR/log
maillog_file_prefixes = /
mail_owner = daemon
setgid_group = mail
myhostname = host.test
alias_maps =
alias_database =
`

// build makes the directory of a case.
func (s oddSide) build(dir string, c odd) error {
	if err := writeAll(dir, c.files); err != nil || !c.site {
		return err
	}
	text := oddSite
	if strings.Contains(c.files["main.cf"], "alias_database") {
		text = strings.ReplaceAll(text, "alias_database =\n", "")
	}
	text = strings.ReplaceAll(text+s.mainCf+c.files["main.cf"], "DIR", dir)
	if err := writeAll(dir, map[string]string{"etc/main.cf": text, "etc/master.cf": ""}); err != nil {
		return err
	}
	if err := os.WriteFile(dir+"/log", nil, 0o666); err != nil {
		return err
	}
	for name := range c.files {
		mode := cmp.Or(c.modes[name], 0o700)
		if !strings.HasPrefix(name, "spool/") {
			continue
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			return err
		}
	}
	if err := madeDirs(dir); err != nil || !c.locked {
		return err
	}
	return os.Chmod(dir+"/spool", 0o700)
}

// madeDirs makes the directories of a queue, and gives what is in them to the
// mail owner.
func madeDirs(dir string) error {
	const daemon, mail = 1, 8
	for _, d := range []string{"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace", "maildrop", "public", "pid", "../data"} {
		path, mode, gid := filepath.Join(dir, "spool", d), os.FileMode(0o700), daemon
		switch d {
		case "maildrop":
			mode, gid = 0o730, mail
		case "public":
			mode, gid = 0o710, mail
		case "pid":
			mode = 0o755
		}
		if err := os.MkdirAll(path, mode); err != nil {
			return err
		}
		err := filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Chown(path, daemon, gid))
		})
		if err != nil {
			return err
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
	}
	os.Chmod(dir+"/log", 0o666)
	os.Chmod(dir+"/spool", 0o755)
	return os.Chown(filepath.Join(dir, "spool/pid"), 0, 0)
}

// compareOdd runs the cases on both sides, each in a directory of its own, and
// compares what they say and what the directory has afterwards.
func compareOdd(t *testing.T, cases []odd, plain func(text string) string) {
	t.Helper()
	sides := oddSides(t)
	results := make([][2]string, len(cases))
	var wg sync.WaitGroup
	places := make(chan bool, oddAtOnce)
	// Not t.TempDir, which others than root may not search.
	base, err := os.MkdirTemp("", "odd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	os.Chmod(base, 0o755)
	for i, c := range cases {
		if c.nobody {
			if err := publish(base, filepath.Join(testkit.Bin(t), c.calls[0][0])); err != nil {
				t.Fatal(err)
			}
		}
		for n, s := range sides {
			dir := fmt.Sprintf("%s/%s%04d", base, s.name[:1], i)
			if err := s.build(dir, c); err != nil {
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

// publish copies a program, once.
func publish(dir, program string) error {
	to := filepath.Join(dir, filepath.Base(program))
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
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
		if c.nobody {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			if s.name == "ours" {
				cmd.Path = filepath.Join(filepath.Dir(dir), call[0]) // the source tree may be closed to nobody
			}
		}
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
	b.WriteString(traces(dir, c))
	return strings.ReplaceAll(b.String(), dir, "DIR")
}

// traces lists what is in a directory and was not there before, files of a queue
// in any case.
func traces(dir string, c odd) string {
	var b strings.Builder
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		name, _ := filepath.Rel(dir, path)
		info, _ := d.Info()
		text, _ := os.ReadFile(path)
		switch {
		case c.site && strings.HasPrefix(name, "etc/"):
		case strings.HasSuffix(name, ".cdb"):
			fmt.Fprintf(&b, "== %s %v %s\n", name, info.Mode(), ownerOf(info))
		case c.site && strings.HasPrefix(name, "spool/"):
			fmt.Fprintf(&b, "== %s %v %s\n", name, info.Mode(), ownerOf(info))
			if string(text) != c.files[name] {
				b.WriteString(recordsOf(text))
			}
		case string(text) != c.files[name]:
			fmt.Fprintf(&b, "== %s %v\n%s", name, info.Mode(), text)
		}
		return nil
	})
	return b.String()
}

// recordsOf lists the records of a queue file but those of time and size.
func recordsOf(text []byte) string {
	var b strings.Builder
	r := queue.NewRecordReader(bytes.NewReader(text))
	for {
		rec, err := r.Next()
		if err != nil {
			return b.String()
		}
		if rec.Type != queue.RecTime && rec.Type != queue.RecSize {
			fmt.Fprintf(&b, "%c %q\n", rec.Type, rec.Data)
		}
	}
}

func oddDiff(results [2]string) string {
	return gocmp.Diff(strings.Split(results[0], "\n"), strings.Split(results[1], "\n"))
}

// fatalText is what the last line of a command that failed says.
var fatalText = regexp.MustCompile(`fatal: .*`)

// substitution takes out of a text what differs by nature.
type substitution struct{ expr, to string }

func plainText(text string, list []substitution) string {
	for _, r := range list {
		text = regexp.MustCompile(r.expr).ReplaceAllString(text, r.to)
	}
	return text
}
