package tlspolicy

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Trust is what a handshake showed about the server.
type Trust int

// The degrees of trust, and the words for them in the log.
const (
	Untrusted Trust = iota // nobody that we know vouches for the certificate
	Trusted                // a known authority does
	Verified               // and it has a name, or fingerprint, that was asked for
)

// String returns the word for the log.
func (t Trust) String() string { return [...]string{"Untrusted", "Trusted", "Verified"}[t] }

// ErrNotVerified reports a certificate that the policy does not accept.
var ErrNotVerified = errors.New("server certificate not verified")

// Config returns the configuration for a handshake with a host, the name of
// the MX or of the next hop. Certificates are not checked in the handshake:
// the level decides with [Policy.Check] what is good enough.
func (p *Policy) Config(host string) *tls.Config {
	cfg := &tls.Config{
		MinVersion: p.s.min, MaxVersion: p.s.max, CipherSuites: p.s.ciphers,
		InsecureSkipVerify:   true, //nolint:gosec // checked by Check, as the level asks
		ServerName:           p.serverName(host),
		GetClientCertificate: p.e.p.ClientCertificate,
		ClientSessionCache:   p.e.p.SessionCache,
	}
	return cfg
}

// serverName is the name for the SNI extension: smtp_tls_servername, or where
// a name is verified, the host.
func (p *Policy) serverName(host string) string {
	switch p.sni {
	case "":
		// RFC 7672 8.1 has it for DANE; it does no harm elsewhere, but
		// Postfix sends none below.
		if p.Level >= LevelVerify {
			return host
		}
		return ""
	case "hostname":
		return host
	case "nexthop":
		return p.next
	}
	return p.sni
}

// Check looks at what the server showed. It returns an error wrapping
// [ErrNotVerified] if the level asks for more.
func (p *Policy) Check(cs *tls.ConnectionState, host string) (Trust, error) {
	if len(cs.PeerCertificates) == 0 {
		return Untrusted, p.unless(false, "no certificate")
	}
	leaf := cs.PeerCertificates[0]
	if p.Level == LevelFingerprint {
		if p.fingerprint(leaf) {
			return Verified, nil
		}
		return Untrusted, p.unless(false, "no fingerprint matches")
	}
	inter := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		inter.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: p.e.roots, Intermediates: inter, CurrentTime: time.Now()})
	if err != nil {
		return Untrusted, p.unless(false, err.Error())
	}
	if p.Level < LevelVerify {
		return Trusted, nil
	}
	for _, m := range p.match {
		if matchesAny(leaf, p.name(m, host), p.e.p.WildcardMultiLabel) {
			return Verified, nil
		}
	}
	return Trusted, p.unless(false, "no name matches")
}

// unless returns an error if the level needs a verified certificate.
func (p *Policy) unless(ok bool, why string) error {
	if ok || p.Level < LevelFingerprint {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrNotVerified, why)
}

// name resolves the words of smtp_tls_verify_cert_match.
func (p *Policy) name(m, host string) string {
	switch m {
	case "hostname":
		return host
	case "nexthop":
		return p.next
	case "dot-nexthop":
		return "." + p.next
	}
	return m
}

// matchesAny reports whether a certificate has a name that matches pattern:
// the name, or with a leading dot any name below it. As in Postfix the common
// name counts only when there is no DNS name.
func matchesAny(c *x509.Certificate, pattern string, multi bool) bool {
	names := c.DNSNames
	if len(names) == 0 {
		names = []string{c.Subject.CommonName}
	}
	for _, n := range names {
		if matchesName(strings.ToLower(n), strings.ToLower(pattern), multi) {
			return true
		}
	}
	return false
}

func matchesName(certName, pattern string, multi bool) bool {
	if certName == "" || pattern == "" || pattern == "." || strings.ContainsRune(certName, 0) {
		return false
	}
	if strings.HasPrefix(pattern, ".") {
		return len(certName) > len(pattern) && strings.HasSuffix(certName, pattern)
	}
	if certName == pattern {
		return true
	}
	rest, ok := strings.CutPrefix(certName, "*.")
	if !ok || !strings.Contains(rest, ".") {
		return false
	}
	_, parent, ok := strings.Cut(pattern, ".")
	return ok && (parent == rest || multi && strings.HasSuffix(parent, "."+rest))
}

// fingerprint compares the certificate and its public key with the list.
func (p *Policy) fingerprint(c *x509.Certificate) bool {
	cert, key := digest(p.e.p.FingerprintDigest, c.Raw), digest(p.e.p.FingerprintDigest, c.RawSubjectPublicKeyInfo)
	for _, m := range p.match {
		m = strings.ToLower(strings.ReplaceAll(m, ":", ""))
		if m != "" && (m == cert || m == key) {
			return true
		}
	}
	return false
}

// Fingerprints returns those of a certificate and of its public key, as tables
// have them: upper case, with colons.
func Fingerprints(hash string, c *x509.Certificate) [2]string {
	var list [2]string
	for i, b := range [][]byte{c.Raw, c.RawSubjectPublicKeyInfo} {
		text := strings.ToUpper(digest(hash, b))
		for n := 0; n < len(text); n += 2 {
			if n > 0 {
				list[i] += ":"
			}
			list[i] += text[n : n+2]
		}
	}
	return list
}

func digest(name string, b []byte) string {
	switch strings.ToLower(name) {
	case "md5":
		s := md5.Sum(b)
		return hex.EncodeToString(s[:])
	case "sha1":
		s := sha1.Sum(b)
		return hex.EncodeToString(s[:])
	case "sha512":
		s := sha512.Sum512(b)
		return hex.EncodeToString(s[:])
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
