// Package sasl has the mechanisms of SASL (RFC 4422): for authd(8), which
// checks what a client says, and for clients that log in to another server.
//
// A mechanism of the server knows no users. It takes messages apart, asks its
// caller through a function whether a name and a proof go together, and the
// caller, who learns the name there, keeps it. [Step] runs one message and
// tells how it ended in a [Result], since the interface of go-sasl has no place
// for the difference between a refusal and a failure to find out.
//
// Mechanisms: PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login), CRAM-MD5
// (RFC 2195), SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, RFC 7677) with channel
// binding as -PLUS (RFC 5929, RFC 9266), OAUTHBEARER (RFC 7628), XOAUTH2, and
// EXTERNAL.
package sasl

import (
	"errors"
	"strings"

	gosasl "github.com/emersion/go-sasl"
)

// Names of mechanisms.
const (
	Plain           = "PLAIN"
	Login           = "LOGIN"
	CRAMMD5         = "CRAM-MD5"
	SCRAMSHA1       = "SCRAM-SHA-1"
	SCRAMSHA1Plus   = "SCRAM-SHA-1-PLUS"
	SCRAMSHA256     = "SCRAM-SHA-256"
	SCRAMSHA256Plus = "SCRAM-SHA-256-PLUS"
	OAuthBearer     = "OAUTHBEARER"
	XOAuth2         = "XOAUTH2"
	External        = "EXTERNAL"
)

// Mechanisms lists the names, best first.
func Mechanisms() []string {
	return []string{External, SCRAMSHA256Plus, SCRAMSHA1Plus, SCRAMSHA256, SCRAMSHA1, OAuthBearer, XOAuth2, CRAMMD5, Plain, Login}
}

// Cleartext reports a mechanism that shows the secret, or a token that is as
// good, to everybody who reads along.
func Cleartext(mechanism string) bool {
	switch mechanism {
	case Plain, Login, OAuthBearer, XOAuth2:
		return true
	}
	return false
}

// IsPlus reports a mechanism with channel binding.
func IsPlus(mechanism string) bool { return strings.HasSuffix(mechanism, "-PLUS") }

// MaxMessage bounds one message of a client.
const MaxMessage = 12288

// ErrFailed is a refusal: the proof is wrong, or the message is none of the
// mechanism. Any other error of a callback means that nothing is known.
var ErrFailed = errors.New("authentication failed")

// Server and Client are the two sides of an exchange.
type (
	Server = gosasl.Server
	Client = gosasl.Client
)

// Outcome is how a step ended.
type Outcome int

// The outcomes. The zero value is no success.
const (
	Failed Outcome = iota
	OK
	Continue
	Temporary
)

// Result is what a step of a server gives.
type Result struct {
	Outcome   Outcome
	Challenge []byte // for the client, with Continue
	Err       error  // why, for the log of the server
}

// Step gives a server the next message of its client; nil is that there was no
// initial response.
func Step(s Server, message []byte) Result {
	if len(message) > MaxMessage {
		return Result{Err: errTooLong}
	}
	challenge, done, err := s.Next(message)
	switch {
	case errors.Is(err, ErrFailed):
		return Result{Err: err}
	case err != nil:
		return Result{Outcome: Temporary, Err: err}
	case done:
		return Result{Outcome: OK}
	}
	if challenge == nil {
		challenge = []byte{}
	}
	return Result{Outcome: Continue, Challenge: challenge}
}

// refusal is an ErrFailed with a reason.
type refusal string

func (r refusal) Error() string        { return string(r) }
func (r refusal) Is(target error) bool { return target == ErrFailed }

// Refusals that need no detail.
const (
	errTooLong   = refusal("the message is too long")
	errMalformed = refusal("the message is malformed")
	errState     = refusal("the exchange is over")
)

// validName refuses what no login can be: whoever looks names up has further
// rules.
func validName(name string) bool {
	if name == "" || len(name) > 1024 {
		return false
	}
	for i := 0; i < len(name); i++ {
		if name[i] < ' ' || name[i] == 0x7f {
			return false
		}
	}
	return true
}
