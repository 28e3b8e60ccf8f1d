package nexthop

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/sasl"
	"github.com/posthouse-mail/posthouse/pkg/smtpclient"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/keys"
)

// login is how the agent logs in to servers.
type login struct {
	passwords  *table.Maps
	filter     *table.MatchList
	plain, tls sasl.Options
}

// openLogin opens the passwords, which only root may be able to read.
func (c *Client) openLogin(o table.Options) (err error) {
	p := c.p
	if !p.SASLEnable {
		return nil
	}
	if len(p.SASLPasswords) == 0 {
		return errors.New("SASL authentication is enabled, but sasl_password_maps is empty")
	}
	l := &login{}
	if l.passwords, err = table.OpenMaps(p.SASLPasswords, o); err != nil {
		return fmt.Errorf("sasl_password_maps: %w", err)
	}
	if l.plain, err = sasl.ParseOptions(p.SASLOptions); err != nil {
		return fmt.Errorf("sasl_security_options: %w", err)
	}
	if l.tls, err = sasl.ParseOptions(p.SASLTLSOptions); err != nil {
		return fmt.Errorf("sasl_tls_security_options: %w", err)
	}
	if len(p.SASLFilter) > 0 {
		l.filter, err = table.NewStringList(p.SASLFilter, table.ListOptions{Options: o, Name: "sasl_mechanism_filter"})
		if err != nil {
			return fmt.Errorf("sasl_mechanism_filter: %w", err)
		}
	}
	c.login = l
	return nil
}

// Key is what a session may be kept under. Where logins depend on the sender,
// one sender's session is not for another's mail.
func (c *Client) Key(site, sender string) string {
	if c.login != nil && c.p.SenderLogin {
		return site + "\x00" + strings.ToLower(sender)
	}
	return site
}

// password returns the login for a server: by sender, by its name, by the next
// hop.
func (l *login) password(ctx context.Context, site, host, sender string) (user, password string, err error) {
	value, found := "", false
	if sender != "" {
		r, err := keys.Canonical(ctx, l.passwords, sender, keys.Options{})
		if err != nil {
			return "", "", err
		}
		value, found = r.Value, r.Found
	}
	for _, key := range []string{host, site} {
		if !found {
			if value, found, err = l.passwords.Lookup(ctx, key); err != nil {
				return "", "", err
			}
		}
	}
	user, password, _ = strings.Cut(value, ":")
	return user, password, nil
}

// Authenticate logs in, if there is a password for the server and it wants one.
func (c *Client) Authenticate(ctx context.Context, s *Session, site, sender string) error {
	if c.login == nil || len(s.Caps.Auth) == 0 {
		return nil
	}
	if !c.p.SenderLogin {
		sender = ""
	}
	user, password, err := c.login.password(ctx, site, s.Target.Host, sender)
	if err != nil {
		c.log.Warn("", "sasl_password_maps: %v", err)
		return Failed("4.3.0", "sasl_password_maps lookup error")
	}
	if user == "" {
		return nil
	}
	o := sasl.ClientOptions{Login: user, Password: password, Allowed: func(m string) bool { return c.login.allowed(ctx, s, m) }}
	if s.TLS != nil {
		// RFC 9266: only where the handshake cannot be spoken for by another.
		if b, err := s.TLS.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil {
			o.Binding.Exporter = b
		}
	}
	client, err := sasl.NewClient(s.Caps.Auth, o)
	if err != nil {
		return Failed("4.7.0", "SASL authentication failed; cannot authenticate to server %s: no mechanism available", s.Peer)
	}
	err = s.Auth(ctx, client)
	var f *smtpclient.Failure
	if errors.As(err, &f) && f.Status.Permanent() && c.p.SASLSoftBounce {
		f.Status = f.Status.As('4')
	}
	return err
}

func (l *login) allowed(ctx context.Context, s *Session, mechanism string) bool {
	need := l.plain
	if s.TLS != nil {
		need = l.tls
	}
	if l.filter != nil {
		if ok, err := l.filter.Match(ctx, strings.ToLower(mechanism)); err != nil || !ok {
			return false
		}
	}
	return need.Allow(mechanism)
}
