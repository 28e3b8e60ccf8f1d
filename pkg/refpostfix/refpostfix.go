// Package refpostfix runs a private Postfix as the reference that tests
// compare with. Nothing of it is installed: the binaries come from an unpacked
// Debian package, and queue, configuration and log live in a temporary
// directory. It is for tests only.
package refpostfix

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// Instance is a running Postfix.
type Instance struct {
	Dir  string // holds etc, spool, data and log
	Addr string // of its SMTP server
	root string
	env  []string
	run  *exec.Cmd
}

// Root returns where the unpacked Postfix is, or skips the test, saying so.
func Root(t testing.TB) string {
	t.Helper()
	root := os.Getenv("POSTHOUSE_POSTFIX_ROOT")
	if root == "" {
		root = "/var/cache/posthouse-test/postfix"
	}
	if _, err := os.Stat(filepath.Join(root, "usr/lib/postfix/sbin/master")); err != nil {
		t.Skipf("SKIPPED: no reference Postfix in %s (set POSTHOUSE_POSTFIX_ROOT): %v", root, err)
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: the reference Postfix needs root")
	}
	return root
}

// Start runs an instance with the given lines added to main.cf. It is stopped
// when the test ends.
func Start(t testing.TB, mainCF string) *Instance {
	t.Helper()
	p := New(t, mainCF)
	p.Start(t)
	return p
}

// New makes an instance that is not started yet. It is removed when the test
// ends.
func New(t testing.TB, mainCF string) *Instance {
	t.Helper()
	root := Root(t)
	// t.TempDir is too deep for socket names, and not searchable by the
	// mail owner.
	dir, err := os.MkdirTemp("", "refpf")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	lib := libraries(root)
	p := &Instance{Dir: dir, root: root, Addr: testkit.FreeAddr(t), env: append(os.Environ(), "LD_LIBRARY_PATH="+lib)}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p.configure(t, lib, mainCF)
	p.directories(t)
	return p
}

// libraries returns the search path of the shared libraries.
func libraries(root string) string {
	return strings.Join([]string{root + "/usr/lib/postfix", root + "/usr/lib/x86_64-linux-gnu", root + "/lib/x86_64-linux-gnu"}, ":")
}

// Tool prepares a program that needs no instance, such as smtp-source.
func Tool(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	root := Root(t)
	cmd := exec.Command(filepath.Join(root, "usr/sbin", name), args...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraries(root))
	return cmd
}

// Set adds lines to main.cf.
func (p *Instance) Set(t testing.TB, lines ...string) {
	t.Helper()
	p.appendTo(t, "main.cf", lines)
}

// Service adds lines to master.cf.
func (p *Instance) Service(t testing.TB, lines ...string) {
	t.Helper()
	p.appendTo(t, "master.cf", lines)
}

func (p *Instance) appendTo(t testing.TB, name string, lines []string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(p.Dir, "etc", name), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

const mainTemplate = `compatibility_level = 3.6
daemon_directory = %[1]s/usr/lib/postfix/sbin
command_directory = %[1]s/usr/sbin
shlib_directory = %[1]s/usr/lib/postfix
meta_directory = %[2]s/etc
queue_directory = %[2]s/spool
data_directory = %[2]s/data
mail_owner = daemon
setgid_group = mail
maillog_file = %[2]s/log
maillog_file_prefixes = /
inet_interfaces = 127.0.0.1
alias_maps =
alias_database =
import_environment = MAIL_CONFIG TZ LD_LIBRARY_PATH=%[3]s
%[4]s
`

const masterTemplate = `%s inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
flush unix n - n 1000? 0 flush
postlog unix-dgram n - n - 1 postlogd
`

func (p *Instance) configure(t testing.TB, lib, mainCF string) {
	t.Helper()
	etc := filepath.Join(p.Dir, "etc")
	if err := os.MkdirAll(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	plugins := fmt.Sprintf("pcre %s/usr/lib/postfix/postfix-pcre.so dict_pcre_open\n", p.root)
	for name, text := range map[string]string{
		"main.cf":        fmt.Sprintf(mainTemplate, p.root, p.Dir, lib, mainCF),
		"master.cf":      fmt.Sprintf(masterTemplate, p.Addr),
		"dynamicmaps.cf": plugins,
	} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *Instance) directories(t testing.TB) {
	t.Helper()
	const daemon, mail = 1, 8 // Debian's fixed ids
	for _, d := range []string{"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold",
		"incoming", "private", "saved", "trace", "maildrop", "public", "pid", "../data"} {
		path := filepath.Join(p.Dir, "spool", d)
		mode, gid := os.FileMode(0o700), daemon
		switch d {
		case "maildrop":
			mode, gid = 0o730, mail
		case "public":
			mode, gid = 0o710, mail
		}
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if d == "pid" {
			continue
		}
		if err := os.Chown(path, daemon, gid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// Start runs the instance until Stop or the end of the test.
func (p *Instance) Start(t testing.TB) {
	t.Helper()
	cmd := p.Command("/usr/lib/postfix/sbin/master", "-c", filepath.Join(p.Dir, "etc"), "-d")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Its commands write the log themselves, and may not, until its log
	// daemon has made the file.
	started := func() int { return strings.Count(p.Log(), "daemon started") }
	before := started()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.run = cmd
	t.Cleanup(func() {
		p.Stop(t)
		if t.Failed() {
			t.Logf("log of the reference Postfix:\n%s", p.Log())
		}
	})
	for range 12000 {
		c, err := net.Dial("unix", filepath.Join(p.Dir, "spool/private/rewrite"))
		if err == nil {
			c.Close()
			if started() > before {
				return
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("the reference Postfix does not start: %s", p.Log())
}

// Stop stops the instance if it runs.
func (p *Instance) Stop(t testing.TB) {
	t.Helper()
	if p.run == nil {
		return
	}
	p.run.Process.Signal(syscall.SIGTERM)
	p.run.Wait()
	p.run = nil
}

// PID returns the process id of the running master.
func (p *Instance) PID() int { return p.run.Process.Pid }

// Command returns a command of the reference, path below its root.
func (p *Instance) Command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(p.root+path, args...)
	cmd.Env = p.env
	return cmd
}

// Log returns what was logged so far.
func (p *Instance) Log() string {
	text, _ := os.ReadFile(filepath.Join(p.Dir, "log"))
	return string(text)
}

// Settle waits until the log has what its programs have logged before, and
// returns all of it.
func (p *Instance) Settle(t testing.TB) string {
	t.Helper()
	conn, err := net.Dial("unixgram", filepath.Join(p.Dir, "spool/public/postlog"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	mark := fmt.Sprintf("mark[%d]: %d", os.Getpid(), time.Now().UnixNano())
	if _, err := conn.Write([]byte(mark)); err != nil {
		t.Fatal(err)
	}
	for range 12000 {
		if text := p.Log(); strings.Contains(text, mark) {
			return text
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%q does not reach the log: %s", mark, p.Log())
	return ""
}

// Call sends one request to a service such as "private/rewrite". Postfix's
// servers greet with a list of their own.
func (p *Instance) Call(t testing.TB, service string, req ipc.List) ipc.List {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(p.Dir, "spool", service))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(conn)
	if _, err := ipc.ReadList(r); err != nil {
		t.Fatalf("greeting of %s: %v", service, err)
	}
	c := ipc.NewConn(conn)
	if err := c.Send(req); err != nil {
		t.Fatal(err)
	}
	reply, err := ipc.ReadList(r)
	if err != nil {
		t.Fatalf("reply of %s: %v; log: %s", service, err, p.Log())
	}
	return reply
}
