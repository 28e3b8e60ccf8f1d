package tlspolicy

import (
	"crypto"
	"crypto/tls"
	"io"
)

// Signature is what a server signed its side of a handshake with. It is empty
// after a handshake that needed none, since a session was resumed.
type Signature struct {
	pub    crypto.PublicKey
	digest crypto.Hash
}

// String returns the words for a log, with a space before.
func (s *Signature) String() string {
	if s == nil || s.pub == nil {
		return ""
	}
	return signature("server", s.pub, s.digest)
}

// Watch returns a certificate for one handshake of a server, which notes the
// signature of that.
func (s *Signature) Watch(cert *tls.Certificate) *tls.Certificate {
	key, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return cert
	}
	watched := *cert
	watched.PrivateKey = watchedKey{key, s}
	return &watched
}

// watchedKey is a private key that tells a Signature of its use.
type watchedKey struct {
	crypto.Signer
	seen *Signature
}

// Sign implements crypto.Signer.
func (k watchedKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.seen.pub, k.seen.digest = k.Public(), opts.HashFunc()
	return k.Signer.Sign(rand, digest, opts)
}
