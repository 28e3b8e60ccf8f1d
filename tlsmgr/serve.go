package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

// Ticket keys change each rotation; the one before is still good to read.
const (
	rotation    = time.Hour
	maxServices = 100 // of one user; what it used longest ago makes room for more
	maxUsers    = 20
)

// manager answers requests.
type manager struct {
	keys  *keyring
	dkim  *dkimRing
	watch *watcher
	// mayDKIM reports whether a process of a user may have messages signed:
	// submission may, all other servers have no use for it.
	mayDKIM func(uid int) bool

	mu      sync.Mutex
	tickets map[int]map[string]*ticketKeys // by user, then by service
}

type ticketKeys struct {
	current, previous [32]byte
	made, used        time.Time
	two               bool
}

// prepare loads the keys, as root, and starts to watch their files.
func prepare(env *service.Env) (*service.Hooks, error) {
	var p params
	if err := env.Config.Fill(&p); err != nil {
		return nil, err
	}
	pairs := p.pairs()
	w, err := newWatcher(pairs)
	if err != nil {
		env.Log.Warn("", "changed certificates will not be noticed: %v", err)
	}
	good, err := openLastGood(lastGoodDir, pairs)
	if err != nil {
		env.Log.Warn("", "certificates cannot be remembered: %v", err)
	}
	if w != nil {
		if err := w.watchDKIM(p.DKIM, len(pairs)); err != nil {
			env.Log.Warn("", "changed DKIM keys will not be noticed: %v", err)
		}
	}
	m := &manager{mayDKIM: service.OnlyUser(p.Owner), dkim: loadDKIM(p.DKIM, env.Log), keys: loadFitting(pairs, w, good, env.Log), watch: w, tickets: make(map[int]map[string]*ticketKeys)}
	return &service.Hooks{Session: m.session, Changed: w.changed}, nil
}

// session answers one server's requests until it goes away.
func (m *manager) session(ctx context.Context, conn net.Conn) error {
	c := ipc.NewConn(conn)
	cred, err := ipc.PeerCred(conn)
	if err != nil {
		return err
	}
	for req, err := range c.Requests(ctx) {
		if err != nil {
			return err
		}
		if err := c.Send(m.answer(req, cred.UID)); err != nil {
			return fmt.Errorf("send reply: %w", err)
		}
	}
	return nil
}

func refuse(why string) ipc.List { return ipc.List{}.Int("status", 1).Str("reason", why) }

func (m *manager) answer(req ipc.List, uid int) ipc.List {
	switch req.Value("request") {
	case "chains":
		reply := ipc.List{}.Int("status", 0)
		for i, c := range m.keys.chains {
			reply = reply.Str("chain"+strconv.Itoa(i), c)
		}
		return reply
	case "sign":
		return m.sign(req)
	case "dkim_keys", "dkim_sign":
		if !m.mayDKIM(uid) {
			return refuse("not allowed")
		}
		if req.Value("request") == "dkim_sign" {
			return m.dkim.sign(req)
		}
		return m.dkim.list(req.Value("domain"))
	case "tickets":
		return m.ticket(uid, req.Value("service"), time.Now())
	}
	return refuse("unknown request")
}

func (m *manager) sign(req ipc.List) ipc.List {
	hash, err := req.GetInt("hash")
	if err != nil || hash < 0 || hash > 30 {
		return refuse("bad hash")
	}
	digest, err := base64.StdEncoding.DecodeString(req.Value("digest"))
	if err != nil || len(digest) > 1024 {
		return refuse("bad digest")
	}
	sig, err := m.keys.sign(req.Value("key"), req.Value("scheme"), crypto.Hash(hash), digest)
	if err != nil {
		return refuse(err.Error())
	}
	return ipc.List{}.Int("status", 0).Str("signature", base64.StdEncoding.EncodeToString(sig))
}

// ticket returns the ticket keys of a service, the current one first. The name
// is the word of who asks: servers of another user get other keys for it, since
// who has a service's keys can read its sessions. Nor can they take its place:
// each user has a number of services, and one more ends another of the same user,
// whose servers then get new keys.
func (m *manager) ticket(uid int, name string, now time.Time) ipc.List {
	if name == "" {
		return refuse("no service")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	of := m.tickets[uid]
	if of == nil {
		if len(m.tickets) >= maxUsers {
			return refuse("too many users")
		}
		of = map[string]*ticketKeys{}
		m.tickets[uid] = of
	}
	t := of[name]
	if t == nil {
		if len(of) >= maxServices {
			dropOldest(of)
		}
		t = &ticketKeys{made: now}
		rand.Read(t.current[:]) // never fails: crypto/rand ends the program first
		of[name] = t
	}
	t.used = now
	if now.Sub(t.made) >= rotation {
		t.previous, t.two, t.made = t.current, now.Sub(t.made) < 2*rotation, now
		rand.Read(t.current[:])
	}
	reply := ipc.List{}.Int("status", 0).Str("key0", base64.StdEncoding.EncodeToString(t.current[:]))
	if t.two {
		reply = reply.Str("key1", base64.StdEncoding.EncodeToString(t.previous[:]))
	}
	return reply
}

// dropOldest ends the service that was used longest ago.
func dropOldest(of map[string]*ticketKeys) {
	oldest := ""
	for name, t := range of {
		if o := of[oldest]; o == nil || t.used.Before(o.used) {
			oldest = name
		}
	}
	delete(of, oldest)
}
