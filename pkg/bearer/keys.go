package bearer

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strings"
)

// Limits of the files with keys.
const (
	maxKeyFile = 1 << 20
	maxKeys    = 64
	minRSA     = 2048
	maxRSA     = 8192
)

// key is a public key of an issuer.
type key struct {
	id     string
	public any
}

// Keys are the public keys of the issuers.
type Keys struct{ list []key }

// ReadKeys reads files with a JWK set (RFC 7517 5), or with public keys or
// certificates in PEM.
func ReadKeys(paths ...string) (*Keys, error) {
	k := &Keys{}
	for _, path := range paths {
		b, err := readFile(path)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(strings.TrimSpace(string(b)), "{") {
			err = k.addSet(b)
		} else {
			err = k.addPEM(b)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if len(k.list) == 0 || len(k.list) > maxKeys {
		return nil, fmt.Errorf("%d keys: want 1 to %d", len(k.list), maxKeys)
	}
	return k, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(b) > maxKeyFile {
		err = fmt.Errorf("%s: larger than %d bytes", path, maxKeyFile)
	}
	return b, err
}

func (k *Keys) addPEM(b []byte) error {
	for {
		block, rest := pem.Decode(b)
		if block == nil {
			return nil
		}
		b = rest
		var public any
		var err error
		if block.Type == "CERTIFICATE" {
			var cert *x509.Certificate
			if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
				public = cert.PublicKey
			}
		} else {
			public, err = x509.ParsePKIXPublicKey(block.Bytes)
		}
		if err != nil {
			return err
		}
		if err := k.add("", public); err != nil {
			return err
		}
	}
}

var errKey = errors.New("unusable key")

// add takes a key that is good enough.
func (k *Keys) add(id string, public any) error {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n < minRSA || n > maxRSA || p.E < 3 {
			return fmt.Errorf("%w: RSA of %d bits", errKey, n)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return fmt.Errorf("%w: %T", errKey, public)
	}
	k.list = append(k.list, key{id, public})
	return nil
}

// jwk is one key of a set.
type jwk struct {
	Kty, Kid, Use, Crv, N, E, X, Y string
}

func (k *Keys) addSet(b []byte) error {
	var set struct{ Keys []jwk }
	if err := json.Unmarshal(b, &set); err != nil {
		return err
	}
	for _, j := range set.Keys {
		if j.Use != "" && j.Use != "sig" {
			continue
		}
		public, err := j.public()
		if err != nil {
			return fmt.Errorf("key %q: %w", j.Kid, err)
		}
		if public == nil {
			continue // symmetric, or of a kind that we do not know
		}
		if err := k.add(j.Kid, public); err != nil {
			return fmt.Errorf("key %q: %w", j.Kid, err)
		}
	}
	return nil
}

// point makes the key of a point, which must be on the curve.
func point(curve elliptic.Curve, x, y *big.Int) (any, error) {
	size := (curve.Params().BitSize + 7) / 8
	if x.BitLen() > 8*size || y.BitLen() > 8*size {
		return nil, errKey
	}
	b := make([]byte, 1+2*size)
	b[0] = 4 // uncompressed
	x.FillBytes(b[1 : 1+size])
	y.FillBytes(b[1+size:])
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, b)
	if err != nil {
		return nil, errKey
	}
	return pub, nil
}

// public makes the key; nil for kinds that are not used.
func (j jwk) public() (any, error) {
	number := func(s string) *big.Int {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			return new(big.Int)
		}
		return new(big.Int).SetBytes(b)
	}
	switch j.Kty {
	case "RSA":
		e := number(j.E)
		if !e.IsInt64() || e.Int64() > 1<<31-1 {
			return nil, errKey
		}
		return &rsa.PublicKey{N: number(j.N), E: int(e.Int64())}, nil
	case "EC":
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[j.Crv]
		if curve == nil {
			return nil, nil
		}
		return point(curve, number(j.X), number(j.Y))
	case "OKP":
		b, err := base64.RawURLEncoding.DecodeString(j.X)
		if j.Crv != "Ed25519" {
			return nil, nil
		}
		if err != nil || len(b) != ed25519.PublicKeySize {
			return nil, errKey
		}
		return ed25519.PublicKey(b), nil
	}
	return nil, nil
}
