package main

import (
	"syscall"
	"testing"
)

// TestKeptFile: what a process leaves reaches its successor after a reload, is
// gone with a process that is killed, and another service does not see it.
func TestKeptFile(t *testing.T) {
	i := newInstance(t, "PORT inet n - n - 1 testd keeps\n").start()
	once := func(command string) string {
		t.Helper()
		c := i.dial()
		defer c.conn.Close()
		return c.ask(command)
	}
	if got := once("note one"); got != "." {
		t.Fatalf("at first: %q", got)
	}
	pid := atoi(once("pid"))
	i.cmd.Process.Signal(syscall.SIGHUP)
	waitFor(t, "the old process to end", func() bool { return !alive(pid) })
	if got := once("note two"); got != "one." {
		t.Errorf("after a reload: %q", got)
	}
	pid = atoi(once("pid"))
	syscall.Kill(pid, syscall.SIGKILL)
	waitFor(t, "the killed process to be gone", func() bool { return !alive(pid) })
	if got := once("note"); got != "." {
		t.Errorf("after a kill: %q", got)
	}
}
