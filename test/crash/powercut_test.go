package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestPowerCut cuts the power of queue and mailboxes, on two file systems and
// on one, after one acknowledged message and under load.
func TestPowerCut(t *testing.T) {
	for _, one := range []bool{false, true} {
		name := "two-fs"
		if one {
			name = "one-fs"
		}
		t.Run(name+"-single", func(t *testing.T) {
			cycles := size(5, 40)
			if one {
				cycles = size(2, 20)
			}
			powerCutSingle(t, "powercut-ext4-"+name+"-single", one, cycles)
		})
		t.Run(name+"-load", func(t *testing.T) {
			if one && !*campaign {
				t.Skip("SKIPPED: only in the campaign")
			}
			powerCutLoad(t, "powercut-ext4-"+name+"-load", one, size(5, 20))
		})
	}
}

// powerCutSingle cuts after a single message. Several messages would hide a
// missing sync, since each later one commits what the earlier ones left open.
func powerCutSingle(t *testing.T, fault string, oneFS bool, cycles int) {
	s := newSite(t, plan{fault: fault, seed: 2, oneFS: oneFS})
	random := rand.New(rand.NewPCG(2, 2))
	all := recipients()
	for n := range cycles {
		s.fig.Cycles++
		rcpt := all[n%len(all)]
		if n%2 == 0 {
			rcpt = toMaildir(maildirUsers[random.IntN(len(maildirUsers))])
		}
		s.oneAcked(n, rcpt)
		switch n % 3 {
		case 0: // at once
		case 1:
			time.Sleep(time.Duration(random.IntN(30000)) * time.Microsecond)
		case 2:
			// The cruel case: the message has left the queue, and the
			// queue's file system has committed that, because it took
			// another message. The mailbox has to stand on its own.
			s.settle(time.Minute)
			s.one(recipient{"r@ok.test", classOK, []string{"r@ok.test"}})
		}
		s.powerCut()
	}
	s.finish()
}

// oneAcked sends one message, by SMTP or by sendmail, and insists that it is
// accepted.
func (s *site) oneAcked(n int, rcpt recipient) {
	s.t.Helper()
	if n%5 == 4 {
		e, text := s.ledger.begin("sendmail", 3000, rcpt)
		r, why := s.sendmail(e, text)
		s.ledger.end(e, r, why)
		if r != ack {
			s.t.Fatalf("sendmail: %s", why)
		}
		return
	}
	if e := s.one(rcpt); e.Reply != ack {
		s.t.Fatalf("not accepted: %s", e.Text)
	}
}

// powerCutLoad cuts at random moments while mail comes in and goes out.
func powerCutLoad(t *testing.T, fault string, oneFS bool, cycles int) {
	s := newSite(t, plan{fault: fault, seed: 3, oneFS: oneFS})
	random := rand.New(rand.NewPCG(3, 3))
	for range cycles {
		s.fig.Cycles++
		ctx, stop := context.WithCancel(t.Context())
		senders := s.load(ctx, 6, 120, anyRecipients)
		time.Sleep(time.Duration(200+random.IntN(600)) * time.Millisecond)
		s.powerCut()
		stop()
		senders.Wait()
	}
	s.finish()
}

// TestLyingDisk proves that the checker sees what it is there to see: with a
// disk that only says that it has synced, acknowledged mail has to be missing
// after a power cut; and with mailboxes that are not synced, a message has to
// be missing in its Maildir. (A directory's sync alone is not missed on ext4:
// the sync of the file, which has its name by then, commits that too.)
func TestLyingDisk(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		s := newSite(t, plan{fault: "selftest-lying-fsync", seed: 4})
		in := s.inject(injection{act: actLie, calls: "fsync", pids: s.procs("cleanup")})
		s.warm()
		in.stop()
		in = s.inject(injection{act: actLie, calls: "fsync", pids: s.procs()})
		s.hold()
		for range 3 {
			s.oneAcked(0, toMaildir("u1"))
		}
		s.powerCut()
		in.stop()
		s.settle(time.Minute)
		f := s.judge()
		fmt.Println(f)
		if f.Lost == 0 {
			t.Error("a lying fsync and a power cut lost nothing: the checker is blind")
		}
	})
	t.Run("mailbox", func(t *testing.T) {
		s := newSite(t, plan{fault: "selftest-no-mailbox-sync", seed: 5})
		s.warm()
		in := s.inject(injection{act: actLie, calls: "fsync", pids: s.procs("virtual", "asuser")})
		s.oneAcked(0, toMaildir("u1"))
		s.settle(time.Minute)
		s.one(recipient{"r@ok.test", classOK, []string{"r@ok.test"}})
		s.powerCut()
		in.stop()
		s.settle(time.Minute)
		f := s.judge()
		fmt.Println(f)
		if f.Lost+f.Stranded == 0 {
			t.Error("without syncs of the mailbox a power cut lost nothing: the checker is blind")
		}
		if seen := in.lines(); !strings.Contains(seen, "fsync /mail/") {
			t.Errorf("no directory sync was seen: %s", seen)
		}
	})
}

// warm sends a message through all daemons, so that they run.
func (s *site) warm() {
	s.t.Helper()
	for _, r := range recipients() {
		if e := s.one(r); e.Reply != ack {
			s.t.Fatalf("not accepted: %s", e.Text)
		}
	}
	s.settle(time.Minute)
}

// hold lets the kernel write what is in its memory by now, so that only what
// follows depends on syncs.
func (s *site) hold() { s.settle(time.Minute) }
