package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

const oneService = "PORT inet n - y - 2 testd -o client_limit=2 -o max_idle=100s word\n"

func TestStartOnDemandAndStop(t *testing.T) {
	for _, who := range []string{"as is", "nobody"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			i := newInstance(t, oneService)
			if who == "nobody" {
				i.asNobody()
			}
			i.start()
			c := i.dial()
			pid := c.pid()
			if got := i.dial().pid(); got != pid {
				t.Errorf("second client got process %d, not %d, within client_limit", got, pid)
			}
			other := i.dial().pid() // both slots are taken
			if other == pid {
				t.Error("third client got a full process")
			}
			env := c.ask("env")
			if strings.Contains(env, "SECRET") || !strings.Contains(env, "TZ=UTC") || !strings.Contains(env, "MAIL_CONFIG=") {
				t.Errorf("environment %q", env)
			}
			if args := c.ask("args"); args != `["word"]` {
				t.Errorf("arguments %s", args)
			}
			// Idle sessions are told, and do not hold up the end.
			i.stop(syscall.SIGTERM)
			if strings.Contains(i.log(), "killed by signal") {
				t.Errorf("idle sessions held up the end:\n%s", i.log())
			}
			if alive(pid) || alive(other) {
				t.Error("a child survived")
			}
			if !strings.Contains(i.log(), "postfix/master[") || !strings.Contains(i.log(), "terminating on signal 15") {
				t.Errorf("log:\n%s", i.log())
			}
		})
	}
}

func TestChildrenDie(t *testing.T) {
	t.Parallel()
	i := newInstance(t, oneService).start()
	for range 3 {
		c := i.dial()
		syscall.Kill(c.pid(), syscall.SIGKILL)
	}
	i.waitLogCount("killed by signal 9", 3)
	c := i.dial()
	first := c.pid()
	c.conn.Write([]byte("exit 3\n"))
	i.waitLog("exit status 3")
	// A panic ends its session; the others go on, and the process retires.
	a, b := i.dial(), i.dial()
	if a.pid() != b.pid() || a.pid() == first {
		t.Fatal("expected one fresh process")
	}
	pid := b.pid()
	a.conn.Write([]byte("panic\n"))
	i.waitLog("panic: session: as asked")
	if b.pid() != pid {
		t.Error("the other session is gone")
	}
	if got := i.dial().pid(); got == pid {
		t.Error("a process that panicked takes new clients")
	}
	b.conn.Close()
	waitFor(t, "retired process to exit", func() bool { return !alive(pid) })
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "PORT inet n - y - 2 testd broken\n").start()
	i.dial()
	i.waitLogCount("bad command startup -- throttling for 1s", 1)
	i.waitLogCount("bad command startup -- throttling for 2s", 1)
	i.waitLog("fatal: broken as asked")
	if n := strings.Count(i.log(), "exit status 1"); n > 3 {
		t.Errorf("%d starts in a few seconds", n)
	}
	// The cure needs no restart.
	i.write("etc/master.cf", i.masterCf(oneService))
	i.cmd.Process.Signal(syscall.SIGHUP)
	i.waitLog("reload -- version")
	i.dial().pid()
}

func TestReload(t *testing.T) {
	t.Parallel()
	i := newInstance(t, oneService+"old unix n - y - 1 testd\n").start()
	c := i.dial()
	pid := c.pid()
	extra := testkit.FreePorts(t)
	i.write("etc/master.cf", i.masterCf(strings.Replace(oneService, "word", "other", 1))+
		"127.0.0.1:"+itoa(extra)+" inet n - y - 1 testd\n")
	i.cmd.Process.Signal(syscall.SIGHUP)
	i.waitLog("reload -- version")
	fresh := i.dial()
	if fresh.pid() == pid || fresh.ask("args") != `["other"]` {
		t.Error("new clients get the old configuration")
	}
	if c.pid() != pid {
		t.Error("a session was dropped")
	}
	moved := *i
	moved.port = extra
	moved.dial().pid()
	if _, err := os.Stat(filepath.Join(i.dir, "spool/public/old")); err == nil {
		t.Error("the socket of a removed service is still there")
	}
	c.conn.Close()
	waitFor(t, "old process to exit", func() bool { return !alive(pid) })
	// Nonsense changes nothing.
	i.write("etc/master.cf", "what is this\n")
	i.cmd.Process.Signal(syscall.SIGHUP)
	i.waitLog("error: reload: ")
	i.dial().pid()
}

