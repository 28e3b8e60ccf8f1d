package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/tlskeys"
)

// maxPEM bounds a certificate or key file.
const maxPEM = 1 << 20

// params are the parameters of the key manager.
type params struct {
	Cert   string   `param:"smtpd_tls_cert_file"`
	Key    string   `param:"smtpd_tls_key_file"`
	ECCert string   `param:"smtpd_tls_eccert_file"`
	ECKey  string   `param:"smtpd_tls_eckey_file"`
	Chains []string `param:"smtpd_tls_chain_files"`
	DKIM   string   `param:"dkim_key_table"`
	Owner  string   `param:"submission_owner"`
}

// pair is a certificate file and the file with its key.
type pair struct{ cert, key string }

// pairs lists the files to load. smtpd_tls_chain_files, if set, stands for
// all the others.
func (p *params) pairs() []pair {
	var out []pair
	for _, f := range p.Chains {
		out = append(out, pair{f, f})
	}
	if len(out) > 0 {
		return out
	}
	for _, x := range []pair{{p.Cert, p.Key}, {p.ECCert, p.ECKey}} {
		if x.cert == "" || x.cert == "none" {
			continue
		}
		if x.key == "" {
			x.key = x.cert
		}
		out = append(out, x)
	}
	return out
}

// keyring has the keys and what may be told about them.
type keyring struct {
	chains []string // PEM, leaf first
	keys   map[string]crypto.Signer
	failed []int // pairs that did not fit
}

// How long, and how often, pairs that do not fit are read again at the start.
// Servers that want a handshake wait that long.
const (
	fitTime  = 4 * time.Second
	fitPause = 200 * time.Millisecond
)

// loadFitting loads the pairs. It waits for one that does not fit, which may
// be half renewed: the process that had the old pair is gone.
func loadFitting(pairs []pair, w *watcher, good *lastGood, log *maillog.Logger) *keyring {
	for end := time.Now().Add(fitTime); time.Now().Before(end); time.Sleep(fitPause) {
		w.forget()
		if k := load(pairs, nil, maillog.Discard()); len(k.failed) == 0 {
			break
		}
	}
	w.forget()
	k := load(pairs, good, log)
	w.expect(k.failed)
	return k
}

// load reads all pairs. One that does not fit is logged, and its last good form
// is used, if there is one.
func load(pairs []pair, good *lastGood, log *maillog.Logger) *keyring {
	k := &keyring{keys: make(map[string]crypto.Signer)}
	for i, p := range pairs {
		k.remember(p, good)
		cert, err := readPair(p, good, log)
		if err == nil {
			err = k.add(cert)
			if err == nil {
				continue
			}
		}
		k.failed = append(k.failed, i)
		log.Warn("", "cannot use certificate %s with key %s: %v", p.cert, p.key, err)
		if !errors.Is(err, errUnfit) || good == nil {
			continue
		}
		cert, since, err := good.load(p)
		if err == nil {
			err = k.add(cert)
		}
		if err != nil {
			log.Warn("", "nor what they were before: %v", err)
			continue
		}
		log.Warn("", "using what they were on %s", since.Format(time.DateTime))
	}
	return k
}

// errUnfit reports files that are there, but are no certificate and its key.
var errUnfit = errors.New("they do not fit")

// readPair reads a pair, and remembers it if it fits.
func readPair(p pair, good *lastGood, log *maillog.Logger) (cert tls.Certificate, err error) {
	certPEM, err := readFile(p.cert)
	if err != nil {
		return cert, err
	}
	keyPEM, err := readFile(p.key)
	if err != nil {
		return cert, err
	}
	cert, err = tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return cert, fmt.Errorf("%w: %w", errUnfit, err)
	}
	if good != nil {
		if err := good.keep(p, cert, keyPEM); err != nil {
			log.Warn("", "cannot remember certificate %s: %v", p.cert, err)
		}
	}
	return cert, nil
}

// remember takes the key that a pair had before: a handshake that began with
// the process before this one may still want its signature.
func (k *keyring) remember(p pair, good *lastGood) {
	if good == nil {
		return
	}
	cert, _, err := good.load(p)
	if err != nil {
		return
	}
	if key, ok := cert.PrivateKey.(crypto.Signer); ok {
		if name, err := tlskeys.KeyName(key.Public()); err == nil {
			k.keys[name] = key
		}
	}
}

func (k *keyring) add(cert tls.Certificate) error {
	if len(k.chains) == tlskeys.MaxChains {
		return errors.New("too many certificates")
	}
	key, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return fmt.Errorf("key type %T cannot sign", cert.PrivateKey)
	}
	name, err := tlskeys.KeyName(key.Public())
	if err != nil {
		return err
	}
	k.chains = append(k.chains, chainPEM(cert))
	k.keys[name] = key
	return nil
}

func readFile(path string) ([]byte, error) { return readUpTo(path, maxPEM) }

func readUpTo(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s: not a regular file of at most %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

// sign makes one signature. Only what TLS needs can be asked for.
func (k *keyring) sign(name, scheme string, hash crypto.Hash, digest []byte) ([]byte, error) {
	key := k.keys[name]
	if key == nil {
		return nil, errors.New("no such key")
	}
	if scheme != tlskeys.SchemeEd25519 && (!hash.Available() || len(digest) != hash.Size()) {
		return nil, errors.New("bad digest")
	}
	var opts crypto.SignerOpts = hash
	fits := false
	switch key.(type) {
	case *rsa.PrivateKey:
		fits = scheme == tlskeys.SchemePKCS1 || scheme == tlskeys.SchemePSS
		if scheme == tlskeys.SchemePSS {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		}
	case *ecdsa.PrivateKey:
		fits = scheme == tlskeys.SchemeECDSA
	case ed25519.PrivateKey:
		fits = scheme == tlskeys.SchemeEd25519 && hash == 0
	}
	if !fits {
		return nil, errors.New("scheme does not fit the key")
	}
	return key.Sign(rand.Reader, digest, opts)
}
