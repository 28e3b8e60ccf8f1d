package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
)

// asCommand makes the test binary the command, which gives up root for good.
const asCommand = "POSTHOUSE_TEST_POSTSUPER"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(run(os.Args[1:], os.Stdin))
	}
	// Postfix's tools sleep before each fatal error, and do nothing meanwhile.
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// file is one file of a queue as it is before.
type file struct {
	label string // its contents, by which it is known whatever its name
	queue string
	name  string // a fixed name; else one that fits the inode
	long  bool
	dir   string // below the queue
	mode  os.FileMode
	old   bool   // more than a week
	logs  string // the queues that have a log of the same name
	after string // what follows a name that fits the inode
}

// layout is a queue that has seen much.
func layout() []file {
	return []file{
		{label: "deferred", queue: "deferred", dir: "1", mode: 0o700, logs: "defer trace"},
		{label: "misplaced", queue: "deferred", mode: 0o700, logs: "defer"},
		{label: "deep", queue: "deferred", dir: "1/E/2/4", mode: 0o700},
		{label: "long", queue: "deferred", long: true, mode: 0o700},
		{label: "restored", queue: "deferred", name: "1E240BADBAD", dir: "1", mode: 0o700, logs: "defer bounce"},
		{label: "restored-long", queue: "deferred", name: "4h0kNk0vhRzBBDBBD", mode: 0o700, logs: "bounce"},
		{label: "new", queue: "incoming", mode: 0o700},
		{label: "unfinished", queue: "incoming", mode: 0o600},
		{label: "abandoned", queue: "incoming", mode: 0o600, old: true},
		{label: "ancient", queue: "incoming", mode: 0o700, old: true},
		{label: "active", queue: "active", mode: 0o700, logs: "bounce"},
		{label: "held", queue: "hold", mode: 0o700},
		{label: "held-expired", queue: "hold", mode: 0o700 | queue.ModeExpire},
		{label: "dropped", queue: "maildrop", mode: 0o700},
		{label: "dropping", queue: "maildrop", mode: 0o600, old: true},
		{label: "no message", queue: "hold", name: "x.tmp", mode: 0o700},
		{label: "odd log", queue: "defer", name: "odd,log", mode: 0o600},
		{label: "site", queue: "flush", name: "example_com", mode: 0o600, old: true},
	}
}

// tree is a queue directory and the names in it.
type tree struct {
	dir string
	ids map[string]string // by label
}

// inode returns the number of the file, from which its name is made.
func inode(fi os.FileInfo) uint64 { return fi.Sys().(*syscall.Stat_t).Ino }

var queueNames = []string{"maildrop", "incoming", "active", "deferred", "hold", "corrupt", "bounce", "defer", "trace", "flush", "saved", "pid", "public", "private"}

// grow makes a queue directory with the files of the layout.
func grow(t *testing.T, files []file, settings, command string) *tree {
	t.Helper()
	dir, err := os.MkdirTemp("", "psup") // searchable by the mail owner
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(dir, 0o755))
	for _, name := range queueNames {
		must(os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	tr := &tree{dir: dir, ids: map[string]string{}}
	then := time.Unix(1795230845, 123456000)
	for _, f := range files {
		if f.label == "deep" && command != "" && !strings.Contains(command, "s") && !strings.Contains(command, "S") {
			// The reference gives up where a repair is due.
			continue
		}
		sub := filepath.Join(dir, f.queue, f.dir)
		must(os.MkdirAll(sub, 0o700))
		temp := filepath.Join(sub, "new")
		must(os.WriteFile(temp, []byte(f.label), 0o600))
		fi, err := os.Stat(temp)
		must(err)
		if f.name == "" {
			f.name = string(queue.NewID(then, inode(fi), f.long)) + f.after
		}
		tr.ids[f.label] = f.name
		must(os.Rename(temp, filepath.Join(sub, f.name)))
		must(os.Chmod(filepath.Join(sub, f.name), f.mode))
		age := 72 * time.Hour
		if f.old {
			age = 8 * 24 * time.Hour
		}
		must(os.Chtimes(filepath.Join(sub, f.name), time.Now().Add(-age), time.Now().Add(-age)))
		for _, log := range strings.Fields(f.logs) {
			must(os.WriteFile(filepath.Join(dir, log, f.name), []byte(log+" log of "+f.label), 0o600))
		}
	}
	must(os.Mkdir(filepath.Join(dir, "hold", "folder"), 0o700))
	must(os.Symlink("/etc/passwd", filepath.Join(dir, "active", "12345ABCDEF")))
	must(filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		return os.Lchown(path, 1, 1)
	}))
	main := "queue_directory = " + dir + "\ncompatibility_level = 3.6\nmail_owner = daemon\nsetgid_group = mail\n" +
		"myhostname = host.example\ninet_interfaces = 127.0.0.1\nmaillog_file = /dev/null\nmaillog_file_prefixes = /\n" + settings
	must(os.WriteFile(filepath.Join(dir, "main.cf"), []byte(main), 0o644))
	return tr
}

