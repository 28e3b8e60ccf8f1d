// Package bearer says whose a bearer token of OAuth 2.0 is: by the signature of
// its issuer (JWT, RFC 7519) or by asking the issuer (RFC 7662).
//
// A signature counts only under an algorithm that fits the key: no token
// chooses "none", or has a public key taken for a secret. The key is one of
// those that the site has in files; what a token says about where its key is
// does not matter (RFC 8725 3).
package bearer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrRefused is a token that is not good. Any other error means that nothing
// is known.
var ErrRefused = errors.New("token refused")

// Limits of a token.
const (
	MaxToken = 8192
	leeway   = time.Minute // between the clocks of the issuer and ours
)

// Rules are what a token must say.
type Rules struct {
	Issuers   []string // one of them must be iss
	Audiences []string // one of them must be in aud
	Claims    []string // where the login is, the first that is there
}

// claims is the payload of a token, or the answer about one.
type claims map[string]any

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// time returns a NumericDate.
func (c claims) time(name string) (t time.Time, has bool, err error) {
	v, has := c[name]
	if !has {
		return time.Time{}, false, nil
	}
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, true, refuse("%s is no number", name)
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f > 1e11 {
		return time.Time{}, true, refuse("%s is no time", name)
	}
	return time.Unix(int64(f), 0), true, nil
}

// words returns a claim that is a string, or a list of them.
func (c claims) words(name string) []string {
	switch v := c[name].(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

// timely checks the times (RFC 7519 4.1.4 and 4.1.5).
func (c claims) timely(now time.Time, needExpiry bool) error {
	exp, has, err := c.time("exp")
	if err != nil {
		return err
	}
	if !has && needExpiry {
		return refuse("it does not expire")
	}
	if has && now.After(exp.Add(leeway)) {
		return refuse("it has expired")
	}
	nbf, has, err := c.time("nbf")
	if err != nil {
		return err
	}
	if has && now.Before(nbf.Add(-leeway)) {
		return refuse("it is not valid yet")
	}
	return nil
}

// fits checks who made the token and for whom.
func (r *Rules) fits(c claims) error {
	return cmp.Or(r.issuer(c), r.audience(c))
}

func (r *Rules) issuer(c claims) error {
	iss, _ := c["iss"].(string)
	if !slices.Contains(r.Issuers, iss) {
		return refuse("another issuer")
	}
	return nil
}

func (r *Rules) audience(c claims) error {
	for _, aud := range c.words("aud") {
		if slices.Contains(r.Audiences, aud) {
			return nil
		}
	}
	return refuse("it is for another audience")
}

// login returns who the token is about.
func (r *Rules) login(c claims) (string, error) {
	for _, name := range r.Claims {
		s, ok := c[name].(string)
		if !ok || s == "" {
			continue
		}
		if verified, has := c["email_verified"]; name == "email" && has && verified != true && verified != "true" {
			return "", refuse("the address is not verified")
		}
		return strings.ToLower(s), nil
	}
	return "", refuse("no claim with a login")
}

// decode reads a JSON object without losing digits.
func decode(b []byte) (claims, error) {
	var c claims
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	if err := d.Decode(&c); err != nil || c == nil {
		return nil, refuse("it is no JSON object")
	}
	return c, nil
}
