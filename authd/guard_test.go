package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

func md5hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// guess tries to log in and returns how long it took.
func guess(t *testing.T, s *server, ip, login, secret string, want authclient.Outcome) time.Duration {
	t.Helper()
	start := time.Now()
	p := authclient.Peer{Service: "imap", RemoteIP: ip, TLS: true}
	if step := s.login(context.Background(), s.plain(p, "PLAIN", "", login, secret)); step.Outcome != want {
		t.Errorf("%s from %s: %+v", login, ip, step)
	}
	return time.Since(start).Round(time.Second)
}

func guarded(t *testing.T) *server {
	t.Helper()
	r := startRig(t, func(p *params) { p.FailureDelay, p.DelayLimit = 2*time.Second, 15*time.Second },
		line(t, "ann@d.test", "SHA256", "secret", ""), line(t, "bob@d.test", "SHA256", "secret", ""))
	return r.server
}

// TestDelays: AU1, the delay grows for an address and for a user, and nobody
// else notices.
func TestDelays(t *testing.T) {
	s := guarded(t)
	synctest.Test(t, func(t *testing.T) {
		for i, want := range []int{2, 4, 8, 15, 15} {
			if d := guess(t, s, "192.0.2.1", fmt.Sprintf("u%d@d.test", i), "x", authclient.Failed); d != time.Duration(want)*time.Second {
				t.Errorf("guess %d took %v", i, d)
			}
		}
		if d := guess(t, s, "192.0.2.2", "bob@d.test", "secret", authclient.OK); d != 0 {
			t.Errorf("a stranger waited %v", d)
		}
		time.Sleep(time.Minute)
		for i, want := range []int{2, 4, 8} {
			if d := guess(t, s, fmt.Sprintf("198.51.100.%d", i), "ann@d.test", fmt.Sprint(i), authclient.Failed); d != time.Duration(want)*time.Second {
				t.Errorf("guess %d for one user took %v", i, d)
			}
		}
		// The same /64 is one network.
		guess(t, s, "2001:db8::1", "x@d.test", "x", authclient.Failed)
		if d := guess(t, s, "2001:db8::2", "y@d.test", "x", authclient.Failed); d != 4*time.Second {
			t.Errorf("a neighbour took %v", d)
		}
		// After an hour of peace all is forgotten.
		time.Sleep(2 * time.Hour)
		if d := guess(t, s, "192.0.2.1", "z@d.test", "x", authclient.Failed); d != 2*time.Second {
			t.Errorf("later: %v", d)
		}
	})
}

// TestParallelGuesses: who opens many connections waits as well.
func TestParallelGuesses(t *testing.T) {
	s := guarded(t)
	synctest.Test(t, func(t *testing.T) {
		guess(t, s, "192.0.2.1", "ann@d.test", "first", authclient.Failed)
		tried := make(chan authclient.Step, 100)
		start := time.Now()
		for i := range 100 {
			go func() {
				p := authclient.Peer{Service: "imap", RemoteIP: "192.0.2.1", TLS: true}
				if i == 0 {
					s.login(context.Background(), s.plain(p, "PLAIN", "", "x@d.test", "begin"))
				} else {
					time.Sleep(time.Millisecond)
				}
				tried <- s.login(context.Background(), s.plain(p, "PLAIN", "", fmt.Sprintf("p%d@d.test", i), "x"))
			}()
		}
		temporary := 0
		for range 100 {
			if step := <-tried; step.Outcome == authclient.Temporary {
				temporary++
			}
		}
		if temporary < 70 {
			t.Errorf("only %d of 100 were put off", temporary)
		}
		if d := time.Since(start); d < 4*time.Second {
			t.Errorf("all were answered within %v", d)
		}
	})
}

// TestManyAliases: what the user database takes passes through the sockets.
func TestManyAliases(t *testing.T) {
	var list []string
	for i := range userdb.MaxAliases {
		list = append(list, fmt.Sprintf("alias%d@d.test", i))
	}
	aliases := strings.Join(list, ",")
	r := startRig(t, nil, line(t, "ann@d.test", "SHA256", "secret", "|aliases="+aliases+"|sendas="+aliases))
	u, err := r.Lookup(context.Background(), "ann@d.test", "")
	if err != nil || len(u.Aliases) != len(list) || len(u.SendAs) != len(list) {
		t.Errorf("lookup: %v", err)
	}
}

// TestGuessesFromKnownPlace: a webmail's host, or a gateway of many, is a place
// where each user was before. Who guesses from there has to wait in the end.
func TestGuessesFromKnownPlace(t *testing.T) {
	s := guarded(t)
	synctest.Test(t, func(t *testing.T) {
		guess(t, s, "192.0.2.1", "ann@d.test", "secret", authclient.OK)
		done := make(chan authclient.Step)
		for i := range 200 {
			go func() {
				p := authclient.Peer{Service: "imap", RemoteIP: "192.0.2.1", TLS: true}
				time.Sleep(time.Duration(i) * time.Millisecond)
				done <- s.login(context.Background(), s.plain(p, "PLAIN", "", "ann@d.test", fmt.Sprint(i)))
			}()
		}
		putOff := 0
		for range 200 {
			if step := <-done; step.Outcome == authclient.Temporary {
				putOff++
			}
		}
		if putOff < 100 {
			t.Errorf("only %d of 200 were put off", putOff)
		}
	})
}

