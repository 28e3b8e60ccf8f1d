package crash

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// target is a program whose system calls are made to fail.
type target struct {
	program string
	calls   []string
	attach  []string // programs to attach to: its own and what starts it
}

func targets() []target {
	return []target{
		{"cleanup", []string{"openat", "write", "pwrite64", "fsync", "fchmod", "close", "unlink", "utimensat"}, []string{"cleanup"}},
		{"postdrop", []string{"openat", "write", "fsync", "fchmod", "close", "renameat2", "unlink"}, nil},
		{"pickup", []string{"openat", "read", "pread64", "unlink", "close"}, []string{"pickup"}},
		{"qmgr", []string{"openat", "read", "pread64", "pwrite64", "renameat2", "unlink", "fchmodat", "utimensat", "close"}, []string{"qmgr"}},
		{"bounce", []string{"openat", "read", "pread64", "write", "fsync", "unlink", "close"}, []string{"bounce"}},
		{"asuser", []string{"openat", "read", "pread64", "write", "pwrite64", "fsync", "renameat2", "linkat", "unlink", "close", "mkdirat", "ftruncate"}, []string{"asuser", "virtual", "local"}},
		{"virtual", []string{"openat", "pread64", "pwrite64", "close"}, []string{"virtual"}},
		{"local", []string{"openat", "pread64", "pwrite64", "close"}, []string{"local"}},
		{"smtp", []string{"openat", "pread64", "pwrite64", "close"}, []string{"smtp"}},
	}
}

// TestCalls fails each system call that touches mail, or kills the program
// just before it: the first of each kind, in the campaign one after the other.
// A message to all kinds of recipients passes each time.
func TestCalls(t *testing.T) {
	for _, fault := range []struct {
		name, act string
		errno     syscall.Errno
	}{{"eio", actFail, syscall.EIO}, {"enospc", actFail, syscall.ENOSPC}, {"killat", actKill, 0}} {
		if fault.name == "enospc" && !*campaign {
			continue // a full disk has a test of its own
		}
		t.Run(fault.name, func(t *testing.T) {
			s := newSite(t, plan{fault: fault.name + "-walk", seed: 40 + uint64(fault.errno)})
			s.warm()
			for _, target := range targets() {
				for _, call := range target.calls {
					s.walk(target, call, injection{act: fault.act, errno: fault.errno})
				}
			}
			s.finish()
		})
	}
}

// The walk over the calls of a kind goes on until one is not reached any more.
// Of calls that only read, of which a message takes hundreds, the first are
// enough: a read that fails later leads to the same code. For the others,
// walkLimit only ends a walk that would never end, which is a failure.
const (
	walkReads = 12
	walkLimit = 500
)

// walk injects a fault at the first call of a kind, and the next, until one is
// not reached any more.
func (s *site) walk(target target, call string, i injection) {
	s.t.Helper()
	if i.errno == syscall.ENOSPC && strings.Contains("read pread64 unlink close utimensat fchmodat", call) {
		return
	}
	i.calls, i.program = call, target.program
	limit := walkLimit
	if call == "read" || call == "pread64" {
		limit = walkReads
	}
	for n := 1; n <= size(1, limit); n++ {
		i.n = n
		hit := s.fault(target, i)
		if hit == "" {
			return
		}
		if n == walkLimit {
			s.t.Errorf("%s has no last %s", target.program, call)
		}
		s.fig.Cycles++
		if testing.Verbose() && *campaign {
			s.t.Logf("%s %s %s", s.fig.Fault, target.program, hit)
		}
	}
}

// fault injects one fault while one message goes through, and returns the call
// that was hit.
func (s *site) fault(target target, i injection) string {
	s.t.Helper()
	e, text := s.ledger.begin("sendmail", 9000, recipients()...)
	if target.attach == nil {
		return s.faultCommand(e, text, i)
	}
	i.pids = s.procs(target.attach...)
	if len(i.pids) == 0 {
		s.ledger.end(e, nackNow, "not sent")
		s.oneAcked(0, toMaildir("u0")) // so that the program runs
		s.settle(time.Minute)
		i.pids = s.procs(target.attach...)
		e, text = s.ledger.begin("sendmail", 9000, recipients()...)
	}
	tr := s.inject(i)
	begin := time.Now()
	if target.program == "pickup" {
		r, why := s.sendmail(e, text)
		s.ledger.end(e, r, why)
	} else {
		s.sendEntry(e, text)
	}
	for tr.hit() == "" && time.Since(begin) < 2*time.Second && !(s.idle() && time.Since(begin) > 300*time.Millisecond) {
		time.Sleep(5 * time.Millisecond)
	}
	hit := tr.hit()
	tr.stop()
	if i.act == actKill && hit != "" {
		s.recovered(begin)
	}
	if s.settle(time.Minute) == time.Minute {
		s.t.Fatalf("after %s in %s", hit, target.program)
	}
	if e.Reply != ack && e.Text != "" && i.act == actFail && hit != "" {
		s.t.Logf("%s in %s: %s", hit, target.program, e.Text)
	}
	return hit
}

// faultCommand does it with sendmail and what it starts.
func (s *site) faultCommand(e *entry, text string, i injection) string {
	s.t.Helper()
	i.command = []string{s.bin + "/sendmail", "-i", "-f", "sender+" + e.ID + "@example.test"}
	for _, r := range e.Rcpts {
		i.command = append(i.command, r.Address)
	}
	i.stdin = text
	tr := s.inject(i)
	out, err := tr.wait()
	r, why := exitReply(out, err)
	s.ledger.end(e, r, why)
	s.settle(time.Minute)
	return tr.hit()
}

// sendEntry hands a prepared message over by SMTP.
func (s *site) sendEntry(e *entry, text string) {
	c, err := dialSMTP(s.mail.Addr())
	if err != nil {
		s.ledger.end(e, nackNow, fmt.Sprint(err))
		return
	}
	r, why, err := c.send(e, text, len(e.ID)%2 == 0)
	s.ledger.end(e, r, why)
	if err != nil {
		c.conn.Close()
		return
	}
	c.close()
}
