package address

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// ErrIDN reports a domain that has no A-label form.
var ErrIDN = errors.New("not an internationalised domain name")

// ToASCII returns a domain with each U-label as its A-label (RFC 5891 4),
// which is what tables of domains and the DNS are asked for. Upper case,
// full-width forms and decomposed letters are mapped first (RFC 5895 2).
// Domains in US-ASCII come back as they are.
func ToASCII(domain string) (string, error) {
	if isASCII(domain) {
		return domain, nil
	}
	if len(domain) > 1024 || !utf8.ValidString(domain) {
		return "", fmt.Errorf("%w: not UTF-8 or too long", ErrIDN)
	}
	// Underscores are in use in names that are no host names.
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false),
		idna.StrictDomainName(false), idna.VerifyDNSLength(true))
	ascii, err := profile.ToASCII(domain)
	if err != nil || !hostChars(ascii) {
		return "", fmt.Errorf("%w: %q", ErrIDN, domain)
	}
	return ascii, nil
}

// hostChars reports whether s has only letters, digits and "-._".
func hostChars(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAlnum(s[i]) && s[i] != '-' && s[i] != '.' && s[i] != '_' {
			return false
		}
	}
	return true
}
