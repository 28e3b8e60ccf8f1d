// Package testkit runs the real mail system in tests: it builds the programs,
// makes an instance in a temporary directory with `posthouse init`, starts it,
// and looks at its log, its queue and its mailboxes.
//
// As root an instance runs with its full privilege design, under system users
// that are made where missing; else everything runs as the caller.
package testkit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Domain is the domain that instances serve.
const Domain = "example.test"

// build makes the programs once per test process, unless POSTHOUSE_BIN says
// where they are: `make test` builds them before, and packages whose tests run
// at the same time must not replace programs under each other.
var build = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("POSTHOUSE_BIN"); dir != "" {
		return dir, nil
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("make", "-s", "build")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make build: %w\n%s", err, out)
	}
	return filepath.Join(root, "bin"), nil
})

// Root returns the top folder of the source tree.
func Root() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("no caller information")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(file))), nil
}

// Bin builds all programs and returns the folder that they are in.
func Bin(t testing.TB) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Instance is one mail system.
type Instance struct {
	Dir  string // with etc, spool, data, mail and log
	Port int    // of SMTP, on 127.0.0.1
	bin  string
	user *syscall.Credential // runs as this user if not nil
	run  *exec.Cmd
	out  *bytes.Buffer
}

// Option changes how an instance is made.
type Option func(*options)

type options struct {
	users  []string
	asUser *syscall.Credential
	dir    string
}

// Users makes mailboxes for these names.
func Users(names ...string) Option { return func(o *options) { o.users = append(o.users, names...) } }

// AsUser runs the instance as an ordinary user, although the test is root.
func AsUser(uid, gid int) Option {
	return func(o *options) { o.asUser = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} }
}

// In makes the instance in an existing directory, such as a mount point.
func In(dir string) Option { return func(o *options) { o.dir = dir } }

// New makes an instance that is not started yet. It is stopped and removed at
// the end of the test; a failed test prints the end of its log.
func New(t testing.TB, opts ...Option) *Instance {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if len(o.users) == 0 {
		o.users = []string{"you"}
	}
	dir := o.dir
	if dir == "" {
		var err error
		// Not t.TempDir, whose long names leave no room in socket paths.
		if dir, err = os.MkdirTemp("", "ph"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	os.Chmod(dir, 0o755)
	i := &Instance{Dir: dir, Port: FreePorts(t), bin: Bin(t), user: o.asUser}
	if o.asUser != nil {
		if err := os.Chown(dir, int(o.asUser.Uid), int(o.asUser.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"init", "--dir", dir, "--domain", Domain, "--base-port", strconv.Itoa(i.Port)}
	for _, u := range o.users {
		args = append(args, "--user", u+"@"+Domain)
	}
	i.Must(t, "posthouse", args...)
	t.Cleanup(func() {
		i.Stop(t)
		if t.Failed() {
			t.Logf("end of the log:\n%s", tail(i.Log(), 60))
		}
	})
	return i
}

func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Etc returns the path of a configuration file.
func (i *Instance) Etc(name string) string { return filepath.Join(i.Dir, "etc", name) }

// Spool returns a path in the queue directory.
func (i *Instance) Spool(name string) string { return filepath.Join(i.Dir, "spool", name) }

// Addr is where the instance speaks SMTP.
func (i *Instance) Addr() string { return i.PortAddr(0) }

// PortAddr is the address of one of the instance's fifteen ports. The offsets up
// to 7 are those of master.cf; the others are free.
func (i *Instance) PortAddr(offset int) string { return loopback(i.Port + offset) }

// LMTPAddr is where the instance speaks LMTP.
func (i *Instance) LMTPAddr() string { return i.PortAddr(7) }

// Command prepares a program of the suite for this instance.
func (i *Instance) Command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(i.bin, program), args...)
	cmd.Env = append(os.Environ(), "MAIL_CONFIG="+i.Etc(""), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: i.user}
	cmd.Dir = "/"
	return cmd
}

// Must runs a program of the suite and fails the test if it fails. It returns
// standard output and standard error.
func (i *Instance) Must(t testing.TB, program string, args ...string) string {
	t.Helper()
	out, err := i.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Set adds lines to main.cf; later ones win over earlier ones.
func (i *Instance) Set(t testing.TB, lines ...string) {
	t.Helper()
	i.appendTo(t, "main.cf", strings.Join(lines, "\n")+"\n")
}

// Service adds lines to master.cf.
func (i *Instance) Service(t testing.TB, lines ...string) {
	t.Helper()
	i.appendTo(t, "master.cf", strings.Join(lines, "\n")+"\n")
}

func (i *Instance) appendTo(t testing.TB, name, text string) {
	t.Helper()
	f, err := os.OpenFile(i.Etc(name), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Write writes a configuration file.
func (i *Instance) Write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(i.Etc(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Start starts the mail system and waits until it answers SMTP.
func (i *Instance) Start(t testing.TB) {
	t.Helper()
	i.out = new(bytes.Buffer)
	i.run = i.Command("posthouse", "start-fg")
	i.run.Stdout, i.run.Stderr = i.out, i.out
	if err := i.run.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if greets(i.Addr()) {
			return
		}
		if time.Now().After(deadline) {
			i.dumpStacks()
			t.Fatalf("no SMTP greeting on %s\n%s\n%s", i.Addr(), i.out, tail(i.Log(), 30))
		}
	}
}

// dumpStacks has master and its children print what their goroutines do, and
// end. Master's output is that of `posthouse start-fg`.
func (i *Instance) dumpStacks() {
	pid := strings.TrimSpace(readAll(i.Spool("pid/master.pid")))
	if n, err := strconv.Atoi(pid); err == nil && n > 1 {
		syscall.Kill(n, syscall.SIGABRT)
	}
	i.run.Process.Signal(syscall.SIGABRT)
	time.Sleep(time.Second)
}

func readAll(name string) string {
	text, _ := os.ReadFile(name)
	return string(text)
}

func greets(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	buf := make([]byte, 3)
	n, _ := conn.Read(buf)
	if n == 3 {
		conn.Write([]byte("QUIT\r\n"))
		conn.Read(make([]byte, 512))
	}
	return string(buf[:n]) == "220"
}

// Stop stops the mail system if it runs.
func (i *Instance) Stop(t testing.TB) {
	t.Helper()
	if i.run == nil {
		return
	}
	i.run.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- i.run.Wait() }()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		i.run.Process.Kill()
		t.Errorf("the mail system did not stop\n%s", tail(i.Log(), 30))
		<-done
	}
	i.run = nil
}

// PID returns the process id of the running master, which all daemons descend
// from.
func (i *Instance) PID() int { return i.run.Process.Pid }

// Log returns the log. Daemons do not wait for their lines to be written, so
// the log has to be at rest for a moment, or it is busy for seconds.
func (i *Instance) Log() string {
	text := i.readLog()
	for rest, tries := 0, 0; rest < 3 && tries < 100; tries++ {
		time.Sleep(25 * time.Millisecond)
		next := i.readLog()
		if rest++; len(next) != len(text) {
			rest = 0
		}
		text = next
	}
	return text
}

func (i *Instance) readLog() string {
	text, _ := os.ReadFile(filepath.Join(i.Dir, "log", "mail.log"))
	return string(text)
}

// WaitLog waits for a line that matches the expression and returns the match
// with its groups.
func (i *Instance) WaitLog(t testing.TB, expr string) []string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + expr)
	var match []string
	Wait(t, "log line "+expr, func() bool {
		match = re.FindStringSubmatch(i.readLog())
		return match != nil
	})
	return match
}

// patience is how long a test waits for what must come. It is far beyond what a
// busy machine needs, and costs time only where something is broken.
const patience = 2 * time.Minute

// Wait polls until ok, for up to two minutes.
func Wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timeout: no %s", what)
		}
	}
}

