package crash

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

var (
	campaign = flag.Bool("campaign", false, "run the long campaign instead of the smoke test")
	results  = flag.String("results", "", "append the figure lines to this file")
)

// roleVar tells a copy of the test program what it is.
const (
	roleVar  = "POSTHOUSE_CRASH_ROLE"
	roleInit = "init"   // the first process of the PID namespace
	roleTest = "test"   // runs the tests
	roleTool = "inject" // fails system calls of another process
)

// TestMain runs the tests in mount and PID namespaces of their own. When the
// outermost process ends, however it ends, all processes and mounts of the
// tests end with it, and loop devices come free.
func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case roleTool:
		os.Exit(injectMain(os.Args[1:]))
	case roleInit:
		os.Exit(initMain())
	case roleTest:
		flag.Parse()
		os.Exit(m.Run())
	}
	flag.Parse()
	if why := unable(); why != nil {
		fmt.Printf("SKIPPED: crash tests with faults: %v\n", why)
		os.Exit(m.Run())
	}
	os.Exit(enclose())
}

// unable says why faults cannot be injected here.
func unable() error {
	if err := testkit.CanMount(); err != nil {
		return err
	}
	if _, err := exec.LookPath("cp"); err != nil {
		return err
	}
	return nil
}

// needFaults skips a test that is not run in its own namespaces.
func needFaults(t testing.TB) {
	t.Helper()
	if os.Getenv(roleVar) != roleTest {
		t.Skipf("SKIPPED: %v", unable())
	}
	if testing.Short() {
		t.Skip("SKIPPED: not in the short run")
	}
}

// again prepares a copy of this program in another role.
func again(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	if exe, err := os.Executable(); err == nil {
		cmd.Path = exe
	}
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

// enclose runs the tests in new namespaces.
func enclose() int {
	// The death signal is sent when the starting thread ends.
	runtime.LockOSThread()
	dir, err := os.MkdirTemp("", "crash")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.Remove(dir)
	cmd := again(roleInit, os.Args[1:]...)
	cmd.Env = append(cmd.Env, "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
	return exitCode(cmd.Run())
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// initMain is process 1: it prepares the namespaces, starts the tests and
// collects processes whose parents were killed.
func initMain() int {
	if err := furnish(os.Getenv("TMPDIR")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := again(roleTest, os.Args[1:]...)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return 1
		}
		if pid == cmd.Process.Pid && ws.Exited() {
			return ws.ExitStatus()
		}
		if pid == cmd.Process.Pid && ws.Signaled() {
			return 1
		}
	}
}

// furnish makes the mounts: a memory file system for images and logs, so that
// the machine's disk is left alone, and a copy of /etc for test accounts.
func furnish(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	testkit.LetGoOfImages()
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("crash", dir, "tmpfs", 0, "size=4g,mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	etc := filepath.Join(dir, "etc")
	if err := copyEtc(etc); err != nil {
		return err
	}
	if err := unix.Mount(etc, "/etc", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount /etc: %w", err)
	}
	return nil
}

// copyEtc copies /etc. Who makes an account at the same time has locks there that come
// and go: it copies anew what was incomplete, and takes none of them along.
func copyEtc(to string) error {
	var err error
	for range 5 {
		var out []byte
		if out, err = exec.Command("cp", "-a", "/etc/.", to).CombinedOutput(); err == nil {
			break
		}
		err = fmt.Errorf("copy /etc: %w: %s", err, out)
		time.Sleep(time.Second)
	}
	if err != nil {
		return err
	}
	locks, err := filepath.Glob(filepath.Join(to, "*.lock"))
	for _, lock := range locks {
		if rerr := os.Remove(lock); err == nil {
			err = rerr
		}
	}
	return err
}
