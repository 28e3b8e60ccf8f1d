package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
)

// oddLayout is a queue after accidents: a repair that was interrupted, backups
// restored by hand, other hash settings. Names of less than five letters are
// not among them: the reference goes by what happens to stand behind those in memory.
func oddLayout() []file {
	return []file{
		{label: "interrupted", queue: "deferred", dir: "1", after: fixSuffix, mode: 0o700, logs: "defer"},
		{label: "interrupted elsewhere", queue: "deferred", dir: "2", after: fixSuffix, mode: 0o700},
		{label: "interrupted long", queue: "hold", long: true, after: fixSuffix, mode: 0o700},
		{label: "interrupted misfit", queue: "incoming", name: "1E240BADBAD#FIX", mode: 0o700},
		{label: "interrupted log", queue: "bounce", name: "1E240BADBAD#FIX", mode: 0o600},
		{label: "interrupted site", queue: "flush", name: "example_org#FIX", mode: 0o600},
		{label: "fix of nothing", queue: "hold", name: "#FIX", mode: 0o700},
		{label: "fixed twice", queue: "hold", name: "1E240BADBAD#FIX#FIX", mode: 0o700},
		{label: "restored in hold", queue: "hold", name: "1E240BADBA1", mode: 0o700, logs: "defer trace bounce"},
		{label: "restored in active", queue: "active", name: "1E240BADBA2", mode: 0o700},
		{label: "restored in maildrop", queue: "maildrop", name: "1E240BADBA3", mode: 0o700},
		{label: "restored unfinished", queue: "incoming", name: "1E240BADBA4", mode: 0o600},
		{label: "restored corrupt", queue: "incoming", name: "1E240BADBA5", mode: 0o400},
		{label: "restored expired", queue: "hold", name: "1E240BADBA6", mode: 0o700 | queue.ModeExpire},
		{label: "of other times", queue: "deferred", dir: "9", name: "9E240BADBA7", mode: 0o700},
		{label: "readable", queue: "deferred", dir: "1", mode: 0o755},
		{label: "open to all", queue: "active", mode: 0o777},
		{label: "no mode", queue: "incoming", mode: 0},
		{label: "old without mode", queue: "incoming", mode: 0, old: true},
		{label: "read only", queue: "hold", mode: 0o400},
		{label: "old write only", queue: "hold", mode: 0o200, old: true},
		{label: "old writing", queue: "maildrop", mode: 0o644, old: true},
		{label: "old expired unready", queue: "hold", mode: 0o600 | queue.ModeExpire, old: true},
		{label: "log where another's is", queue: "defer", dir: "F", name: "1E240BADBB1", mode: 0o600},
		{label: "old log", queue: "trace", name: "1E240BADBB2", mode: 0o600, old: true},
		{label: "odd log mode", queue: "bounce", dir: "1/E", name: "1E240BADBB3", mode: 0o644},
		{label: "hidden", queue: "hold", name: ".hidden", mode: 0o700},
		{label: "old hidden", queue: "incoming", name: ".hidden", mode: 0o600, old: true},
		{label: "backup", queue: "hold", name: "1E240BADBC2~", mode: 0o700},
		{label: "blank", queue: "hold", name: "1E240 BADBC3", mode: 0o700},
		{label: "control", queue: "hold", name: "1E240\x1b[1m\n", mode: 0o700},
		{label: "bytes", queue: "hold", name: "1E240\xff\xfe", mode: 0o700},
		{label: "in a folder of two letters", queue: "hold", dir: "AB", mode: 0o700},
		{label: "in a folder of the maildrop", queue: "maildrop", dir: "A", mode: 0o700},
		{label: "below a lower case folder", queue: "deferred", dir: "a", mode: 0o700},
		{label: "below a dot", queue: "active", dir: "_", mode: 0o700},
	}
}

// TestStructureAsPostfix: what accidents left is mended as Debian's postsuper
// mends it.
func TestStructureAsPostfix(t *testing.T) {
	refpostfix.Root(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, settings := range map[string]string{
		"as shipped": "",
		"no hash":    "hash_queue_names = saved\n",
		"hold":       "hash_queue_names = hold, active, trace\n",
		"depth 2":    "hash_queue_depth = 2\nhash_queue_names = deferred, defer, hold, incoming, bounce, active, flush\n",
		"long":       "enable_long_queue_ids = yes\n",
		"long deep":  "enable_long_queue_ids = yes\nhash_queue_depth = 3\nhash_queue_names = deferred, defer, hold\n",
	} {
		for _, command := range []string{
			"", "-s", "-S", "-p", "-ps", "-sS", "-s -s", "-s hold", "-s deferred", "-s maildrop", "-s incoming active", "-s bounce", "-s defer deferred trace", "-p hold", "-p incoming", "-s flush", "-p trace",
			"-s -h ALL", "-s -r ALL deferred", "-s -d ALL hold", "-s -e ALL", "-d ALL hold",
		} {
			t.Run(name+"/"+command, func(t *testing.T) {
				t.Parallel()
				ours := &exec.Cmd{Path: self, Args: []string{"postsuper"}, Env: append(os.Environ(), asCommand+"=1")}
				want := grow(t, oddLayout(), settings, command).apply(t, refpostfix.Tool(t, "postsuper"), command)
				got := grow(t, oddLayout(), settings, command).apply(t, ours, command)
				if slices.ContainsFunc(want.Messages, gaveUp.MatchString) {
					if got.Status != 0 {
						t.Errorf("postsuper %s: %+v", command, got)
					}
					return
				}
				for _, r := range []*result{&want, &got} {
					r.Files = without(r.Files, command)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("postsuper %s differs (-reference +ours):\n%s", command, diff)
				}
			})
		}
	}
}

// gaveUp is what the reference says where folders are deeper than the settings
// say; ours goes on.
var gaveUp = regexp.MustCompile("fatal: remove directory .*: Directory not empty")

// ofNobody is the new name of logs whose message is gone.
var ofNobody = regexp.MustCompile(`\b1E240[0-9A-F]+#FIX`)

// without takes out of a list of files what differs for a reason: the reference
// does not look at logs of success unless it is told to.
func without(files []string, command string) []string {
	var list []string
	for _, line := range files {
		if strings.HasPrefix(line, "trace/") && !strings.Contains(command, "trace") {
			continue
		}
		if strings.Contains(command, "-d ALL") {
			line = ofNobody.ReplaceAllString(line, "<gone>")
		}
		list = append(list, line)
	}
	return list
}

// TestShortNames: what is shorter than any queue id is told and left alone.
func TestShortNames(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: another owner's queue needs root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	files := []file{{label: "four", queue: "deferred", name: "1E24", mode: 0o700}, {label: "one", queue: "hold", name: "1", mode: 0o700}}
	for _, command := range []string{"-s", "-S", "-s deferred hold"} {
		ours := &exec.Cmd{Path: self, Args: []string{"postsuper"}, Env: append(os.Environ(), asCommand+"=1")}
		got := grow(t, files, "hash_queue_names = saved\n", command).apply(t, ours, command)
		for _, name := range []string{"deferred/1E24", "hold/1"} {
			if !slices.Contains(got.Messages, "postsuper: warning: bogus file name: "+name) ||
				!slices.ContainsFunc(got.Files, func(f string) bool { return strings.HasPrefix(f, name+" ") }) {
				t.Errorf("postsuper %s, %s: %+v", command, name, got)
			}
		}
	}
}
