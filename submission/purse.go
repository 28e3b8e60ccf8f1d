package main

import (
	"context"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
)

// Who sends one message after the other need not be counted at each step: anvil
// counts some ahead, as long as the limits are far, and they are used here.
// What is left a second later is given back, so that the account is right.
const (
	purseTime = time.Second
	purseMax  = 1000 // users
)

// purse is what was counted ahead.
type purse struct {
	anvil counter
	warn  func(error)

	mu     sync.Mutex
	stocks map[limits]*stock
	closed bool
	work   sync.WaitGroup // stocks that are to be given back
}

// counter is anvil.
type counter interface {
	Spend(ctx context.Context, login string, messages, recipients, ahead int, l anvilclient.Limits) (anvilclient.Verdict, error)
	Unspend(ctx context.Context, login string, a anvilclient.Ahead) error
}

// stock is that of one user.
type stock struct {
	left   anvilclient.Ahead
	asked  time.Time   // when anvil was asked last
	steps  int         // how often, with less than purseTime between
	asking bool        // for something ahead
	timer  *time.Timer // until it is given back; nil if there is nothing
}

func newPurse(anvil counter, warn func(error)) *purse {
	return &purse{anvil: anvil, warn: warn, stocks: map[limits]*stock{}}
}

// spend counts messages and recipients of a user.
func (p *purse) spend(ctx context.Context, l limits, messages, recipients int) (anvilclient.Verdict, error) {
	taken, ahead := p.take(l, messages, recipients, time.Now())
	if taken {
		return anvilclient.Verdict{}, nil
	}
	v, err := p.anvil.Spend(ctx, l.ident, messages, recipients, ahead, l.Limits)
	if ahead > 0 {
		p.put(l, v.Ahead)
	}
	return v, err
}

// take uses what is there. Else it says how much is to be counted ahead:
// something for a user who was asked about some times in the last moment.
func (p *purse) take(l limits, messages, recipients int, now time.Time) (taken bool, ahead int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stocks[l]
	if s == nil {
		if len(p.stocks) >= purseMax {
			p.sweep(now)
		}
		if len(p.stocks) < purseMax {
			p.stocks[l] = &stock{asked: now}
		}
		return false, 0
	}
	if s.left.Messages >= messages && s.left.Recipients >= recipients {
		s.left.Messages -= messages
		s.left.Recipients -= recipients
		return true, 0
	}
	if s.steps++; now.Sub(s.asked) >= purseTime {
		s.steps = 0
	}
	s.asked = now
	// A message to one recipient takes two steps, and needs nothing ahead.
	if s.asking || s.steps < 2 {
		return false, 0
	}
	s.asking = true
	return false, anvilclient.MaxAhead
}

// sweep forgets users who have nothing and were not asked about lately.
func (p *purse) sweep(now time.Time) {
	for l, s := range p.stocks {
		if s.timer == nil && !s.asking && now.Sub(s.asked) >= purseTime {
			delete(p.stocks, l)
		}
	}
}

// put adds what was counted ahead.
func (p *purse) put(l limits, a anvilclient.Ahead) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stocks[l]
	s.asking = false
	if a.Messages == 0 && a.Recipients == 0 {
		return
	}
	if s.timer == nil {
		s.left.Time = a.Time
		p.work.Add(1)
		s.timer = time.AfterFunc(purseTime, func() { p.giveBack(l) })
	}
	s.left.Messages += a.Messages
	s.left.Recipients += a.Recipients
}

// giveBack has anvil take back what a user has not used.
func (p *purse) giveBack(l limits) {
	defer p.work.Done()
	p.mu.Lock()
	s := p.stocks[l]
	left, closed := s.left, p.closed
	s.left, s.timer = anvilclient.Ahead{}, nil
	p.mu.Unlock()
	if left.Messages == 0 && left.Recipients == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.anvil.Unspend(ctx, l.ident, left); err != nil && !closed {
		p.warn(err)
	}
}

// close gives everything back, once there are no more sessions. When the whole
// system stops, anvil may be gone before.
func (p *purse) close() {
	p.mu.Lock()
	p.closed = true
	for l, s := range p.stocks {
		if s.timer != nil && s.timer.Stop() {
			go p.giveBack(l)
		}
	}
	p.mu.Unlock()
	p.work.Wait()
}
