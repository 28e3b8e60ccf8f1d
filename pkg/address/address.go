// Package address parses, quotes, splits and compares mail addresses.
//
// An address has two forms. The external form is the one of message headers
// and SMTP commands, where a local part that needs it is a quoted string:
//
//	"first last"@example.com
//
// The internal form has the quotes and backslashes removed:
//
//	first last@example.com
//
// Queue files, envelopes and most tables hold the internal form. In it the
// domain begins after the last '@', so no information is lost.
//
// Nothing here asks the network or knows which domains are local.
package address

import (
	"errors"
	"strings"
)

// MaxLength is the longest address that the parsers take. It leaves room
// above RFC 5321 4.5.3.1 (64 + 1 + 255) for what is really in use.
const MaxLength = 2048

// ErrSyntax reports text that is not an address.
var ErrSyntax = errors.New("address syntax")

// Split cuts an address in internal form at its last '@'. Without one, the
// domain is empty; "user@" and "user" are told apart by [HasDomain].
func Split(addr string) (local, domain string) {
	i := strings.LastIndexByte(addr, '@')
	if i < 0 {
		return addr, ""
	}
	return addr[:i], addr[i+1:]
}

// HasDomain reports whether an address in internal form has an '@'.
func HasDomain(addr string) bool { return strings.IndexByte(addr, '@') >= 0 }

// Domain returns the part after the last '@', or "".
func Domain(addr string) string {
	_, domain := Split(addr)
	return domain
}

// Join is the opposite of [Split]; an empty domain adds no '@'.
func Join(local, domain string) string {
	if domain == "" {
		return local
	}
	return local + "@" + domain
}

// FoldDomain returns an address in internal form with its domain in lower
// case and its local part as it is (RFC 5321 2.4).
func FoldDomain(addr string) string {
	local, domain := Split(addr)
	if domain == "" {
		return addr
	}
	return local + "@" + strings.ToLower(domain)
}

// Fold returns the whole address in lower case, as tables are searched.
func Fold(addr string) string { return strings.ToLower(addr) }

// IsIPLiteral reports whether domain is an address literal, "[192.0.2.1]" or
// "[IPv6:2001:db8::1]".
func IsIPLiteral(domain string) bool {
	_, ok := ParseLiteral(domain)
	return ok
}

// Equal reports whether two addresses in internal form are the same mailbox
// as far as one can know without being its host: domains compare without
// regard to case, local parts exactly.
func Equal(a, b string) bool {
	al, ad := Split(a)
	bl, bd := Split(b)
	return al == bl && strings.EqualFold(ad, bd)
}
