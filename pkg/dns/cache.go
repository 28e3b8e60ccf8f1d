package dns

import (
	"errors"
	"sync"
	"time"
)

// Bounds on how long an answer is kept, whatever its TTL says. Negative ones
// are kept shorter: a site that adds a record should not wait for us.
const (
	maxTTL         = time.Hour
	maxNegativeTTL = 5 * time.Minute
)

type cacheKey struct {
	name string
	t    Type
}

type cacheEntry struct {
	answer  *Answer
	err     *Error
	expires time.Time
}

// cache remembers answers until their TTL is over. When it is full, expired
// entries go first and then any: map order is as good as a list here, since
// the resolver behind us has a cache, too.
type cache struct {
	mu    sync.Mutex
	limit int
	m     map[cacheKey]cacheEntry
	now   func() time.Time
}

func newCache(limit int) *cache {
	return &cache{limit: limit, m: map[cacheKey]cacheEntry{}, now: time.Now}
}

func (c *cache) get(name string, t Type) (*Answer, error, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := cacheKey{name, t}
	e, ok := c.m[k]
	if !ok {
		return nil, nil, false
	}
	if !c.now().Before(e.expires) {
		delete(c.m, k)
		return nil, nil, false
	}
	if e.err != nil {
		return nil, e.err, true
	}
	return e.answer, nil, true
}

// put remembers an answer or a definite failure.
func (c *cache) put(name string, t Type, a *Answer, err error) {
	e := cacheEntry{answer: a}
	var ttl time.Duration
	if a != nil {
		ttl = maxTTL
		for i := range a.Records {
			ttl = min(ttl, a.Records[i].TTL)
		}
	} else {
		if !errors.As(err, &e.err) || e.err.IsTemporary() {
			return
		}
		ttl = min(e.err.ttl, maxNegativeTTL)
	}
	if ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if len(c.m) >= c.limit {
		c.evict(now)
	}
	e.expires = now.Add(ttl)
	c.m[cacheKey{name, t}] = e
}

func (c *cache) evict(now time.Time) {
	for k, e := range c.m {
		if !now.Before(e.expires) {
			delete(c.m, k)
		}
	}
	for k := range c.m {
		if len(c.m) < c.limit {
			return
		}
		delete(c.m, k)
	}
}
