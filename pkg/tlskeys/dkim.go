package tlskeys

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/dkim"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// MaxDKIMKeys bounds the signatures of one message.
const MaxDKIMKeys = 8

// DKIM keys change rarely; domains repeat.
const (
	dkimTime = 5 * time.Second
	dkimMax  = 10000
)

// DKIM signs messages with keys in tlsmgr. It is safe for concurrent use.
//
//	request=dkim_keys domain      -> status, key0 ... ("domain selector algorithm size")
//	request=dkim_sign key digest  -> status, signature (base64)
type DKIM struct {
	pool *ipc.Pool

	mu    sync.Mutex
	known map[string]dkimKnown
}

type dkimKnown struct {
	until time.Time
	keys  []dkim.Key
}

// NewDKIM returns a signer on the pool's socket.
func NewDKIM(pool *ipc.Pool) *DKIM { return &DKIM{pool: pool, known: map[string]dkimKnown{}} }

// Keys returns the keys that sign mail of authors in a domain, none for a
// domain without keys.
func (d *DKIM) Keys(ctx context.Context, domain string) ([]dkim.Key, error) {
	domain = strings.ToLower(domain)
	now := time.Now()
	d.mu.Lock()
	k, ok := d.known[domain]
	d.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.keys, nil
	}
	if !dkim.ValidDomain(domain) {
		return nil, nil
	}
	reply, err := d.pool.Call(ctx, ipc.List{}.Str("request", "dkim_keys").Str("domain", domain))
	if err == nil {
		err = check(reply)
	}
	if err != nil {
		return nil, err
	}
	var keys []dkim.Key
	for i := range MaxDKIMKeys {
		text, ok := reply.Get("key" + strconv.Itoa(i))
		if !ok {
			break
		}
		key, err := readKey(text)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= dkimMax {
		clear(d.known)
	}
	d.known[domain] = dkimKnown{now.Add(dkimTime), keys}
	return keys, nil
}

func readKey(text string) (dkim.Key, error) {
	f := strings.Fields(text)
	if len(f) != 4 || !dkim.ValidDomain(f[0]) || !dkim.ValidSelector(f[1]) || f[2] != dkim.RSA && f[2] != dkim.Ed25519 {
		return dkim.Key{}, fmt.Errorf("reply of tlsmgr: %w: DKIM key", ipc.ErrMalformed)
	}
	size, err := strconv.Atoi(f[3])
	if err != nil || size < 64 || size > 512 {
		return dkim.Key{}, fmt.Errorf("reply of tlsmgr: %w: DKIM key", ipc.ErrMalformed)
	}
	return dkim.Key{Domain: f[0], Selector: f[1], Algorithm: f[2], SigLen: size, Name: f[0] + "/" + f[1]}, nil
}

// Sign makes one signature.
func (d *DKIM) Sign(ctx context.Context, key dkim.Key, digest []byte) ([]byte, error) {
	reply, err := d.pool.Call(ctx, ipc.List{}.Str("request", "dkim_sign").Str("key", key.Name).
		Str("digest", base64.StdEncoding.EncodeToString(digest)))
	if err == nil {
		err = check(reply)
	}
	if err != nil {
		// The key may be gone with the next message.
		d.mu.Lock()
		clear(d.known)
		d.mu.Unlock()
		return nil, err
	}
	sig, err := base64.StdEncoding.DecodeString(reply.Value("signature"))
	if err != nil || len(sig) == 0 {
		return nil, fmt.Errorf("reply of tlsmgr: %w: signature", ipc.ErrMalformed)
	}
	return sig, nil
}
