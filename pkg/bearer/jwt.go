package bearer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms
	_ "crypto/sha512"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
	"time"
)

// algorithm is a way to sign, and what key it is for.
type algorithm struct {
	hash  crypto.Hash
	kind  string // RSA, PSS, EC, OKP
	curve int    // bits, of EC
}

// algorithms are those of RFC 7518 3 and RFC 8037 with public keys.
func algorithms() map[string]algorithm {
	return map[string]algorithm{
		"RS256": {crypto.SHA256, "RSA", 0}, "RS384": {crypto.SHA384, "RSA", 0}, "RS512": {crypto.SHA512, "RSA", 0},
		"PS256": {crypto.SHA256, "PSS", 0}, "PS384": {crypto.SHA384, "PSS", 0}, "PS512": {crypto.SHA512, "PSS", 0},
		"ES256": {crypto.SHA256, "EC", 256}, "ES384": {crypto.SHA384, "EC", 384}, "ES512": {crypto.SHA512, "EC", 521},
		"EdDSA": {0, "OKP", 0},
	}
}

// Check returns the login of a signed token.
func (k *Keys) Check(token string, r *Rules, now time.Time) (string, error) {
	if len(token) > MaxToken {
		return "", refuse("it is too long")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", refuse("it is no signed JWT")
	}
	var raw [3][]byte
	for i, p := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(p)
		if err != nil {
			return "", refuse("it is not in base64url")
		}
		raw[i] = b
	}
	header, err := decode(raw[0])
	if err != nil {
		return "", err
	}
	if _, has := header["crit"]; has {
		return "", refuse("it has an extension that must be understood")
	}
	name, _ := header["alg"].(string)
	alg, ok := algorithms()[name]
	if !ok {
		return "", refuse("its algorithm is not accepted")
	}
	kid, _ := header["kid"].(string)
	if !k.signed(alg, kid, parts[0]+"."+parts[1], raw[2]) {
		return "", refuse("no key fits its signature")
	}
	c, err := decode(raw[1])
	if err != nil {
		return "", err
	}
	if err := c.timely(now, true); err != nil {
		return "", err
	}
	if err := r.fits(c); err != nil {
		return "", err
	}
	return r.login(c)
}

// signed tries the keys that a token may mean.
func (k *Keys) signed(alg algorithm, kid, text string, sig []byte) bool {
	return slices.ContainsFunc(k.list, func(key key) bool {
		if kid != "" && key.id != "" && kid != key.id {
			return false
		}
		return key.verify(alg, text, sig)
	})
}

// verify checks a signature, if the algorithm is one for the key.
func (k *key) verify(alg algorithm, text string, sig []byte) bool {
	var digest []byte
	if alg.hash != 0 {
		h := alg.hash.New()
		h.Write([]byte(text))
		digest = h.Sum(nil)
	}
	switch pub := k.public.(type) {
	case *rsa.PublicKey:
		switch alg.kind {
		case "RSA":
			return rsa.VerifyPKCS1v15(pub, alg.hash, digest, sig) == nil
		case "PSS":
			return rsa.VerifyPSS(pub, alg.hash, digest, sig, nil) == nil
		}
	case *ecdsa.PublicKey:
		// RFC 7518 3.4: two numbers of the size of the curve, one after the
		// other.
		size := (alg.curve + 7) / 8
		if alg.kind != "EC" || pub.Curve.Params().BitSize != alg.curve || len(sig) != 2*size {
			return false
		}
		return ecdsa.Verify(pub, digest, new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:]))
	case ed25519.PublicKey:
		return alg.kind == "OKP" && ed25519.Verify(pub, []byte(text), sig)
	}
	return false
}
