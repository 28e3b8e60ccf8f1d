package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

// params are the parameters of the daemon.
type params struct {
	Unit   time.Duration `param:"anvil_rate_time_unit"`
	Update time.Duration `param:"anvil_status_update_time"`
	Data   string        `param:"data_directory"`
	Owner  string        `param:"submission_owner"`
}

type server struct {
	params
	log *maillog.Logger
	// maySpend reports whether a process of a user may say what users send.
	maySpend func(uid int) bool

	mu    sync.Mutex
	table *table
	procs map[int]*process
	usage *usage
	// ledger is nil where the files cannot be had.
	ledger *ledger
	done   chan struct{}
}

func prepare(env *service.Env) (*service.Hooks, error) {
	s := &server{log: env.Log, procs: make(map[int]*process), done: make(chan struct{})}
	if err := env.Config.Fill(&s.params); err != nil {
		return nil, err
	}
	s.maySpend = service.OnlyUser(s.Owner)
	s.table, s.usage = newTable(s.Unit), newUsage()
	if l, u, err := openLedger(s.Data); err != nil {
		env.Log.Warn("", "what users send is not remembered over a restart: %v", err)
	} else {
		s.ledger, s.usage = l, u
	}
	return &service.Hooks{
		Session: s.session,
		Ready: func(ctx context.Context) error {
			go s.statistics(ctx)
			return nil
		},
		Drain: func() { <-s.done },
	}, nil
}

// saveTime is how much of what users send may be forgotten by a crash.
const saveTime = 20 * time.Second

// process is one server and the connections that it reported. A server may
// report the end of a connection on another socket than its start, so the
// account is kept for the process.
type process struct {
	sockets int
	open    map[string]int
}

// session answers one server's requests until it goes away. When the last
// socket of a process is gone, so are its clients.
func (s *server) session(ctx context.Context, conn net.Conn) error {
	c := ipc.NewConn(conn)
	cred, err := ipc.PeerCred(conn)
	if err != nil {
		return err
	}
	p := s.enter(cred.PID)
	defer s.leave(cred.PID)
	for req, err := range c.Requests(ctx) {
		if err != nil {
			return err
		}
		if r := req.Value("request"); (r == anvilclient.Spend || r == anvilclient.Unspend) && !s.maySpend(cred.UID) {
			return fmt.Errorf("refused to count for process %d of uid %d, which is not submission", cred.PID, cred.UID)
		}
		if err := c.Send(s.answer(p, req, time.Now())); err != nil {
			return fmt.Errorf("send reply: %w", err)
		}
	}
	return nil
}

func (s *server) enter(pid int) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.procs[pid]
	if p == nil {
		p = &process{open: make(map[string]int)}
		s.procs[pid] = p
	}
	p.sockets++
	return p
}

func (s *server) leave(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.procs[pid]
	if p.sockets--; p.sockets > 0 {
		return
	}
	delete(s.procs, pid)
	for ident, n := range p.open {
		for range n {
			s.table.disconnect(ident)
		}
	}
}

func (s *server) answer(p *process, req ipc.List, now time.Time) ipc.List {
	ident, event := req.Value("ident"), req.Value("request")
	switch event {
	case anvilclient.Spend, anvilclient.Unspend:
		s.mu.Lock()
		defer s.mu.Unlock()
		if event == anvilclient.Unspend {
			return s.usage.unspend(req, now.Unix())
		}
		return s.usage.spend(req, now.Unix())
	}
	kind, ok := kindOf(event)
	if ident == "" || len(ident) > 200 || !ok && event != anvilclient.Disconnect {
		return ipc.List{}.Int("status", -1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	count, rate := 0, 0
	switch {
	case ok:
		count, rate = s.table.event(kind, ident, now)
		if kind == kindConn && (p.open[ident] > 0 || len(p.open) < maxClients) {
			p.open[ident]++
		}
	case p.open[ident] > 0:
		s.table.disconnect(ident)
		if p.open[ident]--; p.open[ident] == 0 {
			delete(p.open, ident)
		}
	}
	return ipc.List{}.Int("status", 0).Int("count", int64(count)).Int("rate", int64(rate))
}

// statistics logs the maxima at intervals and at the end.
func (s *server) statistics(ctx context.Context) {
	defer close(s.done)
	tick := time.NewTicker(s.Update)
	defer tick.Stop()
	save := time.NewTicker(saveTime)
	defer save.Stop()
	for {
		select {
		case <-save.C:
			s.saveUsage(time.Now())
		case <-tick.C:
			s.report(time.Now())
		case <-ctx.Done():
			s.report(time.Now())
			s.saveUsage(time.Now())
			return
		}
	}
}

// report writes the "statistics:" lines and starts anew.
func (s *server) report(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table
	at := func(x time.Time) string { return x.Format("Jan _2 15:04:05") }
	names := [numKinds]string{"connection", "message", "recipient", "newtls", "auth"}
	for i, r := range t.rates {
		if r.value > 0 {
			s.log.Info("", "statistics: max %s rate %d/%ds for (%s) at %s", names[i], r.value, int(t.unit.Seconds()), r.ident, at(r.at))
		}
		if i == kindConn && t.count.value > 0 {
			s.log.Info("", "statistics: max connection count %d for (%s) at %s", t.count.value, t.count.ident, at(t.count.at))
		}
	}
	if t.cache > 0 {
		s.log.Info("", "statistics: max cache size %d at %s", t.cache, at(t.cacheAt))
	}
	t.rates, t.count, t.cache = [numKinds]top{}, top{}, 0
	t.expire(now)
}
