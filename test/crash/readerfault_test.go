package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newReaderSite makes a site whose users can read their mail.
func newReaderSite(t *testing.T, fault string, forgets bool) (*site, *readerModel) {
	t.Helper()
	s := newSite(t, plan{fault: fault, users: true, settings: []string{"auth_failure_delay = 0", "mail_max_userip_connections = 0",
		"login_client_connection_limit = 0"}})
	m := newReaderModel(s, fault, forgets)
	for _, user := range maildirUsers[:2] {
		c := s.mustLogin(user)
		// A mailbox that is there before the fault can be read during it.
		for _, command := range []string{"CREATE Other", "SELECT INBOX"} {
			if _, err := c.cmd("%s", command); err != nil {
				t.Fatal(err)
			}
		}
		c.conn.Close()
	}
	unix.Sync()
	return s, m
}

// mustLogin logs in as soon as that is possible.
func (s *site) mustLogin(user string) *reader {
	s.t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var c *reader
		if c, err = s.login(user); err == nil {
			return c
		}
	}
	s.t.Fatalf("nobody can log in: %v", err)
	return nil
}

// people work until the context ends.
func (s *site) people(ctx context.Context, m *readerModel, seed uint64) *sync.WaitGroup {
	var wg sync.WaitGroup
	for n := range 4 {
		p := &person{s: s, m: m, name: fmt.Sprintf("c%d", n), user: "u0", random: rand.New(rand.NewPCG(seed, uint64(n)))}
		wg.Go(func() {
			for ctx.Err() == nil {
				p.step()
			}
			if p.c != nil {
				p.c.conn.Close()
			}
		})
	}
	p := &person{s: s, m: m, name: "lmtp", user: "u0", random: rand.New(rand.NewPCG(seed, 99))}
	wg.Go(func() {
		for ctx.Err() == nil {
			p.deliver()
			time.Sleep(20 * time.Millisecond)
		}
	})
	return &wg
}

// compare looks into all mailboxes.
func (s *site) compare(m *readerModel, users ...string) {
	s.t.Helper()
	for _, user := range users {
		for _, box := range readerBoxes {
			var validity uint32
			var list []seenMessage
			var err error
			for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				c := s.mustLogin(user)
				if validity, err = c.open(box); err == nil {
					list, err = c.list()
				}
				c.conn.Close()
				if err == nil {
					break
				}
			}
			if err != nil {
				s.t.Fatalf("%s of %s cannot be read: %v", box, user, err)
			}
			m.check(user+"/"+box, validity, list)
		}
	}
	m.settled()
}

// readerPrograms are on the way between a mailbox and its readers.
var readerPrograms = []string{"imapd", "sessiond", "mailuser", "authd", "tlsmgr", "deposit", "asuser", "lmtpd", "pop3d", "master"}

// TestReadersKilled kills each process on the way while people read, file and
// get mail. All that was acknowledged holds.
func TestReadersKilled(t *testing.T) {
	s, m := newReaderSite(t, "imap-kill", false)
	random := rand.New(rand.NewPCG(11, 11))
	for n := range size(4, 40) {
		ctx, stop := context.WithCancel(t.Context())
		working := s.people(ctx, m, uint64(n))
		for k := range 6 {
			time.Sleep(time.Duration(50+random.IntN(250)) * time.Millisecond)
			name := readerPrograms[(n*6+k)%len(readerPrograms)]
			victims := s.procs(name)
			if len(victims) == 0 {
				continue // it starts when it is needed
			}
			begin := time.Now()
			syscall.Kill(victims[random.IntN(len(victims))].pid, syscall.SIGKILL)
			m.fig.cycles++
			if name == "master" {
				if err := s.start(); err != nil {
					t.Fatalf("after a kill of master: %v", err)
				}
			}
			c := s.mustLogin("u1")
			c.conn.Close()
			m.fig.recover = max(m.fig.recover, time.Since(begin))
		}
		stop()
		working.Wait()
		s.compare(m, "u0")
	}
	m.report(t)
}

