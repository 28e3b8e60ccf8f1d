package table

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// ProxyTimeout is how long a [ipc.Pool] for proxymap should let a lookup take.
const ProxyTimeout = 100 * time.Second

// The protocol of proxymap: each request has an attribute "request", and the
// name of the table as the site wrote it. The reply has a "status".
const (
	ProxyOpen   = "open"   // table, flags -> status, flags
	ProxyLookup = "lookup" // table, flags, key -> status, value
)

// Statuses in a reply of proxymap.
const (
	ProxyOK     = "ok"
	ProxyNoKey  = "nokey"  // the key is not in the table
	ProxyRetry  = "retry"  // the table failed
	ProxyBad    = "bad"    // the request was malformed
	ProxyDeny   = "deny"   // the table is not in proxy_read_maps
	ProxyConfig = "config" // the table cannot be opened
)

// Flag bits of a request and of the reply to open.
const (
	ProxyNoFold             = 1 << iota // request: keep the case of keys
	ProxyRefuseSubstitution             // request: no $number in results
	ProxyPattern                        // reply: whole keys only
)

// proxyTable asks the proxymap server.
type proxyTable struct {
	pool  *ipc.Pool
	spec  string
	flags int64

	mu      sync.Mutex
	opened  bool
	pattern bool
}

// openProxy connects no one: the server may not be up yet, and in a jail the
// first lookup finds it by its relative path.
func openProxy(name string, o *Options, depth int) (Table, error) {
	if _, _, ok := SplitSpec(name); !ok {
		return nil, errors.New(`expected "proxy:type:name"`)
	}
	if o.Proxy == nil || o.Sensitive {
		return open(name, o, depth+1)
	}
	t := &proxyTable{pool: o.Proxy, spec: name}
	if o.NoFold {
		t.flags |= ProxyNoFold
	}
	if o.RefuseSubstitution {
		t.flags |= ProxyRefuseSubstitution
	}
	return t, nil
}

func (t *proxyTable) call(ctx context.Context, request, key string) (ipc.List, error) {
	req := ipc.List{}.Str("request", request).Str("table", t.spec).Str("flags", strconv.FormatInt(t.flags, 10))
	if request == ProxyLookup {
		req = req.Str("key", key)
	}
	reply, err := t.pool.Call(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("proxy:%s: %w", t.spec, err)
	}
	switch s := reply.Value("status"); s {
	case ProxyOK, ProxyNoKey:
		return reply, nil
	case ProxyDeny:
		return nil, fmt.Errorf("proxy:%s: proxymap does not serve this table: the parameter that names it is not in proxy_read_maps", t.spec)
	case ProxyConfig:
		return nil, fmt.Errorf("proxy:%s: proxymap cannot open the table", t.spec)
	case ProxyBad:
		return nil, fmt.Errorf("proxy:%s: proxymap did not understand the request", t.spec)
	default:
		return nil, fmt.Errorf("proxy:%s: table lookup problem", t.spec)
	}
}

// open asks once what kind of table it is.
func (t *proxyTable) open(ctx context.Context) (pattern bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.opened {
		return t.pattern, nil
	}
	reply, err := t.call(ctx, ProxyOpen, "")
	if err != nil {
		return false, err
	}
	flags, err := reply.GetInt("flags")
	if err != nil {
		return false, fmt.Errorf("proxy:%s: %w", t.spec, err)
	}
	t.opened, t.pattern = true, flags&ProxyPattern != 0
	return t.pattern, nil
}

func (t *proxyTable) Lookup(ctx context.Context, key string) (string, bool, error) {
	// A NUL cannot be in a key of any table, nor in a request.
	for i := 0; i < len(key); i++ {
		if key[i] == 0 {
			return "", false, nil
		}
	}
	if _, err := t.open(ctx); err != nil {
		return "", false, err
	}
	reply, err := t.call(ctx, ProxyLookup, key)
	if err != nil {
		return "", false, err
	}
	if reply.Value("status") == ProxyNoKey {
		return "", false, nil
	}
	v, ok := reply.Get("value")
	if !ok {
		return "", false, fmt.Errorf("proxy:%s: %w: no value", t.spec, ipc.ErrMalformed)
	}
	return v, true, nil
}

// Pattern asks the server if need be. If that fails, the lookup that follows
// fails too and says why.
func (t *proxyTable) Pattern() bool {
	pattern, _ := t.open(context.Background())
	return pattern
}

func (t *proxyTable) Close() error { return nil }
