package main

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/posthouse-mail/posthouse/pkg/dkim"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/tlskeys"
)

// maxTable bounds the table of DKIM keys.
const maxTable = 16 << 20

// dkimRing has the DKIM keys. They are a class of their own: no request can
// have one of them sign a TLS handshake, or a TLS key sign a message.
type dkimRing struct {
	entries []dkim.Entry
	keys    map[string]crypto.Signer // by domain/selector
}

func dkimName(e *dkim.Entry) string { return e.Domain + "/" + e.Selector }

// loadDKIM reads the keys that sign, or did until lately. What cannot be used is logged and left
// out.
func loadDKIM(table string, log *maillog.Logger) *dkimRing {
	r := &dkimRing{keys: map[string]crypto.Signer{}}
	text, err := readUpTo(table, maxTable)
	if errors.Is(err, os.ErrNotExist) {
		return r
	}
	var all []dkim.Entry
	if err == nil {
		all, err = dkim.ParseTable(string(text))
	}
	if err != nil {
		log.Warn("", "cannot use the DKIM keys of %s: %v", table, err)
		return r
	}
	for _, e := range all {
		// A message that was begun with a key that is old by now is
		// finished with it.
		if e.State == dkim.StateNew {
			continue
		}
		key, err := loadDKIMKey(table, e.File)
		if err != nil {
			log.Warn("", "cannot use DKIM key %s of %s: %v", e.Selector, e.Domain, err)
			continue
		}
		r.entries = append(r.entries, e)
		r.keys[dkimName(&e)] = key
	}
	return r
}

func loadDKIMKey(table, file string) (crypto.Signer, error) {
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(table), file)
	}
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others than its owner may read or write it (mode %04o)", file, info.Mode().Perm())
	}
	return dkim.DecodeKey(text)
}

// watchDKIM notices a change of the table, or that its directory comes to be.
func (w *watcher) watchDKIM(table string, pair int) error {
	if _, err := os.Stat(filepath.Dir(table)); errors.Is(err, os.ErrNotExist) {
		table = filepath.Dir(table)
	}
	return errors.Join(w.add(table, side{pair, false}), w.add(table, side{pair, true}))
}

// list names the keys for a domain of authors.
func (r *dkimRing) list(domain string) ipc.List {
	reply := ipc.List{}.Int("status", 0)
	n := 0
	for i := range r.entries {
		e := &r.entries[i]
		if n == tlskeys.MaxDKIMKeys || !e.Signs(domain) {
			continue
		}
		algorithm, size := dkim.Describe(r.keys[dkimName(e)])
		reply = reply.Str("key"+strconv.Itoa(n), fmt.Sprintf("%s %s %s %d", e.Domain, e.Selector, algorithm, size))
		n++
	}
	return reply
}

// sign makes the signature of a message.
func (r *dkimRing) sign(req ipc.List) ipc.List {
	key := r.keys[req.Value("key")]
	if key == nil {
		return refuse("no such key")
	}
	digest, err := base64.StdEncoding.DecodeString(req.Value("digest"))
	if err != nil {
		return refuse("bad digest")
	}
	sig, err := dkim.SignDigest(key, digest)
	if err != nil {
		return refuse(err.Error())
	}
	return ipc.List{}.Int("status", 0).Str("signature", base64.StdEncoding.EncodeToString(sig))
}
