// Package tlskeys lets a TLS server work without its private keys: they are
// in tlsmgr(8), a process with a user of its own, which signs and never hands
// them out. What a server gets is certificate chains, a crypto.Signer for
// each, and session ticket keys that hold for its own service only.
//
// Requests on the socket are attribute lists:
//
//	request=chains                        -> status, chain0, chain1 ... (PEM)
//	request=sign key scheme hash digest   -> status, signature (base64)
//	request=tickets service               -> status, key0, key1 (base64)
//
// Key is the name that [KeyName] makes of the public key.
package tlskeys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// Endpoint is the socket of tlsmgr, relative to the queue directory.
const Endpoint = "private/tlsmgr"

// Timeout is how long a caller should let a [ipc.Pool] for tlsmgr wait.
const Timeout = 10 * time.Second

// Schemes of signatures.
const (
	SchemePSS     = "rsa-pss"
	SchemePKCS1   = "rsa-pkcs1"
	SchemeECDSA   = "ecdsa"
	SchemeEd25519 = "ed25519"
)

// MaxChains bounds the certificates of one site.
const MaxChains = 16

// cacheTime is how long what tlsmgr said is good for the offer of STARTTLS. The
// handshake itself asks again.
const cacheTime = 5 * time.Second

// ErrNoCertificate reports that tlsmgr has no certificate.
var ErrNoCertificate = errors.New("no server certificate")

// KeyName names a public key: the SHA-256 of its encoding.
func KeyName(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// Client is a server's view of tlsmgr. It is safe for concurrent use.
type Client struct {
	pool    *ipc.Pool
	service string

	mu    sync.Mutex
	asked time.Time
	made  string // what the configuration was made of
	cfg   *tls.Config
}

// NewClient returns a client on the pool's socket. service separates session
// tickets: one that was given out under a name does not count under another.
func NewClient(pool *ipc.Pool, service string) *Client {
	return &Client{pool: pool, service: service}
}

// Config returns a server configuration with the present certificates and
// ticket keys, for protocol versions low to high (0 is crypto/tls's choice).
// Certificates are asked for again when the client has said hello: those of
// before may have no key any more, since the client takes its time and tlsmgr
// forgets the old key with the old certificate.
func (c *Client) Config(ctx context.Context, low, high uint16) (*tls.Config, error) {
	cfg, err := c.present(ctx, low, high, cacheTime)
	if err != nil {
		return nil, err
	}
	cfg = cfg.Clone()
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		return c.present(hello.Context(), low, high, 0)
	}
	return cfg, nil
}

// present returns a configuration that is not older than age. When tlsmgr does
// not answer, the last one is used for as long as it works.
func (c *Client) present(ctx context.Context, low, high uint16, age time.Duration) (*tls.Config, error) {
	c.mu.Lock()
	last, asked := c.cfg, c.asked
	c.mu.Unlock()
	if last != nil && time.Since(asked) < age {
		return last, nil
	}
	cfg, made, err := c.fetch(ctx, low, high)
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, ErrNoCertificate) {
		c.cfg, c.made = nil, ""
	}
	if err != nil {
		if c.cfg != nil {
			return c.cfg, nil
		}
		return nil, err
	}
	c.asked = time.Now()
	if made != c.made {
		c.cfg, c.made = cfg, made
	}
	return c.cfg, nil
}