func TestStressWhenFull(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "PORT inet n - y - 2 testd -o client_limit=1\n").start()
	a, b := i.dial(), i.dial()
	if a.ask("stress") != "false" || b.ask("stress") != "false" {
		t.Error("stress from the start")
	}
	i.waitLog("has reached its process limit \"2\"")
	syscall.Kill(a.pid(), syscall.SIGKILL)
	if i.dial().ask("stress") != "true" {
		t.Error("no stress after all processes were busy")
	}
}

func TestWakeup(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "queue fifo n - y 1 1 testd trigger\nsome unix n - y 1? 1 testd trigger\n").start()
	i.waitLogCount("trigger W", 2)
	if strings.Contains(i.log(), "service some") {
		t.Error("a service that nobody used was woken")
	}
	if err := ipc.Trigger(filepath.Join(i.dir, "spool/public/queue"), []byte("XYZ")); err != nil {
		t.Fatal(err)
	}
	i.waitLog("trigger XYZ")
	if err := ipc.Trigger(filepath.Join(i.dir, "spool/public/some"), []byte("ABC")); err != nil {
		t.Fatal(err)
	}
	i.waitLog("trigger ABC")
}

// TestWakeupAfterReload: a request that reached a process which was about to
// be replaced does not wait for the next regular wake-up.
func TestWakeupAfterReload(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "queue fifo n - y 1000 1 testd trigger\n").start()
	i.waitLogCount("trigger W", 1)
	i.cmd.Process.Signal(syscall.SIGHUP)
	i.waitLogCount("trigger W", 2)
}

// TestKeptConnections: a sibling that keeps its connection open holds up
// neither a reload nor another client of a process with one slot.
func TestKeptConnections(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "kept unix - - y - 1 testd -o client_limit=1 ipc\n").start()
	ask := func(p *ipc.Pool) int64 {
		t.Helper()
		l, err := p.Call(context.Background(), ipc.List{}.Str("request", "pid"))
		if err != nil {
			t.Fatal(err)
		}
		n, _ := l.GetInt("pid")
		return n
	}
	path := filepath.Join(i.dir, "spool/private/kept")
	a, b := ipc.NewPool(path, time.Minute), ipc.NewPool(path, time.Minute)
	pid := ask(a)
	if got := ask(b); got != pid {
		t.Errorf("process %d, want %d", got, pid)
	}
	i.cmd.Process.Signal(syscall.SIGHUP)
	waitFor(t, "old process to exit", func() bool { return !alive(int(pid)) })
	if ask(a) == pid || ask(b) == pid {
		t.Error("old process answers")
	}
}

func TestSecondMasterAndBackground(t *testing.T) {
	t.Parallel()
	i := newInstance(t, oneService).start()
	second := i.master("-d")
	second.Stderr = nil
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "another master is running") {
		t.Errorf("second master: %v %s", err, out)
	}
	if i.master("-t").Run() == nil {
		t.Error("-t does not see the master")
	}
	i.stop(syscall.SIGQUIT)
	if err := i.master("-t").Run(); err != nil {
		t.Errorf("-t sees a master: %v", err)
	}
	if err := i.master("-w").Run(); err != nil {
		t.Fatalf("background start: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(i.dir, "spool/pid/master.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid := atoi(strings.TrimSpace(string(text)))
	i.dial().pid()
	syscall.Kill(pid, syscall.SIGTERM)
	waitFor(t, "background master to stop", func() bool { return i.master("-t").Run() == nil })
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "x unix n y\n")
	cmd := i.master("-w")
	cmd.Stderr = nil
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "master.cf:1") {
		t.Errorf("%v %s", err, out)
	}
}

// TestMasterKilled: daemons finish what they do and go when master is gone.
func TestMasterKilled(t *testing.T) {
	t.Parallel()
	i := newInstance(t, oneService).start()
	c := i.dial()
	pid := c.pid()
	i.cmd.Process.Kill()
	<-i.done
	i.stopped = true
	if c.pid() != pid {
		t.Error("session lost")
	}
	c.conn.Close()
	waitFor(t, "orphan to exit", func() bool { return !alive(pid) })
	i.stopped = false
	i.start() // on stale sockets and lock files
	i.dial().pid()
}
