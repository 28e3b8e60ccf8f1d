package sasl

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strconv"
	"strings"
)

// Binding is the channel binding data of a connection, as far as it has any.
type Binding struct {
	Exporter []byte // tls-exporter, RFC 9266
	Endpoint []byte // tls-server-end-point, RFC 5929 4
}

// Any reports whether there is data to bind to.
func (b Binding) Any() bool { return len(b.Exporter) > 0 || len(b.Endpoint) > 0 }

// data returns the data of a type by its registered name.
func (b Binding) data(kind string) []byte {
	switch kind {
	case "tls-exporter":
		return b.Exporter
	case "tls-server-end-point":
		return b.Endpoint
	}
	return nil
}

// Keys are what a server stores of a password (RFC 5802 3). They do not let
// anybody log in as the user, but let whoever has them pretend to be the
// server.
type Keys struct {
	Salt                 []byte
	Iterations           int
	StoredKey, ServerKey []byte
}

// Limits on the iterations: fewer than RFC 5802 5.1 wants protect nothing, and
// a server that wants millions wants to keep its clients busy.
const (
	MinIterations = 4096
	MaxIterations = 2_000_000
)

// scramHash returns the hash of a SCRAM mechanism, nil for another one.
func scramHash(mechanism string) func() hash.Hash {
	switch strings.TrimSuffix(mechanism, "-PLUS") {
	case SCRAMSHA1:
		return sha1.New
	case SCRAMSHA256:
		return sha256.New
	}
	return nil
}

// IsSCRAM reports a SCRAM mechanism.
func IsSCRAM(mechanism string) bool { return scramHash(mechanism) != nil }

func hmacOf(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hashOf(h func() hash.Hash, b []byte) []byte {
	s := h()
	s.Write(b)
	return s.Sum(nil)
}

func xor(a, b []byte) []byte {
	out := make([]byte, len(a))
	for i := range a {
		out[i] = a[i] ^ b[i]
	}
	return out
}

// salted is SaltedPassword: Hi(Normalize(password), salt, i).
func salted(h func() hash.Hash, password string, salt []byte, iterations int) ([]byte, error) {
	return pbkdf2.Key(h, password, salt, iterations, h().Size())
}

// MakeKeys returns what a server stores of a password.
func MakeKeys(mechanism, password string, salt []byte, iterations int) (Keys, error) {
	h := scramHash(mechanism)
	if h == nil || iterations < 1 || iterations > MaxIterations {
		return Keys{}, errMalformed
	}
	p, err := salted(h, Prepare(password), salt, iterations)
	if err != nil {
		return Keys{}, err
	}
	return Keys{Salt: salt, Iterations: iterations,
		StoredKey: hashOf(h, hmacOf(h, p, "Client Key")), ServerKey: hmacOf(h, p, "Server Key")}, nil
}

// MadeUp returns keys for a login that has none, so that it looks to a guesser
// like one that has: the same ones each time, as a salt that changes would
// tell. Nobody knows a password for them.
func MadeUp(mechanism, login string, secret []byte, iterations int) Keys {
	h := scramHash(mechanism)
	part := func(what string) []byte {
		return hmacOf(h, secret, what+"\x00"+strings.TrimSuffix(mechanism, "-PLUS")+"\x00"+strings.ToLower(login))
	}
	return Keys{Salt: part("salt")[:16], Iterations: iterations, StoredKey: part("stored"), ServerKey: part("server")}
}

// nonce is random, printable and without a comma.
func nonce() string { return rand.Text() }

// parseGS2 reads the header "flag,a=authzid," (RFC 5802 7). flag is "n", "y" or
// "p=name".
func parseGS2(s string) (flag, authzid string, err error) {
	parts := strings.Split(s, ",")
	if len(parts) != 3 || parts[2] != "" {
		return "", "", errMalformed
	}
	if parts[1] != "" {
		a, ok := strings.CutPrefix(parts[1], "a=")
		if authzid, err = unescape(a); !ok || err != nil || !validName(authzid) {
			return "", "", errMalformed
		}
	}
	return parts[0], authzid, nil
}

// escape writes a name without the characters that separate attributes.
func escape(name string) string {
	return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(name)
}

// unescape is the opposite. RFC 5802 5.1: another "=" is an error.
func unescape(s string) (string, error) {
	if strings.Count(s, "=") != strings.Count(s, "=2C")+strings.Count(s, "=3D") {
		return "", errMalformed
	}
	return strings.NewReplacer("=3D", "=", "=2C", ",").Replace(s), nil
}

// attributes splits "a=..,b=.." and wants the first to have the given names, in
// this order. Further ones are extensions, which may be ignored.
func attributes(s string, names string) ([]string, error) {
	parts := strings.Split(s, ",")
	if len(parts) < len(names) || len(parts) > len(names)+16 {
		return nil, errMalformed
	}
	for i, p := range parts {
		if len(p) < 2 || p[1] != '=' || i < len(names) && p[0] != names[i] {
			return nil, errMalformed
		}
		parts[i] = p[2:]
	}
	return parts, nil
}

func decode64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errMalformed
	}
	return b, nil
}

func encode64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// serverFirst is the first message of a server.
func serverFirst(nonce string, k Keys) string {
	return "r=" + nonce + ",s=" + encode64(k.Salt) + ",i=" + strconv.Itoa(k.Iterations)
}
