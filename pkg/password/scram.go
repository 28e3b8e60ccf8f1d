package password

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// SCRAMKeys are what a server needs for SCRAM (RFC 5802 3). With them one can
// check a client, but not be one.
type SCRAMKeys struct {
	Iterations int
	Salt       []byte
	StoredKey  []byte
	ServerKey  []byte
}

// The mechanisms, without -PLUS, which has the same keys.
const (
	SCRAMSHA1   = "SCRAM-SHA-1"
	SCRAMSHA256 = "SCRAM-SHA-256"
)

// scramIterations are those of RFC 7677 4 for new keys.
const scramIterations = 4096

func scramHash(mechanism string) (func() hash.Hash, bool) {
	switch strings.TrimSuffix(mechanism, "-PLUS") {
	case SCRAMSHA1:
		return sha1.New, true
	case SCRAMSHA256:
		return sha256.New, true
	}
	return nil, false
}

// SCRAM returns the keys in a stored password of the form of Dovecot,
// {SCRAM-SHA-256}4096,salt,storedkey,serverkey. For any other, and for another
// mechanism, the error is ErrScheme.
func SCRAM(stored, mechanism string) (SCRAMKeys, error) {
	mechanism = strings.TrimSuffix(mechanism, "-PLUS")
	newHash, known := scramHash(mechanism)
	scheme, _, rest := splitPrefix(stored)
	if !known || scheme != mechanism || len(stored) > maxStored {
		return SCRAMKeys{}, fmt.Errorf("%w: no keys for %s", ErrScheme, mechanism)
	}
	v := value{scheme: scheme, text: rest}
	parts := strings.Split(rest, ",")
	if len(parts) != 4 {
		return SCRAMKeys{}, v.bad("fields")
	}
	n, err := strconv.ParseUint(parts[0], 10, 31)
	if err != nil || n == 0 {
		return SCRAMKeys{}, v.bad("iterations")
	}
	k := SCRAMKeys{Iterations: int(n)}
	size := newHash().Size()
	var errs [3]error
	k.Salt, errs[0] = v.decode(parts[1])
	k.StoredKey, errs[1] = v.decode(parts[2])
	k.ServerKey, errs[2] = v.decode(parts[3])
	if errs != [3]error{} || len(k.Salt) == 0 || len(k.StoredKey) != size || len(k.ServerKey) != size {
		return SCRAMKeys{}, v.bad("keys")
	}
	return k, nil
}

// NewSCRAM makes the keys of a password. The caller must have a salt for each
// user that does not tell of the password.
func NewSCRAM(mechanism, plaintext string, salt []byte, iterations int) (SCRAMKeys, error) {
	newHash, ok := scramHash(mechanism)
	if !ok {
		return SCRAMKeys{}, fmt.Errorf("%w: %s", ErrScheme, mechanism)
	}
	if iterations < 1 || iterations > maxIterations {
		return SCRAMKeys{}, fmt.Errorf("%w: %d iterations", ErrCost, iterations)
	}
	salted, err := pbkdf2.Key(newHash, plaintext, salt, iterations, newHash().Size())
	if err != nil {
		return SCRAMKeys{}, fmt.Errorf("%w: %s", ErrFormat, mechanism)
	}
	sign := func(text string) []byte {
		h := hmac.New(newHash, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	// RFC 5802 3: ClientKey is what only the client has.
	stored := newHash()
	stored.Write(sign("Client Key"))
	return SCRAMKeys{Iterations: iterations, Salt: salt, StoredKey: stored.Sum(nil), ServerKey: sign("Server Key")}, nil
}

// Format writes the keys in the stored form.
func (k SCRAMKeys) Format(mechanism string) string {
	b64 := base64.StdEncoding
	return fmt.Sprintf("{%s}%d,%s,%s,%s", strings.TrimSuffix(mechanism, "-PLUS"), k.Iterations,
		b64.EncodeToString(k.Salt), b64.EncodeToString(k.StoredKey), b64.EncodeToString(k.ServerKey))
}

func checkSCRAM(v value, plaintext string) (bool, error) {
	k, err := SCRAM("{"+v.scheme+"}"+v.text, v.scheme)
	if err != nil {
		return false, err
	}
	got, err := NewSCRAM(v.scheme, plaintext, k.Salt, k.Iterations)
	if err != nil {
		return false, err
	}
	return equal(got.StoredKey, k.StoredKey), nil
}
