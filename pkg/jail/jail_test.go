package jail

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// inmate builds the program that enters jails, where everybody may run it.
var inmate = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "jail-test")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	out := filepath.Join(dir, "inmate")
	cmd := exec.Command("go", "build", "-o", out, "./testdata/inmate")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build inmate: %w: %s", err, text)
	}
	return out, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, err := inmate(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(status)
}

// imprison runs an inmate and returns its answers.
func imprison(t *testing.T, p fmt.Stringer, chroot bool, uid int) map[string]string {
	t.Helper()
	dir := t.TempDir()
	os.Chmod(filepath.Dir(dir), 0o755)
	for _, d := range []string{"queue", "queue/sub", "data"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o777); err != nil {
			t.Fatal(err)
		}
		os.Chmod(filepath.Join(dir, d), 0o777)
	}
	os.WriteFile(filepath.Join(dir, "queue/file"), nil, 0o644)
	self, err := inmate()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, p.String(), dir)
	if chroot {
		cmd.Args = append(cmd.Args, "chroot")
	}
	if uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	answers := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		answers[name] = value
	}
	if answers["applied"] == "" {
		t.Fatalf("no jail: %s", out)
	}
	t.Logf("%s", answers["applied"])
	return answers
}

func TestProfiles(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: entering jails as root needs root")
	}
	for _, tc := range []struct {
		name    string
		profile Profile
		chroot  bool
		can     string
		cannot  string
	}{
		{"queue only", QueueOnly, true, "read queue,write queue,move in queue,unix",
			"write data,exec,inet,packet,root again,ptrace,unshare,signal,listen,fifo,socket node"},
		{"queue only without chroot", QueueOnly, false, "read queue,write queue,move in queue,unix",
			"read outside,write data,exec,inet,packet,root again,ptrace,unshare,signal,listen"},
		{"network", Network, true, "unix,inet", "read queue,write queue,move in queue,exec,packet,root again,ptrace,unshare"},
		{"client", Client, false, "read queue,write queue,move in queue,unix,inet", "read outside,exec,packet,root again,ptrace,fifo,socket node"},
		{"helper", Helper, false, "read outside,write data,inet,unix", "write queue,exec,packet,root again,ptrace,fifo outside,socket node"},
		{"log writer", LogWriter, false, "unix", "read queue,read outside,write data,exec,inet,root again"},
		{"parent", Parent, false, "read queue,read outside,write data,exec,unix,inet,root again", "unshare,packet"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			check(t, imprison(t, tc.profile, tc.chroot, 0), tc.can, tc.cannot)
		})
	}
}

// TestOrdinaryUser: without root, landlock and seccomp are what is left.
func TestOrdinaryUser(t *testing.T) {
	uid := os.Getuid()
	if uid == 0 {
		uid = 65534
	}
	got := imprison(t, QueueOnly, true, uid)
	check(t, got, "read queue,write queue,move in queue,unix", "read outside,write data,exec,inet,root again,ptrace,fifo,fifo outside,socket node,bind")
	if !strings.Contains(got["applied"], "not applied: chroot (not root), user (not root)") {
		t.Errorf("applied: %s", got["applied"])
	}
}

// confined stands for ConfineTo or ConfineUser in the place of a profile.
type confined string

func (c confined) String() string { return string(c) }

// TestConfineTo: a worker that runs as a user already keeps to its directories.
func TestConfineTo(t *testing.T) {
	uid := os.Getuid()
	if uid == 0 {
		uid = 65534
	}
	check(t, imprison(t, confined("confined"), false, uid), "read queue,write queue,move in queue,unix,inet,file node",
		"read outside,write data,root again,fifo,fifo outside,socket node,bind")
}

// TestConfineUser: a process of a mail user makes FIFOs among the user's mail,
// and nothing else that is special.
func TestConfineUser(t *testing.T) {
	uid := os.Getuid()
	if uid == 0 {
		uid = 65534
	}
	check(t, imprison(t, confined("user"), false, uid), "read queue,write queue,move in queue,unix,fifo",
		"read outside,write data,root again,exec,inet,packet,ptrace,unshare,signal,fifo outside,socket node,file node,bind")
}

func check(t *testing.T, got map[string]string, can, cannot string) {
	t.Helper()
	for _, name := range strings.Split(can, ",") {
		if got[name] != "yes" {
			t.Errorf("cannot %s: %q", name, got[name])
		}
	}
	for _, name := range strings.Split(cannot, ",") {
		if got[name] != "no" {
			t.Errorf("can %s: %q", name, got[name])
		}
	}
}