// anyID is every name that the files have or may get.
var anyID = regexp.MustCompile(`\b[0-9A-Zb-z][0-9A-Za-z]{8,18}\b`)

// neutral replaces the part of a name that comes from the inode: it differs
// between two trees.
func neutral(text string, labels map[string]string) string {
	return anyID.ReplaceAllStringFunc(text, func(id string) string {
		if label, ok := labels[id]; ok {
			return "<" + label + ">"
		}
		return id
	})
}

// after lists what a tree has, a line a file: where, mode, whether it is
// fresh, what it holds.
func (tr *tree) after(t *testing.T, command string, labels map[string]string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(tr.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == tr.dir || filepath.Dir(path) == tr.dir {
			return err
		}
		rel, _ := filepath.Rel(tr.dir, path)
		switch name, _, _ := strings.Cut(rel, "/"); {
		case d.IsDir() && len(d.Name()) == 1 && slices.Contains([]string{"bounce", "defer", "trace"}, name):
			// The reference makes directories for logs that are not there.
			return nil
		case name == "trace" && strings.Contains(command, "-d ALL"):
			// It leaves these logs, of messages that are gone.
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		text := ""
		if fi.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = string(b)
			id := queue.ID(strings.TrimSuffix(d.Name(), fixSuffix))
			if ino, ok := id.Inode(); ok && ino == inode(fi) {
				long := ""
				if id.Long() {
					long = " long"
				}
				labels[string(id)] = text + long + " by inode"
			}
		}
		// That of many it does not set; pickup does not mind.
		fresh := !d.IsDir() && time.Since(fi.ModTime()) < 24*time.Hour && !strings.Contains(command, "-r ALL")
		lines = append(lines, fmt.Sprintf("%s %v fresh=%v %q", rel, fi.Mode(), fresh, text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The directory of a long name comes from its time, that of a short one
	// too: they are the same in both trees.
	for i := range lines {
		lines[i] = neutral(lines[i], labels)
	}
	slices.Sort(lines)
	return lines
}

// result is what a run says and leaves.
type result struct {
	Status   int
	Messages []string
	Files    []string
}

// apply runs a command on a tree.
func (tr *tree) apply(t *testing.T, cmd *exec.Cmd, command string) result {
	t.Helper()
	args := strings.Fields(command)
	for i, arg := range args {
		if label, ok := strings.CutPrefix(arg, "@"); ok {
			args[i] = tr.ids[label]
		}
	}
	labels := map[string]string{}
	for label, id := range tr.ids {
		labels[id] = label
	}
	cmd.Args = append(cmd.Args, args...)
	cmd.Env = append(cmd.Env, "MAIL_CONFIG="+tr.dir)
	cmd.Stdin = strings.NewReader(tr.ids["new"] + "\n" + tr.ids["held"] + "\n")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	r := result{Status: cmd.ProcessState.ExitCode()}
	r.Files = tr.after(t, command, labels)
	text := strings.ReplaceAll(out.String(), filepath.Dir(cmd.Path)+"/", "")
	for line := range strings.Lines(neutral(text, labels)) {
		r.Messages = append(r.Messages, strings.TrimSpace(line))
	}
	// The reference walks once for each option, and repeats itself.
	slices.Sort(r.Messages)
	r.Messages = slices.Compact(r.Messages)
	return r
}

// TestAsPostfix gives two equal queues to Debian's postsuper and to ours, and
// compares what they say and what is there afterwards.
func TestAsPostfix(t *testing.T) {
	refpostfix.Root(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, settings := range map[string]string{
		"as shipped": "",
		"other":      "hash_queue_names = hold\n",
		"deep":       "hash_queue_depth = 2\nhash_queue_names = deferred, defer, hold, incoming, bounce\nenable_long_queue_ids = yes\n",
		"maildrop":   "hash_queue_names = maildrop\n",
	} {
		for _, command := range []string{
			"", "-s", "-p", "-S", "-ps", "-s defer deferred", "-p maildrop", "-s hold",
			"-d @deferred", "-d @misplaced", "-d @long", "-d @dropped", "-d @restored", "-d @active hold", "-d @held hold", "-d a/../b", "-d 1E240000000",
			"-d @unfinished", "-d -", "-d ALL", "-d ALL deferred", "-d ALL maildrop", "-d ALL bounce", "-d @new -d @held", "-d all",
			"-h @deferred", "-h @new", "-h @dropped", "-h @held", "-h -", "-h ALL", "-h ALL deferred", "-h ALL hold", "-h ALL maildrop",
			"-H @held", "-H @deferred", "-H ALL", "-H ALL deferred", "-H -",
			"-r @deferred", "-r @held", "-r @dropped", "-r ALL", "-r ALL hold", "-r ALL maildrop", "-r -",
			"-e @deferred", "-e @held-expired", "-e @dropped", "-e ALL", "-e ALL hold", "-f @held", "-f @held-expired", "-f @deferred", "-f ALL",
			"-h @new -H @held -r @active -d @deferred -e @misplaced", "-d ALL -r ALL", "-h ALL -H ALL", "-e ALL -h ALL", "-f ALL -r @held",
			"-s -d @deferred", "-s -d ALL", "-s -h ALL", "-p -h @new",
			"-s nosuch", "-d ALL corrupt", "-c etc -s",
		} {
			if !hashed(name, command) {
				continue
			}
			t.Run(name+"/"+command, func(t *testing.T) {
				t.Parallel() // the reference sleeps before it gives up
				theirs := refpostfix.Tool(t, "postsuper")
				ours := &exec.Cmd{Path: self, Args: []string{"postsuper"}, Env: append(os.Environ(), asCommand+"=1")}
				want := grow(t, layout(), settings, command).apply(t, theirs, command)
				got := grow(t, layout(), settings, command).apply(t, ours, command)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("postsuper %s differs (-reference +ours):\n%s", command, diff)
				}
			})
		}
	}
}

// TestPurgeKeepsCorrupt: unlike what was never whole, a message that was found
// corrupt was accepted, whatever its age.
func TestPurgeKeepsCorrupt(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: another owner's queue needs root")
	}
	tr := grow(t, layout(), "", "-p")
	path := filepath.Join(tr.dir, "incoming", tr.ids["abandoned"])
	if err := os.Chmod(path, queue.ModeCorrupt); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := tr.apply(t, &exec.Cmd{Path: self, Args: []string{"postsuper"}, Env: append(os.Environ(), asCommand+"=1")}, "-p")
	if _, err := os.Stat(path); err != nil || r.Status != 0 {
		t.Errorf("%v, %+v", err, r)
	}
	if _, err := os.Stat(filepath.Join(tr.dir, "maildrop", tr.ids["dropping"])); err == nil {
		t.Error("an abandoned file is still there")
	}
}

// hashed tells whether a layout of hash directories matters for a command.
func hashed(name, command string) bool {
	switch name {
	case "as shipped":
		return true
	case "other": // the reference gives up where a directory is to go
		return strings.Contains(command, "-s") || command == "" || command == "-d @deferred"
	case "maildrop":
		return command == "-s" || command == "-d ALL maildrop" || command == "-d @deferred"
	}
	return strings.Contains(command, "s") || strings.Contains(command, "ALL") || command == "" || command == "-d @deferred"
}