func (c *Client) fetch(ctx context.Context, low, high uint16) (cfg *tls.Config, made string, err error) {
	chains, err := c.pool.Call(ctx, ipc.List{}.Str("request", "chains"))
	if err != nil {
		return nil, "", err
	}
	if err := check(chains); err != nil {
		return nil, "", err
	}
	cfg = &tls.Config{MinVersion: low, MaxVersion: high}
	for i := range MaxChains {
		text, ok := chains.Get("chain" + strconv.Itoa(i))
		if !ok {
			break
		}
		cert, err := c.certificate(text)
		if err != nil {
			return nil, "", err
		}
		cfg.Certificates = append(cfg.Certificates, *cert)
		made += text
	}
	if len(cfg.Certificates) == 0 {
		return nil, "", ErrNoCertificate
	}
	tickets, err := c.pool.Call(ctx, ipc.List{}.Str("request", "tickets").Str("service", c.service))
	if err != nil {
		return nil, "", err
	}
	keys, err := ticketKeys(tickets)
	if err != nil {
		return nil, "", err
	}
	cfg.SetSessionTicketKeys(keys)
	for _, k := range keys {
		made += string(k[:])
	}
	return cfg, made, nil
}

func check(reply ipc.List) error {
	n, err := reply.GetInt("status")
	if err != nil {
		return fmt.Errorf("reply of tlsmgr: %w", err)
	}
	if n != 0 {
		return fmt.Errorf("tlsmgr refused: %s", reply.Value("reason"))
	}
	return nil
}

func ticketKeys(reply ipc.List) ([][32]byte, error) {
	if err := check(reply); err != nil {
		return nil, err
	}
	var keys [][32]byte
	for _, name := range []string{"key0", "key1"} {
		v, ok := reply.Get(name)
		if !ok {
			break
		}
		b, err := base64.StdEncoding.DecodeString(v)
		if err != nil || len(b) != 32 {
			return nil, fmt.Errorf("reply of tlsmgr: %w: ticket key", ipc.ErrMalformed)
		}
		keys = append(keys, [32]byte(b))
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("reply of tlsmgr: %w: no ticket key", ipc.ErrMalformed)
	}
	return keys, nil
}

// certificate makes a certificate whose private key is a signer.
func (c *Client) certificate(text string) (*tls.Certificate, error) {
	cert := &tls.Certificate{}
	for rest := []byte(text); ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
	if len(cert.Certificate) == 0 {
		return nil, fmt.Errorf("reply of tlsmgr: %w: empty chain", ipc.ErrMalformed)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("reply of tlsmgr: %w", err)
	}
	name, err := KeyName(leaf.PublicKey)
	if err != nil {
		return nil, err
	}
	cert.Leaf = leaf
	cert.PrivateKey = &signer{pool: c.pool, name: name, pub: leaf.PublicKey}
	return cert, nil
}

// signer is a crypto.Signer whose key is in tlsmgr.
type signer struct {
	pool *ipc.Pool
	name string
	pub  crypto.PublicKey
}

// Public implements crypto.Signer.
func (s *signer) Public() crypto.PublicKey { return s.pub }

// Sign implements crypto.Signer. The random source is tlsmgr's own.
func (s *signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	scheme, err := schemeOf(s.pub, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	reply, err := s.pool.Call(ctx, ipc.List{}.Str("request", "sign").Str("key", s.name).Str("scheme", scheme).
		Int("hash", int64(opts.HashFunc())).Str("digest", base64.StdEncoding.EncodeToString(digest)))
	if err != nil {
		return nil, err
	}
	if err := check(reply); err != nil {
		return nil, err
	}
	sig, err := base64.StdEncoding.DecodeString(reply.Value("signature"))
	if err != nil || len(sig) == 0 {
		return nil, fmt.Errorf("reply of tlsmgr: %w: signature", ipc.ErrMalformed)
	}
	return sig, nil
}

func schemeOf(pub crypto.PublicKey, opts crypto.SignerOpts) (string, error) {
	switch pub.(type) {
	case *rsa.PublicKey:
		if _, pss := opts.(*rsa.PSSOptions); pss {
			return SchemePSS, nil
		}
		return SchemePKCS1, nil
	case *ecdsa.PublicKey:
		return SchemeECDSA, nil
	case ed25519.PublicKey:
		return SchemeEd25519, nil
	}
	return "", fmt.Errorf("key type %T is not supported", pub)
}
