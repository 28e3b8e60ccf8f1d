package smtpserver

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// Authenticator is a Handler that lets clients log in (RFC 4954).
type Authenticator interface {
	// Mechanisms returns what is offered to this client at this moment; none
	// means that there is no AUTH.
	Mechanisms(ctx context.Context, s *Session) []string
	// MayAuth decides whether the client may try at all.
	MayAuth(ctx context.Context, s *Session) status.Status
	// BeginAuth starts an exchange. initial is nil if the client gave no
	// initial response. The exchange is used only if the step says so.
	BeginAuth(ctx context.Context, s *Session, mechanism string, initial []byte) (AuthExchange, AuthStep)
	// AuthDone follows a success, with SASLMethod and SASLUser of s.Client
	// set; a status means that the login does not count after all.
	AuthDone(ctx context.Context, s *Session) status.Status
}

// AuthExchange is an exchange that waits for the client's response.
type AuthExchange interface {
	Next(ctx context.Context, response []byte) AuthStep
	// Abort ends an exchange that the client gave up.
	Abort()
}

// AuthResult says how far an exchange is.
type AuthResult int

// The results. The zero value is no success.
const (
	AuthFailed AuthResult = iota
	AuthMore              // send the challenge and wait for a response
	AuthOK
	AuthTemporary // nothing is known: 454
)

// AuthStep is what a back end says to a response.
type AuthStep struct {
	Result    AuthResult
	Challenge []byte
	User      string // with AuthOK; with AuthFailed as far as known, for the log
	Text      string // fixed words for client and log, "" for none
}

// authenticator returns the Handler's other face, nil if it has none.
func (s *Session) authenticator() Authenticator {
	a, _ := s.h.(Authenticator)
	return a
}

// Authenticated reports whether the client has logged in.
func (s *Session) Authenticated() bool { return s.Client.SASLMethod != "" }

// authOffered reports whether AUTH may be used now.
func (s *Session) authOffered() bool { return !s.opts.AuthTLSOnly || s.TLS != nil }

// mechanisms returns what EHLO and AUTH know of; nil means no AUTH.
func (s *Session) mechanisms(ctx context.Context) []string {
	a := s.authenticator()
	if a == nil || !s.offers("AUTH") {
		return nil
	}
	return a.Mechanisms(ctx, s)
}

// authLines are the keywords of EHLO. A second AUTH in a session is refused
// (RFC 4954 section 4), so it is not offered.
func (s *Session) authLines(ctx context.Context) []string {
	if !s.authOffered() || s.Authenticated() {
		return nil
	}
	m := s.mechanisms(ctx)
	if len(m) == 0 {
		return nil
	}
	list := strings.Join(m, " ")
	if s.opts.BrokenAuth {
		return []string{"AUTH " + list, "AUTH=" + list}
	}
	return []string{"AUTH " + list}
}

func (s *Session) doAuth(ctx context.Context, args string) bool {
	if s.opts.HeloNeeded && !s.helo {
		return s.failAs(transcript.Policy, 503, "5.5.1", "Error: send HELO/EHLO first")
	}
	names := s.mechanisms(ctx)
	if len(names) == 0 {
		return s.fail(503, "5.5.1", "Error: authentication not enabled")
	}
	if s.mail != nil {
		return s.fail(503, "5.5.1", "Error: MAIL transaction in progress")
	}
	if !s.authOffered() {
		return s.fail(504, "5.5.4", "Encryption required for requested authentication mechanism")
	}
	if s.Authenticated() {
		return s.fail(503, "5.5.1", "Error: already authenticated")
	}
	fields := strings.Fields(args)
	if len(fields) < 1 || len(fields) > 2 {
		return s.fail(501, "5.5.4", "Syntax: AUTH mechanism")
	}
	a := s.authenticator()
	if st := a.MayAuth(ctx, s); !st.IsZero() {
		return s.decide(st, 0, "", "")
	}
	mechanism := strings.ToUpper(fields[0])
	if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, mechanism) }) {
		return s.authFailed(printable.Text(mechanism), AuthStep{Text: "Invalid authentication mechanism"})
	}
	var initial []byte
	if len(fields) == 2 {
		var ok bool
		if initial, ok = decodeResponse(fields[1], true); !ok {
			return s.badResponse(mechanism)
		}
	}
	return s.exchange(ctx, a, mechanism, initial)
}

