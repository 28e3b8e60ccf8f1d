package main

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

// guard slows down who guesses. It counts wrong passwords by network and by
// user, and knows from where a user has logged in before.
type guard struct {
	base, limit time.Duration

	mu       sync.Mutex
	networks table
	users    table
	good     map[string]int // attempts since the last success there
	waiting  map[string]int
	total    int
	failed   [2]int // failures in this and in the last window
	window   time.Time
}

// Bounds of the guard.
const (
	maxEntries     = 100_000
	maxWaiting     = 4000 // attempts that wait, of all
	maxWaitingHere = 20   // of one network
	maxSlips       = 20   // attempts without success in a place that a user was in before
	forgetStep     = 10 * time.Minute
	floodWindow    = 10 * time.Second
	floodFailures  = 20
	maxOpen        = 20 // exchanges of a network without an end that raise no suspicion
)

// entry is what is known of a network or a user.
type entry struct {
	fails int
	last  time.Time
	until time.Time // answers to attempts before are given until then
	same  [8]byte   // of the last wrong password for a user
	open  int       // exchanges of a network that cost something and had no end yet
}

// table is a bounded set of entries.
type table map[string]*entry

// get returns the entry of a key, with what time has forgotten taken off.
func (t table) get(key string, now time.Time) *entry {
	e := t[key]
	if e == nil {
		return &entry{}
	}
	if steps := int(now.Sub(e.last) / forgetStep); steps > 0 {
		e.fails >>= min(steps, 30)
		e.open >>= min(steps, 30)
		e.last = now
	}
	return e
}

// put stores an entry. A full table gives up the oldest of a few, which the
// order of the map chooses.
func (t table) put(key string, e *entry) {
	if _, has := t[key]; !has && len(t) >= maxEntries {
		var victim string
		n := 0
		for k, other := range t {
			if v := t[victim]; v == nil || other.last.Before(v.last) {
				victim = k
			}
			if n++; n == 8 {
				break
			}
		}
		delete(t, victim)
	}
	t[key] = e
}

func newGuard(base, limit time.Duration) *guard {
	return &guard{base: base, limit: max(base, limit), networks: table{}, users: table{},
		good: map[string]int{}, waiting: map[string]int{}}
}

// networkOf is the key of an address: an IPv6 site has a /64 at least.
func networkOf(ip string) string {
	if ip == "" {
		return "" // a server that does not know where its clients are
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return "?"
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return "?"
	}
	return p.Addr().String()
}

// attempt is one try to log in.
type attempt struct {
	network, user string
	start         time.Time
	known         bool // the user has logged in from there before
	suspect       bool // verify it when there is time
}

// begin returns how long an attempt has to wait before it is looked at. ok is
// false when too many wait already.
func (g *guard) begin(network, user string) (a attempt, wait time.Duration, ok bool) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	// Counted here, and not when they have failed, lest many at once pass.
	key := user + "\x00" + network
	tries, known := g.good[key]
	if known {
		g.good[key] = min(tries+1, maxSlips)
		known = tries < maxSlips
	}
	a = attempt{network: network, user: user, start: now, known: known}
	wait, ok = g.look(&a, now)
	return a, wait, ok
}

// open is begin for an exchange that costs something before the client has proved
// anything. One that comes to its end counts no longer; see closed.
func (g *guard) open(network, user string) (a attempt, wait time.Duration, ok bool) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	tries, known := g.good[user+"\x00"+network]
	a = attempt{network: network, user: user, start: now, known: known && tries < maxSlips}
	if network != "" {
		n := g.networks.get(network, now)
		if n.open == 0 && n.fails == 0 {
			n.last = now
		}
		n.open = min(n.open+1, 1<<20)
		g.networks.put(network, n)
	}
	wait, ok = g.look(&a, now)
	return a, wait, ok
}

// closed ends what open began.
func (g *guard) closed(network string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.networks[network]
	if n == nil {
		return
	}
	if n.open = max(n.open-1, 0); n.open == 0 && n.fails <= 0 {
		delete(g.networks, network)
	}
}

// look says whether an attempt is suspect, and how long it has to wait.
func (g *guard) look(a *attempt, now time.Time) (wait time.Duration, ok bool) {
	n, u := &entry{}, g.users.get(a.user, now)
	if a.network != "" {
		n = g.networks.get(a.network, now)
	}
	g.turn(now)
	a.suspect = n.open > maxOpen || !a.known && (n.fails > 0 || u.fails > 0 || g.failed[0]+g.failed[1] >= floodFailures)
	if a.known {
		return 0, true
	}
	wait = min(max(n.until.Sub(now), u.until.Sub(now), 0), g.limit)
	return wait, wait <= 0 || g.total < maxWaiting && g.waiting[a.network] < maxWaitingHere
}

// turn begins a new window of the count of failures.
func (g *guard) turn(now time.Time) {
	switch d := now.Sub(g.window); {
	case d > 2*floodWindow:
		g.failed, g.window = [2]int{}, now
	case d > floodWindow:
		g.failed, g.window = [2]int{0, g.failed[0]}, now
	}
}

// wait counts an attempt that waits; the function ends that.
func (g *guard) wait(network string) (done func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total++
	g.waiting[network]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.total--
		if g.waiting[network]--; g.waiting[network] <= 0 {
			delete(g.waiting, network)
		}
	}
}

// failure counts a wrong password and returns when it may be answered. A
// program that repeats a password that was changed is no guesser: for the user,
// the same one again does not count.
func (g *guard) failure(a attempt, secret string) time.Time {
	now := time.Now()
	sum := sha256.Sum256([]byte(a.user + "\x00" + secret))
	same := [8]byte(sum[:8])
	g.mu.Lock()
	defer g.mu.Unlock()
	g.turn(now)
	g.failed[0]++
	n, u := &entry{}, g.users.get(a.user, now)
	if a.network != "" {
		n = g.networks.get(a.network, now)
	}
	repeated := secret != "" && u.same == same
	n.fails, n.last = min(n.fails+1, 30), now
	if !repeated {
		u.fails = min(u.fails+1, 30)
	} else if key := a.user + "\x00" + a.network; a.known && g.good[key] > 0 {
		g.good[key]--
	}
	u.last, u.same = now, same
	d := max(g.delay(n.fails), g.delay(u.fails))
	n.until, u.until = now.Add(d), now.Add(d)
	if a.network != "" {
		g.networks.put(a.network, n)
	}
	g.users.put(a.user, u)
	// From when it was looked at, so that the time of the verification does
	// not show.
	return a.start.Add(d)
}

// delay grows from base to limit.
func (g *guard) delay(fails int) time.Duration {
	d := g.base
	for range fails - 1 {
		if d >= g.limit {
			return g.limit
		}
		d *= 2
	}
	return min(d, g.limit)
}

// success forgets the failures of a user, and remembers from where it was. The
// network keeps its count, less one: who guesses may have an account.
func (g *guard) success(a attempt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.users, a.user)
	if n := g.networks[a.network]; n != nil {
		if n.fails = max(n.fails-1, 0); n.fails == 0 && n.open == 0 {
			delete(g.networks, a.network)
		}
	}
	key := a.user + "\x00" + a.network
	if _, has := g.good[key]; !has && len(g.good) >= maxEntries {
		n := 0
		for k := range g.good {
			delete(g.good, k)
			if n++; n == maxEntries/100 {
				break
			}
		}
	}
	g.good[key] = 0
}
