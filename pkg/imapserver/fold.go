package imapserver

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold appends s in a form in which equal text has equal bytes whatever its
// case: i;unicode-casemap (RFC 5051).
func fold(dst, s []byte) []byte {
	start := len(dst)
	dst = append(dst, s...)
	ascii := true
	for i := start; i < len(dst); i++ {
		c := dst[i]
		if c >= 'A' && c <= 'Z' {
			dst[i] = c | 0x20
		} else if c >= utf8.RuneSelf {
			ascii = false
		}
	}
	if ascii {
		return dst
	}
	decomposed := norm.NFKD.Bytes(dst[start:])
	dst = dst[:start]
	for len(decomposed) > 0 {
		r, n := utf8.DecodeRune(decomposed)
		// A capital with an accent has become a capital and an accent.
		dst = utf8.AppendRune(dst, unicode.ToLower(unicode.ToTitle(r)))
		decomposed = decomposed[n:]
	}
	return dst
}

// foldString is fold of a string.
func foldString(s string) string { return string(fold(nil, []byte(s))) }
