package jail

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests enter jails in a process of their own: this program again, with
// these variables set.
const (
	envProfile = "JAIL_TEST_PROFILE"
	envDir     = "JAIL_TEST_DIR"
	envChroot  = "JAIL_TEST_CHROOT"
)

func TestMain(m *testing.M) {
	if os.Getenv(envProfile) != "" {
		inmate()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// inmate enters a jail and prints what it can do.
func inmate() {
	var p Profile
	for p = QueueOnly; p < Open && p.String() != os.Getenv(envProfile); p++ {
	}
	dir := os.Getenv(envDir)
	if err := os.Chdir(filepath.Join(dir, "queue")); err != nil {
		fmt.Println("error:", err)
		return
	}
	busyThreads()
	a, err := Enter(p, Options{
		QueueDir: filepath.Join(dir, "queue"), DataDir: filepath.Join(dir, "data"),
		Chroot: os.Getenv(envChroot) != "", UID: 1, GID: 1,
	})
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	fmt.Println("applied:", a)
	for _, probe := range probes(dir) {
		fmt.Println(probe.name+":", onAllThreads(probe.try))
	}
}

// busyThreads makes sure that there are several threads before the jail.
func busyThreads() {
	for range 6 {
		ready := make(chan bool)
		go func() {
			runtime.LockOSThread()
			close(ready)
			select {}
		}()
		<-ready
	}
}

type probe struct {
	name string
	try  func() error
}

func probes(dir string) []probe {
	read := func(path string) func() error {
		return func() error { return closing(os.Open(path)) }
	}
	return []probe{
		{"read queue", read("file")},
		{"write queue", func() error { return closing(os.OpenFile("new", os.O_CREATE|os.O_WRONLY, 0o600)) }},
		{"move in queue", func() error {
			if err := closing(os.Create("sub/a")); err != nil {
				return err
			}
			return os.Rename("sub/a", "b")
		}},
		{"read outside", read("/etc/passwd")},
		{"write data", func() error { return closing(os.Create(filepath.Join(dir, "data/x"))) }},
		{"exec", func() error { return syscall.Exec("/nonexistent", nil, nil) }},
		{"inet", func() error { return socket(unix.AF_INET) }},
		{"unix", func() error { return socket(unix.AF_UNIX) }},
		{"packet", func() error { return socket(unix.AF_PACKET) }},
		{"root again", func() error { return rawSetuid() }},
		{"ptrace", func() error { return unix.PtraceAttach(os.Getppid()) }},
		{"unshare", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
		{"signal", func() error { return unix.Kill(os.Getppid(), 0) }},
		{"listen", func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
		}},
	}
}

// rawSetuid tries on one thread only, without the runtime's help.
func rawSetuid() error {
	if _, _, errno := syscall.RawSyscall(unix.SYS_SETUID, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func closing(f *os.File, err error) error {
	if err == nil {
		f.Close()
	}
	return err
}

func socket(family int) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// onAllThreads tries something on many threads; "yes" if any of them can.
func onAllThreads(try func() error) string {
	var wg sync.WaitGroup
	var mu sync.Mutex
	result := ""
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			err := try()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil || errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EPERM):
				result = "yes"
			case result == "":
				result = "no"
			}
			time.Sleep(time.Millisecond)
		}()
	}
	wg.Wait()
	return result
}

// imprison runs an inmate and returns its answers.
func imprison(t *testing.T, p Profile, chroot bool, uid int) map[string]string {
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
	self := filepath.Join(dir, "self")
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(self, text, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{envProfile + "=" + p.String(), envDir + "=" + dir}
	if chroot {
		cmd.Env = append(cmd.Env, envChroot+"=1")
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
	if strings.Contains(string(out), ErrCgo.Error()) {
		t.Skip("SKIPPED: this test program has cgo (as with -race)")
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
			"write data,exec,inet,packet,root again,ptrace,unshare,signal,listen"},
		{"queue only without chroot", QueueOnly, false, "read queue,write queue,move in queue,unix",
			"read outside,write data,exec,inet,packet,root again,ptrace,unshare,signal,listen"},
		{"network", Network, true, "unix,inet", "read queue,write queue,move in queue,exec,packet,root again,ptrace,unshare"},
		{"client", Client, false, "read queue,write queue,move in queue,unix,inet", "read outside,exec,packet,root again,ptrace"},
		{"helper", Helper, false, "read outside,write data,inet,unix", "write queue,exec,packet,root again,ptrace"},
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
	check(t, got, "read queue,write queue,move in queue,unix", "read outside,write data,exec,inet,root again,ptrace")
	if !strings.Contains(got["applied"], "not applied: chroot (not root), user (not root)") {
		t.Errorf("applied: %s", got["applied"])
	}
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
