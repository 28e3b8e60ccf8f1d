package scenario

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// control runs posthouse and compares its exit status and a part of what it
// says.
func control(t *testing.T, mail *testkit.Instance, status int, text string, args ...string) string {
	t.Helper()
	out, err := mail.Command("posthouse", args...).CombinedOutput()
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != status || !strings.Contains(string(out), text) {
		t.Errorf("posthouse %s: status %d, want %d with %q, says\n%s", strings.Join(args, " "), got, status, text, out)
	}
	return string(out)
}

// background starts the mail system as an administrator does.
func background(t *testing.T, mail *testkit.Instance) {
	t.Helper()
	control(t, mail, 0, "the mail system is started", "start")
	t.Cleanup(func() { mail.Command("posthouse", "abort").Run() })
}

func TestControl(t *testing.T) {
	t.Parallel()
	mail := testkit.New(t)
	control(t, mail, 1, "the mail system is not running", "status")
	control(t, mail, 1, "the mail system is not running", "stop")
	control(t, mail, 1, "the mail system is not running", "abort")
	control(t, mail, 1, "the mail system is not running", "reload")
	control(t, mail, 69, "Cannot flush mail queue - mail system is down", "flush")
	control(t, mail, 2, "unknown command", "begin")
	control(t, mail, 2, "takes no argument", "start", "now")
	control(t, mail, 2, "a command is missing")
	control(t, mail, 0, "posthouse ", "version")
	control(t, mail, 0, "", "check")

	background(t, mail)
	control(t, mail, 0, "the mail system is running: PID: ", "status")
	control(t, mail, 1, "the mail system is already running: PID: ", "start")
	control(t, mail, 1, "the mail system is already running: PID: ", "start-fg")
	control(t, mail, 0, "the configuration is read again", "reload")
	mail.WaitLog(t, `master\[\d+\]: reload -- version `)
	control(t, mail, 0, "", "flush")
	control(t, mail, 0, "the mail system is stopped", "stop")
	control(t, mail, 1, "the mail system is not running", "status")

	control(t, mail, 0, "the mail system is started", "start")
	control(t, mail, 0, "the mail system is stopped", "abort")
	control(t, mail, 1, "the mail system is not running", "status")
	if text := mail.Log(); strings.Contains(text, "bad command startup") || strings.Contains(text, "killed by signal 15") {
		t.Errorf("the end of children is logged as a failure:\n%s", text)
	}
}

// TestMistakes: what keeps the mail system from its start is said where the
// administrator looks, with the place and the remedy.
func TestMistakes(t *testing.T) {
	t.Parallel()
	mail := testkit.New(t)
	mainCf, err := os.ReadFile(mail.Etc("main.cf"))
	if err != nil {
		t.Fatal(err)
	}
	masterCf, err := os.ReadFile(mail.Etc("master.cf"))
	if err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	mainLine := bytes.Count(mainCf, []byte("\n")) + 1
	masterLine := bytes.Count(masterCf, []byte("\n")) + 1
	for _, tc := range []struct {
		name         string
		main, master string // lines that are added
		start, check string // what these commands say
		runs         bool   // the rest works
	}{
		{name: "port in use", master: busy.Addr().String() + " inet n - y - 2 smtpd",
			start: fmt.Sprintf("master.cf:%d: bind %s: address already in use: stop the program that listens there", masterLine, busy.Addr())},
		{name: "master.cf type", master: "x tcpip n - y - 2 smtpd",
			start: fmt.Sprintf("master.cf:%d", masterLine), check: fmt.Sprintf("master.cf:%d", masterLine)},
		{name: "master.cf fields", master: "x unix n - y",
			start: fmt.Sprintf("master.cf:%d", masterLine), check: fmt.Sprintf("master.cf:%d", masterLine)},
		{name: "missing program", master: "x unix n - y - 2 smtqd", runs: true,
			start: fmt.Sprintf("master.cf:%d", masterLine), check: fmt.Sprintf("master.cf:%d", masterLine)},
		{name: "main.cf without =", main: "mynetworks 127.0.0.0/8",
			start: fmt.Sprintf("main.cf:%d", mainLine), check: fmt.Sprintf("main.cf:%d", mainLine)},
		{name: "bad number", main: "default_process_limit = many",
			start: fmt.Sprintf("main.cf:%d", mainLine), check: fmt.Sprintf("main.cf:%d", mainLine)},
		{name: "bad interface", main: "inet_interfaces = nosuch.invalid, 127.0.0.1", master: "2 inet n - y - 2 smtpd",
			start: "nosuch.invalid"},
		{name: "misspelt name", main: "smtpd_recipient_restriction = reject",
			check: "smtpd_recipient_restrictions"},
		{name: "misspelt restriction", main: "smtpd_client_restrictions = reject_unauth_pipeling",
			check: fmt.Sprintf(`main.cf:%d:29: error: smtpd_client_restrictions: unknown smtpd restriction: "reject_unauth_pipeling"`, mainLine)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mail.Write(t, "main.cf", string(mainCf))
			mail.Write(t, "master.cf", string(masterCf))
			if tc.main != "" {
				mail.Set(t, tc.main)
			}
			if tc.master != "" {
				mail.Service(t, tc.master)
			}
			if tc.check != "" {
				out, _ := mail.Command("posthouse", "check").CombinedOutput()
				if !strings.Contains(string(out), tc.check) {
					t.Errorf("check does not say %q:\n%s", tc.check, out)
				}
			}
			if tc.start == "" {
				return
			}
			if tc.runs {
				control(t, mail, 0, tc.start, "start")
				control(t, mail, 0, "", "stop")
				return
			}
			control(t, mail, 1, tc.start, "start")
			mail.Write(t, "main.cf", string(mainCf))
			control(t, mail, 1, "not running", "status")
		})
	}
}

