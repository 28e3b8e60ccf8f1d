package table

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fold maps text to the form in which fixed-string tables keep their keys:
// lower case, so that lookups ignore case. Bytes outside of valid UTF-8 stay
// as they are.
func Fold(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf {
			return foldSlow(s)
		}
	}
	return s
}

func foldSlow(s string) string {
	ascii := true
	for i := 0; i < len(s) && ascii; i++ {
		ascii = s[i] < utf8.RuneSelf
	}
	if ascii || !utf8.ValidString(s) {
		return FoldASCII(s)
	}
	var b strings.Builder
	for _, r := range s {
		b.WriteString(foldRune(r))
	}
	return b.String()
}

// FoldASCII maps text to lower case where it is US-ASCII.
func FoldASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// foldRune is Unicode's full case folding for the letters where it differs
// from lower case and that occur in addresses; Postfix asks ICU for the same.
func foldRune(r rune) string {
	switch r {
	case 'ß', 'ẞ':
		return "ss"
	case 'ς':
		return "σ"
	case 'ſ':
		return "s"
	case 'İ':
		return "i̇"
	case 'ŉ':
		return "ʼn"
	case 'µ':
		return "μ"
	case 'ﬁ':
		return "fi"
	case 'ﬂ':
		return "fl"
	case 'ﬀ':
		return "ff"
	case 'ﬃ':
		return "ffi"
	case 'ﬄ':
		return "ffl"
	case 'ﬅ', 'ﬆ':
		return "st"
	}
	return string(unicode.ToLower(r))
}
