package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// verified remembers passwords that were right: a keyed hash of the stored
// password and the given one. A changed password has another stored one, so
// what is remembered of the old cannot match.
type verified struct {
	key   []byte
	limit int
	time  time.Duration

	mu       sync.Mutex
	now, old map[[32]byte]time.Time // two generations, each half of the limit
}

func newVerified(limit int, d time.Duration) *verified {
	v := &verified{key: make([]byte, 32), limit: limit, time: d, now: map[[32]byte]time.Time{}}
	rand.Read(v.key)
	return v
}

func (v *verified) hash(stored, password string) [32]byte {
	m := hmac.New(sha256.New, v.key)
	m.Write([]byte(stored))
	m.Write([]byte{0})
	m.Write([]byte(password))
	return [32]byte(m.Sum(nil))
}

// has reports whether the pair was right within the time.
func (v *verified) has(key [32]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	at, ok := v.now[key]
	if !ok {
		if at, ok = v.old[key]; !ok {
			return false
		}
		v.add(key, at)
	}
	return time.Since(at) < v.time
}

// put remembers a pair.
func (v *verified) put(key [32]byte) {
	if v.time <= 0 || v.limit <= 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.add(key, time.Now())
}

func (v *verified) add(key [32]byte, at time.Time) {
	if len(v.now) >= max(v.limit/2, 1) {
		v.old, v.now = v.now, map[[32]byte]time.Time{}
	}
	v.now[key] = at
}

// gate lets suspect attempts through one at a time per two processors, and
// rests afterwards for some times as long as it took, so that a flood of bad
// passwords takes a tenth of the processors.
type gate struct {
	slots   chan struct{}
	mu      sync.Mutex
	waiting int
}

// gateRest is how long the gate rests, in times of what a verification took.
const gateRest = 4

// maxAtGate bounds the suspect attempts that wait for a verification.
const maxAtGate = 1000

func newGate(parallel int) *gate { return &gate{slots: make(chan struct{}, max(parallel/2, 1))} }

var errBusy = errors.New("too many logins at a time")

func (g *gate) pass(ctx context.Context, f func() (bool, error)) (bool, error) {
	g.mu.Lock()
	if g.waiting >= maxAtGate {
		g.mu.Unlock()
		return false, errBusy
	}
	g.waiting++
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.waiting--
		g.mu.Unlock()
	}()
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		return false, errBusy
	}
	start := time.Now()
	right, err := f()
	if right {
		<-g.slots
		return right, err
	}
	// The answer need not wait for the rest.
	time.AfterFunc(min(gateRest*time.Since(start), time.Second), func() { <-g.slots })
	return right, err
}

// checkStored verifies a password against a stored one.
func (s *server) checkStored(ctx context.Context, a attempt, stored, password string) (bool, error) {
	key := s.verified.hash(stored, password)
	if s.verified.has(key) {
		return true, nil
	}
	right, err := s.slowly(ctx, a, func() (bool, error) { return s.checker.Verify(ctx, stored, password) })
	if right && err == nil {
		s.verified.put(key)
	}
	return right, err
}

// checkDummy takes the time of a verification.
func (s *server) checkDummy(ctx context.Context, a attempt, password string) error {
	_, err := s.slowly(ctx, a, func() (bool, error) { return false, s.checker.Dummy(ctx, password) })
	return err
}

func (s *server) slowly(ctx context.Context, a attempt, f func() (bool, error)) (bool, error) {
	// A hash is made to take long.
	defer s.pace.Hurry()()
	if a.suspect {
		return s.gate.pass(ctx, f)
	}
	return f()
}
