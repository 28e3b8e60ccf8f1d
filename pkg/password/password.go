// Package password makes and checks stored passwords, in the forms that other
// mail servers and crypt(3) use, so that users keep theirs when they move in.
//
// A stored password is
//
//   - in the form of crypt(3): $argon2id$..., $2b$..., $y$..., $7$..., $6$...,
//     $5$..., $1$..., $sha1$..., $apr1$..., or the 13 characters of DES;
//   - behind a {PREFIX} of Dovecot, OpenLDAP or Courier, without regard to
//     case: {ARGON2ID} {BLF-CRYPT} {CRYPT} {PBKDF2} {PBKDF2-SHA256} {SSHA}
//     {SSHA256} {SSHA512} {SHA} {SHA256} {SHA512} {SMD5} {MD5} {PLAIN} and
//     more. A suffix .HEX, .B64 or .BASE64 says how the rest is written;
//   - keys of SCRAM, {SCRAM-SHA-256}4096,salt,storedkey,serverkey, or state of
//     CRAM-MD5, {CRAM-MD5}0123..., against which passwords are checked, too.
//
// Whoever can write a stored password must not be able to stop the server with
// it: parameters that ask for too much memory or time are refused.
package password

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
)

// MaxPlaintext is the length of the longest password that is looked at. The
// older schemes take time in proportion to it.
const MaxPlaintext = 1024

// The errors of a stored password that no password can match.
var (
	ErrScheme = errors.New("unknown or unsupported password scheme")
	ErrFormat = errors.New("damaged stored password")
	ErrCost   = errors.New("stored password asks for too much time or memory")
)

// maxStored is the length of the longest stored password that is looked at.
const maxStored = 4096

// Verify tells whether plaintext is the password of which stored was made. An
// error means that stored cannot be used; it never has a part of either in
// its text.
func Verify(stored, plaintext string) (ok bool, err error) {
	if len(stored) > maxStored {
		return false, fmt.Errorf("%w: longer than %d bytes", ErrFormat, maxStored)
	}
	scheme, enc, rest := splitPrefix(stored)
	check, err := checker(scheme)
	if err != nil {
		return false, err
	}
	// No account has an empty password, and crypt(3) ends a password at a NUL.
	if plaintext == "" || len(plaintext) > MaxPlaintext || strings.IndexByte(plaintext, 0) >= 0 {
		return false, nil
	}
	return check(value{scheme: scheme, enc: enc, text: rest}, plaintext)
}

// value is what stands behind the prefix.
type value struct {
	scheme string
	enc    textForm
	text   string
}

func (v value) bad(why string) error { return fmt.Errorf("%w: %s: %s", ErrFormat, v.scheme, why) }

type checkFunc func(v value, plaintext string) (bool, error)

// checker returns what checks passwords of a scheme, in capitals.
func checker(scheme string) (checkFunc, error) {
	switch scheme {
	case "", "CRYPT", "ARGON2", "ARGON2I", "ARGON2ID", "BLF-CRYPT", "BCRYPT", "YESCRYPT", "SCRYPT",
		"DES-CRYPT", "MD5-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT":
		return checkCrypt, nil
	case "PLAIN", "CLEAR", "CLEARTEXT":
		return checkPlain, nil
	case "MD5":
		return checkMD5, nil
	case "PBKDF2", "PBKDF2-SHA1", "PBKDF2-SHA256", "PBKDF2-SHA512":
		return checkPBKDF2, nil
	case "SCRAM-SHA-1", "SCRAM-SHA-256":
		return checkSCRAM, nil
	case "CRAM-MD5", "HMAC-MD5":
		return checkCRAM, nil
	}
	if _, ok := digests(scheme); ok {
		return checkDigest, nil
	}
	return nil, fmt.Errorf("%w: {%s}", ErrScheme, printScheme(scheme))
}

// printScheme keeps what is not a name of a scheme out of messages: it may be
// a password that starts with a brace.
func printScheme(s string) string {
	for _, c := range s {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return "?"
		}
	}
	if len(s) > 20 {
		return "?"
	}
	return s
}

// textForm is how the rest of a stored password is written.
type textForm int

const (
	encAny textForm = iota
	encHex
	encBase64
)

// splitPrefix takes {SCHEME.ENC} off. Without one the scheme is "".
func splitPrefix(stored string) (scheme string, enc textForm, rest string) {
	if !strings.HasPrefix(stored, "{") {
		return "", encAny, stored
	}
	name, rest, ok := strings.Cut(stored[1:], "}")
	if !ok {
		return "", encAny, stored
	}
	name = strings.ToUpper(name)
	name, suffix, _ := strings.Cut(name, ".")
	switch suffix {
	case "HEX":
		enc = encHex
	case "B64", "BASE64":
		enc = encBase64
	case "":
	default:
		name += "." + suffix
	}
	return name, enc, rest
}

// equal compares without telling by its time where the two differ.
func equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

func checkPlain(v value, plaintext string) (bool, error) {
	text := v.text
	if v.enc != encAny {
		b, err := v.decode(v.text)
		if err != nil {
			return false, err
		}
		text = string(b)
	}
	return equal([]byte(text), []byte(plaintext)), nil
}

// Plain returns the password itself, when it is stored as it is.
func Plain(stored string) (plaintext string, ok bool) {
	scheme, enc, rest := splitPrefix(stored)
	switch scheme {
	case "PLAIN", "CLEAR", "CLEARTEXT":
	default:
		return "", false
	}
	v := value{scheme: scheme, enc: enc, text: rest}
	if enc == encAny {
		return rest, rest != ""
	}
	b, err := v.decode(rest)
	return string(b), err == nil && len(b) > 0
}
