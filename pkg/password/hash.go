package password

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	xcrypt "github.com/go-crypt/x/crypt"
	"github.com/go-crypt/x/yescrypt"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// Default is the scheme of new passwords, where the site says nothing else.
const Default = "ARGON2ID"

// ErrPassword reports a password that no scheme takes.
var ErrPassword = errors.New("password cannot be used")

// CheckPlaintext refuses passwords that could not be checked later on.
func CheckPlaintext(plaintext string) error {
	switch {
	case plaintext == "":
		return fmt.Errorf("%w: it is empty", ErrPassword)
	case len(plaintext) > MaxPlaintext:
		return fmt.Errorf("%w: longer than %d bytes", ErrPassword, MaxPlaintext)
	case strings.ContainsAny(plaintext, "\x00\r\n"):
		return fmt.Errorf("%w: it has a line end or a NUL", ErrPassword)
	}
	return nil
}

// Schemes are the names that Hash knows.
func Schemes() []string {
	return []string{"ARGON2ID", "BLF-CRYPT", "YESCRYPT", "SCRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "MD5-CRYPT",
		"PBKDF2", "SSHA512", "SSHA256", "SSHA", "SMD5", "SHA512", "SHA256", "SHA", "LDAP-MD5", "PLAIN-MD5", "PLAIN",
		SCRAMSHA256, SCRAMSHA1, "CRAM-MD5"}
}

// defaultArgon2 are the costs of Default: 19 MiB and two passes, about 20 ms on
// one processor, as OWASP advises for servers with many logins.
func defaultArgon2() argonParams { return argonParams{memory: 19456, time: 2, lanes: 1} }

// Hash makes the stored form of a password. The schemes of crypt(3) come
// without a {PREFIX}, which all readers of userdb and passwd files understand.
func Hash(scheme, plaintext string) (string, error) {
	if err := CheckPlaintext(plaintext); err != nil {
		return "", err
	}
	scheme = strings.ToUpper(scheme)
	switch scheme {
	case "", "CRYPT", "ARGON2", Default:
		return defaultArgon2().format(plaintext, salt(16)), nil
	case "BLF-CRYPT", "BCRYPT":
		h, err := bcrypt.GenerateFromPassword([]byte(plaintext), 11)
		if err != nil {
			return "", fmt.Errorf("%w: longer than the 72 bytes of bcrypt", ErrPassword)
		}
		return string(h), nil
	case "YESCRYPT":
		// The default of libxcrypt: 16 MiB, r of 32.
		h, err := yescrypt.Hash([]byte(plaintext), append([]byte("$y$j9T$"), yescrypt.Encode64(salt(16))...))
		return string(h), err
	case "SCRYPT":
		return hashScrypt(plaintext)
	case "SHA512-CRYPT":
		s := cryptSalt(16)
		return "$6$" + s + "$" + string(xcrypt.KeySHACrypt(sha512.New, []byte(plaintext), []byte(s), 5000)), nil
	case "SHA256-CRYPT":
		s := cryptSalt(16)
		return "$5$" + s + "$" + string(xcrypt.KeySHACrypt(sha256.New, []byte(plaintext), []byte(s), 5000)), nil
	case "MD5-CRYPT":
		s := cryptSalt(8)
		return "$1$" + s + "$" + string(md5Crypt(plaintext, s, "$1$")), nil
	case "PBKDF2":
		return hashPBKDF2(plaintext)
	case SCRAMSHA1, SCRAMSHA256:
		k, err := NewSCRAM(scheme, plaintext, salt(16), scramIterations)
		return k.Format(scheme), err
	case "CRAM-MD5", "HMAC-MD5":
		s, err := NewHMACState("hmac-md5", plaintext)
		return "{CRAM-MD5}" + s.String(), err
	case "PLAIN", "CLEAR", "CLEARTEXT":
		return "{PLAIN}" + plaintext, nil
	}
	return hashDigest(scheme, plaintext)
}

func hashDigest(scheme, plaintext string) (string, error) {
	d, ok := digests(scheme)
	if !ok {
		return "", fmt.Errorf("%w: %s", ErrScheme, printScheme(scheme))
	}
	var tail []byte
	if d.salted {
		tail = salt(8)
	}
	h := d.new()
	h.Write([]byte(plaintext))
	h.Write(tail)
	sum := append(h.Sum(nil), tail...)
	if d.hex {
		return "{" + scheme + "}" + hex.EncodeToString(sum), nil
	}
	return "{" + scheme + "}" + base64.StdEncoding.EncodeToString(sum), nil
}

func hashScrypt(plaintext string) (string, error) {
	const log2n, r, p = 15, 8, 1 // 32 MiB
	s := salt(16)
	key, err := scrypt.Key([]byte(plaintext), s, 1<<log2n, r, p, 32)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$scrypt$ln=%d,r=%d,p=%d$%s$%s", log2n, r, p, b64.EncodeToString(s), b64.EncodeToString(key)), err
}

// hashPBKDF2 writes the form that Dovecot reads.
func hashPBKDF2(plaintext string) (string, error) {
	const rounds = 50000
	s := cryptSalt(16)
	key, err := pbkdf2.Key(sha1.New, plaintext, []byte(s), rounds, sha1.Size)
	return fmt.Sprintf("{PBKDF2}$1$%s$%d$%x", s, rounds, key), err
}

// salt returns random bytes.
func salt(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

// cryptSalt returns n random characters of the alphabet of crypt(3).
func cryptSalt(n int) string {
	b := salt(n)
	for i := range b {
		b[i] = alphabet64[b[i]&63]
	}
	return string(b)
}

// Random returns a password that is easy to read out and hard to guess: four
// groups of five characters, 90 bits.
func Random() string {
	const letters = "abcdefghijkmnopqrstuvwxyz23456789" // without l, 1 and 0
	var b strings.Builder
	for n := 0; n < 20; {
		c := salt(1)[0]
		if int(c) >= 256/len(letters)*len(letters) {
			continue // the remainder would make some letters likelier
		}
		if n > 0 && n%5 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(letters[int(c)%len(letters)])
		n++
	}
	return b.String()
}
