package main

import (
	"context"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
)

// A record is good for accountTime, so that a client with many messages does
// not cost a question for each. "posthouse user hold" waits longer than that
// before it says that it is done.
const (
	accountTime = time.Second
	accountMax  = 1000
)

// accounts remembers who lately was allowed to send.
type accounts struct {
	users // who knows

	mu    sync.Mutex
	known map[string]account
}

type account struct {
	until time.Time
	user  *authclient.User
}

// find returns the record of a login. One that may not send is asked for each
// time.
func (a *accounts) find(ctx context.Context, login string, now time.Time) (*authclient.User, error) {
	a.mu.Lock()
	k, ok := a.known[login]
	a.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.user, nil
	}
	u, err := a.Lookup(ctx, login, "submission")
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil || u.Held {
		delete(a.known, login)
		return u, err
	}
	if a.known == nil || len(a.known) >= accountMax {
		a.known = map[string]account{}
	}
	// From before the question: what changes meanwhile must not last longer.
	a.known[login] = account{now.Add(accountTime), u}
	return u, nil
}