// TestKnownPlace: a user who was there before is not slowed by others who
// guess, nor by the program that still has the old password.
func TestKnownPlace(t *testing.T) {
	s := guarded(t)
	synctest.Test(t, func(t *testing.T) {
		guess(t, s, "192.0.2.1", "ann@d.test", "secret", authclient.OK)
		done := make(chan bool)
		go func() {
			for i := range 3 {
				guess(t, s, "198.51.100.1", "ann@d.test", fmt.Sprint(i), authclient.Failed)
			}
			guess(t, s, "192.0.2.1", "eve@d.test", "x", authclient.Failed)
			done <- true
		}()
		for range 10 {
			time.Sleep(time.Second)
			if d := guess(t, s, "192.0.2.1", "ann@d.test", "secret", authclient.OK); d != 0 {
				t.Errorf("waited %v", d)
			}
		}
		<-done
	})
	synctest.Test(t, func(t *testing.T) {
		for i := range 5 {
			guess(t, s, fmt.Sprintf("203.0.113.%d", i), "bob@d.test", "old", authclient.Failed)
		}
		if d := guess(t, s, "203.0.113.99", "bob@d.test", "secret", authclient.OK); d > 2*time.Second {
			t.Errorf("an old password that is repeated delays for %v", d)
		}
	})
}

// TestBounds: a flood of names and addresses takes no more than its share.
func TestBounds(t *testing.T) {
	g := newGuard(0, 0)
	for i := range maxEntries + 1000 {
		a, _, _ := g.begin(fmt.Sprint(i), fmt.Sprint("u", i))
		g.failure(a, "x")
		g.success(attempt{user: fmt.Sprint("v", i), network: "x"})
	}
	if len(g.networks) > maxEntries || len(g.users) > maxEntries || len(g.good) > maxEntries {
		t.Errorf("%d networks, %d users, %d good", len(g.networks), len(g.users), len(g.good))
	}
	v := newVerified(100, time.Hour)
	for i := range 1000 {
		v.put(v.hash("h", fmt.Sprint(i)))
	}
	if n := len(v.now) + len(v.old); n > 101 || !v.has(v.hash("h", "999")) || v.has(v.hash("h", "0")) {
		t.Errorf("%d remembered", n)
	}
	q := newQuotas()
	for i := range maxQuotas + 10 {
		q.set(fmt.Sprint(i), true)
	}
	if len(q.over) > maxQuotas {
		t.Errorf("%d quotas", len(q.over))
	}
	k := newTickets()
	for range maxTickets + 10 {
		k.issue(&authclient.User{}, "imap")
	}
	if len(k.open) > maxTickets {
		t.Errorf("%d tickets", len(k.open))
	}
}

// TestSCRAMCosts: the keys for SCRAM, which cost a derivation before the client has
// proved anything, wait as a login does, and who begins exchanges and does not end
// them waits for the others.
func TestSCRAMCosts(t *testing.T) {
	s := guarded(t)
	synctest.Test(t, func(t *testing.T) {
		x := func(ip string) *exchange {
			return &exchange{ctx: t.Context(), peer: authclient.Peer{Service: "imap", RemoteIP: ip, TLS: true}}
		}
		took := func(ip string) time.Duration {
			t.Helper()
			start := time.Now()
			if _, err := s.scramKeys(x(ip), "ann@d.test", "SCRAM-SHA-256"); err != nil {
				t.Error(err)
			}
			return time.Since(start).Round(time.Second)
		}
		a, _, _ := s.guard.begin("192.0.2.1", "x@d.test")
		s.guard.failure(a, "wrong")
		if d := took("192.0.2.1"); d != 2*time.Second {
			t.Errorf("beside a guess: %v", d)
		}
		if d := took("192.0.2.2"); d != 0 {
			t.Errorf("from elsewhere: %v", d)
		}
		suspect := func(ip string) bool {
			a, _, _ := s.guard.open(ip, "ann@d.test")
			s.guard.closed(ip)
			return a.suspect
		}
		for range maxOpen + 5 {
			s.guard.open("192.0.2.7", "ann@d.test")
		}
		if !suspect("192.0.2.7") || suspect("192.0.2.8") {
			t.Error("who leaves exchanges open is not suspect, or others are")
		}
		for range maxOpen + 5 {
			s.guard.closed("192.0.2.7")
		}
		if suspect("192.0.2.7") {
			t.Error("suspect after all of them ended")
		}
		// With all slots taken it waits for its turn.
		s.gate = newGate(1)
		busy, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range cap(s.gate.slots) {
			s.gate.slots <- struct{}{}
		}
		for range maxOpen + 5 {
			s.guard.open("192.0.2.9", "ann@d.test")
		}
		late := x("192.0.2.9")
		late.ctx = busy
		if _, err := s.scramKeys(late, "ann@d.test", "SCRAM-SHA-256"); !errors.Is(err, errBusy) {
			t.Errorf("with the gate closed: %v", err)
		}
	})
}
