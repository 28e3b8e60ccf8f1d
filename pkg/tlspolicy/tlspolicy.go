// Package tlspolicy decides how TLS is used towards a server: at which level,
// with which protocol versions and ciphers, and what its certificate must
// show. It maps Postfix's smtp_tls_* parameters and policy tables, which were
// made for OpenSSL, onto crypto/tls:
//
//   - Versions are a range. A list with holes means its highest run.
//   - The cipher grades "high" and better are crypto/tls's own choice; lower
//     grades add RSA key exchange and CBC suites, which old servers need and
//     which beat plaintext. RC4, DES, export, anonymous and finite-field
//     suites do not exist here.
//   - TLS 1.3 suites cannot be excluded.
//
// The levels none, may, encrypt, fingerprint, verify and secure work. The
// levels dane, dane-only and half-dane are known by name and refused: mail
// for such a destination waits, rather than travel with less protection than
// its administrator asked for.
package tlspolicy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Level is a TLS security level.
type Level int

// The levels, weakest first. LevelInvalid is no level.
const (
	LevelInvalid Level = iota
	LevelNone
	LevelMay
	LevelEncrypt
	LevelFingerprint
	LevelHalfDane
	LevelDane
	LevelDaneOnly
	LevelVerify
	LevelSecure
)

var levelNames = [...]string{"invalid", "none", "may", "encrypt", "fingerprint", "half-dane", "dane", "dane-only", "verify", "secure"}

// String returns the name of the level as in main.cf.
func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		l = LevelInvalid
	}
	return levelNames[l]
}

// ParseLevel reads the name of a level.
func ParseLevel(s string) (Level, error) {
	for l, name := range levelNames {
		if Level(l) != LevelInvalid && strings.EqualFold(name, s) {
			return Level(l), nil
		}
	}
	return LevelInvalid, fmt.Errorf("invalid TLS security level %q", s)
}

// Required reports whether mail may not go without TLS.
func (l Level) Required() bool { return l >= LevelEncrypt }

// Supported reports whether the level can be carried out.
func (l Level) Supported() bool {
	return l > LevelInvalid && l <= LevelSecure && (l < LevelHalfDane || l > LevelDaneOnly)
}

// Params are the parameters of a client. Prefix is "smtp" or "lmtp", as in
// their names.
type Params struct {
	Prefix                          string
	Level                           string
	UseTLS, EnforceTLS, EnforceName bool
	Protocols, MandatoryProtocols   []string
	Ciphers, MandatoryCiphers       string
	Exclude, MandatoryExclude       []string
	CAFile, CAPath                  string
	AppendDefaultCA                 bool
	VerifyMatch, SecureMatch        []string
	FingerprintMatch                []string
	FingerprintDigest               string
	ServerName                      string
	WildcardMultiLabel              bool
	Lookup                          func(ctx context.Context, key string) (string, bool, error)
	ClientCertificate               func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	SessionCache                    tls.ClientSessionCache
}

// Engine answers for destinations. It is made before the jail, since it reads
// certificates of authorities.
type Engine struct {
	p     Params
	level Level
	roots *x509.CertPool
	may   settings
	must  settings
}

// settings are the technical part of a policy.
type settings struct {
	min, max uint16
	ciphers  []uint16
}

// New checks the parameters.
func New(p Params) (*Engine, error) {
	e := &Engine{p: p}
	var err error
	if e.level, err = baseLevel(&p); err != nil {
		return nil, fmt.Errorf("%s_tls_security_level: %w", p.Prefix, err)
	}
	if !e.level.Supported() {
		return nil, fmt.Errorf("%s_tls_security_level: level %q is not supported", p.Prefix, e.level)
	}
	if e.may, err = technical(p.Protocols, p.Ciphers, p.Exclude); err != nil {
		return nil, fmt.Errorf("%s_tls_protocols, %s_tls_ciphers: %w", p.Prefix, p.Prefix, err)
	}
	exclude := append(append([]string(nil), p.Exclude...), p.MandatoryExclude...)
	if e.must, err = technical(p.MandatoryProtocols, p.MandatoryCiphers, exclude); err != nil {
		return nil, fmt.Errorf("%s_tls_mandatory_protocols, %s_tls_mandatory_ciphers: %w", p.Prefix, p.Prefix, err)
	}
	if e.roots, err = loadRoots(&p); err != nil {
		return nil, err
	}
	return e, nil
}

// baseLevel applies the parameters from before smtp_tls_security_level where
// that is empty.
func baseLevel(p *Params) (Level, error) {
	switch {
	case p.Level != "":
		return ParseLevel(p.Level)
	case p.EnforceTLS && p.EnforceName:
		return LevelVerify, nil
	case p.EnforceTLS:
		return LevelEncrypt, nil
	case p.UseTLS:
		return LevelMay, nil
	}
	return LevelNone, nil
}

func loadRoots(p *Params) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if p.AppendDefaultCA {
		system, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("system certificate pool: %w", err)
		}
		pool = system
	}
	return pool, AddRoots(pool, p.Prefix, p.CAFile, p.CAPath)
}

// AddRoots adds the certificates in a file and in the files of a directory;
// each may be "". Prefix is that of the parameters which name them.
func AddRoots(pool *x509.CertPool, prefix, file, dir string) error {
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%s_tls_CAfile: %w", prefix, err)
		}
		if !pool.AppendCertsFromPEM(b) {
			return fmt.Errorf("%s_tls_CAfile: %s: no certificate in it", prefix, file)
		}
	}
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%s_tls_CApath: %w", prefix, err)
	}
	for _, entry := range entries {
		// Hashed names are links; what does not parse is passed over.
		if b, err := os.ReadFile(filepath.Join(dir, entry.Name())); err == nil {
			pool.AppendCertsFromPEM(b)
		}
	}
	return nil
}

