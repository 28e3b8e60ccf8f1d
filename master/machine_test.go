package main

import (
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/service/masterlink"
)

// clock is the time of a test.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) pass(d time.Duration) time.Time {
	c.now = c.now.Add(d)
	return c.now
}

func testMachine(maxProc int) *machine {
	m := newMachine()
	m.maxProc, m.throttle = maxProc, time.Minute
	return m
}

func says(m *machine, pid int, s masterlink.State, c *clock) bool {
	return m.reported(masterlink.Report{PID: pid, State: s}, c.now)
}

func TestListenOnlyWhenNobodyIsFree(t *testing.T) {
	c, m := newClock(), testMachine(2)
	if !m.listen(c.now) {
		t.Error("no process, and no interest in clients")
	}
	m.begun(1, c.now)
	if m.listen(c.now) {
		t.Error("a process that starts will take the client")
	}
	says(m, 1, masterlink.Available, c)
	says(m, 1, masterlink.Taken, c)
	if !m.listen(c.now) {
		t.Error("the only process is full")
	}
	m.begun(2, c.now)
	if warn := says(m, 2, masterlink.Taken, c); !warn || m.listen(c.now) {
		t.Error("limit not noticed")
	}
	if !m.stressed(c.now) || m.stressed(c.pass(stressTime)) {
		t.Error("stress is not bounded in time")
	}
	says(m, 1, masterlink.Available, c)
	if m.listen(c.now) {
		t.Error("a process is free again")
	}
}

func TestRetiringDoesNotCount(t *testing.T) {
	c, m := newClock(), testMachine(1)
	m.begun(1, c.now)
	says(m, 1, masterlink.Available, c)
	m.retireAll()
	if !m.listen(c.now) {
		t.Error("a process that finishes its sessions blocks the service")
	}
	m.begun(2, c.now)
	m.reported(masterlink.Report{PID: 2, State: masterlink.Available, Solitary: true}, c.now)
	m.retireAll()
	if m.listen(c.now) {
		t.Error("two solitary processes")
	}
	m.ended(1, true, c.now)
	m.ended(2, true, c.now)
	if !m.listen(c.now) {
		t.Error("no successor")
	}
	// Nobody has said yet what this is; a limit of one may mean it.
	m = testMachine(1)
	m.begun(1, c.now)
	m.retireAll()
	if m.listen(c.now) {
		t.Error("two processes of a service that may be solitary")
	}
}

func TestRetiringIsBounded(t *testing.T) {
	c, m := newClock(), testMachine(1)
	for pid := 1; m.listen(c.now); pid++ {
		if pid > 100 {
			t.Fatal("processes without end")
		}
		m.begun(pid, c.now)
		says(m, pid, masterlink.Retiring, c)
	}
}

func TestBackOff(t *testing.T) {
	c, m := newClock(), testMachine(0)
	var total time.Duration
	for pid, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		m.begun(pid, c.now)
		if got := m.ended(pid, false, c.now); got != want*time.Second {
			t.Errorf("start %d: back-off %s, want %ds", pid, got, want)
		}
		if m.listen(c.now) || m.next(c.now) != c.now.Add(want*time.Second) {
			t.Error("started during back-off")
		}
		total += want * time.Second
		if !m.listen(c.pass(want * time.Second)) {
			t.Error("not started after back-off")
		}
	}
	m.begun(100, c.now)
	says(m, 100, masterlink.Available, c)
	if m.ended(100, false, c.now) != 0 || m.backOff != 0 {
		t.Error("a start that succeeded does not end the back-off")
	}
	for pid := range quickDeaths - 1 {
		m.begun(200+pid, c.now)
		says(m, 200+pid, masterlink.Available, c)
		if got, last := m.ended(200+pid, false, c.now), pid == quickDeaths-2; (got > 0) != last {
			t.Errorf("death %d: back-off %s", pid, got)
		}
	}
}

