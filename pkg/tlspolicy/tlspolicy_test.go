package tlspolicy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func params() Params {
	return Params{Prefix: "smtp", Level: "may", Protocols: []string{">=TLSv1"}, MandatoryProtocols: []string{">=TLSv1.2"},
		Ciphers: "medium", MandatoryCiphers: "high", VerifyMatch: []string{"hostname"},
		SecureMatch: []string{"nexthop", "dot-nexthop"}, FingerprintDigest: "sha256", WildcardMultiLabel: true}
}

func TestProtocolRange(t *testing.T) {
	for list, want := range map[string]string{
		"":                              "0301-0304",
		">=TLSv1.2":                     "0303-0304",
		">=TLSv1, <=TLSv1.2":            "0301-0303",
		"!SSLv2, !SSLv3":                "0301-0304",
		"!SSLv2,!SSLv3,!TLSv1,!TLSv1.1": "0303-0304",
		"TLSv1.2":                       "0303-0303",
		"TLSv1.3, TLSv1":                "0304-0304",
		"!TLSv1.2":                      "0304-0304",
		">=0303":                        "0303-0304",
		"SSLv3":                         "no TLS protocol left in \"SSLv3\"",
		"TLSv9":                         "unknown TLS protocol \"tlsv9\"",
	} {
		lo, hi, err := ProtocolRange(strings.Split(list, ","))
		got := fmt.Sprintf("%04x-%04x", lo, hi)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", list, got, want)
		}
	}
}

func TestCiphers(t *testing.T) {
	has := func(ids []uint16, id uint16) bool {
		for _, i := range ids {
			if i == id {
				return true
			}
		}
		return false
	}
	medium, err := Ciphers("medium", []string{"aNULL", "RC4", "MD5", "3DES"})
	if err != nil || !has(medium, tls.TLS_RSA_WITH_AES_128_CBC_SHA) || has(medium, tls.TLS_RSA_WITH_RC4_128_SHA) || has(medium, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA) {
		t.Errorf("medium: %x %v", medium, err)
	}
	high, err := Ciphers("high", []string{"SHA1"})
	if err != nil || has(high, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA) || !has(high, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) {
		t.Errorf("high: %x %v", high, err)
	}
	if ids, err := Ciphers("medium", []string{"kRSA", "ECDHE+AESGCM"}); err != nil || has(ids, tls.TLS_RSA_WITH_AES_128_CBC_SHA) ||
		has(ids, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) || !has(ids, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA) {
		t.Errorf("combined: %x %v", ids, err)
	}
	if _, err := Ciphers("best", nil); err == nil {
		t.Error("grade best is accepted")
	}
}

func TestOpenSSLNames(t *testing.T) {
	for id, want := range map[uint16]string{
		tls.TLS_AES_256_GCM_SHA384:                      "TLS_AES_256_GCM_SHA384 256",
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:       "ECDHE-RSA-AES128-GCM-SHA256 128",
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA:        "ECDHE-ECDSA-AES256-SHA 256",
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305 256",
		tls.TLS_RSA_WITH_AES_128_CBC_SHA:                "AES128-SHA 128",
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256:       "ECDHE-RSA-AES128-SHA256 128",
		tls.TLS_RSA_WITH_AES_256_GCM_SHA384:             "AES256-GCM-SHA384 256",
	} {
		name, bits := CipherName(id)
		if got := fmt.Sprintf("%s %d", name, bits); got != want {
			t.Errorf("%04x: %s, want %s", id, got, want)
		}
	}
}

func TestLookup(t *testing.T) {
	p := params()
	table := map[string]string{
		"a.test": "encrypt protocols=TLSv1.3 ciphers=high", ".sub.test": "none", "[mx.test]:587": "verify match=hostname:.mx.test",
		"bad1.test": "encrypted", "bad2.test": "encrypt color=blue", "bad3.test": "encrypt ciphers=", "bad4.test": "",
		"bad5.test": "may match=x", "bad6.test": "encrypt ciphers=high ciphers=low", "bad7.test": "dane", "bad8.test": "fingerprint",
		"bad9.test": "encrypt protocols=SSLv3",
	}
	p.Lookup = func(_ context.Context, key string) (string, bool, error) {
		if key == "err.test" {
			return "", false, errors.New("down")
		}
		v, ok := table[key]
		return v, ok, nil
	}
	e, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	for next, want := range map[string]string{
		"other.test": "may 0301", "A.test": "encrypt 0304", "x.sub.test": "none 0301", "y.x.sub.test": "none 0301",
		"[mx.test]:587": "verify 0303", "[mx.test]": "may 0301",
	} {
		pol, err := e.For(context.Background(), next)
		if err != nil {
			t.Errorf("%s: %v", next, err)
			continue
		}
		if got := fmt.Sprintf("%s %04x", pol.Level, pol.Config("h").MinVersion); got != want {
			t.Errorf("%s: %s, want %s", next, got, want)
		}
	}
	for _, next := range []string{"err.test", "bad1.test", "bad2.test", "bad3.test", "bad4.test", "bad5.test", "bad6.test", "bad7.test", "bad8.test", "bad9.test"} {
		if pol, err := e.For(context.Background(), next); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %+v, %v", next, pol, err)
		}
	}
}

