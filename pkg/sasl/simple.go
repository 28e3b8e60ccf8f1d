package sasl

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// PasswordCheck says whether a password is right. authzid is who the client
// wants to be, "" if that is who it logs in as.
type PasswordCheck func(authzid, login, password string) error

// serverFunc is a server that is a function of its step.
type serverFunc struct {
	step int
	next func(step int, message []byte) (challenge []byte, done bool, err error)
}

func (s *serverFunc) Next(message []byte) ([]byte, bool, error) {
	step := s.step
	s.step++
	return s.next(step, message)
}

// NewPlain is PLAIN: the names and the password in one message.
func NewPlain(check PasswordCheck) Server {
	return &serverFunc{next: func(step int, message []byte) ([]byte, bool, error) {
		if step == 0 && message == nil {
			return []byte{}, false, nil
		}
		if step > 1 {
			return nil, false, errState
		}
		// RFC 4616 2: neither part may hold a NUL, so there are exactly two.
		parts := bytes.Split(message, []byte{0})
		if len(parts) != 3 {
			return nil, false, errMalformed
		}
		authzid, login, password := string(parts[0]), string(parts[1]), string(parts[2])
		if !validName(login) || password == "" || authzid != "" && !validName(authzid) {
			return nil, false, errMalformed
		}
		if authzid == login {
			authzid = ""
		}
		return nil, true, check(authzid, login, password)
	}}
}

// NewLogin is LOGIN, which asks for one after the other. The challenges are the
// ones that old clients look for.
func NewLogin(check func(login, password string) error) Server {
	var login string
	begun := false
	return &serverFunc{next: func(_ int, message []byte) ([]byte, bool, error) {
		switch {
		case message == nil && !begun:
			begun = true
			return []byte("Username:"), false, nil
		case login == "":
			if begun = true; !validName(string(message)) {
				return nil, false, errMalformed
			}
			login = string(message)
			return []byte("Password:"), false, nil
		case len(message) == 0 || bytes.IndexByte(message, 0) >= 0:
			return nil, false, errMalformed
		}
		return nil, true, check(login, string(message))
	}}
}

// DigestCheck says whether a digest in hexadecimal is the one that the secret
// of a login makes of a challenge.
type DigestCheck func(login, challenge, digest string) error

// NewCRAMMD5 is CRAM-MD5.
func NewCRAMMD5(host string, check DigestCheck) Server {
	challenge := fmt.Sprintf("<%s.%d@%s>", rand.Text(), time.Now().Unix(), host)
	return &serverFunc{next: func(step int, message []byte) ([]byte, bool, error) {
		if step == 0 {
			// The client has nothing to say before it knows the challenge.
			if len(message) > 0 {
				return nil, false, errMalformed
			}
			return []byte(challenge), false, nil
		}
		if step > 1 {
			return nil, false, errState
		}
		login, digest, err := SplitCRAM(message)
		if err != nil {
			return nil, false, err
		}
		return nil, true, check(login, challenge, digest)
	}}
}

// SplitCRAM takes the answer to a CRAM-MD5 challenge apart.
func SplitCRAM(message []byte) (login, digest string, err error) {
	i := bytes.LastIndexByte(message, ' ')
	if i < 0 {
		return "", "", errMalformed
	}
	login, digest = string(message[:i]), strings.ToLower(string(message[i+1:]))
	if !validName(login) || len(digest) != 2*md5.Size {
		return "", "", errMalformed
	}
	if _, err := hex.DecodeString(digest); err != nil {
		return "", "", errMalformed
	}
	return login, digest, nil
}

// cramDigest is what a client answers.
func cramDigest(secret, challenge string) string {
	m := hmac.New(md5.New, []byte(secret))
	m.Write([]byte(challenge))
	return hex.EncodeToString(m.Sum(nil))
}

// NewExternal is EXTERNAL: who the client is was found out below, by its
// certificate, and it says at most who it wants to be.
func NewExternal(check func(authzid string) error) Server {
	return &serverFunc{next: func(step int, message []byte) ([]byte, bool, error) {
		if step == 0 && message == nil {
			return []byte{}, false, nil
		}
		if step > 1 {
			return nil, false, errState
		}
		if len(message) > 0 && !validName(string(message)) {
			return nil, false, errMalformed
		}
		return nil, true, check(string(message))
	}}
}
