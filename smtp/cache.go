package main

import (
	"context"
	"sync"
	"time"
)

// cache keeps sessions open for a short time after a message, so that the
// next message for the same place need not begin anew. Postfix has a process
// of its own for this; one process with many deliveries needs none.
type cache struct {
	mu     sync.Mutex
	idle   map[string][]*idleSession
	closed bool
	wg     sync.WaitGroup
}

type idleSession struct {
	*session
	timer *time.Timer
}

// maxIdleSessions bounds the sessions that are kept for one place.
const maxIdleSessions = 50

func newCache() *cache { return &cache{idle: map[string][]*idleSession{}} }

// put keeps a session for at most limit.
func (c *cache) put(s *session, limit time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle[s.key]) >= maxIdleSessions {
		c.quit(s)
		return
	}
	i := &idleSession{session: s}
	i.timer = time.AfterFunc(limit, func() { c.expire(i) })
	c.idle[s.key] = append(c.idle[s.key], i)
}

// get returns the session that was used last, or nil.
func (c *cache) get(key string) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.idle[key]
	for len(list) > 0 {
		i := list[len(list)-1]
		list = list[:len(list)-1]
		c.set(key, list)
		if i.timer.Stop() {
			i.reused = true
			return i.session
		}
	}
	return nil
}

func (c *cache) set(key string, list []*idleSession) {
	if len(list) == 0 {
		delete(c.idle, key)
		return
	}
	c.idle[key] = list
}

// expire ends a session that nobody wanted.
func (c *cache) expire(i *idleSession) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.idle[i.key]
	for n, o := range list {
		if o == i {
			c.set(i.key, append(list[:n:n], list[n+1:]...))
			c.quit(i.session)
			return
		}
	}
}

// quitTime bounds the goodbye to a server that nobody waits for.
const quitTime = 10 * time.Second

// quit says goodbye without making anybody wait.
func (c *cache) quit(s *session) {
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		ctx, cancel := context.WithTimeout(context.Background(), quitTime)
		defer cancel()
		s.Quit(ctx)
	}()
}

// close ends all sessions and waits for it.
func (c *cache) close() {
	c.mu.Lock()
	c.closed = true
	for _, list := range c.idle {
		for _, i := range list {
			if i.timer.Stop() {
				c.quit(i.session)
			}
		}
	}
	c.idle = map[string][]*idleSession{}
	c.mu.Unlock()
	c.wg.Wait()
}
