package main

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
)

// successor is the process that comes after s has ended, some time later.
func successor(t *testing.T, s *server, after time.Duration) *server {
	t.Helper()
	data, err := json.Marshal(s.state(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	st, err := readState(data, after)
	if err != nil {
		t.Fatal(err)
	}
	next, err := newServer(s.params, s.log, st)
	if err != nil {
		t.Fatal(err)
	}
	next.sources, next.trusted = s.sources, s.trusted
	return next
}

// TestTicketsOutliveTheProcess: a ticket counts at the successor, once, for the
// same service, and a minute after it was made.
func TestTicketsOutliveTheProcess(t *testing.T) {
	s := guarded(t)
	synctest.Test(t, func(t *testing.T) {
		ann := &authclient.User{Login: "ann@d.test", UID: 7, GID: 8, MailDir: "/m"}
		one, two, spent, late := s.tickets.issue(ann, "imap"), s.tickets.issue(ann, "imap"), s.tickets.issue(ann, "imap"), s.tickets.issue(ann, "pop3")
		if s.tickets.redeem(spent, "imap") == nil {
			t.Fatal("no ticket")
		}
		s = successor(t, s, 2*time.Second)
		if u := s.tickets.redeem(one, "imap"); u == nil || u.Login != ann.Login || u.UID != 7 || u.MailDir != "/m" {
			t.Errorf("after the first: %+v", u)
		}
		s = successor(t, s, 2*time.Second)
		for name, k := range map[string]string{"redeemed by the second process": one, "redeemed by the first": spent} {
			if s.tickets.redeem(k, "imap") != nil {
				t.Errorf("a ticket counts again that was %s", name)
			}
		}
		if s.tickets.redeem(two, "pop3") != nil || s.tickets.redeem(two, "imap") != nil {
			t.Error("a ticket counts for another service, or after it was tried there")
		}
		time.Sleep(50 * time.Second)
		s = successor(t, s, 7*time.Second)
		if s.tickets.redeem(late, "pop3") != nil {
			t.Error("a ticket counts after more than a minute")
		}
	})
}

// TestDelaysOutliveTheProcess: who guesses gains nothing by a reload, and who
// had logged in does not wait after it.
func TestDelaysOutliveTheProcess(t *testing.T) {
	s := guarded(t)
	synctest.Test(t, func(t *testing.T) {
		guess(t, s, "192.0.2.9", "bob@d.test", "secret", authclient.OK)
		for _, want := range []int{2, 4, 8} {
			if d := guess(t, s, "192.0.2.1", "ann@d.test", "x"+time.Now().String(), authclient.Failed); d != time.Duration(want)*time.Second {
				t.Errorf("took %v", d)
			}
		}
		key := s.verified.hash("stored", "secret")
		s.verified.put(key)
		salt, _ := s.checker.FakeSCRAM(t.Context(), "eve@d.test", "SCRAM-SHA-256")
		s.quotas.set("bob@d.test", true)
		s = successor(t, s, time.Second)
		if d := guess(t, s, "192.0.2.1", "bob@d.test", "x", authclient.Failed); d != 15*time.Second {
			t.Errorf("the fourth guess from the network took %v", d)
		}
		if d := guess(t, s, "192.0.2.9", "bob@d.test", "secret", authclient.OK); d != 0 {
			t.Errorf("a known user waited %v", d)
		}
		if !s.verified.has(s.verified.hash("stored", "secret")) || s.verified.has(s.verified.hash("stored", "other")) {
			t.Error("verified passwords are lost, or others count")
		}
		if again, _ := s.checker.FakeSCRAM(t.Context(), "eve@d.test", "SCRAM-SHA-256"); string(again.Salt) != string(salt.Salt) {
			t.Error("a made-up salt changed: so the user is none")
		}
		if !s.quotas.isOver("bob@d.test") {
			t.Error("a full mailbox is forgotten")
		}
		time.Sleep(s.CacheTime)
		if s = successor(t, s, 0); s.verified.has(key) {
			t.Error("a verified password counts for longer than auth_cache_time")
		}
	})
}

// FuzzReadState: whatever is left, a process starts.
func FuzzReadState(f *testing.F) {
	s, err := newServer(testParams(), nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	s.tickets.issue(&authclient.User{Login: "ann@d.test"}, "imap")
	s.verified.put(s.verified.hash("a", "b"))
	good, err := json.Marshal(s.state(time.Now()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := readState(b, time.Second)
		if err != nil {
			return
		}
		next, err := newServer(testParams(), nil, st)
		if err != nil {
			t.Fatal(err)
		}
		for name, k := range next.tickets.open {
			if time.Since(k.made) < time.Second || next.tickets.redeem(name, k.service) != k.user {
				t.Errorf("ticket %q: %+v", name, k)
			}
		}
	})
}
