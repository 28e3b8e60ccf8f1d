package address

import (
	"strings"
	"unicode/utf8"
)

// ValidHostname reports whether a domain has the form of a host name: labels
// of letters, digits, hyphens and underscores, none over 63 bytes, not all of
// them numeric (RFC 1123 2.1). Labels in UTF-8 are checked as the A-labels
// that they become.
func ValidHostname(domain string) bool {
	if !isASCII(domain) {
		ascii, err := ToASCII(domain)
		if err != nil {
			return false
		}
		domain = ascii
	}
	if domain == "" || len(domain) > 255 {
		return false
	}
	numeric := true
	for label := range strings.SplitSeq(domain, ".") {
		if !validLabel(label) {
			return false
		}
		if strings.Trim(label, "0123456789") != "" {
			numeric = false
		}
	}
	return !numeric
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := 0; i < len(label); i++ {
		c := label[i]
		if !isAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