// exchange does the dialogue of a mechanism. What the client sends in it is
// not a command, and is never logged.
func (s *Session) exchange(ctx context.Context, a Authenticator, mechanism string, initial []byte) bool {
	x, step := a.BeginAuth(ctx, s, mechanism, initial)
	for step.Result == AuthMore && x != nil {
		s.say(334, false, base64.StdEncoding.EncodeToString(step.Challenge))
		line, ok := s.authLine()
		if !ok {
			x.Abort()
			return false
		}
		if line == "*" {
			x.Abort()
			s.opts.Log.Warn("", "%s: SASL %s authentication aborted", s.Peer(), mechanism)
			return s.failAs(0, 501, "5.7.0", "Authentication aborted")
		}
		response, ok := decodeResponse(line, false)
		if !ok {
			x.Abort()
			return s.badResponse(mechanism)
		}
		step = x.Next(ctx, response)
	}
	if step.Result != AuthOK || step.User == "" {
		return s.authFailed(mechanism, step)
	}
	s.Client.SASLMethod, s.Client.SASLUser = mechanism, printable.Text(step.User)
	if st := a.AuthDone(ctx, s); !st.IsZero() {
		s.forgetLogin()
		return s.decide(st, 0, "", "")
	}
	s.errors = 0
	return s.ok(235, "2.7.0", "Authentication successful")
}

// authLine reads a response. The buffer of the line is cleared: it may hold a
// password.
func (s *Session) authLine() (string, bool) {
	s.conn.begin()
	line, err := s.r.ReadLine(s.opts.AuthLimit)
	if err == nil || errors.Is(err, smtpwire.ErrLineTooLong) {
		s.log.GotSecret()
	}
	switch {
	case errors.Is(err, smtpwire.ErrLineTooLong):
		s.fail(500, "5.5.6", "SASL response limit exceeded")
		return "", false
	case err != nil:
		s.ioError(err)
		return "", false
	case s.r.BareLF() && s.BareLF == smtpwire.BareReject:
		s.bareCommand()
		return "", false
	}
	text := string(bytes.TrimRight(line, " \t"))
	clear(line)
	return text, true
}

// decodeResponse decodes base64 as strictly as RFC 4954 section 4 asks. An
// empty initial response is written "=".
func decodeResponse(text string, initial bool) ([]byte, bool) {
	if initial && text == "=" {
		return []byte{}, true
	}
	if strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, false
	}
	return b, true
}

func (s *Session) badResponse(mechanism string) bool {
	s.opts.Log.Warn("", "%s: SASL %s authentication failed: malformed base64 response", s.Peer(), mechanism)
	return s.failAs(0, 501, "5.5.2", "Error: cannot decode base64 response")
}

// authFailed logs a failure in the form that fail2ban's filters know.
func (s *Session) authFailed(mechanism string, step AuthStep) bool {
	text := step.Text
	if text == "" {
		text = "(reason unavailable)"
	}
	user := ""
	if step.User != "" {
		user = ", sasl_username=" + printable.Text(shorten(step.User))
	}
	s.opts.Log.Warn("", "%s: SASL %s authentication failed: %s%s", s.Peer(), shorten(mechanism), text, user)
	if step.Result == AuthTemporary {
		return s.failAs(0, 454, "4.7.0", "Temporary authentication failure: "+text)
	}
	return s.failAs(0, 535, "5.7.8", "Error: authentication failed: "+text)
}

func shorten(s string) string { return s[:min(len(s), 100)] }

// forgetLogin undoes a login: STARTTLS starts anew (RFC 3207 section 4.2).
func (s *Session) forgetLogin() {
	s.Client.SASLMethod, s.Client.SASLUser, s.Client.SASLSender = "", "", ""
}