// TestReadersPowerCut cuts the power under the same load. Messages and UIDs
// hold; flags and expunges are not synced, and may be as before.
func TestReadersPowerCut(t *testing.T) {
	s, m := newReaderSite(t, "imap-powercut-ext4", true)
	random := rand.New(rand.NewPCG(12, 12))
	for n := range size(4, 60) {
		ctx, stop := context.WithCancel(t.Context())
		working := s.people(ctx, m, uint64(100+n))
		time.Sleep(time.Duration(50+random.IntN(900)) * time.Millisecond)
		begin := time.Now()
		m.fig.cycles++
		s.powerCut()
		m.fig.recover = max(m.fig.recover, time.Since(begin))
		stop()
		working.Wait()
		s.compare(m, "u0")
	}
	m.report(t)
}

// readerTargets are the calls that sessions and deliveries make on mailboxes.
var readerTargets = []target{
	{"mailuser", []string{"openat", "read", "pread64", "write", "pwrite64", "fsync", "fdatasync", "renameat", "renameat2", "linkat", "unlinkat", "unlink",
		"utimensat", "ftruncate", "mkdirat", "fchmod"}, []string{"mailuser", "sessiond"}},
	{"asuser", []string{"openat", "read", "pread64", "write", "pwrite64", "fsync", "fdatasync", "renameat", "renameat2", "linkat", "unlinkat", "unlink", "mkdirat"},
		[]string{"asuser", "deposit"}},
}

// TestReadersCalls fails each of these calls, or kills the process before it,
// while a message is appended, flagged, copied, moved, expunged, brought by
// LMTP and fetched by POP3.
func TestReadersCalls(t *testing.T) {
	for _, fault := range []struct {
		name, act string
		errno     syscall.Errno
	}{{"eio", actFail, syscall.EIO}, {"enospc", actFail, syscall.ENOSPC}, {"killat", actKill, 0}} {
		t.Run(fault.name, func(t *testing.T) {
			s, m := newReaderSite(t, "imap-"+fault.name+"-walk", false)
			random := rand.New(rand.NewPCG(13, 13))
			for _, target := range readerTargets {
				for _, call := range target.calls {
					if fault.errno == syscall.ENOSPC && strings.Contains("read pread64 unlink unlinkat utimensat", call) {
						continue
					}
					s.walkReaders(m, target, injection{act: fault.act, errno: fault.errno, calls: call, program: target.program}, random)
				}
			}
			m.report(t)
		})
	}
}

// walkReaders injects a fault at the first call of a kind, and in the campaign
// the next ones, until one is not reached any more.
func (s *site) walkReaders(m *readerModel, target target, i injection, random *rand.Rand) {
	s.t.Helper()
	step := 1
	for n := 1; n <= size(1, 60); n += step {
		if n > 12 {
			step = 5
		}
		// The process has to be there before the fault.
		c := s.mustLogin("u1")
		(&person{s: s, m: m, name: "before", user: "u1", random: random}).deliver()
		i.n, i.pids = n, s.procs(target.attach...)
		tr := s.inject(i)
		p := &person{s: s, m: m, name: "walk", user: "u1", random: random}
		p.oneOfEach()
		hit := tr.hit()
		tr.stop()
		c.conn.Close()
		if hit == "" {
			return
		}
		m.fig.cycles++
		s.compare(m, "u1")
		if s.t.Failed() || len(m.fig.findings) > 0 {
			s.t.Fatalf("after %s in %s: %q", hit, target.program, m.fig.findings)
		}
	}
}

// oneOfEach does each thing that changes a mailbox.
func (p *person) oneOfEach() {
	p.deliver()
	for _, do := range []func(l *letter, h *held) error{
		func(*letter, *held) error { return p.append() },
		func(_ *letter, h *held) error { return p.flag(h) },
		func(l *letter, h *held) error { return p.copy(l, h, "COPY") },
		func(l *letter, h *held) error { return p.copy(l, h, "MOVE") },
		p.expunge,
	} {
		if p.c == nil {
			p.c, _ = p.s.login(p.user)
		}
		if p.c == nil {
			continue
		}
		l, h := p.pick()
		if h == nil {
			l, h = &letter{}, &held{box: p.user + "/INBOX", uid: 1 << 30}
		}
		if err := do(l, h); err != nil && !errors.Is(err, errNo) {
			p.c.conn.Close()
			p.c = nil
		}
	}
	p.fetchmail()
	if p.c != nil {
		p.c.conn.Close()
		p.c = nil
	}
}
