package main

import (
	"context"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/printable"
)

// tellTime bounds how long authd may take to hear of a mailbox.
const tellTime = 10 * time.Second

// teller passes on to authd, for one session, whether the user's mailbox is
// full, so that mail for it is refused before it is taken. Only the last word
// counts, and there is one call at a time, whatever the worker says.
type teller struct {
	p     *parent
	ctx   context.Context
	login string
	calls sync.WaitGroup

	mu   sync.Mutex
	busy bool
	next *bool // not told yet
}

func (p *parent) newTeller(ctx context.Context, login string) *teller {
	return &teller{p: p, ctx: ctx, login: login}
}

// tell does not wait.
func (t *teller) tell(full bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = &full
	if !t.busy {
		t.busy = true
		t.calls.Go(t.work)
	}
}

// work tells until there is nothing new.
func (t *teller) work() {
	for {
		t.mu.Lock()
		full := t.next
		t.next = nil
		t.busy = full != nil
		t.mu.Unlock()
		if full == nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.ctx, tellTime)
		err := t.p.auth.SetQuota(ctx, t.login, *full)
		cancel()
		if err != nil {
			t.p.log.Warn("", "tell authd of the quota of %s: %v", printable.Text(t.login), err)
		}
	}
}

// wait returns when all is told.
func (t *teller) wait() { t.calls.Wait() }
