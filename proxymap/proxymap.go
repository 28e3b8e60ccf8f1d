package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/databases"
)

// parameters is what main.cf says to this daemon.
type parameters struct {
	ReadMaps string `param:"proxy_read_maps"`
}

// maxTables bounds how many tables are open at a time: each name and each set
// of flags is one.
const maxTables = 1000

// server holds the open tables.
type server struct {
	approved map[string]bool
	options  table.Options

	mu     sync.Mutex
	tables map[tableKey]table.Table
}

type tableKey struct {
	spec  string
	flags int64
}

func prepare(env *service.Env) (*service.Hooks, error) {
	var p parameters
	if err := env.Config.Fill(&p); err != nil {
		return nil, err
	}
	approved, err := approve(p.ReadMaps)
	if err != nil {
		return nil, fmt.Errorf("proxy_read_maps: %w", err)
	}
	s := newServer(approved, table.Options{ConfigDir: env.Config.Dir(), Log: env.Log, Drivers: databases.Drivers()})
	return &service.Hooks{Session: s.serve, Changed: s.changed, Drain: s.close}, nil
}

func newServer(approved map[string]bool, o table.Options) *server {
	return &server{approved: approved, options: o, tables: map[tableKey]table.Table{}}
}

// approve finds the tables "proxy:type:name" in the values that
// proxy_read_maps expands to, and those in databases, for which everybody asks
// us.
func approve(value string) (map[string]bool, error) {
	items, err := table.SplitList(value)
	if err != nil {
		return nil, err
	}
	approved := map[string]bool{}
	for _, item := range items {
		// Restriction lists hold tables within braces: { check_x type:name }.
		if inner, ok := strings.CutPrefix(item, "{"); ok {
			more, err := approve(strings.TrimSuffix(inner, "}"))
			if err != nil {
				return nil, err
			}
			for spec := range more {
				approved[spec] = true
			}
			continue
		}
		item = strings.TrimLeft(item, "!")
		if kind, _, _ := strings.Cut(item, ":"); table.IsDatabase(kind) {
			approved[item] = true
		}
		for strings.HasPrefix(item, "proxy:") {
			item = strings.TrimPrefix(item, "proxy:")
			if strings.Contains(item, ":") {
				approved[item] = true
			}
		}
	}
	return approved, nil
}

// serve answers the requests of one client.
func (s *server) serve(ctx context.Context, conn net.Conn) error {
	c := ipc.NewConn(conn)
	for req, err := range c.Requests(ctx) {
		if err != nil {
			return err
		}
		if err := c.Send(s.answer(ctx, req)); err != nil {
			return fmt.Errorf("send reply: %w", err)
		}
	}
	return nil
}

func status(s string) ipc.List { return ipc.List{}.Str("status", s) }

// answer does what one request asks for.
func (s *server) answer(ctx context.Context, req ipc.List) ipc.List {
	spec, ok := req.Get("table")
	flags, err := req.GetInt("flags")
	request := req.Value("request")
	key, hasKey := req.Get("key")
	const known = table.ProxyNoFold | table.ProxyRefuseSubstitution
	if !ok || err != nil || flags&^known != 0 ||
		request != table.ProxyOpen && (request != table.ProxyLookup || !hasKey) {
		s.warn("malformed request \"%s\"", request)
		return status(table.ProxyBad)
	}
	for strings.HasPrefix(spec, "proxy:") {
		spec = strings.TrimPrefix(spec, "proxy:")
	}
	if !s.approved[spec] {
		s.warn("request for unapproved table: \"%s\"", spec)
		s.warn("to approve this table for read-only access, list proxy:%s in the value of a parameter that proxy_read_maps names", spec)
		return status(table.ProxyDeny)
	}
	t, err := s.table(spec, flags)
	if err != nil {
		s.warn("%v", err)
		return status(table.ProxyConfig)
	}
	if request == table.ProxyOpen {
		reply := int64(0)
		if table.IsPattern(t) {
			reply = table.ProxyPattern
		}
		return status(table.ProxyOK).Int("flags", reply)
	}
	return s.lookup(ctx, spec, t, key)
}

func (s *server) lookup(ctx context.Context, spec string, t table.Table, key string) ipc.List {
	v, found, err := t.Lookup(ctx, key)
	switch {
	case err != nil:
		s.warn("table %s: lookup: %v", spec, err)
		return status(table.ProxyRetry)
	case !found:
		return status(table.ProxyNoKey)
	case len(v) > ipc.MaxValue || strings.IndexByte(v, 0) >= 0:
		s.warn("table %s: key %s: the value cannot be sent", spec, key)
		return status(table.ProxyRetry)
	}
	return status(table.ProxyOK).Str("value", v)
}

// table returns an open table.
func (s *server) table(spec string, flags int64) (table.Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := tableKey{spec, flags}
	if t := s.tables[k]; t != nil {
		return t, nil
	}
	if len(s.tables) >= maxTables {
		return nil, errors.New("too many open tables")
	}
	o := s.options
	o.NoFold = flags&table.ProxyNoFold != 0
	o.RefuseSubstitution = flags&table.ProxyRefuseSubstitution != 0
	t, err := table.Open(spec, o)
	if err != nil {
		return nil, err
	}
	s.tables[k] = t
	return t, nil
}

func (s *server) warn(format string, args ...any) {
	if s.options.Log != nil {
		s.options.Log.Warn("", format, args...)
	}
}

// changed reports whether the source of any open table changed.
func (s *server) changed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables {
		if table.Changed(t) {
			return true
		}
	}
	return false
}

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables {
		t.Close()
	}
	s.tables = map[tableKey]table.Table{}
}
