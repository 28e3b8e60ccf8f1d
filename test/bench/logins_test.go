package bench

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

var (
	loginRuns  = flag.Int("logins", 0, "IMAP sessions with which the cost of one is measured, by process; 0: not measured")
	loginWidth = flag.String("loginwidth", "1,10", "how many of them at a time")
	loginHold  = flag.Duration("loginhold", 0, "how long the sessions go on after that, for a profiler to look")
)

// use is what a process used up.
type use struct {
	ns       int64 // on a processor
	switches int64 // because it waited
}

// uses are those of the processes below root and the caller, by name.
func uses(root int) map[string]use {
	all := map[string]use{}
	pids := tree(root)
	pids[os.Getpid()] = process{}
	for pid := range pids {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		name := strings.TrimSpace(string(comm))
		if pid == os.Getpid() {
			name = "client"
		}
		c := all[name]
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		for _, task := range tasks {
			if b, err := os.ReadFile(task + "/schedstat"); err == nil {
				ns, _ := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
				c.ns += ns
			}
			b, _ := os.ReadFile(task + "/status")
			_, rest, _ := strings.Cut(string(b), "\nvoluntary_ctxt_switches:")
			line, _, _ := strings.Cut(rest, "\n")
			n, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
			c.switches += n
		}
		all[name] = c
	}
	return all
}

// imapMany makes n sessions that log in, select a mailbox and log out, width at
// a time, and returns how many a second.
func imapMany(t testing.TB, s imapSystem, width, n int) float64 {
	t.Helper()
	addr, err := netip.ParseAddrPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	to := &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	var next atomic.Int64
	errs := make(chan error, width)
	start := time.Now()
	for range width {
		go func() {
			runtime.LockOSThread()
			buf := make([]byte, 64<<10)
			for next.Add(1) <= int64(n) {
				if err := leanSession(to, buf); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range width {
		if err := <-errs; err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
	return float64(n) / time.Since(start).Seconds()
}

// leanSession is one session by a client that is in nobody's way: it costs its
// own system calls, and no goroutine or buffer of its own.
func leanSession(to syscall.Sockaddr, buf []byte) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer syscall.Close(fd)
	limit := syscall.Timeval{Sec: 60}
	syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit)
	if err := syscall.Connect(fd, to); err != nil {
		return os.NewSyscallError("connect", err)
	}
	if err := leanAnswer(fd, buf, "*"); err != nil {
		return err
	}
	for _, command := range []string{"t LOGIN you@" + testkit.Domain + " secret\r\n", "t SELECT INBOX\r\n", "t LOGOUT\r\n"} {
		if _, err := syscall.Write(fd, []byte(command)); err != nil {
			return os.NewSyscallError("write", err)
		}
		if err := leanAnswer(fd, buf, "t"); err != nil {
			return err
		}
	}
	return nil
}

// leanAnswer reads up to a line that begins with a tag, and wants OK there.
func leanAnswer(fd int, buf []byte, tag string) error {
	n := 0
	for {
		got, err := syscall.Read(fd, buf[n:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil || got == 0 {
			return fmt.Errorf("after %q: %d bytes, %w", buf[:n], got, os.NewSyscallError("read", err))
		}
		n += got
		if buf[n-1] != '\n' {
			continue
		}
		last := buf[bytes.LastIndexByte(buf[:n-1], '\n')+1 : n]
		if bytes.HasPrefix(last, []byte(tag+" ")) {
			if !bytes.HasPrefix(last, []byte(tag+" OK")) {
				return fmt.Errorf("got %q", last)
			}
			return nil
		}
	}
}

// TestLogins tells what a session costs that logs in, selects a mailbox and
// logs out, in each process.
func TestLogins(t *testing.T) {
	if *loginRuns == 0 {
		t.Skip("SKIPPED: measures only with -args -logins 2000")
	}
	mail := testkit.New(t, testkit.Users("you"))
	uid, gid := testkit.BoxOwner(t)
	mail.Set(t, "mail_max_userip_connections = 0", "auth_failure_delay = 0")
	mail.UserDB(t, "secret", []string{"you"})
	mail.Start(t)
	fillVaried(t, mail.Maildir("you"), uid, gid, 100)
	unix.Sync()
	s := imapSystem{"Posthouse", net.JoinHostPort("127.0.0.1", strconv.Itoa(mail.Port+3)), "", mail.PID(), mail.Maildir}
	imapMany(t, s, 4, 200)
	names := []string{"client", "imapd", "authd", "sessiond", "mailuser", "postlogd", "master", "tlsmgr"}
	rows := [][]string{append([]string{"at a time", "sessions/s", "ms each"}, names...)}
	for _, width := range numbers(t, *loginWidth) {
		before := uses(s.pid)
		rate := imapMany(t, s, width, *loginRuns)
		after := uses(s.pid)
		row := []string{strconv.Itoa(width), f1(rate), f2(1000 / rate)}
		for _, name := range names {
			a, b, n := before[name], after[name], float64(*loginRuns)
			row = append(row, fmt.Sprintf("%.3f %.1f", float64(b.ns-a.ns)/1e6/n, float64(b.switches-a.switches)/n))
		}
		rows = append(rows, row)
	}
	table("login, SELECT, LOGOUT: ms of CPU time and thread switches of each process", rows)
	for end := time.Now().Add(*loginHold); time.Now().Before(end); {
		imapMany(t, s, numbers(t, *loginWidth)[0], 100)
	}
}
