package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
)

// TestRefill: a list does not wait for its slowest destination, and a transport
// keeps to its own limit.
func TestRefill(t *testing.T) {
	h := newHouse(t)
	release := make(chan struct{})
	var done atomic.Int64
	h.outcome = func(r *deliver.Request) (deliver.Reply, bool) {
		if strings.HasSuffix(r.Recipients[0].Address, "@agent.slow") {
			<-release
		} else {
			done.Add(int64(len(r.Recipients)))
		}
		return deliver.Reply{}, false
	}
	rcpts := []string{"first@agent.slow"}
	for i := range 300 {
		rcpts = append(rcpts, fmt.Sprintf("r%d@agent.d%d", i, i%3))
	}
	h.put("incoming", "a@x", rcpts...)
	h.start("default_recipient_limit = 40\nagent_recipient_limit = 30\nagent_recipient_refill_limit = 10\nagent_destination_recipient_limit = 5\n")
	h.wait("the fast destinations", func() bool { return done.Load() == 300 })
	close(release)
	h.waitLog(": removed")
	left := make(chan [2]int)
	h.d.post(func() { left <- [2]int{h.d.rcpts, h.d.inMemory["agent"]} })
	if got := <-left; got != [2]int{} {
		t.Errorf("recipients left in memory: %v", got)
	}
}

func TestClogWarning(t *testing.T) {
	h := newHouse(t)
	release := make(chan struct{})
	h.outcome = func(*deliver.Request) (deliver.Reply, bool) { <-release; return deliver.Reply{}, false }
	defer close(release)
	for i := range 30 {
		h.put("incoming", "a@x", fmt.Sprintf("r%d@agent.big", i))
	}
	h.start("qmgr_message_active_limit = 50\n")
	h.wait("all to be active", func() bool { return strings.Count(h.log.String(), "(queue active)") == 30 })
	time.Sleep(clogPause)
	h.put("incoming", "a@x", "one@agent.small")
	h.trigger("I")
	h.waitLog("warning: mail for agent.big is using up ")
	h.waitLog("you may need to increase the main.cf agent_destination_concurrency_limit from 20")
}

func TestWatchdog(t *testing.T) {
	h := newHouse(t)
	h.start("qmgr_daemon_timeout = 1s\n")
	died := make(chan struct{})
	h.d.die = func() { close(died) }
	h.d.beat.Store(time.Now().Add(-time.Hour).UnixNano())
	stuck := make(chan struct{})
	defer close(stuck)
	h.d.post(func() { h.d.beat.Store(time.Now().Add(-time.Hour).UnixNano()); <-stuck })
	go h.d.watch(h.d.lifetime)
	select {
	case <-died:
	case <-time.After(time.Minute):
		t.Error("no watchdog")
	}
}
