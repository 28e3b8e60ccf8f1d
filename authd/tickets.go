package main

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
)

// Tickets let sessiond learn from us, and not from a server that talks to
// strangers, who has logged in.
const (
	ticketLife  = time.Minute
	maxTickets  = 20_000
	ticketBytes = 32
)

type ticket struct {
	user    *authclient.User
	service string
	made    time.Time
}

type tickets struct {
	mu   sync.Mutex
	open map[string]ticket
}

func newTickets() *tickets { return &tickets{open: map[string]ticket{}} }

// wants reports a service whose sessions run in another process.
func (t *tickets) wants(service string) bool {
	return service == "imap" || service == "pop3" || service == "sieve"
}

// issue makes a ticket, "" if there are too many.
func (t *tickets) issue(u *authclient.User, service string) string {
	b := make([]byte, ticketBytes)
	rand.Read(b) // never fails: crypto/rand ends the program first
	name, now := hex.EncodeToString(b), time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.open) >= maxTickets {
		for k, old := range t.open {
			if now.Sub(old.made) > ticketLife {
				delete(t.open, k)
			}
		}
	}
	if len(t.open) >= maxTickets {
		return ""
	}
	t.open[name] = ticket{u, service, now}
	return name
}

// redeem takes a ticket back.
func (t *tickets) redeem(name, service string) *authclient.User {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.open[name]
	delete(t.open, name)
	if !ok || k.service != service || time.Since(k.made) > ticketLife {
		return nil
	}
	return k.user
}
