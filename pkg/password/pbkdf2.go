package password

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// checkPBKDF2 is for the three ways to write PBKDF2:
//
//	{PBKDF2}$1$salt$iterations$hex             Dovecot, SHA-1, the salt as it is
//	{PBKDF2-SHA256}iterations$salt$hash        OpenLDAP
//	$pbkdf2-sha256$iterations$salt$hash        passlib, go-crypt; "$pbkdf2$" is SHA-1
func checkPBKDF2(v value, plaintext string) (bool, error) {
	name, s := strings.TrimPrefix(v.scheme, "PBKDF2"), v.text
	if rest, ok := strings.CutPrefix(s, "$1$"); ok && v.scheme == "PBKDF2" {
		return checkDovecotPBKDF2(v, rest, plaintext)
	}
	if rest, ok := strings.CutPrefix(s, "$pbkdf2"); ok {
		var found bool
		if name, s, found = strings.Cut(rest, "$"); !found {
			return false, v.bad("pbkdf2")
		}
	}
	newHash, ok := pbkdf2Hash(strings.TrimPrefix(strings.ToLower(name), "-"))
	parts := strings.Split(s, "$")
	if !ok || len(parts) != 3 {
		return false, v.bad("pbkdf2")
	}
	salt, err1 := v.decode(adaptBase64(parts[1]))
	key, err2 := v.decode(adaptBase64(parts[2]))
	if err1 != nil || err2 != nil {
		return false, v.bad("pbkdf2")
	}
	return pbkdf2Equal(v, newHash, plaintext, salt, parts[0], key)
}

// adaptBase64 undoes what passlib and OpenLDAP do to "+".
func adaptBase64(s string) string { return strings.ReplaceAll(s, ".", "+") }

func pbkdf2Hash(name string) (func() hash.Hash, bool) {
	switch name {
	case "", "sha1":
		return sha1.New, true
	case "sha256":
		return sha256.New, true
	case "sha512":
		return sha512.New, true
	}
	return nil, false
}

func checkDovecotPBKDF2(v value, s, plaintext string) (bool, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 3 {
		return false, v.bad("pbkdf2")
	}
	key, err := hex.DecodeString(parts[2])
	if err != nil {
		return false, v.bad("pbkdf2")
	}
	return pbkdf2Equal(v, sha1.New, plaintext, []byte(parts[0]), parts[1], key)
}

func pbkdf2Equal(v value, newHash func() hash.Hash, plaintext string, salt []byte, rounds string, key []byte) (bool, error) {
	n, err := strconv.ParseUint(rounds, 10, 32)
	if err != nil || n == 0 || len(key) < 16 || len(key) > 128 {
		return false, v.bad("pbkdf2")
	}
	// Each block of the result costs all iterations again.
	if blocks := (len(key) + newHash().Size() - 1) / newHash().Size(); n*uint64(blocks) > maxIterations {
		return false, fmt.Errorf("%w: %d iterations", ErrCost, n)
	}
	got, err := pbkdf2.Key(newHash, plaintext, salt, int(n), len(key))
	if err != nil {
		return false, v.bad("pbkdf2")
	}
	return equal(got, key), nil
}
