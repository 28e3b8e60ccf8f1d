package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDescriptors: a daemon has its endpoint and its status channel, and
// nothing that belongs to master, to its starter or to another service.
func TestDescriptors(t *testing.T) {
	t.Parallel()
	i := newInstance(t, oneService+"other fifo n - y - 1 testd trigger\n")
	leak, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	i.leak = leak
	i.start()
	c := i.dial()
	dir := fmt.Sprintf("/proc/%d/fd", c.pid())
	fds, err := os.ReadDir(dir)
	if err != nil {
		t.Skipf("SKIPPED: needs root: %v", err)
	}
	listeners := 0
	for _, fd := range fds {
		target, _ := os.Readlink(filepath.Join(dir, fd.Name()))
		switch {
		case strings.HasPrefix(target, "socket:"):
			listeners++
		case target == "/dev/null", strings.HasPrefix(target, "anon_inode:"), strings.HasPrefix(target, "/sys/fs/cgroup"):
		case strings.HasSuffix(target, "/spool/pid/postlog"): // the way to postlogd
		case fd.Name() <= "2" && len(fd.Name()) == 1: // those of go test
		default:
			t.Errorf("descriptor %s is %s", fd.Name(), target)
		}
	}
	// endpoint, status channel, log, the client
	if listeners != 4 {
		t.Errorf("%d sockets", listeners)
	}
}

func TestNotify(t *testing.T) {
	t.Parallel()
	i := newInstance(t, oneService)
	path := filepath.Join(i.dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	expect := func(want string) {
		t.Helper()
		buf := make([]byte, 256)
		c.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := c.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), want) {
			t.Errorf("got %q %v, want %s", buf[:n], err, want)
		}
	}
	i.env = []string{"NOTIFY_SOCKET=" + path}
	i.start()
	expect("READY=1\nMAINPID=")
	if env := i.dial().ask("env"); strings.Contains(env, "NOTIFY") {
		t.Errorf("environment %s", env)
	}
	i.cmd.Process.Signal(syscall.SIGHUP)
	expect("RELOADING=1\nMONOTONIC_USEC=")
	expect("READY=1")
	i.cmd.Process.Signal(syscall.SIGTERM)
	expect("STOPPING=1")
	i.stop(syscall.SIGTERM)
}

// TestInitMode: as process 1, master collects orphans of others.
func TestInitMode(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: process 1 needs root")
	}
	t.Parallel()
	i := newInstance(t, oneService)
	if i.master("-i").Run() == nil {
		t.Error("-i works for any process")
	}
	i.cmd = exec.Command("sh", "-c", "(sleep 0.3 &)\nexec "+i.bin+"/master -c "+i.dir+"/etc -i\n")
	i.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	i.cmd.Stderr = os.Stderr
	i.begin()
	i.dial().pid()
	pid := fmt.Sprint(i.cmd.Process.Pid)
	waitFor(t, "orphan to be collected", func() bool {
		text, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
		if err != nil {
			return true // this kernel does not tell
		}
		for _, child := range strings.Fields(string(text)) {
			stat, _ := os.ReadFile("/proc/" + child + "/stat")
			if strings.Contains(string(stat), "(sleep)") {
				return false
			}
		}
		return true
	})
	i.stop(syscall.SIGTERM)
}

// TestOldMasterCf: what older configurations leave out.
func TestOldMasterCf(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "PORT inet n - - - - testd\n\t-o { max_idle = 5 }\n").start()
	i.dial().pid() // and the log works although there is no postlog line
	i.waitLog("chroot=no")
}

// TestForeignProgram: a program that is no daemon is started with care.
func TestForeignProgram(t *testing.T) {
	t.Parallel()
	i := newInstance(t, oneService+"foreign unix n - n - 1 /bin/false\n").start()
	conn, err := net.Dial("unix", filepath.Join(i.dir, "spool/public/foreign"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	i.waitLog("/bin/false: bad command startup -- throttling")
	i.dial().pid()
}

// TestSeveralListeners: one service on two addresses, one process for both.
func TestSeveralListeners(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "PORT inet n - y - 2 testd -o client_limit=1\n")
	i.write("etc/main.cf", i.mainCf("inet_interfaces = 127.0.0.1, 127.0.0.2\n"))
	i.start()
	second := *i
	second.host = "127.0.0.2"
	var a *client
	var pid int
	for try := 1; ; try++ {
		a = i.dial()
		pid = a.pid()
		b := second.dial()
		if b.pid() != pid {
			break
		}
		// It may happen to a process that is just at the other listener.
		if try == 5 {
			t.Fatal("client_limit=1, and two clients in one process, each time")
		}
		a.conn.Close()
		b.conn.Close()
	}
	a.conn.Close()
	if got := second.dial().pid(); got != pid {
		t.Errorf("process %d, not the free one %d", got, pid)
	}
}
