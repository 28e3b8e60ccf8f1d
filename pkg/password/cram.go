package password

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// HMACState is what a server needs for CRAM-MD5 (RFC 2195) and its relatives
// with SHA: the states of the hash after the outer and the inner key block of
// HMAC (RFC 2104 4). Who has it can log in: it protects the password, in case
// that it is used elsewhere, and nothing more.
type HMACState struct {
	hash         hmacHash
	outer, inner []byte
}

// hmacHash is a hash function whose state can be set.
type hmacHash struct {
	name  string // of the field in userdb, without pw
	new   func() hash.Hash
	magic string // starts the marshaled state of the standard library
	size  int    // bytes in the state
}

func hmacHashes() []hmacHash {
	return []hmacHash{
		{"hmac-md5", md5.New, "md5\x01", md5.Size},
		{"hmac-sha1", sha1.New, "sha\x01", sha1.Size},
		{"hmac-sha256", sha256.New, "sha\x03", sha256.Size},
	}
}

const hmacBlock = 64 // bytes in a block of all three

func findHMAC(name string) (hmacHash, bool) {
	for _, h := range hmacHashes() {
		if h.name == name {
			return h, true
		}
	}
	return hmacHash{}, false
}

// NewHMACState makes the state of a password. name is hmac-md5, hmac-sha1 or
// hmac-sha256.
func NewHMACState(name, plaintext string) (HMACState, error) {
	h, ok := findHMAC(name)
	if !ok {
		return HMACState{}, fmt.Errorf("%w: %s", ErrScheme, name)
	}
	key := []byte(plaintext)
	if len(key) > hmacBlock {
		d := h.new()
		d.Write(key)
		key = d.Sum(nil)
	}
	s := HMACState{hash: h}
	var err error
	if s.outer, err = h.keyState(key, 0x5c); err == nil {
		s.inner, err = h.keyState(key, 0x36)
	}
	return s, err
}

// keyState is the state after the key block. MD5's words are stored low byte
// first, as Courier and Dovecot do, and as its digests are.
func (h hmacHash) keyState(key []byte, pad byte) ([]byte, error) {
	block := make([]byte, hmacBlock)
	copy(block, key)
	for i := range block {
		block[i] ^= pad
	}
	d := h.new()
	d.Write(block)
	m, err := d.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return nil, err
	}
	return h.swap(m[len(h.magic) : len(h.magic)+h.size]), nil
}

// swap turns the words of MD5 around: the library marshals them high byte first.
func (h hmacHash) swap(state []byte) []byte {
	out := append([]byte(nil), state...)
	if h.name == "hmac-md5" {
		for i := 0; i < len(out); i += 4 {
			binary.LittleEndian.PutUint32(out[i:], binary.BigEndian.Uint32(state[i:]))
		}
	}
	return out
}

// resume returns the hash in the state after the key block.
func (h hmacHash) resume(state []byte) (hash.Hash, error) {
	m := append([]byte(h.magic), h.swap(state)...)
	m = append(m, make([]byte, hmacBlock)...)
	m = binary.BigEndian.AppendUint64(m, hmacBlock)
	d := h.new()
	return d, d.(encoding.BinaryUnmarshaler).UnmarshalBinary(m)
}

// ParseHMACState reads the hexadecimal form: the outer state, then the inner.
func ParseHMACState(name, text string) (HMACState, error) {
	h, ok := findHMAC(name)
	if !ok {
		return HMACState{}, fmt.Errorf("%w: %s", ErrScheme, name)
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 2*h.size {
		return HMACState{}, fmt.Errorf("%w: %s: not %d hexadecimal digits", ErrFormat, name, 4*h.size)
	}
	return HMACState{hash: h, outer: b[:h.size], inner: b[h.size:]}, nil
}

// CramMD5 returns the state in a stored password: behind {CRAM-MD5} or
// {HMAC-MD5}, or alone as Courier has it in the field hmac-md5pw; or that of a
// password that is stored as it is.
func CramMD5(stored string) (HMACState, error) {
	const name = "hmac-md5"
	if plaintext, ok := Plain(stored); ok {
		return NewHMACState(name, plaintext)
	}
	scheme, _, rest := splitPrefix(stored)
	switch scheme {
	case "CRAM-MD5", "HMAC-MD5":
		return ParseHMACState(name, rest)
	case "":
		if len(rest) == 4*md5.Size {
			return ParseHMACState(name, rest)
		}
	}
	return HMACState{}, fmt.Errorf("%w: no state for CRAM-MD5", ErrScheme)
}

// String is the hexadecimal form.
func (s HMACState) String() string { return hex.EncodeToString(s.outer) + hex.EncodeToString(s.inner) }

// Digest returns the answer to a challenge, in hexadecimal.
func (s HMACState) Digest(challenge []byte) (string, error) {
	inner, err := s.hash.resume(s.inner)
	if err != nil {
		return "", err
	}
	inner.Write(challenge)
	outer, err := s.hash.resume(s.outer)
	if err != nil {
		return "", err
	}
	outer.Write(inner.Sum(nil))
	return hex.EncodeToString(outer.Sum(nil)), nil
}

// Check tells whether an answer, in hexadecimal, is that to the challenge.
func (s HMACState) Check(challenge []byte, answer string) bool {
	want, err := s.Digest(challenge)
	return err == nil && equal([]byte(want), []byte(strings.ToLower(answer)))
}

func checkCRAM(v value, plaintext string) (bool, error) {
	s, err := ParseHMACState("hmac-md5", v.text)
	if err != nil {
		return false, err
	}
	got, err := NewHMACState("hmac-md5", plaintext)
	if err != nil {
		return false, err
	}
	return equal(got.outer, s.outer) && equal(got.inner, s.inner), nil
}
