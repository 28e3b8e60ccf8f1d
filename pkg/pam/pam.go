// Package pam is what authd(8), pamd(8) and its helper authd-pam agree on: what
// is asked of PAM, and what the answers are.
//
// authd sends pamd an attribute list: request=check, service, login, rip, and
// password in base64; the reply is status=ok, failed, expired or temporary. The
// helper reads the same four, each with a NUL behind it, from its standard input,
// and its exit status is the [Result].
package pam

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// Endpoint is the socket of pamd, relative to the queue directory.
const Endpoint = "private/pam"

// Helper is the program that asks PAM, in daemon_directory.
const Helper = "authd-pam"

// Result is what PAM said. The values are exit statuses; any other is Temporary,
// and the zero one is none, since a program may exit with it by mistake.
type Result int

// The results.
const (
	OK        Result = 40 // the password is right, and the account may log in
	Failed    Result = 41 // wrong login or password
	Expired   Result = 42 // the password is right, and the account may not log in
	Temporary Result = 43 // PAM could not say
)

// String returns the word of a result.
func (r Result) String() string {
	switch r {
	case OK:
		return "ok"
	case Failed:
		return "failed"
	case Expired:
		return "expired"
	}
	return "temporary"
}

// ParseResult returns the result of a word.
func ParseResult(word string) Result {
	for _, r := range []Result{OK, Failed, Expired} {
		if r.String() == word {
			return r
		}
	}
	return Temporary
}

// Check is a question.
type Check struct {
	Service  string // of PAM, a file in /etc/pam.d
	Login    string
	RemoteIP string
	Password string
}

// Limits of a check.
const (
	maxService  = 64
	maxLogin    = 255
	maxPassword = 1024
	maxAddress  = 64
	MaxEncoded  = maxService + maxLogin + maxPassword + maxAddress + 4
)

// ErrCheck reports a check that nobody should be asked.
var ErrCheck = errors.New("malformed question for PAM")

// Valid reports what is wrong with a check.
func (c Check) Valid() error {
	for _, f := range []struct {
		name, value string
		most        int
	}{{"service", c.Service, maxService}, {"login", c.Login, maxLogin}, {"password", c.Password, maxPassword}} {
		if f.value == "" || len(f.value) > f.most || strings.ContainsAny(f.value, "\x00\n") {
			return fmt.Errorf("%w: %s", ErrCheck, f.name)
		}
	}
	if len(c.RemoteIP) > maxAddress || strings.ContainsFunc(c.RemoteIP, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%w: address", ErrCheck)
	}
	// The service is the name of a file.
	for _, r := range c.Service {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return fmt.Errorf("%w: service", ErrCheck)
		}
	}
	if c.Login[0] == '-' || strings.ContainsAny(c.Login, ":/") {
		return fmt.Errorf("%w: login", ErrCheck)
	}
	return nil
}

// Attributes returns the request for pamd.
func (c Check) Attributes() ipc.List {
	return ipc.List{}.Str("request", "check").Str("service", c.Service).Str("login", c.Login).Str("rip", c.RemoteIP).
		Str("password", base64.StdEncoding.EncodeToString([]byte(c.Password)))
}

// ReadCheck reads a request.
func ReadCheck(l ipc.List) (Check, error) {
	password, err := base64.StdEncoding.DecodeString(l.Value("password"))
	if err != nil || l.Value("request") != "check" {
		return Check{}, fmt.Errorf("%w: request", ErrCheck)
	}
	c := Check{Service: l.Value("service"), Login: l.Value("login"), RemoteIP: l.Value("rip"), Password: string(password)}
	return c, c.Valid()
}

// Encode returns what the helper reads.
func (c Check) Encode() []byte {
	return []byte(c.Service + "\x00" + c.Login + "\x00" + c.RemoteIP + "\x00" + c.Password + "\x00")
}

// Decode is the inverse of Encode.
func Decode(b []byte) (Check, error) {
	f := strings.Split(string(b), "\x00")
	if len(b) > MaxEncoded || len(f) != 5 || f[4] != "" {
		return Check{}, fmt.Errorf("%w: four fields are wanted", ErrCheck)
	}
	c := Check{Service: f[0], Login: f[1], RemoteIP: f[2], Password: f[3]}
	return c, c.Valid()
}
