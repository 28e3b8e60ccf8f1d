package imapwire

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// utf7 is the alphabet of modified UTF-7 (RFC 3501 5.1.3).
var utf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// DecodeUTF7 makes UTF-8 of a mailbox name in modified UTF-7. A name that is
// UTF-8 already is accepted too; false is for what is neither.
func DecodeUTF7(s string) (string, bool) {
	if strings.IndexByte(s, '&') < 0 {
		return s, utf8.ValidString(s)
	}
	var b strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '&')
		if i < 0 {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		end := strings.IndexByte(s[i:], '-')
		if end < 0 {
			return "", false
		}
		code := s[i+1 : i+end]
		s = s[i+end+1:]
		if code == "" {
			b.WriteByte('&')
			continue
		}
		text, ok := decodeShift(code)
		if !ok {
			return "", false
		}
		b.WriteString(text)
	}
	return b.String(), utf8.ValidString(b.String())
}

// decodeShift decodes what is between '&' and '-'. Printable ASCII must not
// be encoded, and half a character must not be left.
func decodeShift(code string) (string, bool) {
	raw, err := utf7.DecodeString(code)
	if err != nil || len(raw) == 0 || len(raw)%2 != 0 {
		return "", false
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
		if units[i] >= 0x20 && units[i] < 0x7f || units[i] == 0 {
			return "", false
		}
	}
	runes := utf16.Decode(units)
	for _, r := range runes {
		if r == utf8.RuneError {
			return "", false
		}
	}
	return string(runes), true
}

// EncodeUTF7 makes modified UTF-7 of a mailbox name.
func EncodeUTF7(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e || s[i] == '&' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	var shifted []rune
	flush := func() {
		if len(shifted) == 0 {
			return
		}
		units := utf16.Encode(shifted)
		raw := make([]byte, 0, 2*len(units))
		for _, u := range units {
			raw = append(raw, byte(u>>8), byte(u))
		}
		b.WriteString("&" + utf7.EncodeToString(raw) + "-")
		shifted = shifted[:0]
	}
	for _, r := range s {
		if r < 0x20 || r > 0x7e {
			shifted = append(shifted, r)
			continue
		}
		flush()
		b.WriteRune(r)
		if r == '&' {
			b.WriteByte('-')
		}
	}
	flush()
	return b.String()
}
