package password

import (
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// argonParams are the costs of a hash: memory in KiB, passes, lanes.
type argonParams struct {
	memory, time, lanes uint64
}

// checkArgon2 is for $argon2id$v=19$m=65536,t=3,p=1$salt$hash, and $argon2i$.
func checkArgon2(v value, plaintext string) (bool, error) {
	parts := strings.Split(v.text, "$")
	if len(parts) != 6 || parts[2] != "v=19" {
		return false, v.bad("argon2")
	}
	list, err := phcParams(parts[3], "m", "t", "p")
	if err != nil {
		return false, v.bad("argon2")
	}
	p := argonParams{list[0], list[1], list[2]}
	if err := p.check(); err != nil {
		return false, err
	}
	salt, err1 := v.decode(parts[4])
	hash, err2 := v.decode(parts[5])
	if err1 != nil || err2 != nil || len(hash) < 4 || len(hash) > 128 || len(salt) < 4 {
		return false, v.bad("argon2")
	}
	switch parts[1] {
	case "argon2id":
		return equal(p.idKey(plaintext, salt, len(hash)), hash), nil
	case "argon2i":
		key := argon2.Key([]byte(plaintext), salt, uint32(p.time), uint32(p.memory), uint8(p.lanes), uint32(len(hash)))
		return equal(key, hash), nil
	}
	return false, fmt.Errorf("%w: %s", ErrScheme, "argon2d")
}

func (p argonParams) check() error {
	bytes := p.memory << 10
	if p.time < 1 || p.lanes < 1 || p.lanes > maxLanes || p.memory < 8*p.lanes || bytes > maxMemory || p.time > maxWork/bytes {
		return fmt.Errorf("%w: argon2 with %d KiB, %d passes, %d lanes", ErrCost, p.memory, p.time, p.lanes)
	}
	return nil
}

func (p argonParams) idKey(plaintext string, salt []byte, size int) []byte {
	return argon2.IDKey([]byte(plaintext), salt, uint32(p.time), uint32(p.memory), uint8(p.lanes), uint32(size))
}

func (p argonParams) format(plaintext string, salt []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.lanes,
		b64.EncodeToString(salt), b64.EncodeToString(p.idKey(plaintext, salt, 32)))
}
