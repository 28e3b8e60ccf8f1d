package imapserver

import (
	"sync"
	"sync/atomic"
	"time"
)

// progressEvery is how often a client is told that a command goes on (RFC
// 9585 4), and that its connection lives.
const progressEvery = 10 * time.Second

// progress tells of a command that takes long. Meanwhile nobody else writes to
// the client.
type progress struct {
	c     *conn
	total int
	done  atomic.Int64
	end   chan struct{}
	over  sync.WaitGroup
	once  sync.Once
	first *time.Timer
}

// startProgress begins to watch over a command on total messages.
func (c *conn) startProgress(total int) *progress {
	p := &progress{c: c, total: total, end: make(chan struct{})}
	p.over.Add(1)
	p.first = time.AfterFunc(progressEvery, p.tell)
	return p
}

// add counts messages that are done.
func (p *progress) add(n int) { p.done.Add(int64(n)) }

func (p *progress) tell() {
	defer p.over.Done()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		p.c.enc.Line("* OK [INPROGRESS (%s %d %d)] Still at it.", quoteText(p.c.tag), p.done.Load(), p.total)
		if p.c.enc.Flush() != nil {
			return
		}
		select {
		case <-p.end:
			return
		case <-tick.C:
		}
	}
}

// stop ends it, and returns when it writes no more.
func (p *progress) stop() {
	p.once.Do(func() {
		close(p.end)
		if p.first.Stop() {
			p.over.Done()
		}
		p.over.Wait()
	})
}
