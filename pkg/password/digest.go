package password

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"
)

// digest is a scheme that is one round of a hash function, with a salt behind
// the password or without.
type digest struct {
	new    func() hash.Hash
	salted bool
	hex    bool // is written in hexadecimal unless a suffix says otherwise
}

// digests returns the digest of a scheme: the forms of RFC 2307 and their
// successors.
func digests(scheme string) (digest, bool) {
	switch scheme {
	case "SHA", "SHA1":
		return digest{new: sha1.New}, true
	case "SHA224":
		return digest{new: sha256.New224}, true
	case "SHA256":
		return digest{new: sha256.New}, true
	case "SHA384":
		return digest{new: sha512.New384}, true
	case "SHA512":
		return digest{new: sha512.New}, true
	case "SSHA", "SSHA1":
		return digest{new: sha1.New, salted: true}, true
	case "SSHA256":
		return digest{new: sha256.New, salted: true}, true
	case "SSHA384":
		return digest{new: sha512.New384, salted: true}, true
	case "SSHA512":
		return digest{new: sha512.New, salted: true}, true
	case "SMD5":
		return digest{new: md5.New, salted: true}, true
	case "LDAP-MD5":
		return digest{new: md5.New}, true
	case "PLAIN-MD5", "MD5RAW":
		return digest{new: md5.New, hex: true}, true
	}
	return digest{}, false
}

// decode reads hexadecimal or base64, with padding or without.
func (v value) decode(s string) ([]byte, error) {
	var b []byte
	var err error
	if v.enc == encHex {
		b, err = hex.DecodeString(s)
	} else {
		b, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	}
	if err != nil {
		return nil, v.bad("neither base64 nor hexadecimal")
	}
	return b, nil
}

func checkDigest(v value, plaintext string) (bool, error) {
	d, _ := digests(v.scheme)
	h := d.new()
	// A digest without salt has one length, by which its writing is told.
	if v.enc == encAny && !d.salted && (d.hex || len(v.text) == 2*h.Size()) {
		v.enc = encHex
	}
	stored, err := v.decode(v.text)
	if err != nil {
		return false, err
	}
	if len(stored) < h.Size() || !d.salted && len(stored) > h.Size() {
		return false, v.bad("wrong length")
	}
	h.Write([]byte(plaintext))
	h.Write(stored[h.Size():])
	return equal(h.Sum(nil), stored[:h.Size()]), nil
}

// checkMD5 is for {MD5}, by which Dovecot means crypt(3) and others a digest.
func checkMD5(v value, plaintext string) (bool, error) {
	if strings.HasPrefix(v.text, "$1$") {
		return checkCrypt(v, plaintext)
	}
	v.scheme = "LDAP-MD5"
	return checkDigest(v, plaintext)
}
