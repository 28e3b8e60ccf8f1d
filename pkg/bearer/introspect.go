package bearer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Introspector asks the issuer about tokens (RFC 7662).
type Introspector struct {
	url          string
	user, secret string
	client       *http.Client
}

// Limits of a question.
const (
	askTimeout = 10 * time.Second
	maxAnswer  = 64 << 10
)

// NewIntrospector asks at a URL, as a client with a secret.
func NewIntrospector(address, user, secret string) (*Introspector, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, errors.New("not the URL of an introspection endpoint")
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme != "https" && (u.Scheme != "http" || ip == nil || !ip.IsLoopback()) {
		return nil, errors.New("tokens must not travel in clear: want https, or http with a loopback address")
	}
	return &Introspector{url: address, user: user, secret: secret, client: &http.Client{
		Timeout: askTimeout,
		// A token is for the one whom the site names.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, Proxy: nil},
	}}, nil
}

// Check returns the login of a token. Issuer and audience are looked at as far
// as the answer has them: whom we ask is the issuer.
func (i *Introspector) Check(ctx context.Context, token string, r *Rules, now time.Time) (string, error) {
	if len(token) > MaxToken {
		return "", refuse("it is too long")
	}
	body := url.Values{"token": {token}, "token_type_hint": {"access_token"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.url, strings.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("introspection: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if i.user != "" {
		req.SetBasicAuth(url.QueryEscape(i.user), url.QueryEscape(i.secret)) // RFC 6749 2.3.1
	}
	resp, err := i.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("introspection: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("introspection: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("introspection: status %d", resp.StatusCode)
	}
	c, err := decode(b)
	if err != nil {
		return "", errors.New("introspection: the answer is no JSON object")
	}
	return i.judge(c, r, now)
}

func (i *Introspector) judge(c claims, r *Rules, now time.Time) (string, error) {
	if c["active"] != true {
		return "", refuse("it is not active")
	}
	if err := c.timely(now, false); err != nil {
		return "", err
	}
	_, hasIss := c["iss"]
	_, hasAud := c["aud"]
	both := hasIss && hasAud
	if both || hasIss && len(r.Issuers) > 0 {
		if err := r.issuer(c); err != nil {
			return "", err
		}
	}
	if both || hasAud && len(r.Audiences) > 0 {
		if err := r.audience(c); err != nil {
			return "", err
		}
	}
	return r.login(c)
}
