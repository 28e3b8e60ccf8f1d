package envelope

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// An original recipient is "type;address", here and in queue files with the
// address as it is. Type rfc822 is written as xtext where it is a parameter of
// SMTP (RFC 3461 4.2), utf-8 with \x{HEX} for what must not be there as it is,
// which also 7-bit reports can have (RFC 6533 3).

// IsUTF8Type reports whether a type of address is utf-8.
func IsUTF8Type(kind string) bool { return strings.EqualFold(kind, "utf-8") }

// IsASCII reports whether a text is US-ASCII.
func IsASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// DecodeUTF8Address undoes the encoding of [EncodeUTF8Address]. ok is false for
// what is not well formed, or stands for a control character.
func DecodeUTF8Address(s string) (plain string, ok bool) {
	if !strings.Contains(s, `\`) {
		return s, utf8.ValidString(s)
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, `\`)
		b.WriteString(before)
		if !found {
			return b.String(), utf8.ValidString(b.String())
		}
		hex, isHex := strings.CutPrefix(rest, "x{")
		hex, rest, closed := strings.Cut(hex, "}")
		n, err := strconv.ParseUint(hex, 16, 32)
		if !isHex || !closed || err != nil || len(hex) > 6 {
			return "", false
		}
		if n < ' ' || n == 0x7f || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
			return "", false
		}
		b.WriteRune(rune(n))
		s = rest
	}
}

// EncodeUTF8Address writes an address in US-ASCII.
func EncodeUTF8Address(s string) string {
	var b strings.Builder
	for _, c := range s {
		if c > ' ' && c < 0x7f && c != '+' && c != '=' && c != '\\' {
			b.WriteRune(c)
		} else {
			b.WriteString(`\x{`)
			b.WriteString(strings.ToUpper(strconv.FormatUint(uint64(c), 16)))
			b.WriteByte('}')
		}
	}
	return b.String()
}
