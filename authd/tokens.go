package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/bearer"
	"github.com/posthouse-mail/posthouse/pkg/sasl"
)

// oauthParams are the parameters for bearer tokens.
type oauthParams struct {
	Keys        []string `param:"auth_oauth_keys"`
	Issuers     []string `param:"auth_oauth_issuers"`
	Audiences   []string `param:"auth_oauth_audiences"`
	Claims      []string `param:"auth_oauth_login_claims"`
	URL         string   `param:"auth_oauth_introspection_url"`
	Credentials string   `param:"auth_oauth_introspection_credentials"`
}

// tokens says whose a bearer token is.
type tokens struct {
	rules bearer.Rules
	paths []string
	ask   *bearer.Introspector // nil: by signature

	mu    sync.Mutex
	keys  *bearer.Keys
	mark  string    // of the files that the keys are from
	tried time.Time // when they were last looked at
}

// keyPause is how often at most the files with keys are looked at.
const keyPause = time.Second

// openTokens returns nil where the site takes no tokens.
func openTokens(p oauthParams) (*tokens, error) {
	t := &tokens{rules: bearer.Rules{Issuers: p.Issuers, Audiences: p.Audiences, Claims: p.Claims}, paths: p.Keys}
	switch {
	case p.URL == "" && len(p.Keys) == 0:
		return nil, nil
	case p.URL != "":
		user, secret, err := readCredentials(p.Credentials)
		if err != nil {
			return nil, err
		}
		if t.ask, err = bearer.NewIntrospector(p.URL, user, secret); err != nil {
			return nil, fmt.Errorf("auth_oauth_introspection_url: %w", err)
		}
		return t, nil
	case len(p.Issuers) == 0 || len(p.Audiences) == 0:
		return nil, errors.New("auth_oauth_keys needs auth_oauth_issuers and auth_oauth_audiences")
	}
	if _, err := t.current(); err != nil {
		return nil, fmt.Errorf("auth_oauth_keys: %w", err)
	}
	return t, nil
}

// readCredentials reads a file with client:secret.
func readCredentials(path string) (user, secret string, err error) {
	if path == "" {
		return "", "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("auth_oauth_introspection_credentials: %w", err)
	}
	user, secret, ok := strings.Cut(strings.TrimSpace(string(b)), ":")
	if !ok {
		return "", "", fmt.Errorf("auth_oauth_introspection_credentials: %s: want client:secret", path)
	}
	return user, secret, nil
}

// current returns the keys as the files have them. Those of before stay in use
// while the new ones cannot be read.
func (t *tokens) current() (*bearer.Keys, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys != nil && time.Since(t.tried) < keyPause {
		return t.keys, nil
	}
	t.tried = time.Now()
	mark := ""
	for _, p := range t.paths {
		if info, err := os.Stat(p); err == nil {
			mark += fmt.Sprint(p, info.ModTime().UnixNano(), info.Size(), ";")
		}
	}
	if t.keys != nil && mark == t.mark {
		return t.keys, nil
	}
	keys, err := bearer.ReadKeys(t.paths...)
	if err != nil {
		return t.keys, err
	}
	t.keys, t.mark = keys, mark
	return keys, nil
}

// check returns the login of a token.
func (t *tokens) check(ctx context.Context, token string) (string, error) {
	if t.ask != nil {
		return t.ask.Check(ctx, token, &t.rules, time.Now())
	}
	keys, err := t.current()
	if keys == nil {
		return "", err
	}
	return keys.Check(token, &t.rules, time.Now())
}

// tokenMechanism is OAUTHBEARER or XOAUTH2.
func (s *server) tokenMechanism(x *exchange, m string) sasl.Server {
	if s.tokens == nil {
		return nil
	}
	check := func(authzid, token string) error {
		login, err := s.tokens.check(x.ctx, token)
		t := s.certain(x.peer, m, authzid, login)
		if errors.Is(err, bearer.ErrRefused) {
			// The delay of a wrong password, for whoever it claims to be.
			s.log.Debug("token of user=<%s>: %v", authzid, err)
			t.login, t.authzid, t.secret = authzid, "", token
			t.check = func(context.Context, attempt, *found) (bool, error) { return false, nil }
		} else if err != nil {
			return err
		}
		return s.decide(x, t)
	}
	switch m {
	case sasl.OAuthBearer:
		return sasl.NewOAuthBearer(check)
	case sasl.XOAuth2:
		return sasl.NewXOAuth2(check)
	}
	return nil
}
