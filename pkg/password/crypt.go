package password

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"strconv"
	"strings"

	xcrypt "github.com/go-crypt/x/crypt"
	"github.com/go-crypt/x/yescrypt"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// Caps on the cost of one check. They are far above what anybody sets, and
// far below what hurts.
const (
	maxMemory     = 256 << 20 // bytes
	maxWork       = 4 << 30   // bytes of memory filled: memory times passes
	maxBcrypt     = 15        // 2^15 rounds, about two seconds
	maxSHARounds  = 1000000
	maxIterations = 5000000 // of PBKDF2 and sha1crypt
	maxLanes      = 64
)

// checkCrypt is for what crypt(3) returns, and the like: the scheme is told by
// the start.
func checkCrypt(v value, plaintext string) (bool, error) {
	s := v.text
	switch {
	case strings.HasPrefix(s, "$argon2"):
		return checkArgon2(v, plaintext)
	case strings.HasPrefix(s, "$2a$"), strings.HasPrefix(s, "$2b$"), strings.HasPrefix(s, "$2y$"):
		return checkBcrypt(v, plaintext)
	case strings.HasPrefix(s, "$y$"):
		return checkYescrypt(v, plaintext)
	case strings.HasPrefix(s, "$7$"):
		return checkScrypt7(v, plaintext)
	case strings.HasPrefix(s, "$scrypt$"):
		return checkScryptPHC(v, plaintext)
	case strings.HasPrefix(s, "$pbkdf2"):
		return checkPBKDF2(v, plaintext)
	case strings.HasPrefix(s, "$5$"), strings.HasPrefix(s, "$6$"):
		return checkSHACrypt(v, plaintext)
	case strings.HasPrefix(s, "$1$"), strings.HasPrefix(s, "$apr1$"):
		return checkMD5Crypt(v, plaintext)
	case strings.HasPrefix(s, "$sha1$"):
		return checkSHA1Crypt(v, plaintext)
	case isDES(s):
		return equal([]byte(desCrypt(plaintext, s[:2])), []byte(s)), nil
	case s == "" || s == "x" || s[0] == '*' || s[0] == '!':
		// passwd and shadow: an account without a password, or locked.
		return false, nil
	}
	return false, fmt.Errorf("%w: not a known form of crypt", ErrScheme)
}

func checkBcrypt(v value, plaintext string) (bool, error) {
	cost, err := bcrypt.Cost([]byte(v.text))
	if err != nil {
		return false, v.bad("bcrypt")
	}
	if cost > maxBcrypt {
		return false, fmt.Errorf("%w: bcrypt cost %d", ErrCost, cost)
	}
	// All implementations look at the first 72 bytes only; the library
	// refuses to, which would lock users with long passwords out.
	if len(plaintext) > 72 {
		plaintext = plaintext[:72]
	}
	err = bcrypt.CompareHashAndPassword([]byte(v.text), []byte(plaintext))
	if err == nil || errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return err == nil, nil
	}
	return false, v.bad("bcrypt")
}

// checkYescrypt is for $y$, the default of Debian's login.
func checkYescrypt(v value, plaintext string) (bool, error) {
	s := v.text
	// $y$jNr$salt$hash: N and r are a character each.
	if len(s) < 8 || s[3] != 'j' || s[6] != '$' || strings.Count(s, "$") != 4 {
		return false, fmt.Errorf("%w: yescrypt with unusual parameters", ErrScheme)
	}
	n, r := itoa64(s[4]), itoa64(s[5])
	if n < 0 || r < 0 {
		return false, v.bad("yescrypt")
	}
	if err := memoryCost(uint64(n)+1, uint64(r)+1, 1); err != nil {
		return false, err
	}
	got, err := yescrypt.Hash([]byte(plaintext), []byte(s))
	if err != nil {
		return false, v.bad("yescrypt")
	}
	return equal(got, []byte(s)), nil
}

// memoryCost checks the parameters that scrypt and yescrypt share.
func memoryCost(log2n, r, p uint64) error {
	if log2n < 1 || log2n > 30 || r < 1 || r > 1<<16 || p < 1 || p > maxLanes {
		return fmt.Errorf("%w: scrypt", ErrCost)
	}
	if m := 128 * r << log2n; m > maxMemory || m*p > maxWork {
		return fmt.Errorf("%w: scrypt", ErrCost)
	}
	return nil
}

const alphabet64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func itoa64(c byte) int { return strings.IndexByte(alphabet64, c) }

// decodeUint30 reads five characters of the alphabet, low bits first.
func decodeUint30(s string) (uint64, bool) {
	var n uint64
	for i := range 5 {
		c := itoa64(s[i])
		if c < 0 {
			return 0, false
		}
		n |= uint64(c) << (6 * i)
	}
	return n, true
}

