package main

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	sessions "github.com/posthouse-mail/posthouse/pkg/session"
)

const insecure = "[AUTH] Cleartext authentication disallowed on non-secure (SSL/TLS) connections."

// userName is USER (RFC 1939 7). It does not tell whether there is such a user.
func (s *session) userName(name string) {
	name = strings.TrimSpace(name)
	switch {
	case !s.conn.Secure():
		s.conn.Refuse("PLAIN", "plaintext")
		s.unknown(insecure)
	case name == "" || len(name) > authclient.MaxLogin:
		s.unknown("Invalid user name.")
	default:
		s.user, s.named = name, true
		s.ok("")
	}
}

// pass is PASS. Blanks are part of the password.
func (s *session) pass(ctx context.Context, password string) {
	switch {
	case !s.named:
		s.unknown("No username given.")
	case len(password) > authclient.MaxPassword:
		s.unknown("Password is too long.")
	default:
		s.named = false
		if s.w.Flush() != nil {
			s.over = true
			return
		}
		s.finish(ctx, s.conn.Plain(ctx, s.user, password, s.state(ctx).String(), slices.Clone(s.r.Pending())))
	}
}

// apop is APOP (RFC 1939 7).
func (s *session) apop(ctx context.Context, args string) {
	// The digest is the last word, since a name may have blanks.
	i := strings.LastIndexByte(args, ' ')
	switch {
	case s.stamp == "":
		s.unknown("APOP is not offered.")
	case i < 1 || len(args)-i-1 != 32 || i > authclient.MaxLogin:
		s.unknown("Invalid parameters.")
	default:
		s.finish(ctx, s.conn.APOP(ctx, strings.TrimSpace(args[:i]), s.stamp, args[i+1:]))
	}
}

// auth is AUTH (RFC 5034 4). Without a mechanism it lists them, as clients from
// before CAPA expect.
func (s *session) auth(ctx context.Context, args string) {
	offered := s.srv.Mechanisms(ctx, s.conn)
	if args == "" {
		s.ok("")
		for _, m := range offered {
			s.line(m)
		}
		s.line(".")
		return
	}
	mechanism, text, given := strings.Cut(args, " ")
	mechanism = strings.ToUpper(mechanism)
	if !slices.Contains(offered, mechanism) {
		if !s.conn.Secure() && (mechanism == "PLAIN" || mechanism == "LOGIN") {
			s.conn.Refuse(mechanism, "plaintext")
			s.unknown(insecure)
			return
		}
		s.unknown("Unsupported authentication mechanism.")
		return
	}
	var initial []byte
	if given {
		var err error
		// "=" is an empty response (RFC 5034 4).
		if initial = []byte{}; text != "=" {
			initial, err = base64.StdEncoding.DecodeString(text)
		}
		if err != nil || len(initial) > authclient.MaxResponse {
			s.unknown("Invalid base64 data in initial response.")
			return
		}
	}
	s.exchange(ctx, mechanism, initial)
}

// exchange takes the client through the steps of a mechanism.
func (s *session) exchange(ctx context.Context, mechanism string, initial []byte) {
	x, step := s.conn.Begin(ctx, mechanism, initial)
	for step.Outcome == authclient.Continue {
		response, ok := s.ask(ctx, step.Challenge)
		if !ok {
			x.Abort()
			return
		}
		step = s.conn.Next(ctx, x, mechanism, response)
	}
	if step.Outcome == authclient.OK && len(step.Challenge) > 0 {
		// The mechanism ends with words of the server's, which POP3 can only
		// send as a challenge (RFC 5034 4).
		response, ok := s.ask(ctx, step.Challenge)
		if !ok {
			return
		}
		if len(response) > 0 {
			s.unknown("Invalid response.")
			return
		}
	}
	s.finish(ctx, step)
}

// ask sends a challenge and reads the response; false means that the client
// gave up, sent nonsense, which was answered, or is gone.
func (s *session) ask(ctx context.Context, challenge []byte) ([]byte, bool) {
	s.line("+ " + base64.StdEncoding.EncodeToString(challenge))
	line, err := s.r.ReadLine(lineLimit)
	if err != nil {
		s.leave(ctx, err)
		s.over = true
		return nil, false
	}
	text := strings.TrimSpace(string(line))
	if text == "*" {
		s.unknown("Authentication aborted by client.")
		return nil, false
	}
	response, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(response) > authclient.MaxResponse {
		s.unknown("Invalid base64 data in continued response.")
		return nil, false
	}
	return response, true
}

// finish answers a login that came to its end. After a success the reply is the
// session's, which knows whether the maildrop can be opened.
func (s *session) finish(ctx context.Context, step authclient.Step) {
	switch step.Outcome {
	case authclient.OK:
		s.handOver(ctx, step)
	case authclient.Temporary:
		s.fail("[SYS/TEMP] Temporary authentication failure.")
	case authclient.Disabled:
		s.fail("[SYS/PERM] This service is not enabled for this user.")
	default:
		s.fail("[AUTH] Authentication failed.")
	}
}

// handOver gives the connection away.
func (s *session) handOver(ctx context.Context, step authclient.Step) {
	if s.w.Flush() != nil {
		s.over = true
		return
	}
	_, err := s.conn.HandOver(ctx, step, s.state(ctx).String(), slices.Clone(s.r.Pending()))
	var refusal *sessions.Refusal
	switch {
	case errors.As(err, &refusal):
		code := map[string]string{"LIMIT": "IN-USE", "CONTACTADMIN": "SYS/PERM"}[refusal.Code]
		if code == "" {
			code = "SYS/TEMP"
		}
		s.fail("[" + code + "] " + refusal.Text)
	case errors.Is(err, sessions.ErrLost):
		s.over = true
	case err != nil:
		s.fail("[SYS/TEMP] Internal error occurred.")
		s.over = true
	default:
		s.over = true
	}
}
