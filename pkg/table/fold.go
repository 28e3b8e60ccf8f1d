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

// foldRune is Unicode's full case folding; Postfix asks ICU for the same.
func foldRune(r rune) string {
	if s, ok := foldLong(r); ok {
		return s
	}
	switch {
	case r == 'ı':
		// Its capital is that of i, but it folds to itself.
	case r >= 0x13a0 && r <= 0x13fd, r >= 0xab70 && r <= 0xabbf:
		// Cherokee had capitals first, to which all folds.
		r = unicode.ToUpper(r)
	default:
		// By way of the capital, for ς, ſ, µ and others with a second form.
		r = unicode.ToLower(unicode.ToUpper(r))
	}
	return string(r)
}

// foldLong is the letters that fold to several (status F of CaseFolding.txt).
func foldLong(r rune) (text string, ok bool) {
	switch {
	case r >= 0x1f80 && r <= 0x1faf:
		// Greek vowels with a small iota below.
		base := [3]rune{0x1f00, 0x1f20, 0x1f60}[(r-0x1f80)/0x10]
		return string(base+r&7) + "ι", true
	case r < 'ß' || r > 'և' && r < 'ẖ' || r > 'ῼ' && r < 'ﬀ':
		return "", false
	}
	_, after, ok := strings.Cut(foldings, " "+string(r))
	text, _, _ = strings.Cut(after, " ")
	return text, ok
}

// foldings are the others of [foldLong]: each letter before what it folds to.
const foldings = "" +
	" \u00dfss \u0130i\u0307 \u0149\u02bcn \u01f0j\u030c \u0390\u03b9\u0308\u0301 \u03b0\u03c5\u0308\u0301 \u0587\u0565\u0582 \u1e96h\u0331 \u1e97t\u0308 \u1e98w\u030a \u1e99y\u030a \u1e9aa\u02be \u1e9ess \u1f50\u03c5\u0313" +
	" \u1f52\u03c5\u0313\u0300 \u1f54\u03c5\u0313\u0301 \u1f56\u03c5\u0313\u0342 \u1fb2\u1f70\u03b9 \u1fb3\u03b1\u03b9 \u1fb4\u03ac\u03b9 \u1fb6\u03b1\u0342 \u1fb7\u03b1\u0342\u03b9 \u1fbc\u03b1\u03b9 \u1fc2\u1f74\u03b9 \u1fc3\u03b7\u03b9 \u1fc4\u03ae\u03b9 \u1fc6\u03b7\u0342" +
	" \u1fc7\u03b7\u0342\u03b9 \u1fcc\u03b7\u03b9 \u1fd2\u03b9\u0308\u0300 \u1fd3\u03b9\u0308\u0301 \u1fd6\u03b9\u0342 \u1fd7\u03b9\u0308\u0342 \u1fe2\u03c5\u0308\u0300 \u1fe3\u03c5\u0308\u0301 \u1fe4\u03c1\u0313 \u1fe6\u03c5\u0342 \u1fe7\u03c5\u0308\u0342 \u1ff2\u1f7c\u03b9 \u1ff3\u03c9\u03b9" +
	" \u1ff4\u03ce\u03b9 \u1ff6\u03c9\u0342 \u1ff7\u03c9\u0342\u03b9 \u1ffc\u03c9\u03b9 \ufb00ff \ufb01fi \ufb02fl \ufb03ffi \ufb04ffl \ufb05st \ufb06st \ufb13\u0574\u0576 \ufb14\u0574\u0565 \ufb15\u0574\u056b" +
	" \ufb16\u057e\u0576 \ufb17\u0574\u056d "
