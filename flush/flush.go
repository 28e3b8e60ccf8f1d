package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/posthouse-mail/posthouse/pkg/flushclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/table"
)

// params are the parameters of flush.
type params struct {
	Domains     []string `param:"fast_flush_domains"`
	MatchParent []string `param:"parent_domain_matches_subdomains"`
	Proxymap    string   `param:"proxymap_service_name"`
	Qmgr        string   `param:"queue_service_name"`
	HashDepth   int      `param:"hash_queue_depth"`
	HashNames   []string `param:"hash_queue_names"`
	LongIDs     bool     `param:"enable_long_queue_ids"`
}

// maxPending bounds the sites that wait for a look at the queue.
const maxPending = 1000

// server answers requests.
type server struct {
	log     *maillog.Logger
	queue   *queue.Queue
	domains *table.MatchList
	trigger func()

	mu      sync.Mutex
	pending map[string]bool // sites to look for
	looking sync.Mutex      // held during a look
}

func prepare(env *service.Env) (*service.Hooks, error) {
	var p params
	if err := env.Config.Fill(&p); err != nil {
		return nil, err
	}
	domains, err := table.NewDomainList(p.Domains, table.ListOptions{
		Options: table.Options{ConfigDir: env.Config.Dir(), Log: env.Log,
			Proxy: ipc.NewPool("private/"+p.Proxymap, table.ProxyTimeout)},
		Name: "fast_flush_domains", MatchParent: slices.Contains(p.MatchParent, "fast_flush_domains"),
	})
	if err != nil {
		return nil, fmt.Errorf("fast_flush_domains: %w", err)
	}
	s := &server{log: env.Log, domains: domains, pending: map[string]bool{},
		queue: queue.Open(".", queue.Options{HashDepth: p.HashDepth, HashNames: p.HashNames, LongIDs: p.LongIDs, Owner: env.UID})}
	s.trigger = func() {
		// If qmgr is not there, it finds the messages when it starts.
		_ = ipc.Trigger("public/"+p.Qmgr, []byte("I"))
	}
	return &service.Hooks{Session: s.session, Changed: domains.Changed}, nil
}

// session answers the requests of one client. The work comes after the answer,
// since nobody should wait for a look at a long queue.
func (s *server) session(ctx context.Context, conn net.Conn) error {
	c := ipc.NewConn(conn)
	for req, err := range c.Requests(ctx) {
		if err != nil {
			return err
		}
		if err := c.Send(ipc.List{}.Int("status", int64(s.answer(ctx, req)))); err != nil {
			return fmt.Errorf("send reply: %w", err)
		}
		s.work(ctx)
	}
	return nil
}

// answer says whether a request will be served.
func (s *server) answer(ctx context.Context, req ipc.List) flushclient.Status {
	switch req.Value("request") {
	case flushclient.SendFile:
		id := req.Value("queue_id")
		if !queue.ValidID(id) {
			return flushclient.Bad
		}
		if err := s.queue.Hurry(queue.ID(id)); err != nil {
			s.log.Warn(id, "%v", err)
			return flushclient.Fail
		}
		s.trigger()
		return flushclient.OK
	case flushclient.SendSite:
		return s.site(ctx, req.Value("site"))
	}
	s.log.Warn("", "malformed request \"%s\"", req.Value("request"))
	return flushclient.Bad
}

// site notes a destination.
func (s *server) site(ctx context.Context, site string) flushclient.Status {
	if !flushclient.ValidSite(site) {
		return flushclient.Bad
	}
	site = strings.ToLower(site)
	allowed, err := s.domains.Match(ctx, site)
	if err != nil {
		s.log.Warn("", "fast_flush_domains: %v", err)
		return flushclient.Fail
	}
	if !allowed {
		return flushclient.Deny
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) >= maxPending && !s.pending[site] {
		return flushclient.Fail
	}
	s.pending[site] = true
	return flushclient.OK
}

// work looks for what is pending. Whoever waited for the look of another
// session finds that its site was served with it, or goes on with the next.
func (s *server) work(ctx context.Context) {
	s.looking.Lock()
	defer s.looking.Unlock()
	s.mu.Lock()
	sites := s.pending
	s.pending = map[string]bool{}
	s.mu.Unlock()
	if len(sites) == 0 {
		return
	}
	found := 0
	for e, err := range s.queue.Scan(queue.Deferred) {
		if ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Warn("", "scan the deferred queue: %v", err)
		}
		if err != nil || e.Bad || !s.wanted(e.ID, sites) {
			continue
		}
		if err := s.queue.Hurry(e.ID); err != nil {
			s.log.Warn(string(e.ID), "%v", err)
			continue
		}
		found++
	}
	if found > 0 {
		s.trigger()
	}
}

// rcptBatch is how many recipients are in memory at a time.
const rcptBatch = 100

// wanted reports whether a message still has to go to one of the sites. One
// that cannot be read is for qmgr to complain about.
func (s *server) wanted(id queue.ID, sites map[string]bool) bool {
	m, err := s.queue.OpenMessage(queue.Deferred, id)
	if err != nil {
		return false
	}
	defer m.Close()
	for offset := int64(0); ; {
		rcpts, next, err := m.Recipients(offset, rcptBatch)
		if err != nil {
			return false
		}
		for i := range rcpts {
			addr := rcpts[i].Address
			if sites[strings.ToLower(addr[strings.LastIndexByte(addr, '@')+1:])] {
				return true
			}
		}
		if next == 0 {
			return false
		}
		offset = next
	}
}
