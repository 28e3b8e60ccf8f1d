package ldaptable

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/posthouse-mail/posthouse/pkg/table/dbfile"
)

// Limits of the connections.
const (
	maxIdle     = 8
	idleTime    = time.Minute
	restTime    = time.Minute // a host that did not answer is asked last
	dialTimeout = 5 * time.Second
)

// pool keeps connections that are bound with bind_dn.
type pool struct {
	urls     []string
	bindDN   string
	bindPW   string
	bind     bool
	startTLS bool
	tls      *tls.Config
	timeout  time.Duration

	mu   sync.Mutex
	idle []kept
	down map[string]time.Time
}

type kept struct {
	conn  *ldap.Conn
	since time.Time
}

func newPool(f *dbfile.File, timeout time.Duration) (*pool, error) {
	p := &pool{timeout: timeout, down: map[string]time.Time{}, bindDN: f.Str("bind_dn", ""), bindPW: f.Str("bind_pw", "")}
	port, err := f.Int("server_port", 389, 1, 65535)
	if err != nil {
		return nil, err
	}
	for _, h := range f.Words("server_host", "localhost") {
		p.urls = append(p.urls, hostURL(h, port))
	}
	switch how := f.Str("bind", "yes"); how {
	case "yes", "simple":
		p.bind = p.bindDN != ""
	case "no", "none":
	default:
		return nil, fmt.Errorf("bind = %s is not supported", how)
	}
	if v := f.Str("version", "3"); v != "3" && v != "2" {
		return nil, errors.New("version is none of 2 and 3")
	}
	if p.startTLS, err = f.Bool("start_tls", false); err != nil {
		return nil, err
	}
	p.tls, err = tlsConfig(f)
	return p, err
}

// hostURL makes a URL of a host as Postfix has it.
func hostURL(h string, port int) string {
	if strings.Contains(h, "://") {
		return h
	}
	if _, _, err := net.SplitHostPort(h); err != nil {
		h = net.JoinHostPort(strings.Trim(h, "[]"), strconv.Itoa(port))
	}
	return "ldap://" + h
}

func tlsConfig(f *dbfile.File) (*tls.Config, error) {
	cfg := &tls.Config{}
	// Postfix checks no certificate unless it is told to.
	check, err := f.Bool("tls_require_cert", false)
	if err != nil {
		return nil, err
	}
	if ca := f.Str("tls_ca_cert_file", ""); ca != "" {
		b, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs, check = x509.NewCertPool(), true
		if !cfg.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s: no certificate", ca)
		}
	}
	cfg.InsecureSkipVerify = !check
	if cert, key := f.Str("tls_cert", ""), f.Str("tls_key", ""); cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// take returns a kept connection, nil if there is none.
func (p *pool) take() *ldap.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		k := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if time.Since(k.since) < idleTime && !k.conn.IsClosing() {
			return k.conn
		}
		k.conn.Close()
	}
	return nil
}

func (p *pool) put(c *ldap.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) >= maxIdle {
		c.Close()
		return
	}
	p.idle = append(p.idle, kept{c, time.Now()})
}

func (p *pool) close() {
	for c := p.take(); c != nil; c = p.take() {
		c.Close()
	}
}

// with runs f on a connection. A kept one that turns out to be dead is
// replaced by a new one.
func (p *pool) with(ctx context.Context, f func(*ldap.Conn) error) error {
	if c := p.take(); c != nil {
		err := f(c)
		if !broken(err) {
			p.put(c)
			return err
		}
		c.Close()
	}
	c, err := p.connect(ctx, p.bind)
	if err != nil {
		return err
	}
	if err = f(c); broken(err) {
		c.Close()
	} else {
		p.put(c)
	}
	return err
}

// fresh runs f on a new connection that is not bound, and ends it.
func (p *pool) fresh(ctx context.Context, f func(*ldap.Conn) error) error {
	c, err := p.connect(ctx, false)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

// broken reports an error of the connection or the server, after which another
// connection is better.
func broken(err error) bool {
	return err != nil && ldap.IsErrorAnyOf(err, ldap.ErrorNetwork, ldap.LDAPResultUnavailable, ldap.LDAPResultBusy,
		ldap.LDAPResultServerDown, ldap.LDAPResultTimeout, ldap.ErrorUnexpectedMessage, ldap.ErrorUnexpectedResponse)
}

// connect tries the hosts: first those that are up, in their order, as
// ldap_table(5) has it.
func (p *pool) connect(ctx context.Context, bind bool) (*ldap.Conn, error) {
	var errs []error
	for _, resting := range []bool{false, true} {
		for _, u := range p.urls {
			if p.rests(u) != resting {
				continue
			}
			c, err := p.dial(ctx, u, bind)
			if err == nil {
				return c, nil
			}
			p.mu.Lock()
			p.down[u] = time.Now().Add(restTime)
			p.mu.Unlock()
			errs = append(errs, fmt.Errorf("%s: %w", u, err))
			if len(errs) >= 2*len(p.urls) {
				break
			}
		}
	}
	return nil, errors.Join(errs...)
}

func (p *pool) rests(u string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.down[u])
}

func (p *pool) dial(ctx context.Context, u string, bind bool) (*ldap.Conn, error) {
	cfg := p.tls.Clone()
	if parsed, err := url.Parse(u); err == nil {
		cfg.ServerName = parsed.Hostname()
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	if deadline, ok := ctx.Deadline(); ok {
		dialer.Deadline = deadline
	}
	c, err := ldap.DialURL(u, ldap.DialWithDialer(dialer), ldap.DialWithTLSConfig(cfg))
	if err != nil {
		return nil, err
	}
	c.SetTimeout(p.timeout)
	if p.startTLS {
		if err := c.StartTLS(cfg); err != nil {
			c.Close()
			return nil, err
		}
	}
	if bind {
		if err := c.Bind(p.bindDN, p.bindPW); err != nil {
			c.Close()
			return nil, fmt.Errorf("bind as %s: %w", p.bindDN, err)
		}
	}
	return c, nil
}