// Policy is how to talk to one destination.
type Policy struct {
	Level Level

	e     *Engine
	s     settings
	match []string
	sni   string
	next  string // next-hop domain
}

// ErrPolicy reports a policy that cannot be looked up or carried out. Mail
// that it is for waits.
var ErrPolicy = errors.New("client TLS configuration problem")

// For returns the policy for a next hop, written as in a transport table:
// "example.com", "[mx.example.com]:587".
func (e *Engine) For(ctx context.Context, nextHop string) (*Policy, error) {
	p := &Policy{Level: e.level, e: e, sni: e.p.ServerName, next: bareHost(nextHop)}
	value, found, err := e.lookup(ctx, nextHop)
	if err != nil {
		return nil, fmt.Errorf("%w: policy table lookup for %s: %v", ErrPolicy, nextHop, err)
	}
	if found {
		if err := p.parse(value); err != nil {
			return nil, fmt.Errorf("%w: policy for %s: %v", ErrPolicy, nextHop, err)
		}
	} else {
		p.s = e.settingsFor(p.Level)
	}
	if !p.Level.Supported() {
		return nil, fmt.Errorf("%w: policy for %s: level %q is not supported", ErrPolicy, nextHop, p.Level)
	}
	if p.match == nil {
		p.match = e.defaultMatch(p.Level)
	}
	if p.Level == LevelFingerprint && len(p.match) == 0 {
		return nil, fmt.Errorf("%w: nexthop domain %s: configured at fingerprint security level, but with no fingerprints to match",
			ErrPolicy, p.next)
	}
	return p, nil
}

func (e *Engine) settingsFor(l Level) settings {
	if l.Required() {
		return e.must
	}
	return e.may
}

func (e *Engine) defaultMatch(l Level) []string {
	switch l {
	case LevelVerify:
		return e.p.VerifyMatch
	case LevelSecure:
		return e.p.SecureMatch
	case LevelFingerprint:
		return e.p.FingerprintMatch
	}
	return nil
}

// lookup tries the next hop as it is, and then the domains above it.
func (e *Engine) lookup(ctx context.Context, nextHop string) (string, bool, error) {
	if e.p.Lookup == nil {
		return "", false, nil
	}
	key := strings.ToLower(nextHop)
	for {
		value, found, err := e.p.Lookup(ctx, key)
		if found || err != nil || strings.HasPrefix(key, "[") {
			return value, found, err
		}
		i := strings.IndexByte(strings.TrimPrefix(key, "."), '.')
		if i < 0 {
			return "", false, nil
		}
		key = strings.TrimPrefix(key, ".")[i:]
	}
}

// bareHost takes brackets and port off a next hop.
func bareHost(s string) string {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		host, _, _ := strings.Cut(rest, "]")
		return host
	}
	host, _, _ := strings.Cut(s, ":")
	return host
}

// parse reads the value of a policy table: a level and attributes.
func (p *Policy) parse(value string) error {
	words := strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
	if len(words) == 0 {
		return errors.New("invalid empty policy")
	}
	var err error
	if p.Level, err = ParseLevel(words[0]); err != nil {
		return err
	}
	var protocols, exclude []string
	grade := ""
	seen := map[string]bool{}
	for _, w := range words[1:] {
		name, v, ok := strings.Cut(w, "=")
		name = strings.ToLower(name)
		switch {
		case !ok:
			return fmt.Errorf("malformed attribute/value pair %q", w)
		case v == "":
			return fmt.Errorf("attribute %q has empty value", name)
		case seen[name] && name != "match":
			return fmt.Errorf("attribute %q is specified multiple times", name)
		}
		seen[name] = true
		switch name {
		case "protocols":
			protocols = strings.FieldsFunc(v, isColon)
		case "ciphers":
			grade = v
		case "exclude":
			exclude = strings.FieldsFunc(v, isColon)
		case "match":
			if p.Level < LevelFingerprint {
				return fmt.Errorf("attribute %q invalid at security level %q", name, p.Level)
			}
			p.match = append(p.match, splitMatch(v, p.Level)...)
		case "servername":
			p.sni = v
		case "connection_reuse", "enable_rpk":
			// Connections are reused with TLS as without.
		default:
			return fmt.Errorf("invalid attribute name: %q", name)
		}
	}
	return p.technical(protocols, grade, exclude, seen["exclude"])
}

func isColon(r rune) bool { return r == ':' }

// splitMatch splits a list at "|", and names at ":" as well; fingerprints
// have colons inside.
func splitMatch(v string, l Level) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == '|' || r == ':' && l != LevelFingerprint })
}

// technical computes the settings with what a policy overrides.
func (p *Policy) technical(protocols []string, grade string, exclude []string, haveExclude bool) error {
	params := &p.e.p
	baseProtocols, baseGrade := params.Protocols, params.Ciphers
	baseExclude := append([]string(nil), params.Exclude...)
	if p.Level.Required() {
		baseProtocols, baseGrade = params.MandatoryProtocols, params.MandatoryCiphers
		baseExclude = append(baseExclude, params.MandatoryExclude...)
	}
	if protocols == nil {
		protocols = baseProtocols
	}
	if grade == "" {
		grade = baseGrade
	}
	if !haveExclude {
		exclude = baseExclude
	}
	var err error
	p.s, err = technical(protocols, grade, exclude)
	return err
}
