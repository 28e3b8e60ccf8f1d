package main

import (
	"context"

	"github.com/posthouse-mail/posthouse/pkg/sasl"
)

// tokenChecker says whose a bearer token is.
type tokenChecker interface {
	check(ctx context.Context, token string) (login string, err error)
}

// tokenMechanism is OAUTHBEARER or XOAUTH2.
func (s *server) tokenMechanism(x *exchange, m string) sasl.Server {
	if s.tokens == nil {
		return nil
	}
	check := func(authzid, token string) error {
		login, err := s.tokens.check(x.ctx, token)
		if err != nil {
			return err
		}
		return s.decide(x, s.certain(x.peer, m, authzid, login))
	}
	switch m {
	case sasl.OAuthBearer:
		return sasl.NewOAuthBearer(check)
	case sasl.XOAuth2:
		return sasl.NewXOAuth2(check)
	}
	return nil
}
