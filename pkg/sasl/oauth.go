package sasl

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// TokenCheck says whether a bearer token is right. authzid is who the client
// wants to be, "" if it does not say.
type TokenCheck func(authzid, token string) error

// oauthFailure is what a client is told of a token that is not good. RFC 7628
// 3.2.2: after it the client says nothing, and the exchange fails.
func oauthFailure(status string) []byte {
	b, err := json.Marshal(map[string]string{"status": status, "schemes": "bearer", "scope": "mail"})
	if err != nil {
		return []byte{}
	}
	return b
}

// tokenServer is OAUTHBEARER or XOAUTH2, which differ in how the message is
// written and in the status of a failure.
func tokenServer(parse func([]byte) (authzid, token string, err error), status string, check TokenCheck) Server {
	var refused error
	return &serverFunc{next: func(step int, message []byte) ([]byte, bool, error) {
		switch {
		case refused != nil:
			return nil, false, refused
		case step == 0 && message == nil:
			return []byte{}, false, nil
		case step > 1:
			return nil, false, errState
		}
		authzid, token, err := parse(message)
		if err != nil {
			return nil, false, err
		}
		err = check(authzid, token)
		if err == nil {
			return nil, true, nil
		}
		if errors.Is(err, ErrFailed) {
			refused = err
			return oauthFailure(status), false, nil
		}
		return nil, false, err
	}}
}

// NewOAuthBearer is OAUTHBEARER.
func NewOAuthBearer(check TokenCheck) Server {
	return tokenServer(parseOAuthBearer, "invalid_token", check)
}

// NewXOAuth2 is XOAUTH2, the form of before the standard.
func NewXOAuth2(check TokenCheck) Server { return tokenServer(parseXOAuth2, "401", check) }

// parseOAuthBearer reads a client's message (RFC 7628 3.1): a GS2 header, then
// key=value pairs, each ended by \x01.
func parseOAuthBearer(message []byte) (authzid, token string, err error) {
	head, rest, ok := bytes.Cut(message, []byte{1})
	if !ok {
		return "", "", errMalformed
	}
	flag, a, err := parseGS2(string(head))
	if err != nil || flag != "n" && flag != "y" {
		return "", "", errMalformed
	}
	token, err = bearerOf(rest)
	return a, token, err
}

// parseXOAuth2 reads "user=NAME\x01auth=Bearer TOKEN\x01\x01".
func parseXOAuth2(message []byte) (authzid, token string, err error) {
	head, rest, ok := bytes.Cut(message, []byte{1})
	name, isUser := strings.CutPrefix(string(head), "user=")
	if !ok || !isUser || !validName(name) {
		return "", "", errMalformed
	}
	token, err = bearerOf(rest)
	return name, token, err
}

// bearerOf returns the token of the pair "auth".
func bearerOf(pairs []byte) (string, error) {
	if !bytes.HasSuffix(pairs, []byte{1, 1}) {
		return "", errMalformed
	}
	for pair := range bytes.SplitSeq(pairs, []byte{1}) {
		value, ok := strings.CutPrefix(string(pair), "auth=")
		if !ok {
			continue
		}
		scheme, token, ok := strings.Cut(value, " ")
		if !ok || !strings.EqualFold(scheme, "bearer") || !validToken(token) {
			return "", errMalformed
		}
		return token, nil
	}
	return "", errMalformed
}

// validToken is b64token of RFC 6750 2.1.
func validToken(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~+/=", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
