package rewrite

import (
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
)

// Cache remembers answers for a moment, since the same addresses are asked about
// again and again, and those of a domain often all have the same answer. A failure is not kept.
// It is safe for concurrent use.
type Cache struct {
	ttl     time.Duration
	max     int
	now     func() time.Time
	mu      sync.Mutex
	entries map[question]answer
	flushed time.Time
}

// question is what an answer is for: one sender and address, or all plain
// addresses of a domain.
type question struct {
	sender, addr string
	domain       bool
}

type answer struct {
	resolved Resolved
	at       time.Time
}

// NewCache returns a cache of so many answers, each of which is given for ttl.
func NewCache(ttl time.Duration, max int) *Cache {
	return &Cache{ttl: ttl, max: max, now: time.Now, entries: make(map[question]answer)}
}

// Get returns the answer for a sender and a recipient, both in internal form, and
// calls ask if it does not know one.
func (c *Cache) Get(sender, addr string, ask func() (Resolved, error)) (Resolved, error) {
	now := c.now()
	one, all := question{sender: sender, addr: addr}, question{domain: true}
	if domain, ok := Plain(addr); ok {
		all.addr = domain
		if a, ok := c.get(all, now); ok {
			a.Recipient = addr
			return a, nil
		}
	}
	if a, ok := c.get(one, now); ok {
		return a, nil
	}
	r, err := ask()
	if err != nil {
		return r, err
	}
	if r.Flags&WholeDomain != 0 && all.addr != "" && r.Recipient == addr {
		one = all
	}
	c.put(one, answer{r, now})
	return r, nil
}

func (c *Cache) get(q question, now time.Time) (Resolved, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ttl := c.ttl
	if q.domain {
		ttl = min(ttl, domainTTL)
	}
	a, ok := c.entries[q]
	return a.resolved, ok && now.Sub(a.at) < ttl
}

func (c *Cache) put(q question, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= c.max || a.at.Sub(c.flushed) > 10*c.ttl {
		clear(c.entries)
		c.flushed = a.at
	}
	c.entries[q] = a
}

// domainTTL is how long the answer for a domain is given, since addresses wait for a
// change of its tables that were never asked about.
const domainTTL = time.Second

// Plain returns the domain of an address in internal form whose local part means
// nothing to anybody but the domain: no routing operators, no quotes, and no
// dash in front.
func Plain(addr string) (domain string, ok bool) {
	if !address.Complete(addr) || addr[0] == '-' {
		return "", false
	}
	return address.Domain(addr), true
}
