package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
)

// ledger is an anvil with one user.
type ledger struct {
	mu              sync.Mutex
	asked           int
	spent           anvilclient.Ahead
	back            anvilclient.Ahead
	room            int // that may be counted ahead
	down, downAgain bool
}

func (a *ledger) Spend(_ context.Context, _ string, messages, recipients, ahead int, _ anvilclient.Limits) (anvilclient.Verdict, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if a.down {
		return anvilclient.Verdict{}, errors.New("down")
	}
	more := min(ahead, a.room)
	a.spent.Messages += messages + more
	a.spent.Recipients += recipients + more
	return anvilclient.Verdict{Ahead: anvilclient.Ahead{Messages: more, Recipients: more, Time: 1000}}, nil
}

func (a *ledger) Unspend(_ context.Context, _ string, back anvilclient.Ahead) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.downAgain {
		return errors.New("down")
	}
	a.back.Messages += back.Messages
	a.back.Recipients += back.Recipients
	a.back.Time = back.Time
	return nil
}

func TestPurse(t *testing.T) {
	a := &ledger{room: 20}
	p := newPurse(a, func(err error) { t.Error(err) })
	me := limits{ident: "me", Limits: anvilclient.Limits{MessagesHour: 1000}}
	const n = 100
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range n / 4 {
				for _, step := range [][2]int{{1, 0}, {0, 1}} {
					if v, err := p.spend(t.Context(), me, step[0], step[1]); err != nil || v.Over != "" {
						t.Error(v, err)
					}
				}
			}
		})
	}
	wg.Wait()
	p.close()
	if a.asked >= n {
		t.Errorf("%d questions for %d messages", a.asked, n)
	}
	if a.spent.Messages-a.back.Messages != n || a.spent.Recipients-a.back.Recipients != n || a.back.Time != 1000 {
		t.Errorf("counted %+v and gave back %+v", a.spent, a.back)
	}
}

// TestPurseOfFew: who sends one message now and then is counted as it happens.
func TestPurseOfFew(t *testing.T) {
	a := &ledger{room: 20}
	p := newPurse(a, func(err error) { t.Error(err) })
	me := limits{ident: "me"}
	now := time.Now()
	for i := range 10 {
		for step := range 2 {
			if taken, ahead := p.take(me, 1-step, step, now.Add(time.Duration(i)*2*purseTime)); taken || ahead > 0 {
				t.Fatalf("message %d step %d: taken %t, %d ahead", i, step, taken, ahead)
			}
		}
	}
}

// TestPurseOfMany bounds the users that are remembered.
func TestPurseOfMany(t *testing.T) {
	p := newPurse(&ledger{}, func(error) {})
	now := time.Now()
	for i := range 3 * purseMax {
		p.take(limits{ident: fmt.Sprint(i)}, 1, 0, now)
	}
	if len(p.stocks) != purseMax {
		t.Errorf("%d users", len(p.stocks))
	}
	p.take(limits{ident: "later"}, 1, 0, now.Add(2*purseTime))
	if len(p.stocks) != 1 {
		t.Errorf("%d users later", len(p.stocks))
	}
}

// TestPurseWithoutAnvil: errors come back, and what cannot be given back is told.
func TestPurseWithoutAnvil(t *testing.T) {
	a := &ledger{room: 20, down: true, downAgain: true}
	warned := 0
	p := newPurse(a, func(error) { warned++ })
	me := limits{ident: "me"}
	for range 5 {
		if _, err := p.spend(t.Context(), me, 1, 0); err == nil {
			t.Error("no error")
		}
	}
	a.down = false
	if _, err := p.spend(t.Context(), me, 1, 0); err != nil {
		t.Error(err)
	}
	if p.stocks[me].timer.Stop() {
		p.giveBack(me)
	}
	if warned != 1 {
		t.Errorf("%d warnings", warned)
	}
	for range 2 {
		if _, err := p.spend(t.Context(), me, 1, 0); err != nil {
			t.Error(err)
		}
	}
	if p.close(); warned != 1 || p.stocks[me].left != (anvilclient.Ahead{}) {
		t.Errorf("%d warnings, %+v", warned, p.stocks[me])
	}
}