func TestNew(t *testing.T) {
	for level, ok := range map[string]bool{"": true, "none": true, "May": true, "secure": true, "dane": false, "dane-only": false, "maybe": false} {
		p := params()
		p.Level = level
		if _, err := New(p); (err == nil) != ok {
			t.Errorf("level %q: %v", level, err)
		}
	}
	p := params()
	p.Level, p.EnforceTLS, p.EnforceName = "", true, true
	if e, err := New(p); err != nil || e.level != LevelVerify {
		t.Errorf("smtp_enforce_tls: %v", err)
	}
	p.CAFile = "/nonexistent"
	if _, err := New(p); err == nil {
		t.Error("missing CAfile is accepted")
	}
}

// authority signs test certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem")}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) issue(t *testing.T, change func(*x509.Certificate), names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// handshake connects over a pipe and returns what the client saw.
func handshake(t *testing.T, server tls.Certificate, client *tls.Config) *tls.ConnectionState {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	go tls.Server(b, &tls.Config{Certificates: []tls.Certificate{server}}).Handshake()
	c := tls.Client(a, client)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	cs := c.ConnectionState()
	return &cs
}

// TestCheck: real certificates, good and bad, at each level.
func TestCheck(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	certs := map[string]tls.Certificate{
		"good":       ca.issue(t, nil, "mx.next.test"),
		"wrong name": ca.issue(t, nil, "other.test"),
		"wildcard":   ca.issue(t, nil, "*.next.test"),
		"expired":    ca.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "mx.next.test"),
		"unknown CA": other.issue(t, nil, "mx.next.test"),
		"CN only":    ca.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "mx.next.test" }),
		"CN beside":  ca.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "mx.next.test" }, "other.test"),
		"NUL":        ca.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "mx.next.test\x00.evil.test" }),
		"top level":  ca.issue(t, nil, "*.test"),
		"only next":  ca.issue(t, nil, "next.test"),
	}
	want := map[string]string{ // may, encrypt, verify (name mx.next.test), secure (next.test or below)
		"good": "TTVV", "wrong name": "TT--", "wildcard": "TTVV", "expired": "UU--", "unknown CA": "UU--", "CN only": "TTVV",
		"CN beside": "TT--", "NUL": "TT--", "top level": "TT--", "only next": "TT-V",
	}
	for name, cert := range certs {
		got := ""
		for _, level := range []string{"may", "encrypt", "verify", "secure"} {
			p := params()
			p.Level, p.CAFile = level, ca.file
			e, err := New(p)
			if err != nil {
				t.Fatal(err)
			}
			pol, err := e.For(context.Background(), "next.test")
			if err != nil {
				t.Fatal(err)
			}
			trust, err := pol.Check(handshake(t, cert, pol.Config("mx.next.test")), "mx.next.test")
			switch {
			case errors.Is(err, ErrNotVerified):
				got += "-"
			case err != nil:
				t.Fatal(err)
			default:
				got += trust.String()[:1]
			}
		}
		if got != want[name] {
			t.Errorf("%s: %s, want %s", name, got, want[name])
		}
	}
}

func TestFingerprint(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, nil, "x.test")
	sum := sha256.Sum256(cert.Certificate[0])
	for match, ok := range map[string]bool{hex.EncodeToString(sum[:]): true, strings.Repeat("00:", 31) + "00": false} {
		p := params()
		p.Level, p.FingerprintMatch = "fingerprint", []string{match}
		e, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		pol, err := e.For(context.Background(), "a.test")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pol.Check(handshake(t, cert, pol.Config("a")), "a"); (err == nil) != ok {
			t.Errorf("%s: %v", match, err)
		}
	}
}

func TestSummary(t *testing.T) {
	ca := newAuthority(t)
	p := params()
	e, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	pol, err := e.For(context.Background(), "a.test")
	if err != nil {
		t.Fatal(err)
	}
	cfg := pol.Config("a")
	cfg.CurvePreferences = []tls.CurveID{tls.X25519}
	got := Established(Untrusted, "mx[192.0.2.1]:25", handshake(t, ca.issue(t, nil, "x.test"), cfg))
	want := "Untrusted TLS connection established to mx[192.0.2.1]:25: TLSv1.3 with cipher TLS_AES_128_GCM_SHA256 (128/128 bits) key-exchange X25519 server-signature ECDSA (prime256v1) server-digest SHA256"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	cfg.MaxVersion = tls.VersionTLS12
	got = Summary(handshake(t, ca.issue(t, nil, "x.test"), cfg))
	if want := "TLSv1.2 with cipher ECDHE-ECDSA-AES128-GCM-SHA256 (128/128 bits)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
