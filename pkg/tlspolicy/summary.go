package tlspolicy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"strings"
)

// Summary returns what the log of a client says about a connection, beginning
// with the version: "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
// key-exchange X25519 server-signature RSA-PSS (2048 bits)". crypto/tls does not
// tell the digest of the peer's signature where the key leaves a choice, so that
// word is only there for ECDSA.
func Summary(cs *tls.ConnectionState) string { return summary(cs, "", "server") }

// ServerSummary is Summary for a server, which knows its own signature.
func ServerSummary(cs *tls.ConnectionState, own *Signature) string {
	return summary(cs, own.String(), "client")
}

func summary(cs *tls.ConnectionState, own, peer string) string {
	var b strings.Builder
	name := tls.CipherSuiteName(cs.CipherSuite)
	bits := cipherBits(name)
	fmt.Fprintf(&b, "%s with cipher %s (%d/%d bits)", VersionName(cs.Version), openSSLName(name), bits, bits)
	if cs.Version < tls.VersionTLS13 {
		return b.String()
	}
	if cs.CurveID != 0 {
		fmt.Fprintf(&b, " key-exchange %s", curveName(cs.CurveID))
	}
	b.WriteString(own)
	if len(cs.PeerCertificates) > 0 {
		b.WriteString(signature(peer, cs.PeerCertificates[0].PublicKey, 0))
	}
	return b.String()
}

// VersionName returns the protocol version as OpenSSL spells it.
func VersionName(v uint16) string {
	switch v {
	case tls.VersionTLS10:
		return "TLSv1"
	case tls.VersionTLS11:
		return "TLSv1.1"
	case tls.VersionTLS12:
		return "TLSv1.2"
	case tls.VersionTLS13:
		return "TLSv1.3"
	}
	return fmt.Sprintf("%04x", v)
}

// CipherName returns a cipher suite as OpenSSL spells it, and its key length.
func CipherName(id uint16) (name string, bits int) {
	n := tls.CipherSuiteName(id)
	return openSSLName(n), cipherBits(n)
}

// openSSLName turns TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 into
// ECDHE-RSA-AES128-GCM-SHA256. Names of TLS 1.3 are the same in both.
func openSSLName(suite string) string {
	kx, cipher, ok := strings.Cut(strings.TrimPrefix(suite, "TLS_"), "_WITH_")
	if !ok {
		return suite
	}
	cipher = strings.NewReplacer("AES_128_CBC", "AES128", "AES_256_CBC", "AES256", "AES_128", "AES128", "AES_256", "AES256",
		"CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305", "3DES_EDE_CBC", "DES-CBC3", "RC4_128", "RC4").Replace(cipher)
	name := strings.ReplaceAll(cipher, "_", "-")
	if kx == "RSA" {
		return name
	}
	return strings.ReplaceAll(kx, "_", "-") + "-" + name
}

func cipherBits(suite string) int {
	switch {
	case strings.Contains(suite, "3DES"):
		return 168
	case strings.Contains(suite, "128"):
		return 128
	}
	return 256
}

func curveName(id tls.CurveID) string {
	switch id {
	case tls.X25519:
		return "X25519"
	case tls.CurveP256:
		return "ECDHE (prime256v1)"
	case tls.CurveP384:
		return "ECDHE (secp384r1)"
	case tls.CurveP521:
		return "ECDHE (secp521r1)"
	}
	return id.String()
}

// signature names a signature of a key that belongs to the server or the client.
// A digest of 0 is not known, unless the kind of key has but one.
func signature(whose string, pub crypto.PublicKey, digest crypto.Hash) string {
	var kind string
	switch key := pub.(type) {
	case *rsa.PublicKey:
		kind = fmt.Sprintf("RSA-PSS (%d bits)", key.N.BitLen())
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			kind, digest = "ECDSA (prime256v1)", crypto.SHA256
		case 384:
			kind, digest = "ECDSA (secp384r1)", crypto.SHA384
		default:
			kind, digest = "ECDSA (secp521r1)", crypto.SHA512
		}
	case ed25519.PublicKey:
		kind, digest = "Ed25519", 0
	default:
		return ""
	}
	text := " " + whose + "-signature " + kind
	if digest != 0 {
		text += " " + whose + "-digest " + strings.ReplaceAll(digest.String(), "-", "")
	}
	return text
}

// Established returns the log line for a new connection. peer is
// "name[address]:port".
func Established(t Trust, peer string, cs *tls.ConnectionState) string {
	return fmt.Sprintf("%s TLS connection established to %s: %s", t, peer, Summary(cs))
}
