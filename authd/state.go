package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

// state is what a process hands to its successor: the tickets that nobody has
// redeemed yet, the failures of those who guess, and which passwords were right.
// It goes through memory that no other process can reach (service.Keep), and is
// taken out before the first request: a ticket counts once, whoever knows it.
// Times are ages, in nanoseconds, so that no clock matters.
type state struct {
	SaltKey  []byte // of made-up salts, by which a user would show who has real ones
	Tickets  []savedTicket
	Networks map[string]savedEntry
	Users    map[string]savedEntry
	Good     map[string]int
	Full     map[string]time.Duration // mailboxes over quota
	VerKey   []byte
	Verified []byte // records of a hash of 32 bytes and an age in seconds

	age time.Duration // since it was left
}

type savedTicket struct {
	Name    string
	User    *authclient.User
	Service string
	Age     time.Duration
}

type savedEntry struct {
	Fails int
	Age   time.Duration // since the last failure
	Wait  time.Duration // until answers are given
	Same  []byte
}

// verifiedRecord is the length of a record of verified passwords.
const verifiedRecord = 32 + 4

// takeState returns what the process before left, nil if there was none.
func takeState(k *service.Keep, log *maillog.Logger) *state {
	data, age, err := k.Take()
	if err == nil && data != nil {
		var st *state
		if st, err = readState(data, age); err == nil {
			return st
		}
	}
	if err != nil {
		// Logins of this moment have to be repeated.
		log.Warn("", "tickets and delays of the process before are lost: %v", err)
	}
	return nil
}

var errState = errors.New("malformed state")

// readState checks what it reads, although it comes from a process like this.
func readState(data []byte, age time.Duration) (*state, error) {
	st := &state{}
	if err := json.Unmarshal(data, st); err != nil {
		return nil, fmt.Errorf("%w: %w", errState, err)
	}
	if len(st.SaltKey) != 32 || len(st.VerKey) != 32 || len(st.Verified)%verifiedRecord != 0 || age < 0 ||
		len(st.Tickets) > maxTickets || len(st.Networks) > maxEntries || len(st.Users) > maxEntries ||
		len(st.Good) > maxEntries || len(st.Full) > maxQuotas {
		return nil, errState
	}
	for _, k := range st.Tickets {
		if k.User == nil || len(k.Name) != 2*ticketBytes || k.Age < 0 {
			return nil, errState
		}
	}
	st.age = age
	return st, nil
}

// saltKey is the key of made-up salts; a new one if there was none.
func (st *state) saltKey() []byte {
	if st != nil {
		return st.SaltKey
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails: crypto/rand ends the program first
	return key
}

// restore takes over what the process before knew.
func (s *server) restore(st *state) {
	if st == nil {
		return
	}
	now := time.Now()
	for _, k := range st.Tickets {
		if age := k.Age + st.age; age >= 0 && age < ticketLife {
			s.tickets.open[k.Name] = ticket{k.User, k.Service, now.Add(-age)}
		}
	}
	s.guard.restore(st, now)
	for login, age := range st.Full {
		s.quotas.over[login] = now.Add(-age - st.age)
	}
	s.verified.restore(st, now)
}

func (g *guard) restore(st *state, now time.Time) {
	for _, m := range []struct {
		from map[string]savedEntry
		to   table
	}{{st.Networks, g.networks}, {st.Users, g.users}} {
		for key, e := range m.from {
			entry := &entry{fails: min(max(e.Fails, 0), 30), last: now.Add(-e.Age - st.age), until: now.Add(min(e.Wait, g.limit) - st.age)}
			copy(entry.same[:], e.Same)
			m.to[key] = entry
		}
	}
	for key, tries := range st.Good {
		g.good[key] = min(max(tries, 0), maxSlips)
	}
}

func (v *verified) restore(st *state, now time.Time) {
	v.key = st.VerKey
	for b := st.Verified; len(b) >= verifiedRecord && v.limit > 0; b = b[verifiedRecord:] {
		age := time.Duration(binary.LittleEndian.Uint32(b[32:]))*time.Second + st.age
		if age < v.time {
			v.add([32]byte(b[:32]), now.Add(-age))
		}
	}
}

// leave hands the state to the next process.
func (s *server) leave() {
	if s.keep == nil {
		return
	}
	st := s.state(time.Now())
	data, err := json.Marshal(st)
	if err == nil && len(data) > service.MaxKeep {
		// The tickets are what somebody waits for.
		st.Networks, st.Users, st.Good, st.Verified = nil, nil, nil, nil
		data, err = json.Marshal(st)
	}
	if err == nil {
		err = s.keep.Leave(data)
	}
	if err != nil {
		s.log.Warn("", "hand over to the next process: %v", err)
	}
}

// state collects what there is.
func (s *server) state(now time.Time) *state {
	st := &state{SaltKey: s.saltKey, Full: map[string]time.Duration{}}
	s.tickets.mu.Lock()
	for name, k := range s.tickets.open {
		if age := now.Sub(k.made); age < ticketLife {
			st.Tickets = append(st.Tickets, savedTicket{name, k.user, k.service, max(age, 0)})
		}
	}
	s.tickets.mu.Unlock()
	s.guard.save(st, now)
	s.quotas.mu.Lock()
	for login, at := range s.quotas.over {
		if age := now.Sub(at); age < quotaTime {
			st.Full[login] = age
		}
	}
	s.quotas.mu.Unlock()
	s.verified.save(st, now)
	return st
}

func (g *guard) save(st *state, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	saved := func(t table) map[string]savedEntry {
		m := map[string]savedEntry{}
		for key, e := range t {
			m[key] = savedEntry{e.fails, now.Sub(e.last), max(e.until.Sub(now), 0), e.same[:]}
		}
		return m
	}
	st.Networks, st.Users, st.Good = saved(g.networks), saved(g.users), maps.Clone(g.good)
}

func (v *verified) save(st *state, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	st.VerKey = v.key
	for _, m := range []map[[32]byte]time.Time{v.old, v.now} {
		for key, at := range m {
			age := min(max(now.Sub(at)/time.Second, 0), 1<<31)
			st.Verified = append(st.Verified, key[:]...)
			st.Verified = binary.LittleEndian.AppendUint32(st.Verified, uint32(age))
		}
	}
}