func TestWake(t *testing.T) {
	c, m := newClock(), testMachine(1)
	if m.wake(c.now) {
		t.Error("no wake-up time, but woken")
	}
	m.wakeup, m.nextWake = time.Minute, c.now
	if !m.wake(c.now) || m.wake(c.now) || m.wake(c.pass(59*time.Second)) || !m.wake(c.pass(time.Second)) {
		t.Error("not woken once a minute")
	}
	m.replace(c.now)
	if !m.wake(c.now) {
		t.Error("not woken after its process was ended")
	}
	m.ifUsed = true
	m.replace(c.now)
	if m.wake(c.now) || m.wake(c.pass(time.Minute)) {
		t.Error("woken though never used")
	}
	m.begun(1, c.now)
	if !m.wake(c.pass(time.Minute)) {
		t.Error("not woken after use")
	}
}

func TestUnknownProcesses(t *testing.T) {
	c, m := newClock(), testMachine(1)
	if says(m, 5, masterlink.Taken, c) || m.ended(5, false, c.now) != 0 || m.total() != 0 {
		t.Error("a process that is not ours counts")
	}
}

func TestInetAddresses(t *testing.T) {
	set := &settings{Interfaces: []string{"loopback-only"}, Protocols: []string{"all"}}
	for _, tc := range []struct {
		name, service, want string
		change              func(*settings)
	}{
		{"port", "2525", "127.0.0.1:2525 [::1]:2525", nil},
		{"name of a port", "smtp", "127.0.0.1:25 [::1]:25", nil},
		{"host", "127.0.0.2:25", "127.0.0.2:25", nil},
		{"ipv6", "[::1]:25", "[::1]:25", nil},
		{"ipv4 only", "25", "127.0.0.1:25", func(s *settings) { s.Protocols = []string{"ipv4"} }},
		{"all", "25", "0.0.0.0:25 [::]:25", func(s *settings) { s.Interfaces = []string{"all"} }},
		{"twice the same", "25", "127.0.0.1:25", func(s *settings) { s.Interfaces = []string{"127.0.0.1", "127.0.0.1"} }},
		{"no family", "[::1]:25", "error", func(s *settings) { s.Protocols = []string{"ipv4"} }},
		{"no port", "nonsense-port", "error", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := *set
			if tc.change != nil {
				tc.change(&s)
			}
			addrs, err := inetAddresses(&s, tc.service)
			got := ""
			for i, a := range addrs {
				if i > 0 {
					got += " "
				}
				got += a.String()
			}
			if err != nil {
				got = "error"
			}
			if got != tc.want {
				t.Errorf("got %s, want %s (%v)", got, tc.want, err)
			}
		})
	}
}

func TestChildEnvironment(t *testing.T) {
	env := map[string]string{"TZ": "UTC", "SECRET": "1", "PATH": "/evil"}
	got := childEnvironment([]string{"TZ", "LANG=C", "DISPLAY"}, "/etc/x", func(n string) (string, bool) { v, ok := env[n]; return v, ok })
	want := []string{"PATH=/bin:/usr/bin:/sbin:/usr/sbin", "TZ=UTC", "LANG=C", "MAIL_CONFIG=/etc/x"}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

func TestImplicitPostlog(t *testing.T) {
	p := &plan{set: settings{MaillogFile: "/var/log/x"}}
	p.addPostlog()
	p.addPostlog()
	if len(p.services) != 1 || p.services[0].Program != "postlogd" {
		t.Errorf("got %v", p.services)
	}
	if !disabled([]string{"smtp.inet"}, config.Service{Name: "smtp", Type: "inet"}) ||
		!disabled([]string{"fifo"}, config.Service{Name: "qmgr", Type: "fifo"}) ||
		disabled([]string{"smtp.inet"}, config.Service{Name: "smtp", Type: "unix"}) {
		t.Error("master_service_disable")
	}
}
