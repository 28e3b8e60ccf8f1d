package crash

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestFullDisk fills the queue's file system, its table of inodes, and the
// mailboxes' file system, while mail comes in. Mail is refused for the time
// being or waits; none of it is lost, and none is bounced.
func TestFullDisk(t *testing.T) {
	tests := []struct {
		name    string
		options []string
		fill    func(s *site) func()
		refuse  bool // new mail cannot be taken
	}{
		{"queue", nil, func(s *site) func() { return fillBytes(s, s.queue) }, true},
		{"inodes", []string{"-N", "256"}, func(s *site) func() { return fillInodes(s, s.queue) }, true},
		{"mailboxes", nil, func(s *site) func() { return fillBytes(s, s.boxes) }, false},
	}
	for n, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, plan{fault: "enospc-" + test.name, seed: uint64(30 + n), queueMB: 24, queueOpt: test.options})
			s.warm()
			for range size(1, 5) {
				s.fig.Cycles++
				fullCycle(s, test.fill, test.refuse)
			}
			s.finish()
		})
	}
}

// fullCycle fills the disk under load, has the system crash and start on the
// full disk, and makes room again.
func fullCycle(s *site, fill func(*site) func(), refuse bool) {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	senders := s.load(ctx, 4, 60, anyRecipients)
	time.Sleep(300 * time.Millisecond)
	room := fill(s)
	time.Sleep(1500 * time.Millisecond)
	begin := time.Now()
	s.killAll()
	if err := s.start(); err != nil {
		s.t.Errorf("start with a full disk: %v", err)
	}
	s.fig.Recover = append(s.fig.Recover, time.Since(begin))
	time.Sleep(500 * time.Millisecond)
	if refuse {
		testkit.Wait(s.t, "message that is refused with a full disk", func() bool { return s.refused() > 0 })
	}
	stop()
	senders.Wait()
	room()
	if len(s.procs("master")) == 0 {
		if err := s.start(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.settle(time.Minute)
}

// refused counts the messages that were refused for lack of room.
func (s *site) refused() int {
	n := 0
	for _, e := range s.ledger.list() {
		if strings.Contains(e.Text, " 45") || strings.Contains(e.Text, "exit status") || strings.HasPrefix(e.Text, "45") {
			n++
		}
	}
	return n
}

// fillBytes fills a file system to the last block, and returns what makes room
// again.
func fillBytes(s *site, i *testkit.Image) func() {
	name := filepath.Join(i.At, "filler")
	f, err := os.Create(name)
	if err != nil {
		s.t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 4
		}
	}
	f.Sync()
	f.Close()
	return func() {
		if err := os.Remove(name); err != nil {
			s.t.Fatal(err)
		}
	}
}

// fillInodes uses up all inodes.
func fillInodes(s *site, i *testkit.Image) func() {
	var names []string
	for n := range 100000 {
		name := filepath.Join(i.At, fmt.Sprintf("filler%d", n))
		f, err := os.Create(name)
		if err != nil {
			break
		}
		f.Close()
		names = append(names, name)
	}
	return func() {
		for _, name := range names {
			os.Remove(name)
		}
	}
}