// TestWrongModes: check sees what set-permissions corrects.
func TestWrongModes(t *testing.T) {
	testkit.NeedRoot(t)
	t.Parallel()
	mail := testkit.New(t)
	os.Chmod(mail.Spool("maildrop"), 0o777)
	os.Chown(mail.Spool("active"), 0, 0)
	os.Chmod(filepath.Join(mail.Dir, "sbin", "postdrop"), 0o755)
	out := control(t, mail, 1, "posthouse: 3 errors", "check")
	for _, want := range []string{"maildrop: has mode", "active: belongs to 0:0", "postdrop: has mode", "`posthouse set-permissions` corrects it"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	control(t, mail, 0, "", "set-permissions")
	control(t, mail, 0, "", "check")
	os.RemoveAll(mail.Spool("hold"))
	control(t, mail, 1, "hold: no such file or directory", "check")
	background(t, mail) // makes what is missing
	control(t, mail, 0, "", "check")
}

// TestReloadKeepsSessions: a reload takes listeners away and adds some,
// changes limits, and leaves an idle session and a message in transfer alone.
func TestReloadKeepsSessions(t *testing.T) {
	t.Parallel()
	mail := testkit.New(t)
	extra := testkit.FreeAddr(t)
	mail.Service(t, extra+" inet n - y - 2 smtpd")
	background(t, mail)

	idle := testkit.Dial(t, mail.Addr())
	idle.Cmd("250", "EHLO c.test")
	old := testkit.Dial(t, extra)
	old.Cmd("250", "EHLO c.test")
	busy := testkit.Dial(t, mail.Addr())
	busy.Cmd("250", "EHLO c.test")
	busy.Cmd("250", "MAIL FROM:<a@sender.test>")
	busy.Cmd("250", "RCPT TO:<you@example.test>")
	busy.Cmd("354", "DATA")
	busy.Raw("Subject: across a reload\r\n\r\nfirst half\r\n")

	second := testkit.FreeAddr(t)
	text := read(t, mail.Etc("master.cf"))
	mail.Write(t, "master.cf", strings.Replace(text, extra+" inet", second+" inet", 1))
	mail.Set(t, "smtpd_recipient_limit = 2", "message_size_limit = 12345")
	control(t, mail, 0, "", "reload")
	testkit.Wait(t, "new listener", func() bool { c, err := net.Dial("tcp", second); closeAll(c); return err == nil })
	testkit.Wait(t, "end of the old listener", func() bool { c, err := net.Dial("tcp", extra); closeAll(c); return err != nil })

	fresh := testkit.Dial(t, second)
	if reply := fresh.Cmd("250", "EHLO c.test"); !strings.Contains(reply, "SIZE 12345") {
		t.Errorf("a new session does not have the new limits: %s", reply)
	}
	idle.Cmd("250", "NOOP")
	old.Cmd("250", "NOOP")
	reply := busy.Cmd("250 2.0.0 Ok: queued as", "second half\r\n.")
	mail.WaitLog(t, strings.TrimSpace(reply[strings.LastIndex(strings.TrimSpace(reply), " "):])+`: removed`)
	idle.Message("b@sender.test", "you@example.test", "Subject: old session\n\nx\n")
	if got := mail.WaitMailbox(t, "you", 2); !strings.Contains(got[0]+got[1], "\nfirst half\nsecond half\n") {
		t.Errorf("mailbox: %q", got)
	}
	mail.Set(t, "smtpd_recipient_overshoot_limit = many")
	control(t, mail, 1, "1 error: the mail system keeps the configuration that it has", "reload")
	mail.Set(t, "smtpd_recipient_overshoot_limit = 1", "default_process_limit = many")
	pid, err := strconv.Atoi(strings.TrimSpace(read(t, mail.Spool("pid/master.pid"))))
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(pid, syscall.SIGHUP) // past the check
	mail.WaitLog(t, `error: reload: .*main\.cf:\d+.*; the configuration stays as it was`)
	fresh.Cmd("250", "NOOP")
}

func closeAll(conns ...net.Conn) {
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
}

// TestStopIsQuickAndPatient: idle clients get 421 at once, and a delivery that
// runs is finished.
func TestStopIsQuickAndPatient(t *testing.T) {
	t.Parallel()
	sink := newSink(t)
	mail := testkit.New(t)
	mail.Set(t, "relayhost = "+sink.hop(), "smtp_tls_security_level = none")
	background(t, mail)
	arrived, finish := make(chan struct{}), make(chan struct{})
	sink.on(func(verb, line string) string {
		if verb == "." {
			close(arrived)
			<-finish
		}
		return ""
	})
	idle := testkit.Dial(t, mail.Addr())
	idle.Cmd("250", "EHLO c.test")
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	id := s.Message("a@sender.test", "x@remote.test", "Subject: slow\n\nx\n")
	<-arrived
	go func() {
		defer close(finish) // the delivery ends only after the client was told
		idle.Conn.SetReadDeadline(time.Now().Add(time.Minute))
		line, err := bufio.NewReader(idle.Conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "421 4.3.2 mail.example.test Service shutting down") {
			t.Errorf("the idle client was told %q, %v", line, err)
		}
	}()
	control(t, mail, 0, "the mail system is stopped", "stop")
	if !regexp.MustCompile(id + `: to=<x@remote\.test>, .*status=sent`).MatchString(mail.Log()) {
		t.Errorf("the delivery was not finished")
	}
	if text := mail.Log(); strings.Contains(text, "killed by signal") || strings.Contains(text, "bad command startup") {
		t.Errorf("log:\n%s", text)
	}
}

// TestStopWhenIdle: with nothing to finish, a stop takes no time.
func TestStopWhenIdle(t *testing.T) {
	t.Parallel()
	mail := testkit.New(t)
	background(t, mail)
	idle := testkit.Dial(t, mail.Addr())
	idle.Cmd("250", "EHLO c.test")
	idle.Message("a@sender.test", "you@example.test", "Subject: x\n\nx\n")
	mail.WaitMailbox(t, "you", 1)
	control(t, mail, 0, "the mail system is stopped", "stop")
	if text := mail.Log(); strings.Contains(text, "killed by signal") {
		t.Errorf("something held up the stop\n%s", text)
	}
	idle.Expect("421 4.3.2")
}

// TestStopInMidDelivery: a daemon that asks a sibling which has ended already
// gets no answer from a queue that nobody serves.
func TestStopInMidDelivery(t *testing.T) {
	t.Parallel()
	mail := testkit.New(t)
	background(t, mail)
	s := session(t, mail)
	for n := range 10 {
		// Bounced, and the notice has no mailbox.
		s.Message("nosuch@example.test", fmt.Sprintf("x%d@[127.0.0.5]", n), "Subject: x\n\nx\n")
	}
	control(t, mail, 0, "the mail system is stopped", "stop")
	if text := mail.Log(); strings.Contains(text, "killed by signal") {
		t.Errorf("something held up the stop\n%s", text)
	}
	background(t, mail)
	testkit.Wait(t, "empty queue", func() bool {
		mail.Must(t, "postqueue", "-f")
		return len(mail.Queue(t, "maildrop", "incoming", "active", "deferred")) == 0
	})
}

// TestContainer: as process 1, the mail system starts, collects the orphans of
// others, and ends with its container.
func TestContainer(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "unshare")
	t.Parallel()
	mail := testkit.New(t)
	inner := mail.Command("posthouse", "start-fg")
	cmd := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", inner.Path, "start-fg")
	cmd.Env = inner.Env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	testkit.Wait(t, "greeting", func() bool { c, err := net.Dial("tcp", mail.Addr()); closeAll(c); return err == nil })
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	s.Message("a@sender.test", "you@example.test", "Subject: x\n\nx\n")
	s.Message("a@sender.test", "nobody@localhost", "Subject: x\n\nx\n")
	mail.WaitMailbox(t, "you", 1)

	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
	if err != nil {
		t.Skipf("SKIPPED: the kernel does not list children: %v", err)
	}
	master, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		t.Fatalf("children %q\n%s", children, out.String())
	}
	ns := exec.Command("nsenter", "--target", strconv.Itoa(master), "--pid", "sh", "-c", "(sleep 0.2 &) ; exit 0")
	if text, err := ns.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: nsenter: %v %s", err, text)
	}
	time.Sleep(400 * time.Millisecond)
	testkit.Wait(t, "collection of the orphan", func() bool { return zombies(master) == 0 })
	syscall.Kill(master, syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Errorf("process 1 does not end on SIGTERM\n%s", out.String())
	}
}

// zombies counts the children of a process that nobody has waited for.
func zombies(pid int) (n int) {
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		if bytes.Contains(text, fmt.Appendf(nil, "\nPPid:\t%d\n", pid)) && bytes.Contains(text, []byte("\nState:\tZ")) {
			n++
		}
	}
	return n
}
