package crash

import (
	"context"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// size chooses between the smoke test and the campaign.
func size(smoke, long int) int {
	if *campaign {
		return long
	}
	return smoke
}

// TestKills kills random processes under load, master included.
func TestKills(t *testing.T) {
	kills := size(40, 200)
	s := newSite(t, plan{fault: "kill", seed: 1, queueMB: 300, boxesMB: 900})
	random := rand.New(rand.NewPCG(1, 99))
	ctx, stop := context.WithCancel(t.Context())
	senders := s.load(ctx, 8, 150, anyRecipients)
	masters := 0
	for s.fig.Cycles < kills {
		time.Sleep(time.Duration(50+random.IntN(200)) * time.Millisecond)
		list := s.procs()
		if len(list) == 0 {
			t.Fatal("no processes")
		}
		victim := list[random.IntN(len(list))]
		master := victim.name == "master"
		if !master && random.IntN(12) == 0 {
			for _, p := range s.procs("master") {
				victim, master = p, true
			}
		}
		if victim.name == "posthouse" || victim.name == "posthouse-start" {
			continue
		}
		begin := time.Now()
		if err := syscall.Kill(victim.pid, syscall.SIGKILL); err != nil {
			continue
		}
		s.fig.Cycles++
		if master {
			masters++
			if err := s.start(); err != nil {
				t.Fatalf("after a kill of master: %v", err)
			}
		}
		s.recovered(begin)
	}
	stop()
	senders.Wait()
	t.Logf("master was killed %d times", masters)
	s.finish()
}

// recovered waits until a message is accepted.
func (s *site) recovered(begin time.Time) {
	s.t.Helper()
	for s.one(toMaildir("u0")).Reply != ack {
		if time.Since(begin) > time.Minute {
			s.t.Error("no mail is accepted a minute after a kill")
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.fig.Recover = append(s.fig.Recover, time.Since(begin))
}
