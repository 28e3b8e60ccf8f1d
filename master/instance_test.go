package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// binaries builds master, postlogd and testd once.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "master-test-bin")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", ".", "../postlogd", "../cmd/postlog", "./testdata/testd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if dir, err := binaries(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

// instance is a mail system of a master, a log and test daemons.
type instance struct {
	t       *testing.T
	dir     string
	bin     string
	uid     int // who runs it
	host    string
	port    int
	cmd     *exec.Cmd
	done    chan struct{}
	stopped bool
	starts  int
	env     []string // more environment
	leak    *os.File // a descriptor that the starter leaves open
}

// nobody is who runs an instance without root, if the test itself is root.
const nobody = 65534

func newInstance(t *testing.T, masterCf string) *instance {
	t.Helper()
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	os.Chmod(filepath.Dir(dir), 0o755)
	i := &instance{t: t, dir: dir, bin: bin, uid: os.Getuid(), host: "127.0.0.1", port: testkit.FreePorts(t)}
	for _, d := range []string{"etc", "spool", "spool/pid", "spool/public", "spool/private", "data", "log"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	i.write("etc/main.cf", i.mainCf(""))
	i.write("etc/master.cf", i.masterCf(masterCf))
	if i.uid == 0 {
		for _, d := range []string{"spool/public", "spool/private", "data", "log"} {
			if err := os.Chown(filepath.Join(dir, d), 1, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	return i
}

// asNobody gives the whole instance to an ordinary user.
func (i *instance) asNobody() *instance {
	if i.uid != 0 {
		return i
	}
	i.uid = nobody
	filepath.Walk(i.dir, func(path string, _ os.FileInfo, _ error) error { return os.Chown(path, nobody, nobody) })
	return i
}

func (i *instance) mainCf(more string) string {
	return fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/data
daemon_directory = %[2]s
mail_owner = daemon
maillog_file = %[1]s/log/mail.log
maillog_file_prefixes = %[1]s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.test
`, i.dir, i.bin) + more
}

// masterCf fills in the port.
func (i *instance) masterCf(text string) string {
	return strings.ReplaceAll(text, "PORT", strconv.Itoa(i.port))
}

func (i *instance) write(name, text string) {
	i.t.Helper()
	if err := os.WriteFile(filepath.Join(i.dir, name), []byte(text), 0o644); err != nil {
		i.t.Fatal(err)
	}
}

func (i *instance) master(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(i.bin, "master"), append([]string{"-c", filepath.Join(i.dir, "etc")}, args...)...)
	cmd.Env = append(os.Environ(), "SECRET=1", "TZ=UTC")
	cmd.Env = append(cmd.Env, i.env...)
	if i.uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(i.uid), Gid: uint32(i.uid)}}
	}
	cmd.Stderr = os.Stderr
	return cmd
}

func (i *instance) start() *instance {
	i.t.Helper()
	i.cmd = i.master("-d")
	if i.leak != nil {
		i.cmd.ExtraFiles = []*os.File{i.leak}
	}
	return i.begin()
}

// begin starts i.cmd.
func (i *instance) begin() *instance {
	i.t.Helper()
	if err := i.cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	i.done = make(chan struct{})
	go func() {
		i.cmd.Wait()
		close(i.done)
	}()
	i.t.Cleanup(func() {
		if !i.stopped {
			i.cmd.Process.Signal(syscall.SIGQUIT)
			<-i.done
		}
		if i.t.Failed() {
			i.t.Logf("log:\n%s", i.log())
		}
	})
	i.starts++
	i.waitLogCount("daemon started -- version", i.starts)
	return i
}

// stop ends master and waits for it.
func (i *instance) stop(sig syscall.Signal) {
	i.t.Helper()
	i.cmd.Process.Signal(sig)
	select {
	case <-i.done:
	case <-time.After(time.Minute):
		i.t.Fatal("master does not stop")
	}
	i.stopped = true
}

func (i *instance) log() string {
	text, _ := os.ReadFile(filepath.Join(i.dir, "log/mail.log"))
	return string(text)
}

func (i *instance) waitLog(text string) { i.t.Helper(); i.waitLogCount(text, 1) }

func (i *instance) waitLogCount(text string, n int) {
	i.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if strings.Count(i.log(), text) >= n {
			return
		}
	}
	i.t.Fatalf("no %q in the log:\n%s", text, i.log())
}

// client is a connection to a testd.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func (i *instance) dial() *client {
	i.t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(i.host, itoa(i.port)))
	if err != nil {
		i.t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	i.t.Cleanup(func() { conn.Close() })
	return &client{i.t, conn, bufio.NewReader(conn)}
}

// ask sends a command and returns the reply.
func (c *client) ask(command string) string {
	c.t.Helper()
	fmt.Fprintf(c.conn, "%s\n", command)
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%s: %v", command, err)
	}
	return strings.TrimSpace(line)
}

func (c *client) pid() int {
	c.t.Helper()
	n, err := strconv.Atoi(c.ask("pid"))
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("timed out: %s", what)
}

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
