package dkim

import (
	"bufio"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// State is what a key is used for.
type State string

// The states, in the order of a key's life. Each is one whose public key
// stands in the DNS.
const (
	StateNew     State = "new"     // made; the record is being published
	StateSigning State = "signing" // in use
	StateOld     State = "old"     // no longer in use, for mail that is under way
)

// Entry is a line of the table of keys: domain, selector, state, key file, and
// further domains whose mail the key signs, ".example.com" for subdomains.
type Entry struct {
	Domain, Selector string
	State            State
	File             string // relative to the table, or absolute
	Also             []string
}

// Signs reports whether mail of authors in a domain gets a signature.
func (e *Entry) Signs(domain string) bool {
	if e.State != StateSigning {
		return false
	}
	if strings.EqualFold(e.Domain, domain) {
		return true
	}
	for _, a := range e.Also {
		if a[0] != '.' && strings.EqualFold(a, domain) || a[0] == '.' && len(domain) > len(a) && strings.EqualFold(domain[len(domain)-len(a):], a) {
			return true
		}
	}
	return false
}

// String returns the line.
func (e *Entry) String() string {
	return strings.TrimRight(fmt.Sprintf("%-24s %-16s %-8s %s %s", e.Domain, e.Selector, e.State, e.File, strings.Join(e.Also, " ")), " ")
}

// MaxEntries bounds the table.
const MaxEntries = 100000

var (
	validDomain   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)
	validSelector = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)
)

// ValidDomain reports whether a name may stand in d=.
func ValidDomain(s string) bool { return len(s) <= 253 && validDomain.MatchString(s) }

// ValidSelector reports whether a name may stand in s=.
func ValidSelector(s string) bool { return len(s) <= 63 && validSelector.MatchString(s) }

// ErrTable reports a line of the table that cannot be read.
var ErrTable = errors.New("table of DKIM keys")

// ParseLine reads one line; nil is a comment or an empty line.
func ParseLine(line string) (*Entry, error) {
	f := strings.Fields(line)
	if len(f) == 0 || f[0][0] == '#' {
		return nil, nil
	}
	if len(f) < 4 {
		return nil, fmt.Errorf("%w: want domain, selector, state and file", ErrTable)
	}
	e := &Entry{Domain: strings.ToLower(f[0]), Selector: f[1], State: State(f[2]), File: f[3], Also: f[4:]}
	switch {
	case !ValidDomain(e.Domain):
		return nil, fmt.Errorf("%w: bad domain %q", ErrTable, f[0])
	case !ValidSelector(e.Selector):
		return nil, fmt.Errorf("%w: bad selector %q", ErrTable, f[1])
	case e.State != StateNew && e.State != StateSigning && e.State != StateOld:
		return nil, fmt.Errorf("%w: bad state %q, want new, signing or old", ErrTable, f[2])
	}
	for _, a := range e.Also {
		if !ValidDomain(strings.TrimPrefix(a, ".")) {
			return nil, fmt.Errorf("%w: bad domain %q", ErrTable, a)
		}
	}
	return e, nil
}

// ParseTable reads the table. A bad line is an error with its number.
func ParseTable(text string) ([]Entry, error) {
	var all []Entry
	n := 0
	s := bufio.NewScanner(strings.NewReader(text))
	for s.Scan() {
		n++
		e, err := ParseLine(s.Text())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if e == nil {
			continue
		}
		if len(all) == MaxEntries {
			return nil, fmt.Errorf("%w: more than %d keys", ErrTable, MaxEntries)
		}
		all = append(all, *e)
	}
	return all, s.Err()
}

// Generate makes a private key for an algorithm.
func Generate(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case RSA:
		// RFC 8301 section 3.2: at least 1024, should be 2048. A longer key
		// does not fit into one string of a DNS record.
		return rsa.GenerateKey(rand.Reader, 2048)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("unknown algorithm %q", algorithm)
}

// EncodeKey returns a private key as PEM.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// DecodeKey reads a private key: PKCS #8, or PKCS #1 as opendkim-genkey makes
// it.
func DecodeKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	if block.Type == "RSA PRIVATE KEY" {
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		return checkKey(key)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	return checkKey(key)
}

func checkKey(key any) (crypto.Signer, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		// RFC 8301 section 3.2.
		if k.N.BitLen() < 1024 || k.N.BitLen() > 4096 {
			return nil, fmt.Errorf("RSA key of %d bits: want 1024 to 4096", k.N.BitLen())
		}
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("key type %T: want RSA or Ed25519", key)
}

// Describe returns the algorithm of a key and the size of its signatures.
func Describe(key crypto.Signer) (algorithm string, size int) {
	if k, ok := key.(*rsa.PrivateKey); ok {
		return RSA, k.Size()
	}
	return Ed25519, ed25519.SignatureSize
}

// SignDigest signs what [Signature.Digest] returns.
func SignDigest(key crypto.Signer, digest []byte) ([]byte, error) {
	if len(digest) != crypto.SHA256.Size() {
		return nil, errors.New("bad digest")
	}
	if _, ok := key.(ed25519.PrivateKey); ok {
		// RFC 8463 section 3: Ed25519 signs the SHA-256 of the header.
		return key.Sign(rand.Reader, digest, crypto.Hash(0))
	}
	return key.Sign(rand.Reader, digest, crypto.SHA256)
}

// Record returns the text of the DNS record with the public key, at
// selector._domainkey.domain (RFC 6376 section 3.6.1).
func Record(key crypto.Signer) (string, error) {
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return "", err
		}
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der), nil
	case ed25519.PublicKey:
		// RFC 8463 section 4: the 32 bytes themselves.
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(pub), nil
	}
	return "", fmt.Errorf("key type %T", key.Public())
}

// ZoneLine returns the record as a line of a zone file, in strings of at most
// 255 bytes.
func ZoneLine(domain, selector, record string) string {
	var parts []string
	for len(record) > 250 {
		parts = append(parts, `"`+record[:250]+`"`)
		record = record[250:]
	}
	parts = append(parts, `"`+record+`"`)
	return selector + "._domainkey." + domain + ". IN TXT ( " + strings.Join(parts, " ") + " )"
}