// Mailbox returns the messages in a user's Maildir, oldest first.
func (i *Instance) Mailbox(t testing.TB, user string) []string {
	t.Helper()
	dir := filepath.Join(i.Dir, "mail", Domain, user, "new")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(entries, func(a, b os.DirEntry) int { return byArrival(a.Name(), b.Name()) })
	var messages []string
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // a session has seen it, and moved it
		}
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, string(text))
	}
	return messages
}

var arrival = regexp.MustCompile(`^(\d+)\.(?:[^.]*?)M(\d+)`)

// byArrival compares names of messages by the time in them, to the microsecond:
// the numbers have no leading zeros, and the names of some deliverers have others
// in between.
func byArrival(a, b string) int {
	x, y := arrival.FindStringSubmatch(a), arrival.FindStringSubmatch(b)
	if x == nil || y == nil {
		return strings.Compare(a, b)
	}
	for n := 1; n < len(x); n++ {
		if len(x[n]) != len(y[n]) {
			return cmp.Compare(len(x[n]), len(y[n]))
		}
		if c := strings.Compare(x[n], y[n]); c != 0 {
			return c
		}
	}
	return 0
}

// WaitMailbox waits until a user has n messages and returns them.
func (i *Instance) WaitMailbox(t testing.TB, user string, n int) []string {
	t.Helper()
	var messages []string
	Wait(t, fmt.Sprintf("%d messages for %s", n, user), func() bool {
		messages = i.Mailbox(t, user)
		return len(messages) >= n
	})
	return messages
}

// Queue returns the ids of the messages in the given queues.
func (i *Instance) Queue(t testing.TB, names ...string) []string {
	t.Helper()
	var ids []string
	for _, name := range names {
		filepath.WalkDir(i.Spool(name), func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				ids = append(ids, d.Name())
			}
			return nil
		})
	}
	return ids
}

// Send hands a message to sendmail.
func (i *Instance) Send(t testing.TB, text string, args ...string) {
	t.Helper()
	cmd := i.Command("sendmail", args...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sendmail %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// NeedRoot skips a test that needs root's rights.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root, to change users and roots")
	}
}

// NeedTool skips a test that uses a program which is not installed.
func NeedTool(t testing.TB, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			t.Skipf("SKIPPED: %s is not installed; tools/scripts/test-deps installs it", n)
		}
	}
}
