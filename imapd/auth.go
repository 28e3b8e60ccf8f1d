package main

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/login"
	sessions "github.com/posthouse-mail/posthouse/pkg/session"
)

// login answers LOGIN (RFC 9051 6.2.3).
func (s *session) login(ctx context.Context) error {
	s.dec.SP()
	user := s.dec.AString()
	s.dec.SP()
	password := s.dec.AString()
	if !s.dec.End() {
		return nil
	}
	if !s.conn.Secure() {
		s.conn.Refuse("PLAIN", "plaintext")
		s.enc.Line("* BAD [ALERT] Plaintext authentication not allowed without SSL/TLS, but your client did it anyway. If anyone was listening, the password was exposed.")
		s.no("PRIVACYREQUIRED", "Plaintext authentication disallowed on non-secure (SSL/TLS) connections.")
		return nil
	}
	if err := s.enc.Flush(); err != nil {
		return err
	}
	return s.finish(ctx, s.conn.Plain(ctx, user, password, s.tag, s.dec.Buffered()))
}

func (s *session) no(code, text string) {
	s.errors++
	if code != "" {
		text = "[" + code + "] " + text
	}
	s.enc.Line("%s NO %s", s.tag, text)
}

// authenticate answers AUTHENTICATE (RFC 9051 6.2.2), with an initial
// response (RFC 4959).
func (s *session) authenticate(ctx context.Context) error {
	s.dec.SP()
	mechanism := s.dec.Word()
	var initial []byte
	if s.dec.TrySP() {
		text := s.dec.Rest()
		if text == "=" {
			initial = []byte{}
		} else {
			var err error
			if initial, err = base64.StdEncoding.DecodeString(text); err != nil {
				s.bad("Invalid base64 data in initial response")
				return nil
			}
		}
	} else if !s.dec.End() {
		return nil
	}
	if s.dec.Err() != nil {
		return nil
	}
	if !slices.Contains(s.srv.Mechanisms(ctx, s.conn), mechanism) {
		if !s.conn.Secure() && (mechanism == "PLAIN" || mechanism == "LOGIN") {
			s.conn.Refuse(mechanism, "plaintext")
			s.no("PRIVACYREQUIRED", "Plaintext authentication disallowed on non-secure (SSL/TLS) connections.")
			return nil
		}
		s.no("", "Unsupported authentication mechanism.")
		return nil
	}
	return s.exchange(ctx, mechanism, initial)
}

// exchange takes the client through the steps of a mechanism.
func (s *session) exchange(ctx context.Context, mechanism string, initial []byte) error {
	x, step := s.conn.Begin(ctx, mechanism, initial)
	for step.Outcome == authclient.Continue {
		response, ok, err := s.ask(step.Challenge)
		if err != nil || !ok {
			x.Abort()
			return err
		}
		step = s.conn.Next(ctx, x, mechanism, response)
	}
	if step.Outcome == authclient.OK && len(step.Challenge) > 0 {
		// The mechanism ends with words of the server's, which IMAP can
		// only send as a challenge (RFC 9051 6.2.2).
		response, ok, err := s.ask(step.Challenge)
		if err != nil || !ok {
			return err
		}
		if len(response) > 0 {
			s.bad("Invalid response")
			return nil
		}
	}
	return s.finish(ctx, step)
}

// ask sends a challenge and reads the response; false means that the client
// gave up or sent nonsense, which was answered.
func (s *session) ask(challenge []byte) (response []byte, ok bool, err error) {
	s.enc.Line("+ %s", base64.StdEncoding.EncodeToString(challenge))
	if err := s.enc.Flush(); err != nil {
		return nil, false, err
	}
	if err := s.dec.Next(); err != nil {
		return nil, false, err
	}
	text := s.dec.Rest()
	if text == "*" {
		s.bad("Authentication aborted by client.")
		return nil, false, nil
	}
	response, derr := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if derr != nil {
		s.bad("Invalid base64 data in continued response")
		return nil, false, nil
	}
	return response, true, nil
}

// finish answers a login that came to its end.
func (s *session) finish(ctx context.Context, step authclient.Step) error {
	switch step.Outcome {
	case authclient.OK:
		return s.handOver(ctx, step)
	case authclient.Temporary:
		s.no("UNAVAILABLE", "Temporary authentication failure.")
	case authclient.Disabled:
		s.no("AUTHORIZATIONFAILED", "This service is not enabled for this user.")
	default:
		s.no("AUTHENTICATIONFAILED", "Authentication failed.")
	}
	return nil
}

// handOver gives the connection away. The tagged OK is the session's to send.
func (s *session) handOver(ctx context.Context, step authclient.Step) error {
	if err := s.enc.Flush(); err != nil {
		return err
	}
	returned, err := s.conn.HandOver(ctx, step, s.tag, s.dec.Buffered())
	var refusal *sessions.Refusal
	switch {
	case errors.As(err, &refusal):
		s.no(refusal.Code, refusal.Text)
		s.enc.Flush()
		s.over = true
		return nil
	case errors.Is(err, login.ErrTooMany):
		return err
	case errors.Is(err, sessions.ErrLost):
		s.over = true
		return io.EOF
	case err != nil:
		return imapwire.ErrTooLong
	case returned == nil:
		s.over = true
		return io.EOF
	}
	// UNAUTHENTICATE (RFC 8437 3): the session answered it already.
	s.reset(returned.Pending)
	s.errors = 0
	return nil
}
