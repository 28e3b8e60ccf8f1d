package bearer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var encode = base64.RawURLEncoding.EncodeToString

// token signs claims.
func token(t testing.TB, key crypto.Signer, header, payload map[string]any) string {
	t.Helper()
	h, _ := json.Marshal(header)
	p, _ := json.Marshal(payload)
	text := encode(h) + "." + encode(p)
	digest := sha256.Sum256([]byte(text))
	var sig []byte
	var err error
	switch k := key.(type) {
	case *rsa.PrivateKey:
		sig, err = rsa.SignPKCS1v15(nil, k, crypto.SHA256, digest[:])
		if header["alg"] == "PS256" {
			sig, err = rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:], nil)
		}
	case *ecdsa.PrivateKey:
		r, s, e := ecdsa.Sign(rand.Reader, k, digest[:])
		err, sig = e, make([]byte, 64)
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(sig)
}

func publicPEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
	return path
}

func rules() *Rules {
	return &Rules{Issuers: []string{"https://id.test"}, Audiences: []string{"mail"}, Claims: []string{"email", "sub"}}
}

func good() map[string]any {
	return map[string]any{"iss": "https://id.test", "aud": []string{"x", "mail"}, "exp": 2e9, "email": "Ann@d.test", "sub": "1"}
}

// with returns the good claims with a change.
func with(name string, value any) map[string]any {
	c := good()
	if value == nil {
		delete(c, name)
	} else {
		c[name] = value
	}
	return c
}

var now = time.Unix(1.9e9, 0)

func TestAlgorithms(t *testing.T) {
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	keys, err := ReadKeys(publicPEM(t, rsaKey), publicPEM(t, ecKey), publicPEM(t, edKey))
	if err != nil {
		t.Fatal(err)
	}
	for alg, key := range map[string]crypto.Signer{"RS256": rsaKey, "PS256": rsaKey, "ES256": ecKey, "EdDSA": edKey} {
		if login, err := keys.Check(token(t, key, map[string]any{"alg": alg}, good()), rules(), now); login != "ann@d.test" || err != nil {
			t.Errorf("%s: %q %v", alg, login, err)
		}
		other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if _, err := keys.Check(token(t, other, map[string]any{"alg": alg}, good()), rules(), now); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: another key: %v", alg, err)
		}
	}
}

// TestRefused: AU8.
func TestRefused(t *testing.T) {
	key, _ := rsa.GenerateKey(rand.Reader, 2048)
	path := publicPEM(t, key)
	keys, err := ReadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	rs := map[string]any{"alg": "RS256"}
	for name, claims := range map[string]map[string]any{
		"expired": with("exp", 1.8e9), "no expiry": with("exp", nil), "expiry is text": with("exp", "2000000000"), "later": with("nbf", 1.95e9),
		"issuer": with("iss", "https://evil.test"), "no issuer": with("iss", nil), "audience": with("aud", "web"), "no audience": with("aud", nil),
		"not verified": with("email_verified", false), "huge": with("x", strings.Repeat("x", MaxToken)),
	} {
		if login, err := keys.Check(token(t, key, rs, claims), rules(), now); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %q %v", name, login, err)
		}
	}
	for name, header := range map[string]map[string]any{
		"none": {"alg": "none"}, "no algorithm": {}, "HS256": {"alg": "HS256"}, "extension": {"alg": "RS256", "crit": []string{"x"}},
		"EC with RSA": {"alg": "ES256"}, "other hash": {"alg": "RS512"},
	} {
		if login, err := keys.Check(token(t, key, header, good()), rules(), now); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %q %v", name, login, err)
		}
	}
	// The public key as the secret of an HMAC.
	public, _ := os.ReadFile(path)
	h, _ := json.Marshal(map[string]any{"alg": "HS256"})
	p, _ := json.Marshal(good())
	text := encode(h) + "." + encode(p)
	m := hmac.New(sha256.New, public)
	m.Write([]byte(text))
	fine := token(t, key, rs, good())
	for name, tok := range map[string]string{
		"public key as secret": text + "." + encode(m.Sum(nil)), "no signature": strings.Join(strings.Split(fine, ".")[:2], ".") + ".",
		"two parts": strings.Join(strings.Split(fine, ".")[:2], "."), "empty": "", "dots": "..", "changed": strings.Replace(fine, ".", "A.", 1),
		"standard base64": strings.ReplaceAll(fine, "-", "+") + "=",
	} {
		if login, err := keys.Check(tok, rules(), now); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %q %v", name, login, err)
		}
	}
	// What the token says of its key chooses among ours, and nothing else.
	for _, kid := range []string{"../../etc/passwd", "http://evil.test/key", "\x00"} {
		if login, err := keys.Check(token(t, key, map[string]any{"alg": "RS256", "kid": kid, "jku": kid, "x5u": kid}, good()), rules(), now); login == "" {
			t.Errorf("%q: %v", kid, err)
		}
	}
}

func TestKeySet(t *testing.T) {
	one, _ := rsa.GenerateKey(rand.Reader, 2048)
	two, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	point, err := two.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]any{"keys": []map[string]any{
		{"kty": "RSA", "kid": "one", "n": encode(one.N.Bytes()), "e": "AQAB"}, {"kty": "oct", "k": "AAAA"}, {"kty": "RSA", "use": "enc", "n": "AA", "e": "AA"},
		{"kty": "EC", "kid": "two", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}}}
	b, _ := json.Marshal(set)
	path := filepath.Join(t.TempDir(), "jwks.json")
	os.WriteFile(path, b, 0o644)
	keys, err := ReadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	for kid, ok := range map[string]bool{"one": true, "two": false, "": true} {
		header := map[string]any{"alg": "RS256"}
		if kid != "" {
			header["kid"] = kid
		}
		if _, err := keys.Check(token(t, one, header, good()), rules(), now); (err == nil) != ok {
			t.Errorf("kid %q: %v", kid, err)
		}
	}
	for name, text := range map[string]string{"small": `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`, "off the curve": `{"keys":[{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}]}`,
		"none": `{"keys":[]}`, "garbage": `{`, "no PEM": "hello"} {
		os.WriteFile(path, []byte(text), 0o644)
		if _, err := ReadKeys(path); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func FuzzCheck(f *testing.F) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	keys, err := ReadKeys(publicPEM(f, key))
	if err != nil {
		f.Fatal(err)
	}
	fine := token(f, key, map[string]any{"alg": "ES256"}, good())
	f.Add(fine)
	f.Fuzz(func(t *testing.T, s string) {
		if login, err := keys.Check(s, rules(), now); err == nil && s != fine {
			t.Errorf("%q is %q", s, login)
		}
	})
}
