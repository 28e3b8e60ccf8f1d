package sasl

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Prepare brings a name or a password to the form in which SCRAM hashes it
// (SASLprep, RFC 4013 2): other spaces become spaces, what is mapped to nothing
// goes, and the rest is brought to NFKC. What SASLprep forbids is left as it
// is: whoever has such a password gets in with it everywhere or nowhere.
func Prepare(s string) string {
	ascii := true
	for i := 0; i < len(s) && ascii; i++ {
		ascii = s[i] < 0x80
	}
	if ascii {
		return s
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == 0xad, r == 0x34f, r == 0x1806, r >= 0x180b && r <= 0x180d, r >= 0x200b && r <= 0x200d,
			r == 0x2060, r >= 0xfe00 && r <= 0xfe0f, r == 0xfeff:
			return -1 // RFC 3454 B.1
		case r != ' ' && unicode.Is(unicode.Zs, r):
			return ' ' // RFC 3454 C.1.2
		}
		return r
	}, s)
	return norm.NFKC.String(s)
}