// checkScrypt7 is for $7$Nrrrrrppppp salt $ hash, of libxcrypt.
func checkScrypt7(v value, plaintext string) (bool, error) {
	s := v.text[3:]
	if len(s) < 12 {
		return false, v.bad("scrypt")
	}
	n := itoa64(s[0])
	r, ok1 := decodeUint30(s[1:])
	p, ok2 := decodeUint30(s[6:])
	salt, hash, ok3 := strings.Cut(s[11:], "$")
	if n < 0 || !ok1 || !ok2 || !ok3 {
		return false, v.bad("scrypt")
	}
	if err := memoryCost(uint64(n), r, p); err != nil {
		return false, err
	}
	key, err := scrypt.Key([]byte(plaintext), []byte(salt), 1<<n, int(r), int(p), 32)
	if err != nil {
		return false, v.bad("scrypt")
	}
	return equal(yescrypt.Encode64(key), []byte(hash)), nil
}

// checkScryptPHC is for $scrypt$ln=16,r=8,p=1$salt$hash.
func checkScryptPHC(v value, plaintext string) (bool, error) {
	parts := strings.Split(v.text, "$")
	if len(parts) != 5 {
		return false, v.bad("scrypt")
	}
	p, err := phcParams(parts[2], "ln", "r", "p")
	if err != nil {
		return false, v.bad("scrypt")
	}
	if err := memoryCost(p[0], p[1], p[2]); err != nil {
		return false, err
	}
	salt, err1 := v.decode(parts[3])
	hash, err2 := v.decode(parts[4])
	if err1 != nil || err2 != nil || len(hash) < 16 || len(hash) > 128 {
		return false, v.bad("scrypt")
	}
	key, err := scrypt.Key([]byte(plaintext), salt, 1<<p[0], int(p[1]), int(p[2]), len(hash))
	if err != nil {
		return false, v.bad("scrypt")
	}
	return equal(key, hash), nil
}

// phcParams reads "a=1,b=2" with exactly these names.
func phcParams(s string, names ...string) ([]uint64, error) {
	items := strings.Split(s, ",")
	if len(items) != len(names) {
		return nil, ErrFormat
	}
	list := make([]uint64, len(names))
	for i, item := range items {
		digits, ok := strings.CutPrefix(item, names[i]+"=")
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil {
			return nil, ErrFormat
		}
		list[i] = n
	}
	return list, nil
}

// checkSHACrypt is for $5$ and $6$, with rounds=N$ behind or not.
func checkSHACrypt(v value, plaintext string) (bool, error) {
	id, s := v.text[1], v.text[3:]
	prefix, rounds := v.text[:3], uint64(5000)
	if digits, ok := strings.CutPrefix(s, "rounds="); ok {
		number, rest, ok := strings.Cut(digits, "$")
		n, err := strconv.ParseUint(number, 10, 32)
		if !ok || err != nil {
			return false, v.bad("rounds")
		}
		if n > maxSHARounds {
			return false, fmt.Errorf("%w: %d rounds", ErrCost, n)
		}
		prefix, rounds, s = prefix+"rounds="+number+"$", max(n, 1000), rest
	}
	salt, _, ok := strings.Cut(s, "$")
	if !ok || len(salt) > 16 {
		return false, v.bad("salt")
	}
	newHash := sha512.New
	if id == '5' {
		newHash = sha256.New
	}
	key := xcrypt.KeySHACrypt(newHash, []byte(plaintext), []byte(salt), int(rounds))
	return equal([]byte(prefix+salt+"$"+string(key)), []byte(v.text)), nil
}

func checkMD5Crypt(v value, plaintext string) (bool, error) {
	rest, ok := strings.CutPrefix(v.text, "$1$")
	if !ok {
		rest = strings.TrimPrefix(v.text, "$apr1$")
	}
	salt, hash, found := strings.Cut(rest, "$")
	if !found || len(salt) > 8 {
		return false, v.bad("md5crypt")
	}
	magic := "$1$"
	if !ok {
		magic = "$apr1$"
	}
	return equal(md5Crypt(plaintext, salt, magic), []byte(hash)), nil
}

// checkSHA1Crypt is for $sha1$rounds$salt$hash, of NetBSD.
func checkSHA1Crypt(v value, plaintext string) (bool, error) {
	parts := strings.Split(v.text, "$")
	if len(parts) != 5 || len(parts[3]) > 64 {
		return false, v.bad("sha1crypt")
	}
	rounds, err := strconv.ParseUint(parts[2], 10, 32)
	if err != nil || rounds == 0 {
		return false, v.bad("sha1crypt")
	}
	if rounds > maxIterations {
		return false, fmt.Errorf("%w: %d rounds", ErrCost, rounds)
	}
	key := xcrypt.KeySHA1Crypt([]byte(plaintext), []byte(parts[3]), uint32(rounds))
	return equal(bytes.TrimRight(key, "\x00"), []byte(parts[4])), nil
}
